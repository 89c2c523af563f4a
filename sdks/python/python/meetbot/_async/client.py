"""`AsyncMeetBot`: all calls in one client."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING

from .. import _observe, _wire
from .account import AsyncAccountCalls
from .control import AsyncControlCalls
from .jobs import AsyncJobCalls
from .recordings import AsyncRecordingCalls
from .webhooks import AsyncWebhookCalls

if TYPE_CHECKING:
    from .._observe import CallEnded, CallStarted
    from .._raw import AsyncRawCalls
    from .._transport import AsyncTransport


class AsyncMeetBot(AsyncJobCalls, AsyncControlCalls, AsyncRecordingCalls, AsyncWebhookCalls, AsyncAccountCalls):
    """A client of a meetbot server, for asyncio.

    What is not given comes from `MEETBOT_API_KEY` and `MEETBOT_API_BASE_URL`. One client serves any number of tasks, loops and threads, also
    one loop after the other, and works in a forked child. Use it with `async with`, or without: nothing has to be closed.

    Every call is tried again where that may help: 3 times after its first try, on 429, 500, 502, 503, 504 and lost connections, with
    exponential pauses or what `Retry-After` says, and with the same `Idempotency-Key`. Cancelling the task that awaits a call
    closes its socket.

    Args:
        api_key: The API key; by default `$MEETBOT_API_KEY`.
        base_url: Where the server is; by default `$MEETBOT_API_BASE_URL`, or else `https://api.meetbot.dev`. A trailing `/api/v1` is taken off.
        timeout: How many seconds one try of a call may take; 30 by default.
        connect_timeout: How many seconds connecting may take; 10 by default.
        deadline: How many seconds a whole call may take, all its tries and the pauses between them included; by default only the tries
            are limited.
        max_retries: How often a call is tried again after its first try; 3 by default.
        proxy: Sends everything through this proxy, `http://user:password@host:port`; by default `$https_proxy`, `$http_proxy`,
            `$all_proxy` and `$no_proxy` (or the same in capitals) say which one, if any, but for servers on loopback. One that cannot be
            used is an error, from the environment too: no request goes past a proxy that was asked for.
        ca_bundle: Trusts these certificates beside the platform's: the path of a PEM file, or its bytes.
        client_cert: Shows this certificate to a server that demands one: the path of a PEM file that holds it and its private key (not
            encrypted), or the file's bytes; or a pair, the certificate's and the key's.
        on_request: Called before each call, and may add headers to it; for `watch` once, for all its connections.
        on_response: Called after each call, failed ones included, with how it ended; not after the stream of `watch`.
        transport: Sends the requests in place of the Rust core; see `AsyncTransport` and `AsyncHttpxTransport`.

    Raises:
        MeetbotConfigurationError: A key or a setting is missing or cannot be used.

    Example:
        >>> from meetbot import AsyncMeetBot
        >>> async with AsyncMeetBot() as mb:
        ...     job = await mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=20")
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        deadline: float | None = None,
        max_retries: int | None = None,
        proxy: str | None = None,
        ca_bundle: _wire.Pem | None = None,
        client_cert: _wire.Pem | tuple[_wire.Pem, _wire.Pem] | None = None,
        on_request: Callable[[CallStarted], None] | None = None,
        on_response: Callable[[CallEnded], None] | None = None,
        transport: AsyncTransport | None = None,
    ) -> None:
        self._core, self._options = _wire.core(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            connect_timeout=connect_timeout,
            deadline=deadline,
            max_retries=max_retries,
            proxy=proxy,
            ca_bundle=ca_bundle,
            client_cert=client_cert,
            transport=transport,
        )
        self._base_url = self._core.base_url
        self._transport = transport
        self._raw = False
        self._hooks = _observe.hooks(on_request, on_response)

    @property
    def with_raw_response(self) -> AsyncRawCalls:
        """The same calls, each giving its answer as it came: a `RawResponse` with status, headers, request id and body, and `parse()`.

        An answer that is an error is raised as ever; so is that there is no such job, where `get_bot` gives `None`.

        Example:
            >>> raw = await mb.with_raw_response.get_bot(job_id)
            >>> print(raw.status, raw.headers["content-type"], raw.parse().id == job_id)
            200 application/json True
        """
        from .._raw import AsyncRawCalls

        raw = copy(self)
        raw._raw = True
        return AsyncRawCalls(raw)
