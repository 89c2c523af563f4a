"""Runs `spec/vectors`: what every SDK has to agree on. A file, a kind or a model that is not known here fails."""

from __future__ import annotations

import email.utils
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from lying_server import VECTORS

import meetbot
from meetbot import AutoLeaveConfig, JobStatus, MeetBot, MeetbotError, Request, Response
from meetbot import _calls, _core, _models

Case = dict[str, Any]


def cases() -> list[Any]:
    found = []
    for file in sorted(VECTORS.iterdir()):
        vectors = json.loads(file.read_text())
        assert file.name == f"{vectors['kind']}.json", "a file is named after its kind"
        run = KINDS[vectors["kind"]]
        if run is None:
            continue
        for part in ("cases", "standard", "statuses"):
            for case in vectors.get(part, []):
                name = case.get("name", case.get("status"))
                found.append(pytest.param(run, case, id=f"{vectors['kind']}: {name}"))
    return found


def signature(case: Case) -> None:
    if "timestamp" in case:
        valid = _core.verify_standard(
            case["id"], case["timestamp"], case["body"].encode(), case["header"], case["secret"]
        )
    else:
        valid = meetbot.verify_webhook_signature(
            body=case["body"].encode(), header=case["header"], secret=case["secret"]
        )
    assert valid == case["valid"]


def played(*responses: Response, **settings: Any) -> tuple[MeetBot, list[Request]]:
    """A client whose server gives these responses in turn, then the last for ever."""
    requests: list[Request] = []

    def transport(request: Request) -> Response:
        requests.append(request)
        return responses[min(len(requests), len(responses)) - 1]

    return MeetBot("mb_test_0123456789", transport=transport, **settings), requests


def error(case: Case) -> None:
    response = Response(case["status"], case["headers"], case["body"].encode())
    mb, _ = played(response, max_retries=0)
    with pytest.raises(MeetbotError) as told:
        mb.cancel_bot("job_x")
    found, expect = told.value, case["expect"]
    kinds = {
        meetbot.MeetbotValidationError: "validation",
        meetbot.MeetbotUnauthorizedError: "unauthorized",
        meetbot.MeetbotForbiddenError: "forbidden",
        meetbot.MeetbotNotFoundError: "not_found",
        meetbot.MeetbotConflictError: "conflict",
        meetbot.MeetbotRateLimitError: "rate_limit",
        meetbot.MeetbotServerError: "server",
        meetbot.MeetbotUnexpectedStatusError: "unexpected_status",
    }
    assert kinds[type(found)] == expect["kind"]
    assert (found.code, found.request_id) == (expect["code"], expect["requestId"])
    assert len(found.issues) == expect["issues"]
    if expect["message"] is not None:
        assert found.message == expect["message"]
    if expect["retryAfterMs"] is None:
        assert found.retry_after is None
    elif not (case["headers"].get("Retry-After") or "").endswith("GMT"):
        # A date is compared with the clock, which the vector sets and this client does not; `retries` has its cases.
        assert found.retry_after is not None
        assert round(found.retry_after * 1000) == expect["retryAfterMs"]


def retried(case: Case) -> None:
    """The core's verdict after so many tries, by its exchange. A date is moved to where the clock is."""
    headers = [("retry-after", moved(case["retryAfter"], case["now"]))] if case["retryAfter"] is not None else []
    found = [verdict(case, headers) for _ in range(20)]
    if case["expect"] is None:
        assert found == [None] * 20
        return
    for wait in found:
        assert wait is not None
        # A date has whole seconds, and time goes on.
        slack = 1100 if headers and headers[0][1].endswith("GMT") else 1
        assert case["expect"]["minMs"] - slack <= wait * 1000 <= case["expect"]["maxMs"] + 1


def moved(retry_after: str, now: str) -> str:
    try:
        date = email.utils.parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return retry_after
    ahead = date.timestamp() - datetime.fromisoformat(now.replace("Z", "+00:00")).timestamp()
    return email.utils.formatdate(datetime.now().timestamp() + ahead, usegmt=True)


