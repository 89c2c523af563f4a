"""Writes `_client.py`, the blocking twin of `_async_client.py`: the same text without its `async` and `await`.

Run it by hand, or let `cargo xtask update` do it; a test fails while the two are not twins.
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
    (r"from \._loops import anews, anext_event, asend, asleep", "from ._wire import news, next_event, send, sleep"),
    (r"\ba(news|next_event|send|sleep)\b", r"\1"),
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


def twin() -> tuple[Path, str]:
    """Where the blocking client is, and what it has to be."""
    return PACKAGE / "_client.py", sync((PACKAGE / "_async_client.py").read_text())


if __name__ == "__main__":
    path, text = twin()
    path.write_text(text)
