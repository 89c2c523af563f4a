"""The receivers of the examples take what the real server sends, and nothing else."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import Server
from snippets import PATIENCE_SECONDS, ROOT, free_port, heard, running, snippets

from meetbot import MeetBot, testing

EXAMPLES = ROOT / "sdks" / "python" / "examples"


def answer(url: str, body: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, body, headers | {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answered:
            return int(answered.status)
    except urllib.error.HTTPError as refused:
        return refused.code


@pytest.mark.parametrize("name", ["quickstart", "flask", "fastapi", "django"])
def test_a_receiver_takes_what_the_server_sends_and_nothing_else(
    name: str, server: Server, tmp_path: Path
) -> None:
    port = str(free_port())
    commands = {
        "quickstart": ["-m", "flask", "--app", "receiver", "run", "--port", port],
        "flask": ["-m", "flask", "--app", "receiver_flask", "run", "--port", port],
        "fastapi": ["-m", "uvicorn", "receiver_fastapi:app", "--port", port],
        "django": ["receiver_django.py", "runserver", "--noreload", port],
    }
    started = {"quickstart": "Running on", "flask": "Running on", "fastapi": "running on", "django": "CONTROL-C"}
    folder = EXAMPLES
    if name == "quickstart":
        (receiver,) = (code for code in snippets("docs/quickstart.md", "python") if "Flask" in code)
        (tmp_path / "receiver.py").write_text(receiver)
        folder = tmp_path
    url = f"http://127.0.0.1:{port}/webhook/meetbot"
    secret = {"MEETBOT_WEBHOOK_SECRET": server.secret}
    with running([sys.executable, "-u", *commands[name]], folder, secret) as lines:
        heard(lines, started[name])
        with MeetBot(server.key, server.url) as mb:
            job = mb.dispatch_bot(
                meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=2",
                on_finalize_url=url,
            )
            said = heard(lines, "recorded:")
            ended = mb.wait_for_bot(job.id, timeout=PATIENCE_SECONDS)
        assert said == f"recorded: {job.id} {ended.manifest_uri}"

        body, headers = testing.sign_webhook({"event": "job.finalized"}, server.secret)
        assert answer(url, body + b" ", headers) == 401
        assert answer(url, body, {}) == 401
