"""Runs `spec/vectors`, the behaviour that all SDKs share. An unknown file, kind or model fails."""

from __future__ import annotations

import email.utils
import hashlib
import json
import os
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest
from redirect_cases import redirected
from scripted_server import KEY, VECTORS, Reply, ScriptedServer

import meetbot
from meetbot import AutoLeaveConfig, JobList, JobStatus, MeetBot, MeetbotError, Request, Response
from meetbot import _calls, _core, _decode, _downloads, testing, webhooks
from meetbot._responses import ManifestFile

Case = dict[str, Any]


def cases() -> list[Any]:
    found = []
    for file in sorted(VECTORS.iterdir()):
        vectors = json.loads(file.read_text())
        assert file.name == f"{vectors['kind']}.json", "a file is named after its kind"
        run = KINDS[vectors["kind"]]
        if run is None:
            continue
        for part, cases_of in vectors.items():
            if part in ("kind", "baseUrl", "required", "transitions"):
                continue
            run = PARTS.get(part, KINDS[vectors["kind"]])
            for case in cases_of:
                name = case.get("name", case.get("status", case.get("model")))
                found.append(pytest.param(run, case, id=f"{vectors['kind']}: {name}"))
    return found


def signature(case: Case) -> None:
    def verified() -> bool:
        if "timestamp" in case:
            return _core.verify_standard(
                case["id"], case["timestamp"], case["body"].encode(), case["header"], case["secret"]
            )
        return meetbot.verify_webhook_signature(
            body=case["body"].encode(), header=case["header"], secret=case["secret"]
        )

    if case.get("error"):
        # The secret is invalid for any webhook.
        with pytest.raises(meetbot.MeetbotConfigurationError, match=re.escape(case.get("names", "secret"))):
            verified()
    else:
        assert verified() == case["valid"]


def played(*responses: Response, **settings: Any) -> tuple[MeetBot, list[Request]]:
    """A client whose server gives these responses in turn, and repeats the last one."""
    requests: list[Request] = []

    def transport(request: Request) -> Response:
        requests.append(request)
        return responses[min(len(requests), len(responses)) - 1]

    return MeetBot("mb_test_0123456789", transport=transport, **settings), requests


def error(case: Case) -> None:
    response = Response(case["status"], case["headers"], case["body"].encode())
    mb, _ = played(response, max_retries=0)
    with pytest.raises(MeetbotError) as caught:
        mb.cancel_bot("job_x")
    found, expect = caught.value, case["expect"]
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
        # A date has whole seconds, and the clock advances during the test.
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
    "recordVideo": "record_video",
    "createdAfter": "created_after",
    "createdBefore": "created_before",
    "jobId": "job_id",
    "deliveryId": "delivery_id",
}


def download(case: Case) -> None:
    pause = _downloads.mix_pause(case["waitedMs"] / 1000)
    assert pause == pytest.approx(case["pauseMs"] and case["pauseMs"] / 1000)


def piece(case: Case) -> None:
    expected = None if case["manifestBytes"] is None else ManifestFile(name="a", bytes=case["manifestBytes"])
    headers = {} if case["contentRange"] is None else {"content-range": case["contentRange"]}
    answer = SimpleNamespace(status=case["status"], body=bytes(case["sentBytes"]), header=headers.get)
    outcome = "error"
    with tempfile.TemporaryDirectory() as folder:
        with suppress(meetbot.MeetbotDecodeError), _downloads.Download("a", f"{folder}/a", expected, None) as download:
            download._received = case["receivedBytes"]
            if case["saidBytes"] is not None:
                download._total = case["saidBytes"]
            download.take(cast("_core.Answer", answer))
            outcome = "whole" if download.wanted() is None else "part"
            download._file.close()
        assert outcome != "error" or os.listdir(folder) == []
    assert outcome == case["outcome"]


