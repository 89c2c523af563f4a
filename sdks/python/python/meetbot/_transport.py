"""What a transport of your own has to be: something that takes a request and gives a response."""

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
    """What a transport is to send. Its headers hold the API key: log none of them; its `repr` shows none."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None
    timeout: float
    """How many seconds this try may take."""


@dataclass(frozen=True)
class Response:
    """What a transport received, whatever its status."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Transport(Protocol):
    """Sends one request: a function, or an object that can be called.

    A connection that is not to be had or breaks is a `MeetbotConnectionError` or an `OSError`, a try that takes too long a
    `MeetbotTimeoutError` or a `TimeoutError`: both are tried again by the rules of every call. Redirects are not to be followed: the SDK
    sends another request, without the key, to where an artifact's leads, and any other is an error.

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


def through(core: _core.Core, transport: Transport, parts: Parts) -> _core.Answer:
    """Makes a call through a transport, by the rules of every call."""
    exchange = core.exchange(parts)
    attempts = 0
    while True:
        attempts += 1
        try:
            verdict = _answered(exchange, transport(_request(exchange)))
        except (MeetbotConnectionError, OSError) as error:
            verdict = _broken(exchange, error)
        except MeetbotError as error:
            # One of the transport's own knows nothing of the tries before.
            error.attempts = error.attempts or attempts
            raise
        if isinstance(verdict, _core.Answer):
            return verdict
        time.sleep(verdict)


async def athrough(core: _core.Core, transport: AsyncTransport, parts: Parts) -> _core.Answer:
    """Makes a call through a transport, by the rules of every call."""
    exchange = core.exchange(parts)
    attempts = 0
    while True:
        attempts += 1
        try:
            request = _request(exchange)
            response = await asyncio.wait_for(transport(request), request.timeout)
            verdict = _answered(exchange, response)
        except (MeetbotConnectionError, OSError, asyncio.TimeoutError) as error:
            verdict = _broken(exchange, error)
        except MeetbotError as error:
            # One of the transport's own knows nothing of the tries before.
            error.attempts = error.attempts or attempts
            raise
        if isinstance(verdict, _core.Answer):
            return verdict
        await asyncio.sleep(verdict)


def _request(exchange: _core.Exchange) -> Request:
    return Request(
        exchange.method, exchange.url, dict(exchange.headers), exchange.body, exchange.limit
    )


def _answered(exchange: _core.Exchange, response: Response) -> _core.Answer | float:
    return exchange.answered(response.status, list(response.headers.items()), response.content)


def _broken(exchange: _core.Exchange, error: BaseException) -> float:
    timed_out = isinstance(error, (MeetbotTimeoutError, TimeoutError, asyncio.TimeoutError))
    return exchange.broken(str(error) or type(error).__name__, timed_out)
