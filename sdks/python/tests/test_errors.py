"""Invalid answers and refusals: each is the documented error, which contains the body and never the key."""

from __future__ import annotations

import copy
import email.utils
import pickle
import time
import traceback
from typing import Any

import pytest
from scripted_server import CUT, KEY, RESET, a_job, answer, refusal

import meetbot
from meetbot import (
    MeetbotConflictError,
    MeetbotConnectionError,
    MeetbotDecodeError,
    MeetbotError,
    MeetbotForbiddenError,
    MeetbotNotFoundError,
    MeetbotRateLimitError,
    MeetbotServerError,
    MeetbotUnauthorizedError,
    MeetbotUnexpectedStatusError,
    MeetbotValidationError,
)

ID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"


def caught(mb: Any) -> MeetbotError:
    with pytest.raises(MeetbotError) as caught:
        mb.get_bot(ID)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, MeetbotValidationError),
        (422, MeetbotValidationError),
        (401, MeetbotUnauthorizedError),
        (403, MeetbotForbiddenError),
        (409, MeetbotConflictError),
        (429, MeetbotRateLimitError),
        (500, MeetbotServerError),
        (503, MeetbotServerError),
        (501, MeetbotServerError),
        (418, MeetbotUnexpectedStatusError),
    ],
)
def test_each_status_has_its_exception(
    client: Any, scripted: Any, status: int, kind: type[MeetbotError]
) -> None:
    body = {"error": "some_code", "message": "in a sentence", "requestId": "req_1"}
    server = scripted(answer(body, status))
    error = caught(client(server.url, max_retries=0))
    assert type(error) is kind
    assert (error.status, error.code, error.message) == (status, "some_code", "in a sentence")
    assert (error.body, error.request_id, error.attempts) == (body, "req_1", 1)
    assert str(error) == f"{status} some_code: in a sentence (request req_1)"


def test_a_validation_error_has_the_body_of_the_answer(client: Any, scripted: Any) -> None:
    issue = {"path": ["autoLeave", "afterSoloSeconds"], "code": "too_small", "message": "at least 1"}
    body = {"error": "invalid_input", "issues": [issue]}
    error = caught(client(scripted(answer(body, 400)).url))
    assert isinstance(error.body, dict) and error.body == body
    assert error.issues == [meetbot.Issue(("autoLeave", "afterSoloSeconds"), "too_small", "at least 1")]


@pytest.mark.parametrize(
    ("path", "read"),
    [(5, ()), ("meetingUrl", ()), (None, ()), ({"a": 1}, ()), (["a", 1], ("a", "1"))],
    ids=str,
)
def test_an_invalid_path_of_an_issue_is_ignored(
    client: Any, scripted: Any, path: Any, read: tuple[str, ...]
) -> None:
    body = {"error": "invalid_input", "issues": [{"path": path, "code": "c"}, 7]}
    assert caught(client(scripted(answer(body, 400)).url)).issues == [meetbot.Issue(read, "c", "")]


@pytest.mark.parametrize("status", [200, 400])
def test_a_body_that_is_nested_without_end_is_a_decode_error(client: Any, scripted: Any, status: int) -> None:
    body = b"[" * 200_000
    error = caught(client(scripted(answer(body, status)).url))
    assert error.status == status and str(error.body).startswith("[[[") and error.issues == []


@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"", b"[]", b'{"id":"job_1"}', b"\xff\xfe"], ids=repr
)
def test_an_error_shows_a_body_that_is_no_valid_json(client: Any, scripted: Any, body: bytes) -> None:
    server = scripted(answer(body, X_Request_Id="req_7"))
    error = caught(client(server.url))
    assert type(error) is MeetbotDecodeError
    assert (error.status, error.request_id, error.attempts) == (200, "req_7", 1)
    shown = {b"[]": [], b'{"id":"job_1"}': {"id": "job_1"}}.get(body, body.decode(errors="replace"))
    assert error.body == shown
    assert len(server.requests) == 1, "a lie is not tried again"


def test_a_body_that_is_cut_and_a_connection_that_is_reset_are_tried_again(
    client: Any, scripted: Any
) -> None:
    server = scripted(CUT, RESET, answer(a_job("recording")))
    assert client(server.url).get_bot(ID).status == "recording"
    assert len(server.requests) == 3
    for lie in [CUT, RESET]:
        error = caught(client(scripted(lie).url, max_retries=0))
        assert type(error) is MeetbotConnectionError
        assert (error.status, error.body, error.attempts) == (None, None, 1)
        assert f"/api/v1/jobs/{ID}" in str(error)


def test_unknown_statuses_and_fields_are_kept(client: Any, scripted: Any) -> None:
    server = scripted(answer(a_job("paused_by_host", newField={"a": [1]})))
    job = client(server.url).get_bot(ID)
    assert not job.status.is_final
    assert job.status == "paused_by_host"
    assert job.newField == {"a": [1]}


def http_date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize("retry_after", ["0", "date", None])
def test_a_429_is_retried_after_its_retry_after_in_seconds_or_as_a_date(
    client: Any, scripted: Any, retry_after: str | None
) -> None:
    when = {"Retry_After": http_date(-5) if retry_after == "date" else retry_after} if retry_after else {}
    server = scripted(refusal(429, "rate_limited", **when), answer(a_job()))
    assert client(server.url).get_bot(ID).status == "queued"
    assert len(server.requests) == 2


def test_a_429_that_asks_for_more_than_a_minute_is_raised_at_once(client: Any, scripted: Any) -> None:
    for header, least, most in [("3600", 3600, 3600), (http_date(3600), 3590, 3601)]:
        server = scripted(refusal(429, "quota_exceeded", "the minutes are used up", Retry_After=header))
        error = caught(client(server.url))
        assert isinstance(error, MeetbotRateLimitError) and error.retry_after is not None
        assert least <= error.retry_after <= most
        assert (error.status, error.code, error.attempts) == (429, "quota_exceeded", 1)


def test_an_unreachable_server_is_a_connection_error_with_its_reason(client: Any) -> None:
    error = caught(client("http://127.0.0.1:1", max_retries=0))
    assert type(error) is MeetbotConnectionError
    assert "efused" in str(error), error


@pytest.mark.parametrize(
    "lie",
    [
        answer({"error": "forbidden", "message": f"{KEY} may not"}, 403),
        answer(KEY.encode(), 502),
        answer(KEY.encode(), 200),
        answer({"id": KEY}, 200),
        answer(b"", 308, Location=f"http://127.0.0.1:1/{KEY}"),
    ],
    ids=range(5),
)
def test_a_key_in_a_response_is_redacted(client: Any, scripted: Any, lie: Any) -> None:
    error = caught(client(scripted(lie).url, max_retries=0))
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    assert KEY not in shown
    assert error.__context__ is None and error.__cause__ is None


def test_errors_survive_pickling_and_copying(client: Any, scripted: Any) -> None:
    body = {"error": "rate_limited", "message": "slowly"}
    error = caught(client(scripted(answer(body, 429, Retry_After="99")).url))
    for again in [pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)]:
        assert type(again) is type(error) and str(again) == str(error)
        assert vars(again) == vars(error) and again.retry_after == 99


def test_every_exception_of_the_package_is_a_meetbot_error() -> None:
    found = [kind for name, kind in vars(meetbot).items() if name.endswith("Error")]
    assert len(found) >= 14
    assert all(issubclass(kind, MeetbotError) for kind in found)
    assert not issubclass(MeetbotNotFoundError, MeetbotValidationError)