def verdict(case: Case, headers: list[tuple[str, str]]) -> float | None:
    options: Any = {"timeout": None, "connect_timeout": None, "deadline": None, "max_retries": case["maxRetries"]}
    exchange = CORE.with_options(options).exchange(("GET", "/api/v1/jobs", None, (), None, None))
    try:
        for _ in range(case["tried"] - 1):
            exchange.broken("an earlier try", False)
        if case["status"] is None:
            return exchange.broken("the last try", False)
        wait = exchange.answered(case["status"], headers, b"")
        return None if isinstance(wait, _core.Answer) else wait
    except MeetbotError:
        return None


CORE = MeetBot("mb_test_0123456789")._core

SNAKE = {
    "meetingUrl": "meeting_url",
    "externalId": "external_id",
    "displayName": "display_name",
    "joinAt": "join_at",
    "autoLeave": "auto_leave",
    "createdAfter": "created_after",
    "createdBefore": "created_before",
    "jobId": "job_id",
    "deliveryId": "delivery_id",
}


def request(case: Case) -> None:
    arguments: dict[str, Any] = {}
    for name, value in case["arguments"].items():
        arguments[SNAKE.get(name) or name] = value
    webhooks = arguments.pop("webhooks", {})
    if webhooks:
        arguments["on_status_change_url"] = webhooks.get("onStatusChange")
        arguments["on_finalize_url"] = webhooks.get("onFinalize")
    for time in {"join_at", "created_after", "created_before"} & arguments.keys():
        arguments[time] = datetime.fromisoformat(arguments[time].replace("Z", "+00:00"))
    if "auto_leave" in arguments:
        arguments["auto_leave"] = AutoLeaveConfig.model_validate(arguments["auto_leave"])
    mb, requests = played(Response(400, {}, b"{}"))
    with pytest.raises(MeetbotError):
        if case["call"] == "events":
            mb._call(_calls.events(**arguments), None)
        else:
            getattr(mb, case["call"])(**arguments)
    (sent,) = requests
    path = sent.url.removeprefix("https://api.meetbot.dev")
    body = None if sent.content is None else json.loads(sent.content)
    assert (sent.method, path, body) == (case["method"], case["path"], case["body"])


MODELS = {
    "job": "Job",
    "control_result": "RequestRecordingPermissionResult",
    "manifest": "Manifest",
    "deletion_receipt": "DeletionReceipt",
    "erasure_receipt": "ErasureReceipt",
    "delivery": "Delivery",
    "host": "Host",
    "usage": "Usage",
    "timeline_event": "TimelineEvent",
    "webhook_event": "WebhookEvent",
}


def model(case: Case) -> None:
    body = json.dumps(case["json"]).encode()
    if case.get("error"):
        with pytest.raises(_models.Unreadable):
            _models.read_model(MODELS[case["model"]], body)
        return
    read = _models.read_model(MODELS[case["model"]], body)
    assert json.loads(read.model_dump_json(by_alias=True)) == case["json"]
    if case["model"] == "job":
        assert read.status.is_final == case["final"]
        assert read.model_extra == case["extra"]


def page(case: Case) -> None:
    raw = Response(200, {}, json.dumps(case["json"]).encode())
    mb, requests = played(raw)
    if case.get("error"):
        with pytest.raises(meetbot.MeetbotDecodeError):
            jobs = mb.list_bots(cursor=case.get("cursor"))
            if jobs.next_cursor == case.get("cursor"):
                list(mb.iter_bots())
        return
    jobs = mb.list_bots(cursor=case.get("cursor"))
    assert ([job.id for job in jobs], jobs.next_cursor) == (case["ids"], case["next"])


def status(case: Case) -> None:
    assert JobStatus(case["status"]).is_final == case["final"]


KINDS: dict[str, Callable[[Case], None] | None] = {
    "webhook_signatures": signature,
    "errors": error,
    "retries": retried,
    "requests": request,
    "models": model,
    "pages": page,
    "job_transitions": status,
    # The server's and the bot's: an SDK neither parses links nor leaves meetings.
    "meeting_links": None,
    "auto_leave": None,
}


@pytest.mark.parametrize(("run", "case"), cases())
def test_every_vector_holds(run: Callable[[Case], None], case: Case) -> None:
    run(case)
