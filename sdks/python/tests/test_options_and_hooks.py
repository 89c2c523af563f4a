"""Options, hooks, the log, traces, custom transports and custom calls."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from scripted_server import CUT, HANG, KEY, a_job, an_event, answer, refusal
from opentelemetry.sdk.trace import TracerProvider

from conftest import Server
from meetbot import (
    AsyncHttpxTransport,
    AsyncMeetBot,
    CallEnded,
    CallStarted,
    HttpxTransport,
    Job,
    JobList,
    MeetBot,
    MeetbotConflictError,
    MeetbotConnectionError,
    MeetbotDecodeError,
    MeetbotNotFoundError,
    MeetbotServerError,
    MeetbotTimeoutError,
    RawResponse,
    Request,
    Response,
    testing,
)

ID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"


def busy() -> Any:
    return refusal(503, "unavailable", "in a moment", Retry_After="0")


def test_options_apply_only_to_their_client(scripted: Any) -> None:
    server = scripted(busy())
    mb = MeetBot(KEY, server.url, max_retries=2)
    for one, attempts in [(mb.with_options(max_retries=0), 1), (mb, 3), (mb.with_options(timeout=5), 3)]:
        with pytest.raises(MeetbotServerError) as caught:
            one.get_bot(ID)
        assert caught.value.attempts == attempts


def test_hooks_see_every_call_and_may_add_headers(scripted: Any) -> None:
    server = scripted(busy(), answer(a_job(), X_Request_Id="req_7"), refusal(409, "invalid_state"))
    ended: list[CallEnded] = []

    def mark(call: CallStarted) -> None:
        call.headers["x-tenant"] = f"acme {call.method}"

    mb = MeetBot(KEY, server.url, on_request=mark, on_response=ended.append)
    mb.get_bot(ID)
    with pytest.raises(MeetbotConflictError) as caught:
        mb.leave_bot(ID)
    assert [request.headers["x-tenant"] for request in server.requests] == ["acme GET", "acme GET", "acme POST"]
    first, second = ended
    assert (first.method, first.path, first.status, first.attempts) == ("GET", f"/api/v1/jobs/{ID}", 200, 2)
    assert (first.request_id, first.error) == ("req_7", None) and first.seconds > 0
    assert (second.status, second.error) == (409, caught.value)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_watch_runs_the_hook_once_and_each_of_its_streams_has_the_headers(kind: str, scripted: Any) -> None:
    page = answer(an_event(1), Content_Type="text/event-stream")
    server = scripted(page, refusal(404, "not_found"))
    seen: list[tuple[str, str]] = []

    def mark(call: CallStarted) -> None:
        seen.append((call.method, call.path))
        call.headers["x-tenant"] = "acme"

    async def watched() -> None:
        async for _ in AsyncMeetBot(KEY, server.url, on_request=mark).watch(ID):
            pass

    with pytest.raises(MeetbotNotFoundError):
        if kind == "sync":
            list(MeetBot(KEY, server.url, on_request=mark).watch(ID))
        else:
            asyncio.run(watched())
    assert seen == [("GET", f"/api/v1/jobs/{ID}/events")]
    sent = [(r.headers["x-tenant"], r.headers["accept"], r.headers.get("last-event-id")) for r in server.requests]
    assert sent == [("acme", "text/event-stream", None), ("acme", "text/event-stream", "1")]


def test_the_log_has_each_call_and_no_secret(client: Any, scripted: Any, caplog: pytest.LogCaptureFixture) -> None:
    server = scripted(busy(), answer(a_job(), 201), answer({"error": "forbidden", "message": f"{KEY}?"}, 403))
    mb = client(server.url)
    with caplog.at_level(logging.DEBUG, "meetbot"):
        mb.dispatch_bot(meeting_url="https://zoom.us/j/9?pwd=s3cret", metadata={"patient": "Jane Doe"})
        with pytest.raises(Exception, match="mb_…"):
            mb.list_bots(external_id="s3cret")
    first, second = (record.getMessage() for record in caplog.records)
    assert "POST /api/v1/jobs: 201" in first and "2 tries" in first
    assert "GET /api/v1/jobs: 403 forbidden" in second
    for secret in [KEY, "s3cret", "Jane Doe"]:
        assert secret not in caplog.text


def test_fields_that_the_server_ignored_are_a_warning(
    client: Any, scripted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    named = {"X_Meetbot_Ignored": "colour,autoLeave.afterLunch"}
    server = scripted(answer(a_job(), 201), answer(a_job(), 201, **named), answer(a_job(), 201, **named))
    for level, expected in ((logging.WARNING, 1), (logging.DEBUG, 1)):
        mb = client(server.url)
        with caplog.at_level(level, "meetbot"):
            if level == logging.WARNING:
                mb.dispatch_bot(meeting_url="https://zoom.us/j/91234567890")
                assert caplog.records == []
            mb.dispatch_bot(meeting_url="https://zoom.us/j/91234567890")
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == expected and "colour,autoLeave.afterLunch" in warnings[0]
        caplog.clear()


def test_a_call_within_a_trace_carries_it_along(client: Any, scripted: Any) -> None:
    server = scripted(answer(b"", 204))
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("outer") as span:
        client(server.url).cancel_bot(ID)
    trace = format(span.get_span_context().trace_id, "032x")
    assert server.requests[0].headers["traceparent"].split("-")[1] == trace
    client(server.url).cancel_bot(ID)
    assert "traceparent" not in server.requests[1].headers


def test_a_custom_call_follows_the_rules_of_all_others(client: Any, scripted: Any) -> None:
    server = scripted(busy(), answer(b"whatever", 202, X_New="1"))
    mb = client(server.url)
    found = mb.request("POST", "/api/v1/new?a=1", json={"n": 1}, headers={"x-mine": "2"}, idempotency_key="k")
    assert (found.status, found.body, found.attempts, found.header("x-new")) == (202, b"whatever", 2, "1")
    for sent in server.requests:
        assert (sent.method, sent.path, sent.json()) == ("POST", "/api/v1/new?a=1", {"n": 1})
        assert (sent.headers["x-mine"], sent.headers["idempotency-key"]) == ("2", "k")
        assert sent.headers["authorization"] == f"Bearer {KEY}"


def through_httpx(kind: str, url: str, key: str, act: Callable[[Any], Any], **settings: Any) -> Any:
    """The result of `act` for a client of this kind whose transport is httpx."""
    if kind == "sync":
        with httpx.Client() as inner:
            return act(MeetBot(key, url, transport=HttpxTransport(inner), **settings))

    async def main() -> Any:
        async with httpx.AsyncClient() as inner:
            return await act(AsyncMeetBot(key, url, transport=AsyncHttpxTransport(inner), **settings))

    return asyncio.run(main())


def test_a_raw_response_shows_the_answer_as_it_came_and_parses_it(scripted: Any) -> None:
    server = scripted(busy(), answer(a_job("recording"), X_Request_Id="req_7", X_New="1"))
    raw = MeetBot(KEY, server.url).with_raw_response.get_bot(ID)
    assert (raw.status, raw.request_id, raw.attempts) == (200, "req_7", 2)
    assert raw.headers["X-New"] == raw.headers["x-new"] == "1" and "x-old" not in raw.headers
    assert json.loads(raw.body) == a_job("recording")
    job: Job = raw.parse()
    assert job.status == "recording"

    async def called() -> tuple[RawResponse[JobList], RawResponse[None]]:
        listed = scripted(answer({"data": [a_job()], "nextCursor": None}), answer(b"", 204))
        calls = AsyncMeetBot(KEY, listed.url).with_raw_response
        return await calls.list_bots(status="queued"), await calls.cancel_bot(ID)

    listed, cancelled = asyncio.run(called())
    assert [job.status for job in listed.parse()] == ["queued"]
    assert (cancelled.status, cancelled.body, cancelled.parse()) == (204, b"", None)


def test_a_raw_call_that_fails_raises_the_usual_error(scripted: Any) -> None:
    mb = MeetBot(KEY, scripted(refusal(404, "not_found"), answer({"id": "x"})).url)
    with pytest.raises(MeetbotNotFoundError) as caught:
        mb.with_raw_response.get_bot(ID)
    assert caught.value.code == "not_found"
    raw = mb.with_raw_response.get_bot(ID)
    with pytest.raises(MeetbotDecodeError):
        raw.parse()


def test_every_call_that_gives_a_model_has_its_raw_response() -> None:
    mb = MeetBot(KEY)
    beside = {"base_url", "close", "request", "with_options", "with_raw_response", "artifact"}
    beside |= {"artifacts", "speaking", "captions", "chat", "events_file", "iter_bots", "watch", "wait_for_bot", "download_artifact", "download_artifacts"}
    expected = {name for name in dir(MeetBot) if not name.startswith("_")} - beside
    for calls in (mb.with_raw_response, AsyncMeetBot(KEY).with_raw_response):
        assert set(vars(calls)) == expected


def test_a_request_shows_its_headers_to_its_transport_alone() -> None:
    sent: list[Request] = []

    def kept(request: Request) -> Response:
        sent.append(request)
        return Response(204, {}, b"")

    MeetBot(KEY, transport=kept).cancel_bot(ID)
    assert sent[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(sent) and f"/api/v1/jobs/{ID}" in repr(sent)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_calls_through_httpx_follow_the_same_rules(kind: str, scripted: Any, server: Server) -> None:
    def asked(url: str, key: str = KEY, job_id: str = ID, **settings: Any) -> Any:
        return through_httpx(kind, url, key, lambda mb: mb.get_bot(job_id), **settings)

    assert asked(server.url, server.key, "job_00000000000000000000000000") is None
    flaky = scripted(CUT, busy(), answer(a_job("recording")))
    assert asked(flaky.url).status == "recording"
    assert len(flaky.requests) == 3
    assert flaky.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert flaky.requests[0].headers["user-agent"].startswith("meetbot-python/")
    with pytest.raises(MeetbotTimeoutError) as slow:
        asked(scripted(HANG).url, timeout=0.05, max_retries=1)
    assert slow.value.attempts == 2
    with pytest.raises(MeetbotConnectionError) as gone:
        asked("http://127.0.0.1:1", max_retries=0)
    assert "ConnectError" in str(gone.value) and KEY not in str(gone.value)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_body_that_httpx_cannot_decode_is_a_decode_error_and_not_retried(kind: str, scripted: Any) -> None:
    server = scripted(busy(), answer(b"no gzip", Content_Encoding="gzip"))
    with pytest.raises(MeetbotDecodeError, match="DecodingError") as caught:
        through_httpx(kind, server.url, KEY, lambda mb: mb.get_bot(ID))
    assert len(server.requests) == caught.value.attempts == 2


@pytest.mark.parametrize("missing", ["httpx", "pytest"])
def test_without_an_extra_all_modules_can_be_imported_and_inspected(missing: str) -> None:
    program = f"""if True:
        import inspect, pydoc, sys
        sys.modules[{missing!r}] = None
        import meetbot, meetbot.testing
        from meetbot import *
        for module in (meetbot, meetbot.testing):
            inspect.getmembers(module)
            pydoc.plain(pydoc.render_doc(module))
        assert hasattr(meetbot, "HttpxTransport")
        for transport in (HttpxTransport, AsyncHttpxTransport):
            try:
                transport(None)
                print("made")
            except MeetbotConfigurationError as error:
                print(error)
    """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stderr == ""
    wanted = "made" if missing == "pytest" else "this transport needs httpx: pip install 'meetbot-sdk[httpx]'"
    assert ran.stdout.splitlines() == [wanted] * 2


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_wait_through_httpx_polls_and_keeps_its_timeout(kind: str, scripted: Any, server: Server) -> None:
    short = "https://sandbox.meetbot.dev/two-speakers?seconds=1"
    job = MeetBot(server.key, server.url).dispatch_bot(meeting_url=short)
    ended = through_httpx(kind, server.url, server.key, lambda mb: mb.wait_for_bot(job.id, timeout=60))
    assert ended.status == "completed"
    hanging = scripted(answer(a_job("recording")), HANG)
    started = time.monotonic()
    with pytest.raises(MeetbotTimeoutError, match="`recording` after 0.6 s"):
        through_httpx(kind, hanging.url, KEY, lambda mb: mb.wait_for_bot(ID, timeout=0.6), timeout=60)
    assert 0.6 <= time.monotonic() - started < 1.5


def test_a_transport_that_hangs_is_given_up_in_time() -> None:
    async def hangs(request: Request) -> Response:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nothing ever comes")

    async def main() -> None:
        await AsyncMeetBot(KEY, transport=hangs, timeout=0.05, max_retries=1).get_bot(ID)

    with pytest.raises(MeetbotTimeoutError) as slow:
        asyncio.run(main())
    assert slow.value.attempts == 2


def test_a_post_through_a_transport_keeps_its_idempotency_key_over_its_tries() -> None:
    mock = testing.MockServer()
    mock.fail_next(ConnectionResetError("gone"))
    mock.answer_next(503, {"error": "unavailable"}, Retry_After="0")
    mock.client().dispatch_bot(meeting_url="https://meet.example/a")
    keys = {request.headers["idempotency-key"] for request in mock.requests}
    assert len(mock.requests) == 3 and len(keys) == 1


def test_the_module_as_a_program_says_whether_the_server_takes_the_key(server: Server) -> None:
    def ran(key: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "MEETBOT_API_KEY": key, "MEETBOT_API_BASE_URL": server.url}
        program = [sys.executable, "-m", "meetbot", *arguments]
        return subprocess.run(program, env=environment, capture_output=True, text=True)

    good, bad = ran(server.key), ran("mb_test_" + "0" * 40)
    assert (good.returncode, good.stderr) == (0, "") and "takes the key" in good.stdout
    assert bad.returncode == 1 and "401 unauthorized" in bad.stderr
    assert server.key not in good.stdout
    assert "a test key" in good.stdout and "a live key" in ran("mb_live_" + "0" * 40).stdout
    assert "a key of an unknown kind" in ran("x").stdout
    helped = ran("x", "--help")
    assert helped.returncode == 0 and "MEETBOT_API_KEY" in helped.stdout and "server" not in helped.stderr


def test_importing_the_package_brings_neither_pydantic_nor_asyncio() -> None:
    program = "import sys, meetbot; print([name for name in ('pydantic', 'asyncio', 'httpx', 'pytest') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_escape_sequences_of_a_server_do_not_reach_the_terminal(scripted: Any) -> None:
    server = scripted(refusal(500, "internal", "hostile\x1b[2J\x9b31m\u202e\u2028\r\nFORGED"))
    environment = {**os.environ, "MEETBOT_API_KEY": KEY, "MEETBOT_API_BASE_URL": server.url, "PYTHONUTF8": "1"}
    said = subprocess.run([sys.executable, "-m", "meetbot"], env=environment, capture_output=True)
    shown = (said.stdout + said.stderr).decode()
    assert "hostile" in shown
    assert not any(letter in shown for letter in "\x1b\x9b\r\u202e\u2028"), ascii(shown)
    assert not any(line.startswith("FORGED") for line in shown.split("\n"))
