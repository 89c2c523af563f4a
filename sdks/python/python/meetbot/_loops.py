"""How calls are sent from an asyncio loop: through the Rust core, whose answers a loop fetches from completions of its own."""

from __future__ import annotations

import asyncio
import os
import weakref
from asyncio import sleep as asleep
from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from ._transport import AsyncTransport
    from ._wire import Parts

__all__ = ["anews", "anext_event", "asend", "asleep"]

# Owned by the loop, which watches them, and gone when it closes: an answer that nobody fetched any more must not keep its loop alive.
_by_loop: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.ref[_core.Completions]
] = weakref.WeakKeyDictionary()

if hasattr(os, "register_at_fork"):
    # A forked child has loops of its own, and a runtime that knows nothing of the parent's.
    os.register_at_fork(after_in_child=_by_loop.clear)


async def asend(
    core: _core.Core, transport: AsyncTransport | None, parts: Parts
) -> _core.Answer:
    """Makes a call; cancelling the task that awaits it closes its socket."""
    if transport is not None:
        from ._transport import athrough

        return await athrough(core, transport, parts)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_core.Answer] = loop.create_future()
    # The completions are not kept in a variable: they may hold this very future, and no collector sees through them.
    task = core.start(_completions(loop), future, parts)
    try:
        return await future
    except BaseException:
        task.abort()
        raise


async def anext_event(events: _core.Events) -> str | None:
    """The next event, as JSON; `None` after the last."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str | None] = loop.create_future()
    task = events.start(_completions(loop), future)
    try:
        return await future
    except BaseException:
        task.abort()
        raise


async def anews(wait: _core.Wait, pause: float) -> None:
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
        # Windows' proactor cannot watch files.
        return _core.Completions.threadsafe(weakref.ref(loop))
    return made
