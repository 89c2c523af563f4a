"""Transports through httpx, for who has its proxies, mocks or event hooks: the extra `meetbot-sdk[httpx]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import (
    MeetbotConfigurationError,
    MeetbotConnectionError,
    MeetbotDecodeError,
    MeetbotError,
    MeetbotTimeoutError,
)
from ._transport import Request, Response

if TYPE_CHECKING:
    import httpx
else:
    # These classes are looked at also where the extra is not installed: by `from meetbot import *`, by `help`.
    try:
        import httpx
    except ImportError:
        httpx = None


class HttpxTransport:
    """Sends everything through an `httpx.Client`. Its `httpx.TransportError` is tried again like any broken connection.

    httpx limits each step of a try, connecting and every read, and not the whole: who sends a byte now and then holds it up for longer.

    Example:
        >>> import httpx
        >>> from meetbot import HttpxTransport, MeetBot
        >>> with httpx.Client() as client:
        ...     mb = MeetBot(transport=HttpxTransport(client))
        ...     print(mb.get_bot("job_00000000000000000000000000"))
        None
    """

    def __init__(self, client: httpx.Client) -> None:
        _needed()
        self._client = client

    def __call__(self, request: Request, /) -> Response:
        """Sends it and reads the whole response."""
        try:
            return _received(self._client.request(**_sent(request)))
        except httpx.RequestError as error:
            raise _ours(error, request) from error


class AsyncHttpxTransport:
    """Sends everything through an `httpx.AsyncClient`, each try limited as a whole; else like `HttpxTransport`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        _needed()
        self._client = client

    async def __call__(self, request: Request, /) -> Response:
        """Sends it and reads the whole response."""
        try:
            return _received(await self._client.request(**_sent(request)))
        except httpx.RequestError as error:
            raise _ours(error, request) from error


def _sent(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "content": request.content,
        "timeout": request.timeout,
        "follow_redirects": False,
    }


def _received(response: httpx.Response) -> Response:
    return Response(response.status_code, dict(response.headers), response.content)


def _needed() -> None:
    if httpx is None:
        raise MeetbotConfigurationError(
            "this transport needs httpx: pip install 'meetbot-sdk[httpx]'"
        )


#: OpenSSL's errors for a peer that does not speak TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "record layer failure", "PACKET_LENGTH_TOO_LONG")
#: What h11 says of an answer whose first byte is a control character, which it does not show; records of TLS begin so, and text does not.
_TLS = "illegal request line"
#: h11 quotes a whole line of what came.
_LONGEST = 400


def _ours(error: httpx.RequestError, request: Request) -> MeetbotError:
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    text = f"{type(error).__name__}: {error}"
    text = text.replace(key, "mb_…") if key else text
    spoken_in_tls = request.url.startswith("http:") and _TLS in text
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    if any(words in text for words in _NO_TLS):
        text += "; the server does not speak TLS there: is it reached with http://, and not with https://?"
    elif spoken_in_tls:
        text += "; the server does not speak plain HTTP there: is it reached with https://, and not with http://?"
    if isinstance(error, httpx.DecodingError):
        return MeetbotDecodeError(text)
    if isinstance(error, httpx.TimeoutException):
        return MeetbotTimeoutError(text)
    return MeetbotConnectionError(text)
