"""Answers as they came: what `with_raw_response` gives. The calls are the client's own; only how their answers are read differs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from . import _core, _decode

if TYPE_CHECKING:
    from ._async.client import AsyncMeetBot
    from ._calls import Call
    from ._sync.client import MeetBot

P = ParamSpec("P")
T = TypeVar("T")


class Headers(Mapping[str, str]):
    """The headers of an answer. Their names are the same in any case; what came twice stands in one value, with a comma."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            known = self._values.get(name)
            self._values[name] = value if known is None else f"{known}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({self._values!r})"


class RawResponse(Generic[T]):
    """A successful answer as it came, and what the call makes of it.

    Example:
        >>> raw = mb.with_raw_response.list_bots(limit=1)
        >>> print(raw.status, raw.headers["Content-Type"], raw.request_id[:4], raw.attempts)
        200 application/json req_ 1
        >>> jobs = raw.parse()
    """

    status: int
    """The HTTP status: 200 to 299."""
    headers: Headers
    """The headers."""
    body: bytes
    """The body."""
    attempts: int
    """How many tries it took, this one included."""
    request_id: str | None
    """The request's id, to quote when asking for help."""

    def __init__(self, core: _core.Core, call: Call[T], answer: _core.Answer) -> None:
        self._core, self._call, self._answer = core, call, answer
        self.status = answer.status
        self.headers = Headers(answer.headers)
        self.body = answer.body
        self.attempts = answer.attempts
        self.request_id = answer.header("x-request-id")

    def parse(self) -> T:
        """What the call gives.

        Raises:
            MeetbotDecodeError: The body is not what the call promises.

        Example:
            >>> print(mb.with_raw_response.list_bots(external_id="nobody").parse())
            []
        """
        return _decode.read(self._core, self._call, self._answer)

    def __repr__(self) -> str:
        return f"RawResponse(status={self.status}, request_id={self.request_id!r})"


# The client that is given reads its answers as `RawResponse`: these say so to type checkers. Who is not found is an error here, so that no
# answer is `None`.
@overload
def _raw(call: Callable[P, None]) -> Callable[P, RawResponse[None]]: ...
@overload
def _raw(call: Callable[P, T | None]) -> Callable[P, RawResponse[T]]: ...
def _raw(call: Callable[P, Any]) -> Callable[P, Any]:
    return call


@overload
def _araw(
    call: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, Coroutine[Any, Any, RawResponse[None]]]: ...
@overload
def _araw(
    call: Callable[P, Coroutine[Any, Any, T | None]],
) -> Callable[P, Coroutine[Any, Any, RawResponse[T]]]: ...
def _araw(call: Callable[P, Any]) -> Callable[P, Any]:
    return call


class RawCalls:
    """The calls of `MeetBot`, each giving a `RawResponse`."""

    def __init__(self, mb: MeetBot) -> None:
        self.dispatch_bot = _raw(mb.dispatch_bot)
        self.get_bot = _raw(mb.get_bot)
        self.list_bots = _raw(mb.list_bots)
        self.cancel_bot = _raw(mb.cancel_bot)
        self.request_recording_permission = _raw(mb.request_recording_permission)
        self.pause_recording = _raw(mb.pause_recording)
        self.resume_recording = _raw(mb.resume_recording)
        self.stop_recording = _raw(mb.stop_recording)
        self.leave_bot = _raw(mb.leave_bot)
        self.send_chat_message = _raw(mb.send_chat_message)
        self.manifest = _raw(mb.manifest)
        self.delete_recording = _raw(mb.delete_recording)
        self.erase_consumer = _raw(mb.erase_consumer)
        self.host = _raw(mb.host)
        self.usage = _raw(mb.usage)
        self.list_platforms = _raw(mb.list_platforms)
        self.deliveries = _raw(mb.deliveries)
        self.get_delivery = _raw(mb.get_delivery)
        self.redeliver = _raw(mb.redeliver)


class AsyncRawCalls:
    """The calls of `AsyncMeetBot`, each giving a `RawResponse`."""

    def __init__(self, mb: AsyncMeetBot) -> None:
        self.dispatch_bot = _araw(mb.dispatch_bot)
        self.get_bot = _araw(mb.get_bot)
        self.list_bots = _araw(mb.list_bots)
        self.cancel_bot = _araw(mb.cancel_bot)
        self.request_recording_permission = _araw(mb.request_recording_permission)
        self.pause_recording = _araw(mb.pause_recording)
        self.resume_recording = _araw(mb.resume_recording)
        self.stop_recording = _araw(mb.stop_recording)
        self.leave_bot = _araw(mb.leave_bot)
        self.send_chat_message = _araw(mb.send_chat_message)
        self.manifest = _araw(mb.manifest)
        self.delete_recording = _araw(mb.delete_recording)
        self.erase_consumer = _araw(mb.erase_consumer)
        self.host = _araw(mb.host)
        self.usage = _araw(mb.usage)
        self.list_platforms = _araw(mb.list_platforms)
        self.deliveries = _araw(mb.deliveries)
        self.get_delivery = _araw(mb.get_delivery)
        self.redeliver = _araw(mb.redeliver)
