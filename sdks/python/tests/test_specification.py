"""The original specification: its method table and examples hold exactly, and the examples run unchanged on the real server."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

import meetbot
from conftest import Server
from meetbot import AsyncMeetBot, MeetBot

HERE = Path(__file__).parent
SPECIFICATION = (HERE / "specification.md").read_text()
EXAMPLES = HERE.parent / "examples"
PATIENCE = 60.0


def squeezed(text: str) -> str:
    """The specification lost its line breaks and indentation: compared without white space."""
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("name", ["dispatch_and_poll.py", "async_dispatch.py", "flask_webhook.py"])
def test_the_examples_are_the_specifications(name: str) -> None:
    assert squeezed((EXAMPLES / name).read_text()) in squeezed(SPECIFICATION)


def test_every_method_of_the_table_is_there_with_its_arguments() -> None:
    rows = re.findall(r"^(\w+)\(([^)]*)\) (?:\(module\) )?\|", SPECIFICATION, re.MULTILINE)
    assert len(rows) == 11, "the search finds the rows"
    for name, arguments in rows:
        if name == "verify_webhook_signature":
            continue
        wanted = [argument for argument in arguments.split(", ") if argument != "..."]
        for kind in (MeetBot, AsyncMeetBot):
            have = list(inspect.signature(getattr(kind, name)).parameters)
            assert have[1 : 1 + len(wanted)] == wanted, name
    keywords = inspect.signature(meetbot.verify_webhook_signature).parameters
    assert list(keywords) == ["body", "header", "secret"]


def run(name: str, server: Server) -> list[str]:
    environment = {**os.environ, "MEETBOT_API_KEY": server.key, "MEETBOT_API_BASE_URL": server.url}
    ran = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def test_example_1_dispatches_polls_and_prints_a_manifest(server: Server) -> None:
    first, *statuses, last, manifest = run("dispatch_and_poll.py", server)
    assert re.fullmatch(r"dispatched job_\w{26} → queued", first)
    assert set(statuses) <= {"queued", "joining", "in_call", "recording", "finalizing"}
    assert last == "completed"
    path = Path(manifest.removeprefix("manifest: file://"))
    assert json.loads(path.read_text())["displayName"] == "Acme Notetaker"


def test_example_2_dispatches_with_a_time_and_leave_rules(server: Server) -> None:
    (line,) = run("async_dispatch.py", server)
    job_id, rest = line.split(" ", 1)
    # The time lies in the past, which means now: the job has begun, and keeps the time that was asked for.
    assert re.fullmatch(r"(queued|joining|in_call|recording) 2026-05-15 14:00:00\+00:00", rest)
    mb = MeetBot(server.key, server.url)
    job = mb.get_bot(job_id)
    assert job is not None and job.metadata == {"customer_id": "cust_4711"}
    assert job.auto_leave.after_entry_delay_seconds == 300
    assert (job.auto_leave.after_max_seconds, job.auto_leave.on_bot_detected) == (7200, True)
    assert job.webhooks.on_finalize == "https://api.acme.example/meetbot/finalize"
    mb.cancel_bot(job_id)


class Receiver:
    """The Flask app of example 3, and the webhooks that it received."""

    def __init__(self) -> None:
        spec = importlib.util.spec_from_file_location("flask_webhook", EXAMPLES / "flask_webhook.py")
        assert spec and spec.loader
        example: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(example)
        self.processed: list[tuple[str, str]] = []
        self.done = threading.Event()
        # The example leaves this to its reader.
        example.process_recording_async = self._process
        self.requests: list[tuple[bytes, dict[str, str]]] = []
        example.app.before_request(self._keep)
        self.server = make_server("127.0.0.1", 0, example.app, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.port}/webhook/meetbot"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _process(self, job_id: str, manifest_uri: str) -> None:
        self.processed.append((job_id, manifest_uri))
        self.done.set()

    def _keep(self) -> None:
        from flask import request

        self.requests.append((request.get_data(), dict(request.headers)))


@pytest.fixture
def receiver(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("MEETBOT_WEBHOOK_SECRET", server.secret)
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def posted(url: str, body: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_example_3_takes_what_the_server_sends_and_answers_401_to_a_changed_byte(
    server: Server, receiver: Receiver
) -> None:
    job = MeetBot(server.key, server.url).dispatch_bot(
        meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=1",
        on_finalize_url=receiver.url,
    )
    assert receiver.done.wait(PATIENCE)
    ((job_id, manifest_uri),) = receiver.processed
    assert job_id == job.id and manifest_uri.startswith("file://")
    body, headers = receiver.requests[0]
    assert posted(receiver.url, body, headers) == 200, "the very same again is taken"
    changed = body.replace(b"file://", b"File://", 1)
    assert changed != body and posted(receiver.url, changed, headers) == 401
    headers["X-Meetbot-Signature"] = headers["X-Meetbot-Signature"][:-1] + "~"
    assert posted(receiver.url, body, headers) == 401
    del headers["X-Meetbot-Signature"]
    assert posted(receiver.url, body, headers) == 401
    assert len(receiver.processed) == 2


def test_the_errors_are_distinguished_as_the_specification_shows(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SPECIFICATION.split("## Errors")[-1]
    code = text[text.index("from meetbot import (\nMeetBot,") : text.index("Retry + idempotency")]
    indented = [
        f"    {line}" if line.startswith(("job =", "print(")) else line for line in code.splitlines()
    ]
    names: dict[str, Any] = {"mb": MeetBot(server.key, server.url)}
    exec("\n".join(indented), names)
    said = capsys.readouterr().out
    assert said.startswith("validation: {'error': 'invalid_input', ")
    assert "'issues': [{'path': ['meetingUrl']" in said
