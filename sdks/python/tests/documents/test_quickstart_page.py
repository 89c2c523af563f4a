"""docs/quickstart.md, from its first snippet to its last, as somebody would type them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import Server
from snippets import snippets

DOCUMENT = "docs/quickstart.md"


def typed(snippet: str, server: Server, folder: Path) -> str:
    """What a snippet prints, in this folder and with the key of this server."""
    environment = {"MEETBOT_API_KEY": server.key, "MEETBOT_API_BASE_URL": server.url}
    ran = subprocess.run(
        [sys.executable, "-c", snippet],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_quickstart_ends_with_a_recording_on_disk(server: Server, tmp_path: Path) -> None:
    record, read, receiver, with_webhook, refused = snippets(DOCUMENT, "python")

    said = typed(record, server, tmp_path)
    assert re.search(r"^recording$.*^completed meeting_ended file://", said, re.M | re.S), said
    recorded = {file.name for file in (tmp_path / "recording").iterdir()}
    wanted = {"manifest.json", "audio.Alice.webm", "audio.Bob.webm", "chat.jsonl", "captions.jsonl"}
    assert wanted <= recorded

    said = typed(read, server, tmp_path)
    assert re.search(r"^Alice audio\.Alice\.webm (19|20)\.\d s$", said, re.M), said

    # It is run by the tests of the receivers.
    assert "Flask" in receiver
    assert typed(with_webhook, server, tmp_path) == ""

    said = typed(refused, server, tmp_path)
    assert said.startswith("host_denied_admission "), said
