"""Observation of calls: hooks, the log and tracing. None of them sees a secret."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from . import _core
from ._errors import MeetbotError

logger = logging.getLogger("meetbot")

#: The parts of an OpenTelemetry context that are sent to the server. Baggage is not: it may hold private data.
_TRACE = ("traceparent", "tracestate")


@dataclass
class CallStarted:
    """A call that is about to be sent; what `on_request` gets. It may add headers."""

    method: str
    path: str
    """From `/api` on, without its query."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers to send beside those of the SDK."""


@dataclass(frozen=True)
class CallEnded:
    """A call that has ended; what `on_response` gets."""

    method: str
    path: str
    """From `/api` on, without its query."""
    seconds: float
    """How long it took, all tries and the pauses between them included."""
    attempts: int
    """How often it was tried."""
    status: int | None
    """The HTTP status of the last try; `None` when there was no answer."""
    request_id: str | None
    """The request's id, to quote when asking for help."""
    error: BaseException | None
    """Why it failed; `None` when it succeeded."""


@dataclass(frozen=True)
class Hooks:
    """The functions that are called before and after each of a client's calls."""

    on_request: Callable[[CallStarted], None] | None
    on_response: Callable[[CallEnded], None] | None


def hooks(
    on_request: Callable[[CallStarted], None] | None,
    on_response: Callable[[CallEnded], None] | None,
) -> Hooks | None:
    """The hooks, if there are any."""
    return Hooks(on_request, on_response) if on_request or on_response else None


class Observed:
    """One call that hooks, the log or a trace observe."""

    def __init__(self, hooks: Hooks, method: str, path: str) -> None:
        self._hooks = hooks
        self._call = CallStarted(method, path.partition("?")[0])
        self._started = time.perf_counter()
        if "opentelemetry" in sys.modules:
            self._call.headers.update(_trace())
        if hooks.on_request:
            hooks.on_request(self._call)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What to send beside the SDK's own headers."""
        return tuple(self._call.headers.items())

    def answered(self, answer: _core.Answer) -> None:
        """The call has succeeded."""
        self._ended(answer.attempts, answer.status, answer.header("x-request-id"), None)

    def failed(self, error: BaseException) -> None:
        """The call has failed, or was given up."""
        if isinstance(error, MeetbotError):
            self._ended(error.attempts, error.status, error.request_id, error)
        else:
            self._ended(0, None, None, error)

    def _ended(
        self, attempts: int, status: int | None, request_id: str | None, error: BaseException | None
    ) -> None:
        call, seconds = self._call, time.perf_counter() - self._started
        ended = CallEnded(call.method, call.path, seconds, attempts, status, request_id, error)
        logger.debug(
            "%s %s: %s after %.1f ms and %d tries (request %s)",
            call.method,
            call.path,
            status if error is None else error or type(error).__name__,
            seconds * 1000,
            attempts,
            request_id,
        )
        if self._hooks.on_response:
            self._hooks.on_response(ended)


def begin(hooks: Hooks | None, method: str, path: str) -> Observed | None:
    """Begins to observe a call; `None` when there is no hook, no debug log and no tracing."""
    if hooks is None:
        if not logger.isEnabledFor(logging.DEBUG) and "opentelemetry" not in sys.modules:
            return None
        hooks = Hooks(None, None)
    return Observed(hooks, method, path)


def log_ignored_fields(answer: _core.Answer) -> _core.Answer:
    """Returns the answer, and logs a warning about request fields that the server ignored."""
    names = answer.header("x-meetbot-ignored")
    if names is not None:
        logger.warning("the server does not know these fields and passed them over: %s", names)
    return answer


def _trace() -> dict[str, str]:
    try:
        from opentelemetry.propagate import inject
    except ImportError:
        return {}
    context: dict[str, str] = {}
    inject(context)
    return {name: value for name, value in context.items() if name in _TRACE}
