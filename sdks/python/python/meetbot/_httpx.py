"""Transports through httpx, for who has its proxies, mocks or event hooks: the extra `meetbot-sdk[httpx]`."""

from __future__ import annotations

import httpx

from ._errors import MeetbotConnectionError, MeetbotTimeoutError
from ._transport import Request, Response


class HttpxTransport:
    """Sends everything through an `httpx.Client`. Its `httpx.TransportError` is tried again like any broken connection.

    Example:
        >>> import httpx
        >>> from meetbot import HttpxTransport, MeetBot
        >>> with httpx.Client() as client:
        ...     mb = MeetBot(transport=HttpxTransport(client))
        ...     print(mb.get_bot("job_00000000000000000000000000"))
        None
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def __call__(self, request: Request, /) -> Response:
        """Sends it and reads the whole response."""
        try:
            response = self._client.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.content,
                timeout=request.timeout,
                follow_redirects=False,
            )
        except httpx.TransportError as error:
            raise _ours(error) from error
        return Response(response.status_code, dict(response.headers), response.content)


class AsyncHttpxTransport:
    """Sends everything through an `httpx.AsyncClient`; see `HttpxTransport`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(self, request: Request, /) -> Response:
        """Sends it and reads the whole response."""
        try:
            response = await self._client.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.content,
                timeout=request.timeout,
                follow_redirects=False,
            )
        except httpx.TransportError as error:
            raise _ours(error) from error
        return Response(response.status_code, dict(response.headers), response.content)


def _ours(error: httpx.TransportError) -> MeetbotConnectionError:
    kind = MeetbotTimeoutError if isinstance(error, httpx.TimeoutException) else MeetbotConnectionError
    return kind(f"{type(error).__name__}: {error}")
