"""Waiting for a job's end: when to ask again, and when to give up. Decides, and does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import (
    MeetbotConnectionError,
    MeetbotError,
    MeetbotNotFoundError,
    MeetbotRateLimitError,
    MeetbotTimeoutError,
)

if TYPE_CHECKING:
    from ._models import Job

#: How many seconds the server may be away, or answer with errors that pass, before waiting gives up.
PATIENCE = 300.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
#: Statuses of errors that pass.
_PASSING = (500, 502, 503, 504)


class Wait:
    """A wait that began at 0; all times are seconds since then."""

    def __init__(self, job_id: str, timeout: float | None) -> None:
        self._job_id = job_id
        self._timeout = timeout
        self._answered = 0.0
        self._last: Job | None = None

    def changed(self, job: Job | None) -> bool:
        """Whether the job differs from what was seen last."""
        return job is not None and job != self._last

    def seen(self, job: Job | None, now: float) -> float | None:
        """How long to wait before the next question; `None` when the job has ended."""
        if job is None:
            raise MeetbotNotFoundError(f"there is no job {self._job_id}")
        self._answered, self._last = now, job
        return None if job.status.is_final else self._pause(now)

    def failed(self, error: MeetbotError, now: float) -> float:
        """How long to wait before the next question; an error that does not pass, or has not passed for long, is raised."""
        passes = (
            isinstance(error, (MeetbotConnectionError, MeetbotRateLimitError))
            or error.status in _PASSING
        )
        if not passes or now - self._answered >= PATIENCE:
            raise error
        return self._pause(now)

    def _pause(self, now: float) -> float:
        # A tenth of the time waited so far: what is short is noticed at once, what is long costs little.
        pause = min(max(now / 10, SHORTEST_PAUSE), LONGEST_PAUSE)
        if self._timeout is None:
            return pause
        if now >= self._timeout:
            seen = f"`{self._last.status}`" if self._last is not None else "not seen yet"
            raise MeetbotTimeoutError(
                f"the job {self._job_id} is {seen} after {self._timeout:g} s; it goes on"
            )
        return min(pause, self._timeout - now)
