"""Requests, decoded answers and retries of each call."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from scripted_server import HANG, KEY, a_job, a_result, answer, refusal

import meetbot
from meetbot import (
    AutoLeaveConfig,
    JobStatus,
    MeetbotConfigurationError,
    MeetbotServerError,
    MeetbotTimeoutError,
)

ID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"


def busy(seconds: str = "0") -> Any:
    return refusal(503, "unavailable", "in a moment", Retry_After=seconds)


def test_every_argument_of_a_dispatch_is_sent_in_its_field(client: Any, scripted: Any) -> None:
    server = scripted(answer(a_job(), 201))
    job = client(server.url).dispatch_bot(
        external_id="q2-board-meeting-acme",
        meeting_url="https://meet.google.com/xyz-abcd-efg",
        platform="google-meet",
        join_at=datetime(2026, 5, 15, 16, 0, tzinfo=timezone(timedelta(hours=2))),
        display_name="Acme Notetaker",
        on_finalize_url="https://api.acme.example/finalize",
        on_status_change_url="https://api.acme.example/status",
        metadata={"customer_id": "cust_4711", "n": 12345678901234567890123, "deep": [None, 1.5]},
        auto_leave=AutoLeaveConfig(after_entry_delay_seconds=300, after_silence_seconds=None),
    )
    assert (job.id, job.status) == (ID, "queued")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/api/v1/jobs")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith(f"meetbot-python/{meetbot.__version__} cpython/3.")
    assert request.json() == {
        "externalId": "q2-board-meeting-acme",
        "meetingUrl": "https://meet.google.com/xyz-abcd-efg",
        "platform": "google-meet",
        "joinAt": "2026-05-15T14:00:00.000Z",
        "displayName": "Acme Notetaker",
        "webhooks": {
            "onFinalize": "https://api.acme.example/finalize",
            "onStatusChange": "https://api.acme.example/status",
        },
        "metadata": {"customer_id": "cust_4711", "n": 12345678901234567890123, "deep": [None, 1.5]},
        "autoLeave": {"afterEntryDelaySeconds": 300, "afterSilenceSeconds": None},
    }


def test_unset_options_are_not_sent(client: Any, scripted: Any) -> None:
    server = scripted(answer(a_job(), 201))
    client(server.url).dispatch_bot(meeting_url="https://x.example", auto_leave={"after_solo_seconds": 9})
    assert server.requests[0].json() == {
        "meetingUrl": "https://x.example",
        "autoLeave": {"afterSoloSeconds": 9},
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"join_at": datetime(2026, 5, 15, 14, 0)},
        {"metadata": {"x": float("nan")}},
        {"metadata": {"x": object()}},
        {"auto_leave": {"after_soolo_seconds": 9}},
        {"idempotency_key": "line\nbreak"},
        {"timeout": -1.0},
        {"timeout": float("inf")},
        {"timeout": float("nan")},
        {"timeout": "5"},
        {"join_at": date(2026, 1, 1)},
        {"join_at": 5},
        {"join_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))},
        {"join_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))},
        {"metadata": [1]},
        {"metadata": "x"},
        {"idempotency_key": "\ud800"},
    ],
    ids=lambda wrong: ascii(wrong)[:60],
)
def test_an_argument_that_cannot_be_sent_is_an_error_and_nothing_is_sent(
    client: Any, scripted: Any, wrong: dict[str, Any]
) -> None:
    server = scripted(answer(a_job(), 201))
    with pytest.raises(MeetbotConfigurationError) as caught:
        client(server.url).dispatch_bot(meeting_url="https://x.example", **wrong)
    assert isinstance(caught.value, ValueError)
    assert server.requests == []


def test_metadata_that_is_nested_without_end_is_an_error(client: Any) -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"x": nested}
    with pytest.raises(MeetbotConfigurationError, match="JSON"):
        client("http://x.example").dispatch_bot(meeting_url="https://x.example", metadata=nested)


def test_a_job_is_accepted_instead_of_its_id(client: Any, scripted: Any) -> None:
    manifest = {"jobId": ID, "speaking": [{"participantId": "p-1", "startMs": 5, "endMs": 9}]}
    files = {"data": [{"name": "evidence-1-1.png", "mediaType": "image/png", "bytes": 3}], "nextCursor": None}
    done = answer(a_result())
    server = scripted(
        answer(a_job(status="completed")), answer(a_job(status="completed")),
        *[done] * 6, answer(manifest), answer(manifest), answer(manifest), answer(files),
        answer({"data": [], "nextCursor": None}),
        answer({"jobId": ID}), answer(b"", 204),
    )
    mb = client(server.url)
    job = mb.get_bot(ID)
    assert mb.get_bot(job) == job
    for verb in (
        mb.request_recording_permission, mb.pause_recording, mb.resume_recording, mb.stop_recording, mb.leave_bot,
    ):
        assert isinstance(verb(job), meetbot.ControlResult)
    mb.send_chat_message(job, "hello")
    assert mb.manifest(job).job_id == ID
    assert [(span.participant_id, span.end_ms) for span in mb.speaking(job)] == [("p-1", 9)]
    assert mb.captions(job) == []
    assert [(file.name, file.bytes) for file in mb.artifacts(job)] == [("evidence-1-1.png", 3)]
    mb.deliveries(job_id=job)
    mb.delete_recording(job)
    mb.cancel_bot(job)
    assert len(server.requests) == 15
    assert all(ID in request.path for request in server.requests), [request.path for request in server.requests]


def test_a_job_prints_as_a_short_line_and_its_repr_shows_all() -> None:
    job = meetbot.Job.model_validate(a_job(status="completed", leaveReason="meeting_ended"))
    assert str(job) == f"{job.id} completed (meeting_ended)" == f"{job}"
    assert "display_name" in repr(job)
    assert str(meetbot.Job(id="job_1", status=meetbot.JobStatus("queued"))) == "job_1 queued"


def test_the_verbs_results_have_both_names() -> None:
    assert meetbot.RequestRecordingPermissionResult is meetbot.ControlResult
    assert repr(meetbot.ControlResult.model_validate(a_result())).startswith("ControlResult(")


def test_the_url_of_a_dispatch_needs_no_name(client: Any, scripted: Any) -> None:
    server = scripted(answer(a_job(), 201))
    client(server.url).dispatch_bot("https://x.example", external_id="one")
    assert server.requests[0].json() == {"meetingUrl": "https://x.example", "externalId": "one"}


@pytest.mark.parametrize("job_id", ["job_\ud800", None, 5], ids=ascii)
def test_an_id_that_is_no_text_is_an_error(client: Any, scripted: Any, job_id: Any) -> None:
    server = scripted(answer(a_job()))
    for call in (client(server.url).get_bot, client(server.url).cancel_bot, client(server.url).wait_for_bot):
        with pytest.raises(MeetbotConfigurationError, match="no text"):
            call(job_id)
    with pytest.raises(MeetbotConfigurationError, match="no text"):
        client(server.url).list_bots(external_id="\ud800")
    assert server.requests == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 1.5}, "max_retries"),
        ({"max_retries": 1 << 32}, "max_retries"),
        ({"timeout": float("inf")}, "timeout is a number of seconds"),
        ({"connect_timeout": -1}, "connect_timeout"),
        ({"deadline": float("nan")}, "deadline"),
        ({"deadline": 1e300}, "deadline"),
        ({"api_key": "mb_test_secret\ud800"}, "no text"),
    ],
    ids=ascii,
)
def test_an_invalid_setting_is_named_in_the_error(client: Any, setting: dict[str, Any], message: str) -> None:
    with pytest.raises(MeetbotConfigurationError, match=message) as error:
        client("http://x.example", **setting)
    assert "secret" not in repr(vars(error.value)) and error.value.__context__ is None
    if "api_key" not in setting:
        with pytest.raises(MeetbotConfigurationError, match=message):
            meetbot.MeetBot(KEY, "http://x.example").with_options(**setting)


def test_integers_and_floats_of_any_type_are_accepted(client: Any, scripted: Any) -> None:
    server = scripted(answer(a_job()))
    mb = client(server.url, timeout=Fraction(30), deadline=Decimal(30), max_retries=True)
    assert mb.get_bot(ID, timeout=Decimal("2.5")).id == ID


def test_a_wait_with_an_invalid_timeout_is_an_error(client: Any) -> None:
    for timeout in (float("inf"), -1, "5"):
        with pytest.raises(MeetbotConfigurationError, match="timeout is a number of seconds"):
            client("http://x.example").wait_for_bot(ID, timeout=timeout)


def test_every_verb_has_its_path_and_its_result(client: Any, scripted: Any) -> None:
    server = scripted(answer(a_result()))
    mb = client(server.url)
    for verb in ["request_recording_permission", "pause_recording", "resume_recording", "stop_recording"]:
        result = getattr(mb, verb)(ID)
        assert isinstance(result, meetbot.RequestRecordingPermissionResult)
    mb.leave_bot(ID)
    mb.send_chat_message(ID, "hello\n\u2713")
    base = f"/api/v1/jobs/{ID}"
    assert [request.path.removeprefix(base) for request in server.requests] == [
        "/request-recording-permission",
        "/pause-recording",
        "/resume-recording",
        "/stop-recording",
        "/leave-call",
        "/send-chat-message",
    ]
    assert {request.method for request in server.requests} == {"POST"}
    assert server.requests[-1].json() == {"message": "hello\n\u2713"}
    assert server.requests[0].body == b""


def test_a_page_is_a_list_with_the_cursor_of_the_next_page(client: Any, scripted: Any) -> None:
    page = {"data": [a_job("recording"), a_job()], "nextCursor": "b"}
    server = scripted(answer(page), answer({"data": [], "nextCursor": None}))
    mb = client(server.url)
    jobs = mb.list_bots(
        status=[JobStatus.RECORDING, "queued"],
        external_id="a&b",
        platform="zoom-web",
        created_after=datetime(2026, 1, 1, tzinfo=timezone.utc),
        created_before="2027-01-01T00:00:00Z",
        limit=2,
        cursor="a",
    )
    assert isinstance(jobs, list) and isinstance(jobs, meetbot.JobList)
    assert [job.status for job in jobs] == ["recording", "queued"]
    assert jobs.next_cursor == "b"
    assert server.requests[0].path == (
        "/api/v1/jobs?status=recording&status=queued&externalId=a%26b&platform=zoom-web"
        "&createdAfter=2026-01-01T00%3A00%3A00.000Z&createdBefore=2027-01-01T00%3A00%3A00Z&limit=2&cursor=a"
    )
    assert mb.list_bots(status="queued") == [] and server.requests[1].path == "/api/v1/jobs?status=queued"


def test_cancelling_sends_a_delete_and_returns_none(client: Any, scripted: Any) -> None:
    server = scripted(answer(b"", 204))
    assert client(server.url).cancel_bot(ID) is None
    assert (server.requests[0].method, server.requests[0].path) == ("DELETE", f"/api/v1/jobs/{ID}")


@pytest.mark.parametrize("job_id", ["", ".", ".."])
def test_an_id_is_escaped_in_the_path(client: Any, scripted: Any, job_id: str) -> None:
    server = scripted(answer(b"", 204))
    with pytest.raises(MeetbotConfigurationError):
        client(server.url).cancel_bot(job_id)
    client(server.url).cancel_bot("../a b?c#d")
    assert [request.path for request in server.requests] == ["/api/v1/jobs/..%2Fa%20b%3Fc%23d"]


def test_every_try_of_a_call_carries_the_same_idempotency_key_and_every_call_another(
    client: Any, scripted: Any
) -> None:
    server = scripted(busy(), busy(), answer(a_job(), 201))
    mb = client(server.url)
    mb.dispatch_bot(meeting_url="https://x.example")
    mb.dispatch_bot(meeting_url="https://x.example")
    mb.dispatch_bot(meeting_url="https://x.example", idempotency_key="order-4711")
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert keys[4] == "order-4711"


def test_max_retries_says_how_often_a_call_is_tried_again(client: Any, scripted: Any) -> None:
    for retries in [0, 2]:
        server = scripted(busy())
        with pytest.raises(MeetbotServerError) as caught:
            client(server.url, max_retries=retries).get_bot(ID)
        assert len(server.requests) == caught.value.attempts == retries + 1


def test_a_time_limit_holds_for_each_try_and_for_one_call(client: Any, scripted: Any) -> None:
    server = scripted(HANG)
    for mb, once in [
        (client(server.url, timeout=0.05, max_retries=1), {}),
        (client(server.url, max_retries=1), {"timeout": 0.05}),
    ]:
        with pytest.raises(MeetbotTimeoutError) as caught:
            mb.get_bot(ID, **once)
        assert caught.value.attempts == 2
        assert isinstance(caught.value, meetbot.MeetbotConnectionError)


def test_a_deadline_holds_for_all_tries_together(client: Any, scripted: Any) -> None:
    server = scripted(busy(), HANG)
    with pytest.raises(MeetbotTimeoutError) as caught:
        client(server.url, deadline=0.2, max_retries=9).get_bot(ID)
    assert caught.value.attempts == 2


def test_the_environment_gives_settings_without_an_argument(
    client: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted(answer(b"", 204))
    monkeypatch.setenv("MEETBOT_API_KEY", "mb_test_from_the_environment")
    monkeypatch.setenv("MEETBOT_API_BASE_URL", server.url)
    client(None, api_key=None).cancel_bot(ID)
    client(server.url + "/", api_key="mb_test_explicit").cancel_bot(ID)
    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer mb_test_from_the_environment",
        "Bearer mb_test_explicit",
    ]
    monkeypatch.delenv("MEETBOT_API_BASE_URL")
    assert client(None, api_key=None).base_url == "https://api.meetbot.dev"


def test_a_missing_or_invalid_setting_is_an_error_at_once_and_without_the_key(client: Any) -> None:
    with pytest.raises(MeetbotConfigurationError, match="MEETBOT_API_KEY"):
        client(None, api_key=None)
    for key, url in [("mb_test_secret and more", None), (KEY, "ftp://x"), (KEY, "nonsense")]:
        with pytest.raises(MeetbotConfigurationError) as caught:
            client(url, api_key=key)
        assert "secret" not in repr(caught.value)


def test_a_client_works_without_a_context_manager_until_it_is_closed(scripted: Any) -> None:
    server = scripted(answer(b"", 204))
    with meetbot.MeetBot(KEY, server.url) as mb:
        mb.cancel_bot(ID)
    with pytest.raises(MeetbotConfigurationError, match="closed"):
        mb.cancel_bot(ID)
    meetbot.MeetBot(KEY, server.url).cancel_bot(ID)
    assert len(server.requests) == 2


def test_a_client_prints_its_url_and_not_its_key(client: Any) -> None:
    assert "http://x.example" in repr(meetbot.MeetBot(KEY, "http://x.example"))
    assert KEY not in repr(meetbot.MeetBot(KEY, "http://x.example"))
    assert KEY not in repr(vars(meetbot.AsyncMeetBot(KEY, "http://x.example")))
