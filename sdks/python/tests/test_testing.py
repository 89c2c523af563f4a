"""`meetbot.testing`, as the tests of a program that uses this SDK call it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from scripted_server import a_job, a_result

from meetbot import (
    MeetbotConfigurationError,
    MeetbotNotFoundError,
    MeetbotServerError,
    MeetbotValidationError,
    testing,
)


def test_a_job_of_the_mock_equals_a_job_of_the_server() -> None:
    assert testing.job().keys() == a_job().keys()
    assert testing.job()["recording"].keys() == a_job()["recording"].keys()
    assert testing.job()["autoLeave"] == a_job()["autoLeave"]
    with pytest.raises(MeetbotConfigurationError, match="stauts"):
        testing.job(stauts="queued")


def test_jobs_pass_through_their_statuses_in_the_mock() -> None:
    mock = testing.MockServer()
    mb = mock.client()
    first = mb.dispatch_bot(
        meeting_url="https://a.example", external_id="one", metadata={"n": 1}, auto_leave={"after_solo_seconds": 9}
    )
    assert mb.dispatch_bot(meeting_url="https://b.example", external_id="one").id == first.id
    second = mb.dispatch_bot(meeting_url="https://b.example", on_finalize_url="https://c.example")
    assert second.id != first.id and second.webhooks.on_finalize == "https://c.example"
    assert (first.metadata, first.auto_leave.after_solo_seconds) == ({"n": 1}, 9)
    assert first.auto_leave.after_max_seconds == 14400
    mock.set_job(first.id, status="recording")
    assert [job.id for job in mb.list_bots(status="recording")] == [first.id]
    assert [job.id for job in mb.iter_bots(page_size=1)] == [second.id, first.id]
    result = mb.pause_recording(first.id)
    assert (result.action, result.state, result.status) == ("pause_recording", "done", "recording")
    assert result.model_dump(by_alias=True).keys() == a_result().keys()
    mb.cancel_bot(first.id)
    cancelled = mb.get_bot(first.id)
    assert cancelled is not None and cancelled.status == "cancelled"
    assert mb.get_bot("job_of_nobody") is None
    assert asyncio.run(mock.async_client().get_bot(second.id)) == mb.get_bot(second.id)


def test_a_call_that_the_mock_does_not_support_is_an_error() -> None:
    mock = testing.MockServer()
    mb = mock.client(max_retries=0)
    job = mb.dispatch_bot(meeting_url="https://a.example")
    with pytest.raises(MeetbotServerError, match="answer_next"):
        mb.manifest(job.id)
    for call in (mb.usage, mb.deliveries, mb.host, lambda: mb.request("GET", "/api/v1/nothing")):
        with pytest.raises(MeetbotServerError, match="answer_next"):
            call()
    with pytest.raises(MeetbotServerError, match="answer_next"):
        mb.request("POST", f"/api/v1/jobs/{job.id}/dance")
    with pytest.raises(MeetbotNotFoundError):
        mb.manifest("job_of_nobody")


def test_the_list_of_the_mock_is_filtered() -> None:
    mock = testing.MockServer()
    mb = mock.client()
    old, new = (mb.dispatch_bot(meeting_url="https://a.example", platform=name) for name in ("zoom-web", "janus"))
    mock.set_job(new.id, createdAt="2026-01-02T00:00:00.000Z")
    second = datetime(2026, 1, 2, tzinfo=timezone.utc)
    for wanted, found in [
        ({"platform": "janus"}, [new]),
        ({"created_after": second}, [new]),
        ({"created_after": second + timedelta(milliseconds=1)}, []),
        ({"created_before": second}, [old]),
        ({"created_before": "2026-01-02T02:00:00+02:00"}, [old]),
        ({"created_after": old.created_at, "created_before": "2027-01-01T00:00:00Z"}, [new, old]),
    ]:
        listed = mb.list_bots(**wanted)  # type: ignore[arg-type]
        assert [job.id for job in listed] == [job.id for job in found], wanted
    for time in ("tomorrow", "2026-01-01"):
        with pytest.raises(MeetbotValidationError):
            mb.list_bots(created_after=time)


def test_the_mock_repeats_the_answer_of_an_idempotency_key() -> None:
    mb = testing.MockServer().client()
    first = mb.dispatch_bot(meeting_url="https://a.example", idempotency_key="order-4711")
    assert mb.dispatch_bot(meeting_url="https://a.example", idempotency_key="order-4711") == first
    assert mb.dispatch_bot(meeting_url="https://a.example").id != first.id
    with pytest.raises(MeetbotValidationError) as caught:
        mb.dispatch_bot(meeting_url="https://b.example", idempotency_key="order-4711")
    assert caught.value.code == "idempotency_mismatch"


@pytest.mark.parametrize("conftest", ["", 'pytest_plugins = ["meetbot.testing"]\n'], ids=["by itself", "named"])
def test_the_fixture_is_there_for_pytest(tmp_path: Path, conftest: str) -> None:
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_mine.py").write_text(
        "def test_mine(meetbot_mock):\n"
        "    assert meetbot_mock.client().list_bots() == []\n"
        "def test_new_for_each(meetbot_mock):\n"
        "    assert meetbot_mock.requests == []\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True,
    )
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
