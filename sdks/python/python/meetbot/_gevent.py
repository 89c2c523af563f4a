"""How blocking calls wait in a program that gevent has patched: the calling greenlet waits, and all others go on.

Waiting in the core would block the thread and every greenlet on it. So a call begins as one of an asyncio loop does: the core's thread
sends and receives, and notifies gevent's hub of the end through a pipe. Unlike gevent's thread pool, this has no limit of concurrent calls.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

from gevent import get_hub
from gevent.event import AsyncResult
from gevent.hub import Hub

from . import _core
from ._parts import Parts

T = TypeVar("T")

#: The event mask "readable" of the watchers of gevent's loops.
READ = 1

#: Each thread that runs greenlets has its own hub.
_by_hub: weakref.WeakKeyDictionary[Hub, _core.Completions] = weakref.WeakKeyDictionary()

if hasattr(os, "register_at_fork"):
    # A forked child has a new runtime.
    os.register_at_fork(after_in_child=_by_hub.clear)


def call(core: _core.Core, parts: Parts) -> _core.Answer:
    """Makes a call; killing the greenlet that waits for it closes its socket."""
    return _waited(lambda completions, result: core.start(completions, result, parts))


def wait_for_change(wait: _core.Wait, pause: float) -> None:
    """Returns when something may have happened to the job, and after the pause at the latest."""
    _waited(lambda completions, result: wait.start(completions, result, pause))


class EventReader:
    """Waits for a stream's events. A killed wait continues in the background, so that no event is lost."""

    def __init__(self, events: _core.Events) -> None:
        self._events = events
        self._result: AsyncResult[str | None] | None = None
        self._task: _core.Task | None = None
        self._hub: Hub | None = None

    def is_usable_here(self) -> bool:
        """Whether this thread's hub may wait with this reader: a wait that another hub began completes on that hub."""
        return self._result is None or self._hub is get_hub()

    def next(self) -> str | None:
        """The next event, as JSON; `None` after the last."""
        hub = get_hub()
        completions = _completions(hub)
        if (result := self._result) is None:
            result = self._result = AsyncResult()
            self._hub = hub
            self._task = self._events.start(completions, result)
        with _watched(hub, completions):
            result.wait()
        self._result = None
        return result.get()

    def close(self) -> None:
        """Cancels the wait and closes its socket."""
        if self._task is not None:
            self._task.abort()
        self._result = self._task = None

    def __del__(self) -> None:
        self.close()


def _waited(begin: Callable[[_core.Completions, AsyncResult[T]], _core.Task]) -> T:
    hub = get_hub()
    completions = _completions(hub)
    result: AsyncResult[T] = AsyncResult()
    with _watched(hub, completions):
        task = begin(completions, result)
        try:
            return cast("T", result.get())
        except BaseException:
            task.abort()
            raise


def _completions(hub: Hub) -> _core.Completions:
    found = _by_hub.get(hub)
    if found is None:
        found = _by_hub[hub] = _core.Completions.watched()
    return found


@contextmanager
def _watched(hub: Hub, completions: _core.Completions) -> Iterator[None]:
    # One watcher for each wait: a permanent one would keep gevent's loop from ending.
    watcher = hub.loop.io(completions.fileno(), READ)
    watcher.start(completions.drain)
    try:
        yield
    finally:
        watcher.stop()
        watcher.close()
