"""Writes `_sync`, the blocking client, from `_async`: the same text without its `async` and `await`.

Run it by hand, or let `cargo xtask update` do it; a test fails while a file differs.
"""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parent / "python" / "meetbot"

# Applied in this order, each to the result of the one before.
RULES = [
    (r"The client for asyncio, a file a noun\. `_sync` is made from these files by `write_sync_client.py`\.", "The blocking client. Made from `_async` by `write_sync_client.py`: change it there."),
    (r"A client of a meetbot server, for asyncio\.", "A client of a meetbot server."),
    (r"number of tasks, loops and threads, also\n    one loop after the other, and works", "number of threads,\n    and works"),
    (r" Cancelling the task that awaits a call\n    closes its socket\.", " Ctrl-C ends a call\n    within a tenth of a second."),
    (r" \(`asyncio\.wait_for\(anext\(events\), 5\)`\)", " with Ctrl-C"),
    (r"from \.\._loops import", "from .._wire import"),
    (r"from \._async\.", "from ._sync."),
    (r"\basync_(wait_for_change|send|sleep)\b", r"\1"),
    (r"\baclose\b", "close"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"AsyncIterator, Awaitable, Callable", "Callable, Iterator"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsync([A-Z]\w+)", r"\1"),
    (r"__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\basync with\b", "with"),
]


def sync(text: str) -> str:
    """The blocking version of the text."""
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    return text


def generated_files() -> list[tuple[Path, str]]:
    """The paths and texts of the blocking client's files."""
    asynchronous = sorted((PACKAGE / "_async").glob("*.py"))
    return [(PACKAGE / "_sync" / path.name, sync(path.read_text())) for path in asynchronous]


if __name__ == "__main__":
    (PACKAGE / "_sync").mkdir(exist_ok=True)
    for path, text in generated_files():
        path.write_text(text)
