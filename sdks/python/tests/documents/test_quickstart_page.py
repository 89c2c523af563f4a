"""Runs all snippets of docs/quickstart.md in order, in the terminals that it names."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from snippets import free_port, heard, programs, running, snippets

DOCUMENT = "docs/quickstart.md"


def test_the_quickstart_ends_with_a_recording_on_disk_and_a_webhook(tmp_path: Path) -> None:
    _clone, serve, keys, _environment, install, flask = snippets(DOCUMENT, "sh")
    record, read, receiver, with_webhook, refused = snippets(DOCUMENT, "python")
    installed = {"cargo": "install --path crates/cli", "pip": "install ./sdks/python"}
    environment = {
        "PATH": programs(tmp_path / "bin", installed),
        "MEETBOT_SERVER_LISTEN": "127.0.0.1:0",
        "PYTHONUNBUFFERED": "1",
    }

    def typed(*blocks: str) -> str:
        """What is printed in a terminal into which these are typed, one after the other."""
        ran = subprocess.run(
            ["sh", "-ec", "\n".join(blocks)],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def filled(block: str, values: dict[str, str]) -> str:
        for there, here in values.items():
            assert there in block
            block = block.replace(there, here)
        return block

    def python(snippet: str) -> str:
        return f"python - <<'END'\n{snippet}\nEND"

    with running(["sh", "-ec", serve], tmp_path, environment, terminal=True) as server:
        url = heard(server, "serves at").split()[3]
        key = heard(server, "MEETBOT_API_KEY").partition("=")[2]
        secret = heard(server, "signed with").split()[-1]
        exports = filled(keys, {"mb_test_…": key, "http://127.0.0.1:3010": url})
        typed(install)

        said = typed(exports, python(record))
        statuses = re.findall(r"^(\w+)$", said, re.M)
        assert "recording" in statuses and statuses[-1] == "completed"
        assert re.search(r"^completed meeting_ended file://", said, re.M), said
        recorded = {file.name for file in (tmp_path / "recording").iterdir()}
        wanted = {"manifest.json", "audio.Alice.webm", "audio.Bob.webm", "chat.jsonl", "captions.jsonl"}
        assert wanted <= recorded

        said = typed(python(read))
        assert re.search(r"^Alice audio\.Alice\.webm (19|20)\.\d s$", said, re.M), said

        port = str(free_port())
        (tmp_path / "receiver.py").write_text(receiver)
        flask = filled(flask, {"whsec_…": secret, "8000": port})
        with running(["sh", "-ec", flask], tmp_path, environment) as lines:
            heard(lines, "Running on")
            assert typed(exports, python(filled(with_webhook, {"8000": port}))) == ""
            assert "/manifest.json" in heard(lines, "recorded: job_")

        said = typed(exports, python(refused))
        assert said.startswith("host_denied_admission "), said
