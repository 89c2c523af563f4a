"""Both clients have the same methods, and every public method has an example that works."""

from __future__ import annotations

import doctest
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import meetbot
from conftest import Server, until
from meetbot import AsyncMeetBot, MeetBot, testing, webhooks

sys.path.append(str(Path(__file__).parents[1]))

import write_sync_client


def test_the_blocking_client_is_made_from_the_asynchronous_one() -> None:
    generated = write_sync_client.generated_files()
    for path, text in generated:
        if os.environ.get("UPDATE"):
            path.write_text(text)
        assert path.read_text() == text, f"{path.name} is not up to date: cargo xtask update"
        assert "await" not in text and "sync " not in text
    made = {path for path, _ in generated}
    assert set((write_sync_client.PACKAGE / "_sync").glob("*.py")) == made


def public(kind: type) -> dict[str, Any]:
    """The members that this package defines on the class, in order: each noun's calls have their own base class."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("meetbot.")]
    return {
        name: value
        for base in ours
        for name, value in vars(base).items()
        if not name.startswith("_")
    }


def test_both_clients_have_the_same_methods_with_the_same_arguments_and_results() -> None:
    ours, theirs = public(MeetBot), public(AsyncMeetBot)
    assert list(ours) == list(theirs)
    for name, method in ours.items():
        if callable(method):
            asynchronous = str(inspect.signature(theirs[name])).replace("Async", "")
            assert str(inspect.signature(method)) == asynchronous, name
            waits = inspect.iscoroutinefunction(theirs[name])
            assert waits == (name not in ("with_options", "watch", "iter_bots")), name


def with_docstring() -> dict[str, Any]:
    """Everything public of the package that a docstring with an example belongs to."""
    found: dict[str, Any] = {}
    values = {name: getattr(meetbot, name) for name in meetbot.__all__}
    values |= {name: getattr(testing, name) for name in ("MockServer", "job", "sign_webhook")}
    values["unwrap"] = webhooks.unwrap
    for name, value in values.items():
        if inspect.isfunction(value):
            found[name] = value
        if not inspect.isclass(value):
            continue
        if value in (MeetBot, AsyncMeetBot, meetbot.Transport, meetbot.HttpxTransport):
            found[name] = value
        for member, method in public(value).items():
            if isinstance(method, property):
                found[f"{name}.{member}"] = method
            elif inspect.isroutine(method) and value is not meetbot.Answer:
                found[f"{name}.{member}"] = getattr(value, member)
    return found


def test_everything_public_has_a_docstring_with_an_example() -> None:
    found = with_docstring()
    assert len(found) > 20, "the search finds the methods"
    for name, value in found.items():
        assert ">>>" in (inspect.getdoc(value) or ""), f"{name} has no example"


@pytest.mark.parametrize("name", [name for name in with_docstring() if not name.startswith("Async")])
def test_the_example_works(
    name: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEETBOT_API_KEY", server.key)
    monkeypatch.setenv("MEETBOT_API_BASE_URL", server.url)
    mb = MeetBot()
    names: dict[str, Any] = {"mb": mb, "folder": tmp_path}
    text = inspect.getdoc(with_docstring()[name]) or ""
    if "recording_job_id" in text:
        job = mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=60")
        until(server, job.id, "recording")
        names["recording_job_id"] = job.id
    elif "ended_job_id" in text:
        job = mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=1")
        names["ended_job_id"] = mb.wait_for_bot(job.id, timeout=60).id
    elif "(job_id" in text:
        names["job_id"] = mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/silence").id
    example = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    said: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
    for used in ["recording_job_id", "job_id"]:
        if used in names:
            mb.cancel_bot(names[used])
