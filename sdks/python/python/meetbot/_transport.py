"""The interface of custom transports: a callable that takes a request and returns a response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from . import _core
from ._errors import MeetbotConnectionError, MeetbotError, MeetbotTimeoutError

if TYPE_CHECKING:
    from ._parts import Parts


@dataclass(frozen=True)
class Request:
    """A request for a transport to send. Its headers hold the API key: do not log them; its `repr` shows none."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None
    timeout: float
    """How many seconds this try may take."""


@dataclass(frozen=True)
class Response:
    """The response that a transport received, with any status."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Transport(Protocol):
    """Sends one request: a function, or an object that can be called.

    Raise `MeetbotConnectionError` or `OSError` for a connection that fails or breaks, and `MeetbotTimeoutError` or `TimeoutError` for a try
    that takes too long: both are retried by the rules of every call. Do not follow redirects: the SDK sends another request, without the
    key, to the target of an artifact's redirect, and any other redirect is an error.

    Example:
        >>> from meetbot import MeetBot, Request, Response
        >>> def unavailable(request: Request) -> Response:
        ...     return Response(404, {}, b'{"error": "not_found", "message": "no such job"}')
        >>> print(MeetBot("mb_test_0123456789", transport=unavailable).get_bot("job_1"))
        None
    """

    def __call__(self, request: Request, /) -> Response:
        """Sends it and reads the whole response."""
        ...


class AsyncTransport(Protocol):
    """A `Transport` whose call is awaited."""

    async def __call__(self, request: Request, /) -> Response:
        """Sends it and reads the whole response."""
        ...


def send_through(core: _core.Core, transport: Transport, parts: Parts) -> _core.Answer:
    """Makes a call through a transport, by the rules of every call."""
    exchange = core.exchange(parts)
    attempts = 0
    while True:
        attempts += 1
        try:
            verdict = _on_response(exchange, transport(_request(exchange)))
        except (MeetbotConnectionError, OSError) as error:
            verdict = _on_failure(exchange, error)
        except MeetbotError as error:
            # An error that the transport raised itself has no count of the tries.
            error.attempts = error.attempts or attempts
            raise
        if isinstance(verdict, _core.Answer):
            return verdict
        time.sleep(verdict)


async def async_send_through(core: _core.Core, transport: AsyncTransport, parts: Parts) -> _core.Answer:
    """Makes a call through a transport, by the rules of every call."""
    exchange = core.exchange(parts)
    attempts = 0
    while True:
        attempts += 1
        try:
            request = _request(exchange)
            response = await asyncio.wait_for(transport(request), request.timeout)
            verdict = _on_response(exchange, response)
        except (MeetbotConnectionError, OSError, asyncio.TimeoutError) as error:
            verdict = _on_failure(exchange, error)
        except MeetbotError as error:
            # An error that the transport raised itself has no count of the tries.
            error.attempts = error.attempts or attempts
            raise
        if isinstance(verdict, _core.Answer):
            return verdict
        await asyncio.sleep(verdict)


def _request(exchange: _core.Exchange) -> Request:
    return Request(
        exchange.method, exchange.url, dict(exchange.headers), exchange.body, exchange.limit
    )


def _on_response(exchange: _core.Exchange, response: Response) -> _core.Answer | float:
    return exchange.answered(response.status, list(response.headers.items()), response.content)


def _on_failure(exchange: _core.Exchange, error: BaseException) -> float:
    timed_out = isinstance(error, (MeetbotTimeoutError, TimeoutError, asyncio.TimeoutError))
    return exchange.broken(str(error) or type(error).__name__, timed_out)
