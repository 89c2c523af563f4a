"""Waiting for jobs, watching them, listing all, and downloading recordings."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from scripted_server import HANG, KEY, RESET, STREAM, VECTORS, a_job, an_event, answer, refusal

from conftest import Server
from meetbot import (
    AsyncMeetBot,
    MeetBot,
    MeetbotDecodeError,
    MeetbotFileError,
    MeetbotNotFoundError,
    MeetbotTimeoutError,
    MeetbotUnauthorizedError,
    testing,
)
from meetbot.webhooks import StatusChanged

ID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"
SHORT = "https://sandbox.meetbot.dev/two-speakers?seconds=1"
NO_STREAM = refusal(404, "not_found")


def test_waiting_reports_each_state_once_and_survives_temporary_errors(client: Any, scripted: Any) -> None:
    states = ["queued", "queued", "recording", "recording", "completed"]
    jobs = [
        answer(a_job(state, updatedAt=f"2026-01-01T00:00:0{second}.000Z"))
        for second, state in enumerate(states)
    ]
    server = scripted(*jobs[:2], RESET, *jobs[2:], events=NO_STREAM)
    seen: list[str] = []
    job = client(server.url, max_retries=0).wait_for_bot(ID, on_update=lambda job: seen.append(job.status))
    assert job.status == "completed" and seen == ["queued", "recording", "completed"]


def test_waiting_ends_at_its_timeout_and_after_permanent_errors(client: Any, scripted: Any) -> None:
    with pytest.raises(MeetbotTimeoutError, match="`recording` after 0.5 s; it goes on"):
        client(scripted(answer(a_job("recording")), events=NO_STREAM).url).wait_for_bot(ID, timeout=0.5)
    with pytest.raises(MeetbotNotFoundError) as gone:
        client(scripted(refusal(404, "not_found", X_Request_Id="req_7")).url).wait_for_bot(ID)
    assert (gone.value.status, gone.value.code, gone.value.attempts) == (404, "not_found", 1)
    assert gone.value.request_id == "req_7"
    with pytest.raises(MeetbotUnauthorizedError):
        client(scripted(refusal(401, "unauthorized")).url).wait_for_bot(ID)
    with pytest.raises(MeetbotTimeoutError, match="not seen yet after 0 s"):
        client("http://127.0.0.1:1").wait_for_bot(ID, timeout=0)


@pytest.mark.parametrize("events", [HANG, STREAM, NO_STREAM], ids=["hang", "silence", "none"])
def test_a_request_that_hangs_does_not_outlive_the_wait(client: Any, scripted: Any, events: Any) -> None:
    server = scripted(answer(a_job("recording")), HANG, events=events)
    started = time.monotonic()
    with pytest.raises(MeetbotTimeoutError):
        client(server.url, timeout=60).wait_for_bot(ID, timeout=0.6)
    assert 0.6 <= time.monotonic() - started < 1.5


def test_an_event_is_asked_after_at_once(client: Any, scripted: Any) -> None:
    jobs = [answer(a_job(state)) for state in ("joining", "recording", "completed")]
    server = scripted(*jobs, events=STREAM)
    server.send(an_event(1))
    seen: list[str] = []

    def on_update(job: Any) -> None:
        seen.append(job.status)
        if job.status == "recording":
            server.send(an_event(2))

    started = time.monotonic()
    client(server.url).wait_for_bot(ID, on_update=on_update)
    assert seen == ["joining", "recording", "completed"]
    assert time.monotonic() - started < 1.9, "without the second event it asks 2 s after the first"


def test_a_wait_that_is_given_up_closes_its_connections(scripted: Any) -> None:
    server = scripted(answer(a_job("recording")), events=HANG)

    async def main() -> None:
        task = asyncio.create_task(AsyncMeetBot(KEY, server.url).wait_for_bot(ID))
        for _ in ("the job", "its events"):
            assert await asyncio.to_thread(server.came.acquire, True, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        assert await asyncio.to_thread(server.hung_up.acquire, True, 30)

    asyncio.run(main())


def test_a_wait_at_the_real_server_sees_every_change(client: Any, server: Server) -> None:
    asked: list[str] = []
    mb = client(server.url, api_key=server.key, on_request=lambda call: asked.append(call.path))
    job = mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=4")
    seen: list[Any] = []
    ended = mb.wait_for_bot(job.id, timeout=60, on_update=seen.append)
    assert ended.status == "completed" and seen[-1] == ended
    assert all(one != other for one, other in zip(seen, seen[1:], strict=False))
    # Polling alone would have taken a request every 200 ms.
    assert len(asked) < 16, asked


def test_the_real_servers_jobs_are_watched_to_their_end(server: Server) -> None:
    mb, amb = MeetBot(server.key, server.url), AsyncMeetBot(server.key, server.url)
    job = mb.dispatch_bot(meeting_url=SHORT)
    events = list(mb.watch(job.id))
    assert [event.data.sequence for event in events] == list(range(1, len(events) + 1))
    statuses = [e.data.status for e in events if isinstance(e.data, StatusChanged)]
    assert {"joining", "in_call", "recording", "finalizing"} <= {str(status) for status in statuses}

    async def watched() -> list[str | None]:
        return [event.id async for event in amb.watch(job.id)]

    assert asyncio.run(watched()) == [event.id for event in events]


def test_leaving_a_watch_closes_its_connection(scripted: Any) -> None:
    server = scripted(HANG)

    async def main() -> None:
        async for _ in AsyncMeetBot(KEY, server.url).watch(ID):
            raise AssertionError("nothing ever comes")

    async def gives_up() -> None:
        task = asyncio.create_task(main())
        assert await asyncio.to_thread(server.came.acquire, True, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        assert await asyncio.to_thread(server.hung_up.acquire, True, 30)

    asyncio.run(gives_up())


def test_an_iterator_goes_over_all_pages_and_not_in_circles(scripted: Any) -> None:
    pages = [{"data": [a_job()], "nextCursor": cursor} for cursor in ("a", "b", None)]
    server = scripted(*map(answer, pages))
    assert len(list(MeetBot(KEY, server.url).iter_bots(status="queued"))) == 3
    assert [request.path for request in server.requests] == [
        f"/api/v1/jobs?status=queued{cursor}" for cursor in ("", "&cursor=a", "&cursor=b")
    ]

    async def circle() -> int:
        endless = scripted(answer(pages[0]))
        return len([job async for job in AsyncMeetBot(KEY, endless.url).iter_bots()])

    with pytest.raises(MeetbotDecodeError, match="circles"):
        asyncio.run(circle())


def a_manifest(content: bytes, name: str = "audio.Alice.webm", digest: str | None = None) -> dict[str, Any]:
    cases = json.loads((VECTORS / "models.json").read_text())["cases"]
    manifest: dict[str, Any] = next(case["json"] for case in cases if case["model"] == "manifest")
    file = {
        "name": name,
        "mediaType": "audio/webm",
        "bytes": len(content),
        "sha256": digest or hashlib.sha256(content).hexdigest(),
    }
    return {**manifest, "files": [file]}


def a_piece(content: bytes, start: int, end: int) -> Any:
    span = f"bytes {start}-{end - 1}/{len(content)}"
    return answer(content[start:end], 206, Content_Range=span)


def test_a_download_uses_pieces_and_resumes_after_a_broken_connection(
    client: Any, scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meetbot._downloads.PIECE", 4)
    content = b"0123456789"
    pieces = [a_piece(content, 0, 4), RESET, a_piece(content, 4, 8), a_piece(content, 8, 10)]
    server = scripted(answer(a_manifest(content)), *pieces, answer(b"{}"))
    seen: list[tuple[int, int]] = []
    paths = client(server.url).download_artifacts(
        ID, tmp_path / "new", on_progress=lambda at: seen.append((at.received, at.total))
    )
    assert [path.name for path in paths] == ["audio.Alice.webm", "manifest.json"]
    assert paths[0].read_bytes() == content and seen == [(4, 10), (8, 10), (10, 10)]
    ranges = [request.headers.get("range") for request in server.requests[1:5]]
    assert ranges == ["bytes=0-3", "bytes=4-7", "bytes=4-7", "bytes=8-11"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["audio.Alice.webm", "manifest.json"]


def test_a_slow_download_uses_smaller_pieces_and_resumes(
    client: Any, scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meetbot._downloads.PIECE", 8)
    monkeypatch.setattr("meetbot._downloads.LEAST", 2)
    content = b"0123456789"
    server = scripted(a_piece(content, 0, 8), HANG, a_piece(content, 8, 10))
    slow = client(server.url, timeout=0.2, max_retries=0)
    path = slow.download_artifact(ID, "audio.Alice.webm", tmp_path / "alice.webm")
    assert path.read_bytes() == content
    ranges = [request.headers.get("range") for request in server.requests]
    assert ranges == ["bytes=0-7", "bytes=8-15", "bytes=8-9"]


def test_a_file_whose_smallest_piece_takes_too_long_is_given_up(client: Any, scripted: Any, tmp_path: Path) -> None:
    server = scripted(HANG)
    with pytest.raises(MeetbotTimeoutError):
        client(server.url, timeout=0.05, max_retries=0).download_artifact(ID, "a", tmp_path / "a")
    ranges = [request.headers["range"] for request in server.requests]
    assert ranges == ["bytes=0-1048575", "bytes=0-262143", "bytes=0-65535"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("manifest", "piece", "message"),
    [
        (a_manifest(b"0123", digest="0" * 64), a_piece(b"0123", 0, 4), "SHA-256"),
        (a_manifest(b"0123"), answer(b"x", 206, Content_Range="bytes 3-3/4"), "bytes 3-3/4"),
        (a_manifest(b"0123"), answer(b"", 206, Content_Range="bytes 0-0/4"), "empty"),
        (a_manifest(b"0123", name="../evil"), answer(b""), "no file's name"),
    ],
    ids=["another hash", "another range", "nothing", "a name that leads elsewhere"],
)
def test_a_response_that_is_not_the_file_leaves_no_file(
    client: Any, scripted: Any, tmp_path: Path, manifest: Any, piece: Any, message: str
) -> None:
    with pytest.raises(MeetbotDecodeError, match=message):
        client(scripted(answer(manifest), piece).url).download_artifacts(ID, tmp_path / "files")
    assert list((tmp_path / "files").iterdir()) == [] and len(list(tmp_path.iterdir())) == 1


def with_mix(manifest: dict[str, Any], state: str | None) -> Any:
    return answer({**manifest, "mixed": {"state": state, "file": None, "missingBecause": None}})


def test_a_download_waits_for_a_mix_that_is_still_to_be_made(client: Any, scripted: Any, tmp_path: Path) -> None:
    content = b"0123"
    whole = a_manifest(content, name="audio.mixed.webm")
    early = {**whole, "files": []}
    piece, last = a_piece(content, 0, 4), answer(b"{}")
    server = scripted(with_mix(early, "pending"), with_mix(early, "pending"), with_mix(whole, "made"), piece, last)
    paths = client(server.url).download_artifacts(ID, tmp_path / "all")
    assert [path.name for path in paths] == ["audio.mixed.webm", "manifest.json"]
    for waits, state in ((False, "pending"), (True, "unavailable"), (True, None), (True, "a new word")):
        server = scripted(with_mix(early, state), last)
        paths = client(server.url).download_artifacts(ID, tmp_path / "some", wait_for_mix=waits)
        assert [path.name for path in paths] == ["manifest.json"] and len(server.requests) == 2


def test_a_download_of_asyncio_waits_for_a_mix_too(scripted: Any, tmp_path: Path) -> None:
    early = {**a_manifest(b""), "files": []}
    server = scripted(with_mix(early, "pending"), with_mix(early, "unavailable"), answer(b"{}"))
    paths = asyncio.run(AsyncMeetBot(KEY, server.url).download_artifacts(ID, tmp_path))
    assert [path.name for path in paths] == ["manifest.json"] and len(server.requests) == 3


def test_a_file_that_cannot_be_written_is_an_error(client: Any, scripted: Any, tmp_path: Path) -> None:
    with pytest.raises(MeetbotFileError, match="nowhere"):
        client(scripted(answer(b"")).url).download_artifact(ID, "a", tmp_path / "nowhere" / "a")


def test_a_recording_of_the_real_server_is_downloaded_completely(server: Server, tmp_path: Path) -> None:
    mb = MeetBot(server.key, server.url)
    job = mb.wait_for_bot(mb.dispatch_bot(meeting_url=SHORT).id, timeout=60)
    paths = mb.download_artifacts(job, tmp_path)
    assert job.manifest_uri is not None
    stored = Path(job.manifest_uri.removeprefix("file://")).parent
    for path in paths:
        assert path.read_bytes() == (stored / path.name).read_bytes()
    # The mix is made after the job has ended, and waited for.
    assert {"audio.Alice.webm", "audio.Bob.webm", "audio.mixed.webm"} <= {path.name for path in paths}


def test_a_mocks_jobs_are_watched_by_polling() -> None:
    mock = testing.MockServer()
    event: dict[str, Any] = {
        "id": "evt_1",
        "event": "job.finalized",
        "emittedAt": "2026-01-01T00:00:00.000Z",
        "data": {"event": "job.finalized", "sequence": 1, "jobId": ID, "status": "completed"},
    }
    # A file that is made after the end is no event of the job.
    data = {**event["data"], "event": "job.artifact_ready", "sequence": 2}
    later = {**event, "id": "evt_2", "event": "job.artifact_ready", "data": data}
    mock.answer_next(200, {"data": [event, later], "nextCursor": None})
    assert [event.id for event in mock.client().watch(ID)] == ["evt_1"]