def server(case: Case) -> None:
    with pytest.MonkeyPatch.context() as environment:
        # An unusable proxy gives an error if it would be used.
        environment.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
        for name in ("all_proxy", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
            environment.delenv(name, raising=False)
        try:
            MeetBot("mb_test_0123456789", case["url"])
            direct = True
        except meetbot.MeetbotConfigurationError:
            direct = False
    mb = MeetBot("mb_test_0123456789", case["url"])
    assert (direct, mb._core.in_the_clear) == (case["loopback"], case["inTheClear"])


def unwrapped(case: Case) -> None:
    def taken() -> bool:
        with mock.patch("meetbot.webhooks.time.time", return_value=case["now"]):
            event = webhooks.unwrap(
                case["body"].encode(), case["headers"], case["secrets"], tolerance=case["toleranceSeconds"]
            )
        return event.event == "job.finalized"

    if case["outcome"] == "taken":
        assert taken()
    else:
        refusal = {"refused": webhooks.MeetbotSignatureError, "error": meetbot.MeetbotConfigurationError}
        with pytest.raises(refusal[case["outcome"]]):
            taken()


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


def recording(case: Case) -> None:
    """A file of a recording, with its entry in the manifest."""
    name = f"{case['read']}.jsonl"
    manifest: dict[str, Any] = {"jobId": "job_x"}
    answers: list[Response] = []
    if case["text"] is not None:
        body = case["text"].encode()
        file = {"name": name, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        file |= {said: case[said] for said in ("bytes", "sha256") if said in case}
        manifest["files"] = [file]
        if case["read"] != "events":
            manifest[case["read"]] = name
        answers.append(Response(200, {}, body))
    mb, _ = played(Response(200, {}, json.dumps(manifest).encode()), *answers, max_retries=0)
    calls: dict[str, Callable[[str], list[Any]]] = {"captions": mb.captions, "chat": mb.chat, "events": mb.events_file}
    call = calls[case["read"]]
    if case.get("error"):
        with pytest.raises(meetbot.MeetbotDecodeError):
            call("job_x")
    else:
        found = [json.loads(line.model_dump_json(by_alias=True)) for line in call("job_x")]
        assert holds(found, case["reads"]), found


MODELS = {
    "job": "Job",
    "control_result": "ControlResult",
    "manifest": "Manifest",
    "deletion_receipt": "DeletionReceipt",
    "erasure_receipt": "ErasureReceipt",
    "delivery": "Delivery",
    "host": "Host",
    "usage": "Usage",
    "platform": "PlatformAvailability",
    "timeline_event": "TimelineEvent",
    "webhook_event": "WebhookEvent",
}


def model(case: Case) -> None:
    body = json.dumps(case["json"]).encode()
    if case.get("error"):
        with pytest.raises(_decode.Unreadable):
            _decode.read_model(MODELS[case["model"]], body)
        return
    read = _decode.read_model(MODELS[case["model"]], body)
    assert json.loads(read.model_dump_json(by_alias=True)) == case["json"]
    if case["model"] == "job":
        assert read.status.is_final == case["final"]
        assert read.model_extra == case["extra"]


def written(model: str, body: bytes) -> Any:
    """An answer as it is read, written as JSON again."""
    if model == "job_page":
        jobs: JobList = _decode.read_model("JobList", body)
        data = [json.loads(job.model_dump_json(by_alias=True)) for job in jobs]
        return {"data": data, "nextCursor": jobs.next_cursor}
    name = {"event_page": "EventPage", "delivery_page": "DeliveryPage", "platform_page": "PlatformPage"}.get(model) or MODELS[model]
    return json.loads(_decode.read_model(name, body).model_dump_json(by_alias=True))


def holds(found: Any, expected: Any) -> bool:
    """Whether all that is expected is there; objects may hold more."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            name in found and holds(found[name], value) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(holds, found, expected))
    return bool(found == expected and type(found) is type(expected))


def answered(case: Case) -> None:
    body = json.dumps(case["json"]).encode()
    if case.get("error"):
        with pytest.raises(_decode.Unreadable):
            written(case["model"], body)
        return
    # What was recorded reads as it is.
    assert holds(written(case["model"], body), case.get("reads", case["json"]))


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


def lie(case: Case) -> None:
    """An invalid answer is the documented error, which contains the body and never the key."""
    server = ScriptedServer([Reply(case["answer"].encode(), case["then"], case.get("flood", "").encode())])
    timeout = case["timeoutMs"] / 1000 if "timeoutMs" in case else None
    with pytest.raises(MeetbotError) as caught:
        MeetBot(KEY, server.url, max_retries=case["maxRetries"], timeout=timeout).get_bot("job_1")
    server.close()
    found, expect = caught.value, case["expect"]
    assert type(found).__name__ == f"Meetbot{expect['kind'].title().replace('_', '')}Error"
    assert (found.attempts, found.status) == (expect["attempts"], expect["status"])
    assert (found.body or None) == parsed(expect["body"])
    assert KEY not in f"{found} {found!r} {found.__cause__!r}" and "x=1" not in str(found)


def parsed(text: str | None) -> Any:
    """A body as an error shows it: parsed where it is JSON."""
    try:
        return json.loads(text or "null") or None
    except ValueError:
        return text


KINDS: dict[str, Callable[[Case], None] | None] = {
    "webhook_signatures": signature,
    "errors": error,
    "retries": retried,
    "downloads": download,
    "requests": request,
    "lies": lie,
    "redirects": redirected,
    "models": model,
    "answers": answered,
    "recorded_answers": answered,
    "pages": page,
    "job_transitions": status,
    "recordings": recording,
    # The Rust SDK alone implements following events and waiting for jobs, and runs these.
    "streams": None,
    "waits": None,
    # Vectors of the server and the bot: an SDK neither parses links nor leaves meetings.
    "meeting_links": None,
    "auto_leave": None,
}


#: Parts of a file that are of another kind than its cases.
PARTS: dict[str, Callable[[Case], None]] = {"pieces": piece, "servers": server, "unwrap": unwrapped}


@pytest.mark.parametrize(("run", "case"), cases())
def test_every_vector_holds(run: Callable[[Case], None], case: Case) -> None:
    run(case)


def shown() -> list[tuple[str, Any]]:
    """Every answer that the vectors show, and pages of them."""
    cases = json.loads((VECTORS / "models.json").read_text())["cases"]
    cases += json.loads((VECTORS / "recorded_answers.json").read_text())["answers"]
    found = [(case["model"], case["json"]) for case in cases if not case.get("error")]
    pages = (("job", "job_page"), ("timeline_event", "event_page"), ("delivery", "delivery_page"), ("platform", "platform_page"))
    for of, page in pages:
        found.append((page, {"data": [one for model, one in found if model == of][:3], "nextCursor": "next"}))
    return found


def without(value: Any, path: str, required: set[str], fates: Iterator[str], lacks: list[str]) -> Any:
    """Variants of an answer with each field kept, removed or null; `lacks` gets the required fields of the others."""
    if isinstance(value, list):
        return [without(one, f"{path}[]", required, fates, lacks) for one in value]
    if not isinstance(value, dict) or path.endswith("metadata"):
        return value
    left = {}
    for name, inner in value.items():
        inside = f"{path}.{name}" if path else name
        fate = next(fates, "kept")
        if fate == "kept":
            left[name] = without(inner, inside, required, fates, lacks)
            continue
        if fate == "null":
            left[name] = None
        if inside in required:
            lacks.append(inside)
    return left


@pytest.mark.parametrize(("model", "answer"), shown())
def test_any_answer_reads_without_any_of_its_fields_but_those_that_are_required(model: str, answer: Any) -> None:
    required = set(json.loads((VECTORS / "answers.json").read_text())["required"][model])
    seeded, count = random.Random(17), json.dumps(answer).count('":')
    alone = [["kept"] * index + [fate] for index in range(count) for fate in ("removed", "null")]
    together = [
        seeded.choices(("kept", "removed", "null"), weights=(seeded.randint(1, 20), 1, 1), k=count)
        for _ in range(300)
    ]
    outcomes = {"read": 0, "refused": 0}
    for fates in alone + together:
        lacks: list[str] = []
        left = json.dumps(without(answer, "", required, iter(fates), lacks)).encode()
        try:
            written(model, left)
        except _decode.Unreadable as error:
            assert lacks, f"{error}: {left!r}"
            outcomes["refused"] += 1
        else:
            assert not lacks, f"read without {lacks}: {left!r}"
            outcomes["read"] += 1
    assert outcomes["read"] > 50 and (outcomes["refused"] > 0) == bool(required), outcomes


def test_a_job_with_only_the_required_fields_can_be_waited_for_and_downloaded(tmp_path: Path) -> None:
    def said(body: Any) -> Response:
        return Response(200, {}, json.dumps(body).encode())

    resting, ended = {"id": "job_1", "status": "resting"}, {"id": "job_1", "status": "completed"}
    mb, requests = played(said(resting), said(ended))
    seen: list[str] = []
    job = mb.wait_for_bot("job_1", timeout=30, on_update=lambda job: seen.append(job.status))
    assert (job.status, job.created_at, job.recording.state) == ("completed", None, None)
    assert seen == ["resting", "completed"] and len(requests) == 2
    events = {"data": [{"event": "job.status_changed", "data": {"sequence": 1}}, {"event": "job.failed", "data": {"sequence": 2}}]}
    mb, requests = played(said(events))
    assert [event.data.status for event in mb.watch("job_1")] == [None, None] and len(requests) == 1
    # A file without a size and a hash is accepted unchecked; one without a name is skipped.
    mb, _ = played(said({"jobId": "job_1", "files": [{"name": "a.webm"}]}), Response(200, {}, b"abc"))
    assert [path.name for path in mb.download_artifacts("job_1", tmp_path)] == ["a.webm", "manifest.json"]
    mb, _ = played(said({"jobId": "job_1", "files": [{}]}))
    with pytest.raises(meetbot.MeetbotDecodeError, match="no file's name"):
        mb.download_artifacts("job_1", tmp_path)


def test_an_answer_without_required_fields_is_an_error_that_shows_it() -> None:
    body = b'{"id": "job_1", "displayName": "shown"}'
    mb, _ = played(Response(200, {}, body))
    with pytest.raises(meetbot.MeetbotDecodeError) as caught:
        mb.get_bot("job_1")
    assert caught.value.body == json.loads(body) and "shown" in str(caught.value)
    body, headers = testing.sign_webhook({"event": "job.failed", "jobId": None}, "whsec_dGVzdA==")
    with pytest.raises(meetbot.MeetbotDecodeError) as caught:
        webhooks.unwrap(body, headers, "whsec_dGVzdA==")
    assert caught.value.body is not None and "data.jobId" in str(caught.value)
