"""`python -m meetbot`: says what is installed, where calls go, and whether the server takes the key."""

from __future__ import annotations

import argparse
import os
import re
import sys

from . import MeetBot, MeetbotError, __version__
from ._wire import USER_AGENT

#: Characters that control a terminal: control characters, line separators, direction marks.
_STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]")


def _plain(text: object) -> str:
    """The text in one line without characters that control a terminal; the server's text is untrusted."""
    return _STEERS.sub("\ufffd", str(text))


def _kind(key: str) -> str:
    """Which world a key opens, by how it begins."""
    for world in ("live", "test"):
        if key.startswith(f"mb_{world}_"):
            return f"a {world} key"
    return "a key of an unknown kind (keys begin with mb_live_ or mb_test_)"


def main() -> int:
    """Prints it; 1 when a call fails."""
    argparse.ArgumentParser(
        prog="python -m meetbot",
        description="Prints which version of the SDK is installed and where its calls go, and asks the server whether it takes the key. "
        "Both come from MEETBOT_API_KEY and MEETBOT_API_BASE_URL.",
    ).parse_args()
    print(f"meetbot-sdk {__version__} ({USER_AGENT})")
    try:
        mb = MeetBot(timeout=10, max_retries=0)
        print(f"base URL    {mb.base_url}")
        print(f"API key     {_kind(os.environ['MEETBOT_API_KEY'].strip())}, from MEETBOT_API_KEY")
        answer = mb.request("GET", "/api/v1/jobs?limit=1")
    except MeetbotError as error:
        print(f"server      {_plain(error)}", file=sys.stderr)
        return 1
    print(f"server      takes the key (request {_plain(answer.header('x-request-id'))})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
