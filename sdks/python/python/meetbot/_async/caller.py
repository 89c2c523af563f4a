"""The base class of a client: connections, options and hooks of every call."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, cast

from .. import _calls, _decode, _observe, _wire
from .._errors import MeetbotNotFoundError
from .._loops import async_send

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._core import Answer, Core, Events
    from .._transport import AsyncTransport

T = TypeVar("T")


class AsyncCaller:
    """The part of a client that sends calls and reads their answers. The nouns' calls derive from it."""

    _core: Core
    _options: _wire.Options
    _base_url: str
    _transport: AsyncTransport | None
    _hooks: _observe.Hooks | None
    #: Whether calls give a `RawResponse` in place of what is in it.
    _raw: bool

    def with_options(
        self,
        *,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        deadline: float | None = None,
        max_retries: int | None = None,
    ) -> Self:
        """A copy of the client with other options, which shares its connections; options that are not given stay as they are.

        Example:
            >>> patient = mb.with_options(deadline=120, max_retries=10)
            >>> page = await patient.list_bots(limit=1)
        """
        given = {"timeout": timeout, "connect_timeout": connect_timeout, "deadline": deadline, "max_retries": max_retries}
        changed = copy(self)
        changed._options = _wire.merged(self._options, given)
        changed._core = self._core.with_options(changed._options)
        return changed

    @property
    def base_url(self) -> str:
        """Where calls go, without a slash at the end.

        Example:
            >>> from meetbot import AsyncMeetBot
            >>> AsyncMeetBot("mb_test_0123456789", "http://127.0.0.1:3010/").base_url
            'http://127.0.0.1:3010'
        """
        return self._base_url

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """A call to any path of the API, with the key, the retries and the errors of every other call; returns the answer unread.

        Args:
            method: The method.
            path: From `/` on, with its query, percent-encoded.
            json: The body.
            headers: Headers to send beside those of the SDK.
            idempotency_key: Instead of one made for this call.
            timeout: How many seconds one try may take, for this call alone.

        Example:
            >>> answer = await mb.request("GET", "/api/v1/jobs?limit=1")
            >>> print(answer.status, answer.header("content-type"), answer.attempts)
            200 application/json 1
        """
        body = None if json is None else _calls.json_bytes(json)
        more = tuple((headers or {}).items())
        return await self._send(method, path, body, timeout, idempotency_key, more)

    async def close(self) -> None:
        """Closes the connections; later calls fail. Leaving `async with` does the same. Optional.

        Example:
            >>> from meetbot import AsyncMeetBot
            >>> await AsyncMeetBot("mb_test_0123456789").close()
        """
        self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._base_url!r})"

    def _within(self, seconds: float | None) -> Self:
        """The same client with no more than this time for a whole call."""
        own = self._options["deadline"]
        if seconds is None or (own is not None and own <= seconds):
            return self
        return self.with_options(deadline=seconds)

    def _stream(self, job_id: str) -> Events:
        observed = _observe.begin(self._hooks, "GET", _calls.events(job_id).path)
        return self._core.watch(job_id, observed.headers if observed else ())

    async def _or_none(self, call: _calls.Call[T], timeout: float | None) -> T | None:
        try:
            return await self._call(call, timeout)
        except MeetbotNotFoundError:
            # A caller of the raw calls gets the error.
            if self._raw:
                raise
            return None

    async def _call(
        self, call: _calls.Call[T], timeout: float | None, idempotency_key: str | None = None
    ) -> T:
        answer = await self._send(call.method, call.path, call.body, timeout, idempotency_key)
        if not self._raw:
            return _decode.read(self._core, call, answer)
        from .._raw import RawResponse

        return cast("T", RawResponse(self._core, call, answer))

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        timeout: float | None,
        idempotency_key: str | None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        observed = _observe.begin(self._hooks, method, path)
        if observed is None:
            parts = (method, path, body, headers, timeout, idempotency_key)
            return _observe.log_ignored_fields(await async_send(self._core, self._transport, parts))
        parts = (method, path, body, headers + observed.headers, timeout, idempotency_key)
        try:
            answer = await async_send(self._core, self._transport, parts)
        except BaseException as error:
            observed.failed(error)
            raise
        observed.answered(answer)
        return _observe.log_ignored_fields(answer)
