"""Writes `_client.py` and `_following.py`, the blocking twins of `_async_client.py` and `_async_following.py`: the same text without its `async` and `await`.

Run it by hand, or let `cargo xtask update` do it; a test fails while two are not twins.
"""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parent / "python" / "meetbot"

# In this order: later rules see what the earlier ones left.
RULES = [
    (r"A client of a meetbot server, for asyncio\.", "A client of a meetbot server."),
    (r"number of tasks, loops and threads, also\n    one loop after the other, and works", "number of threads,\n    and works"),
    (r" Cancelling the task that awaits a call\n    closes its socket\.", " Ctrl-C ends a call\n    within a tenth of a second."),
    (r"`MeetBot` in `_client.py` is made from this file by `write_sync_client.py`\.", "Made from `_async_client.py` by `write_sync_client.py`: change it there."),
    (r"`_following.py` is made from this file by `write_sync_client.py`\.", "Made from `_async_following.py` by `write_sync_client.py`: change it there."),
    (r" \(`asyncio\.wait_for\(anext\(events\), 5\)`\)", " with Ctrl-C"),
    (r"from \._async_(client|following) import", r"from ._\1 import"),
    (r"from \._loops import", "from ._wire import"),
    (r"\ba(news|send|sleep|close)\b", r"\1"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncMeetBot\b", "MeetBot"),
    (r"\bAsync([A-Z]\w+)", r"\1"),
    (r"__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\basync with\b", "with"),
]


def sync(text: str) -> str:
    """The blocking twin of the text."""
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    return text


def twins() -> list[tuple[Path, str]]:
    """Where the blocking twins are, and what they have to be."""
    return [
        (PACKAGE / f"_{name}.py", sync((PACKAGE / f"_async_{name}.py").read_text()))
        for name in ("client", "following")
    ]


if __name__ == "__main__":
    for path, text in twins():
        path.write_text(text)
