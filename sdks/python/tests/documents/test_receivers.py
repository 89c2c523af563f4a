"""The receivers of the examples take what the real server sends, and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import IO

import pytest
from conftest import Server
from snippets import ROOT, snippets

from meetbot import MeetBot, testing

EXAMPLES = ROOT / "sdks" / "python" / "examples"
PATIENCE_SECONDS = 60


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def put_lines(stream: IO[str], lines: Queue[str]) -> None:
    with stream:
        for line in stream:
            lines.put(line.rstrip())
    lines.put("the receiver has ended")


@contextmanager
def running(arguments: list[str], folder: Path, secret: str) -> Iterator[Queue[str]]:
    """A receiver, and what it prints."""
    process = subprocess.Popen(
        [sys.executable, "-u", *arguments],
        cwd=folder,
        env=os.environ | {"MEETBOT_WEBHOOK_SECRET": secret},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: Queue[str] = Queue()
    reader = threading.Thread(target=put_lines, args=(process.stdout, lines))
    reader.start()
    try:
        yield lines
    finally:
        process.terminate()
        process.wait()
        reader.join()


def heard(lines: Queue[str], word: str) -> str:
    """The first line that holds the word."""
    said: list[str] = []
    while not said or word not in said[-1]:
        said.append(lines.get(timeout=PATIENCE_SECONDS))
        assert "has ended" not in said[-1], said
    return said[-1]


def answer(url: str, body: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, body, headers | {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answered:
            return int(answered.status)
    except urllib.error.HTTPError as refused:
        return refused.code


@pytest.mark.parametrize("name", ["quickstart", "fastapi", "django"])
def test_a_receiver_takes_what_the_server_sends_and_nothing_else(
    name: str, server: Server, tmp_path: Path
) -> None:
    port = str(free_port())
    commands = {
        "quickstart": ["-m", "flask", "--app", "receiver", "run", "--port", port],
        "fastapi": ["-m", "uvicorn", "receiver_fastapi:app", "--port", port],
        "django": ["receiver_django.py", "runserver", "--noreload", port],
    }
    started = {"quickstart": "Running on", "fastapi": "running on", "django": "CONTROL-C"}
    folder = EXAMPLES
    if name == "quickstart":
        (receiver,) = (code for code in snippets("docs/quickstart.md", "python") if "Flask" in code)
        (tmp_path / "receiver.py").write_text(receiver)
        folder = tmp_path
    url = f"http://127.0.0.1:{port}/webhook/meetbot"
    with running(commands[name], folder, server.secret) as lines:
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
