"""How calls are sent from an asyncio loop: through the Rust core, which queues the answers in the loop's completions."""

from __future__ import annotations

import asyncio
import os
import weakref
from asyncio import sleep as async_sleep
from typing import TYPE_CHECKING

from . import _core
from ._parts import check_sendable

if TYPE_CHECKING:
    from ._parts import Parts
    from ._transport import AsyncTransport

__all__ = ["AsyncEventReader", "async_wait_for_change", "async_send", "async_sleep"]

# The loop owns its completions and drops them when it closes. The references here are weak: an answer that is never fetched must not keep its loop alive.
_by_loop: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.ref[_core.Completions]
] = weakref.WeakKeyDictionary()

if hasattr(os, "register_at_fork"):
    # A forked child has other loops, and a new runtime.
    os.register_at_fork(after_in_child=_by_loop.clear)


async def async_send(
    core: _core.Core, transport: AsyncTransport | None, parts: Parts
) -> _core.Answer:
    """Makes a call; cancelling the task that awaits it closes its socket."""
    check_sendable(parts)
    if transport is not None:
        from ._transport import async_send_through

        return await async_send_through(core, transport, parts)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_core.Answer] = loop.create_future()
    # No variable holds the completions: they may refer to this future, and the garbage collector cannot break that cycle.
    task = core.start(_completions(loop), future, parts)
    try:
        return await future
    except BaseException:
        task.abort()
        raise


class AsyncEventReader:
    """Waits for a stream's events. A cancelled wait continues in the background, so that no event is lost."""

    def __init__(self, events: _core.Events) -> None:
        self._future: asyncio.Future[str | None] | None = None
        self._task: _core.Task | None = None
        self._events = events

    def is_usable_here(self) -> bool:
        """Whether the running loop may wait with this reader: a wait that another loop began completes on that loop."""
        return self._future is None or self._future.get_loop() is asyncio.get_running_loop()

    async def next(self) -> str | None:
        """The next event, as JSON; `None` after the last."""
        if (future := self._future) is None:
            loop = asyncio.get_running_loop()
            future = self._future = loop.create_future()
            self._task = self._events.start(_completions(loop), future)
        # Unlike awaiting the future, this does not cancel it.
        await asyncio.wait([future])
        self._future = None
        return None if future.cancelled() else future.result()

    def close(self) -> None:
        """Cancels the wait and closes its socket."""
        if self._task is not None:
            self._task.abort()
        if self._future is not None and not self._future.cancel() and not self._future.cancelled():
            # Retrieves the exception, or asyncio would log that it was never retrieved.
            self._future.exception()
        self._future = None

    def __del__(self) -> None:
        self.close()


async def async_wait_for_change(wait: _core.Wait, pause: float) -> None:
    """Returns when something may have happened to the job, and after the pause at the latest."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    task = wait.start(_completions(loop), future, pause)
    try:
        await future
    except BaseException:
        task.abort()
        raise


def _completions(loop: asyncio.AbstractEventLoop) -> _core.Completions:
    known = _by_loop.get(loop)
    found = known() if known is not None else None
    if found is None:
        found = _made(loop)
        _by_loop[loop] = weakref.ref(found)
    return found


def _made(loop: asyncio.AbstractEventLoop) -> _core.Completions:
    try:
        made = _core.Completions.watched()
        loop.add_reader(made.fileno(), made.drain)
    except NotImplementedError:
        # The proactor loop of Windows cannot watch files.
        return _core.Completions.threadsafe(weakref.ref(loop))
    return made
