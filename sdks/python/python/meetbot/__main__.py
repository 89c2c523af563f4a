"""`python -m meetbot`: says what is installed, where calls go, and whether the server takes the key."""

from __future__ import annotations

import os
import re
import sys

from . import MeetBot, MeetbotError, __version__
from ._wire import USER_AGENT

#: What a terminal acts on in place of showing it: control characters, line separators, marks of direction.
_STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]")


def _plain(text: object) -> str:
    """The text in one line that steers no terminal: what a server says is a stranger's."""
    return _STEERS.sub("\ufffd", str(text))


def main() -> int:
    """Prints it; 1 when a call fails."""
    print(f"meetbot-sdk {__version__} ({USER_AGENT})")
    try:
        mb = MeetBot(timeout=10, max_retries=0)
        print(f"base URL    {mb.base_url}")
        world = "live" if os.environ["MEETBOT_API_KEY"].strip().startswith("mb_live_") else "test"
        print(f"API key     a {world} key, from MEETBOT_API_KEY")
        answer = mb.request("GET", "/api/v1/jobs?limit=1")
    except MeetbotError as error:
        print(f"server      {_plain(error)}", file=sys.stderr)
        return 1
    print(f"server      takes the key (request {_plain(answer.header('x-request-id'))})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
