"""Every call against the real server, whose sandbox simulates the meetings."""

from __future__ import annotations

import time
from typing import Any

import pytest

from conftest import Server, until
from meetbot import (
    AutoLeaveConfig,
    MeetbotConflictError,
    MeetbotUnauthorizedError,
    MeetbotValidationError,
)

PATIENCE = 60.0


@pytest.fixture
def mb(client: Any, server: Server) -> Any:
    return client(server.url, api_key=server.key)


def sandbox(scenario: str = "two-speakers?seconds=60") -> str:
    return f"https://sandbox.meetbot.dev/{scenario}"


def test_a_job_passes_through_its_statuses_and_each_verb_has_its_effect(mb: Any, server: Server) -> None:
    job = mb.dispatch_bot(
        meeting_url=sandbox(),
        external_id=f"lesson-{time.time_ns()}",
        display_name="Acme Notetaker",
        metadata={"n": 12345678901234567890123},
        auto_leave=AutoLeaveConfig(after_solo_seconds=30, after_silence_seconds=None),
    )
    again = mb.dispatch_bot(meeting_url=sandbox(), external_id=job.external_id)
    assert again.id == job.id, "the same external id is the same job"
    assert job.metadata == {"n": 12345678901234567890123}
    assert (job.auto_leave.after_solo_seconds, job.auto_leave.after_silence_seconds) == (30, None)
    assert job.auto_leave.after_max_seconds == 14400, "what is not set has the server's default"
    until(server, job.id, "recording")
    assert mb.send_chat_message(job.id, "hello").state == "done"
    assert mb.request_recording_permission(job.id).action == "request_recording_permission"
    assert mb.pause_recording(job.id).recording.state == "paused"
    assert mb.resume_recording(job.id).recording.state == "on"
    assert mb.stop_recording(job.id).recording.state == "stopped"
    assert mb.leave_bot(job.id).action == "leave_call"
    ended = mb.wait_for_bot(job.id, timeout=PATIENCE)
    assert (ended.status, ended.leave_reason) == ("completed", "requested")
    assert ended.manifest_uri and ended.manifest_uri.startswith("file://")
    with pytest.raises(MeetbotConflictError) as caught:
        mb.leave_bot(job.id)
    assert caught.value.code == "invalid_state"
    assert mb.cancel_bot(job.id) is None, "no error when it had ended already"


def test_a_list_goes_from_page_to_page(mb: Any) -> None:
    urls = [sandbox(f"two-speakers?seconds={60 + n}") for n in range(3)]
    sent = [mb.dispatch_bot(meeting_url=url) for url in urls]
    first = mb.list_bots(limit=2)
    assert [job.id for job in first] == [sent[2].id, sent[1].id] and first.next_cursor
    assert mb.list_bots(limit=2, cursor=first.next_cursor)[0].id == sent[0].id
    for job in sent:
        mb.cancel_bot(job.id)


def test_all_problems_are_reported_at_once_as_the_specification_shows(mb: Any) -> None:
    with pytest.raises(MeetbotValidationError) as caught:
        mb.dispatch_bot(external_id="bad", meeting_url="not-a-url", display_name="")
    error = caught.value
    assert error.body["error"] == "invalid_input"
    assert [issue["path"] for issue in error.body["issues"]] == [["meetingUrl"], ["displayName"]]
    assert (error.status, error.code) == (400, "invalid_input")
    assert error.request_id and error.request_id in str(error)


def test_a_wrong_key_is_an_error(client: Any, server: Server) -> None:
    with pytest.raises(MeetbotUnauthorizedError) as caught:
        client(server.url, api_key="mb_test_" + "0" * 40).list_bots()
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
