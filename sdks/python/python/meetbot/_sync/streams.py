"""Iterators over a job's events and over the jobs of a list."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _calls, _decode
from .._errors import MeetbotDecodeError, MeetbotError
from .._wire import EventReader, sleep

if TYPE_CHECKING:
    from .._events import TimelineEvent
    from .._models import Job, JobList
    from .caller import Caller

T = TypeVar("T")

#: How many seconds to wait between two requests for a timeline whose last page was read.
PAUSE = 1.0


class Stream(Iterator[T]):
    """The iterator that `watch` and `iter_bots` return. It can be used again after an error.

    After an error, and after a wait that was given up with Ctrl-C, the next item follows the last one:
    none is missed and none comes twice.
    """

    def __init__(self) -> None:
        self._ready: deque[T] = deque()
        self._ended = False
        self._busy = False

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        if self._busy:
            raise RuntimeError("the next one is being waited for already")
        self._busy = True
        try:
            while not self._ready:
                if self._ended:
                    raise StopIteration
                self._fetch()
            return self._ready.popleft()
        finally:
            self._busy = False

    def close(self) -> None:
        """Ends the iteration and closes its connection. Optional: dropping the last reference does the same.

        Example:
            >>> events = mb.watch(job_id)
            >>> events.close()
        """
        self._ended = True
        self._ready.clear()
        self._disconnect()

    def _fetch(self) -> None:
        """Fetches more items. After an error or a cancelled wait it can be called again."""
        raise NotImplementedError

    def _disconnect(self) -> None:
        pass


class Jobs(Stream["Job"]):
    """All jobs of a list, page by page."""

    def __init__(self, list_page: Callable[..., JobList], wanted: dict[str, Any]) -> None:
        super().__init__()
        self._list_page, self._wanted = list_page, wanted
        self._cursor: str | None = None

    def _fetch(self) -> None:
        page = self._list_page(**self._wanted, cursor=self._cursor)
        if page.next_cursor is None:
            self._ended = True
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
        self._reader: EventReader | None = None
        #: The sequence number of the job's last event: events that a new stream repeats are skipped by it.
        self._sequence = 0

    def _fetch(self) -> None:
        if self._reader is None or not self._reader.is_usable_here():
            self._disconnect()
            self._reader = EventReader(self._mb._stream(self._job_id))
        try:
            text = self._reader.next()
        except MeetbotError:
            # The broken stream gives no more events: the next call opens a new one.
            self._disconnect()
            raise
        if text is None:
            self._ended = True
            self._disconnect()
        else:
            self._add(_decode.read_event(text))

    def _add(self, event: TimelineEvent) -> None:
        if event.data.sequence > self._sequence:
            self._sequence = event.data.sequence
            self._ready.append(event)

    def _disconnect(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def is_last(event: TimelineEvent) -> bool:
    """Whether it is the last event of its job, by its status or by its name."""
    status = event.data.status
    return (status is not None and status.is_final) or event.event in ("job.finalized", "job.failed")


class Timeline(Events):
    """A job's events through a custom transport, which returns whole responses only: the timeline is polled."""

    def __init__(self, mb: Caller, job_id: str) -> None:
        super().__init__(mb, job_id)
        self._cursor: str | None = None
        self._next_at = 0.0

    def _fetch(self) -> None:
        if (early := self._next_at - time.monotonic()) > 0:
            sleep(early)
        page = self._mb._call(_calls.events(self._job_id, self._cursor), None)
        for event in page.data:
            # As in the stream, which ends with the job.
            if event.event != "job.artifact_ready":
                self._add(event)
        self._ended = bool(self._ready) and is_last(self._ready[-1])
        if page.next_cursor is not None:
            self._cursor = page.next_cursor
        else:
            self._next_at = time.monotonic() + PAUSE
