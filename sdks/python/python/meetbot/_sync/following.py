"""What comes one after the other: a job's events, the jobs of a list."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _calls, _decode
from .._errors import MeetbotDecodeError, MeetbotError
from .._wire import Listening, sleep

if TYPE_CHECKING:
    from .._events import TimelineEvent
    from .._models import Job, JobList
    from .caller import Caller

T = TypeVar("T")

#: How many seconds lie between two questions for a timeline at its end.
PAUSE = 1.0


class Stream(Iterator[T]):
    """What `watch` and `iter_bots` give: an iterator that survives what comes in between.

    After an error, and after a wait that was given up with Ctrl-C, the next one goes on where it was:
    nothing is missed and nothing comes twice.
    """

    def __init__(self) -> None:
        self._ready: deque[T] = deque()
        self._over = False
        self._busy = False

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        if self._busy:
            raise RuntimeError("the next one is being waited for already")
        self._busy = True
        try:
            while not self._ready:
                if self._over:
                    raise StopIteration
                self._ask()
            return self._ready.popleft()
        finally:
            self._busy = False

    def close(self) -> None:
        """Gives up what is still to come, and its connection. Nobody has to: it is done when nobody refers to it any more.

        Example:
            >>> events = mb.watch(job_id)
            >>> events.close()
        """
        self._over = True
        self._ready.clear()
        self._hang_up()

    def _ask(self) -> None:
        """Waits for more of it. Where that fails or is given up, it can be called again."""
        raise NotImplementedError

    def _hang_up(self) -> None:
        pass


class Jobs(Stream["Job"]):
    """All jobs of a list, page by page."""

    def __init__(self, list_page: Callable[..., JobList], wanted: dict[str, Any]) -> None:
        super().__init__()
        self._list_page, self._wanted = list_page, wanted
        self._cursor: str | None = None

    def _ask(self) -> None:
        page = self._list_page(**self._wanted, cursor=self._cursor)
        if page.next_cursor is None:
            self._over = True
        elif page.next_cursor == self._cursor:
            problem = "the list goes in circles: a page names itself as the next"
            raise MeetbotDecodeError(problem, attempts=1)
        self._cursor = page.next_cursor
        self._ready.extend(page)


class Events(Stream["TimelineEvent"]):
    """A job's events, live."""

    def __init__(self, mb: Caller, job_id: str) -> None:
        super().__init__()
        self._mb, self._job_id = mb, job_id
        self._listening: Listening | None = None
        #: Counts the job's events: what a new stream tells again is known by it.
        self._sequence = 0

    def _ask(self) -> None:
        if self._listening is None or not self._listening.is_here():
            self._hang_up()
            self._listening = Listening(self._mb._stream(self._job_id))
        try:
            text = self._listening.next()
        except MeetbotError:
            # It gives nothing more: whoever asks again gets a new one.
            self._hang_up()
            raise
        if text is None:
            self._over = True
            self._hang_up()
        else:
            self._take(_decode.read_event(text))

    def _take(self, event: TimelineEvent) -> None:
        if event.data.sequence > self._sequence:
            self._sequence = event.data.sequence
            self._ready.append(event)

    def _hang_up(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None


def ends(event: TimelineEvent) -> bool:
    """Whether it is the last event of its job: those of the end say so in their name too."""
    status = event.data.status
    return (status is not None and status.is_final) or event.event in ("job.finalized", "job.failed")


class Timeline(Events):
    """A job's events through a transport of one's own, which gives whole answers only: they are asked for again and again."""

    def __init__(self, mb: Caller, job_id: str) -> None:
        super().__init__(mb, job_id)
        self._cursor: str | None = None
        self._next_at = 0.0

    def _ask(self) -> None:
        if (early := self._next_at - time.monotonic()) > 0:
            sleep(early)
        page = self._mb._call(_calls.events(self._job_id, self._cursor), None)
        for event in page.data:
            # As in the stream, which ends with the job.
            if event.event != "job.artifact_ready":
                self._take(event)
        self._over = bool(self._ready) and ends(self._ready[-1])
        if page.next_cursor is not None:
            self._cursor = page.next_cursor
        else:
            self._next_at = time.monotonic() + PAUSE
