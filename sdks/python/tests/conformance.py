"""The conformance story in Python: `cargo xtask conformance` compares what it prints with what the other SDKs' stories print."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

from meetbot import (
    AutoLeaveConfig,
    Job,
    MeetBot,
    MeetbotError,
    WebhookEvent,
    verify_webhook_signature,
    webhooks,
)

PATIENCE = 120.0
NOBODY = "job_00000000000000000000000000"
LONG = "https://sandbox.meetbot.dev/two-speakers?seconds=300"
SHORT = "https://sandbox.meetbot.dev/two-speakers?seconds=8"
NONE = "https://sandbox.meetbot.dev/no-such-meeting"


def say(label: str, *values: object) -> None:
    """Prints one line of the outcome."""
    print(f"{label}: {', '.join(map(shown, values))}")


def shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def kind(error: MeetbotError) -> str:
    """The kind's word, which the class has as its name."""
    name = type(error).__name__.removeprefix("Meetbot").removesuffix("Error")
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def fails(label: str, call: Callable[[], object]) -> None:
    """Prints the error of a call: its kind, what the server said, how often it was tried, and whether another try may help."""
    try:
        call()
    except MeetbotError as error:
        issues = [f"{'.'.join(issue.path)} {issue.code}" for issue in error.issues]
        again = "transient" if error.transient else "final"
        known = error.request_id is not None
        say(label, kind(error), error.status, error.code, *issues, f"{error.attempts} tries", again, known)
    else:
        say(label, "no error")


def listed(values: Iterable[object]) -> str:
    """Sorted, each once."""
    return " ".join(sorted(set(map(str, values))))


Received = tuple[bytes, dict[str, str], WebhookEvent]


class Receiver:
    """A receiver of webhooks on loopback."""

    def __init__(self, secret: str) -> None:
        received: Queue[Received] = Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = dict(self.headers.items())
                received.put((body, headers, webhooks.unwrap(body, headers, secret)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.received = received
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"


def errors(mb: MeetBot) -> None:
    fails("leave no job", lambda: mb.leave_bot(NOBODY))
    say("get no job", mb.get_bot(NOBODY))
    say("get an id with a slash", mb.get_bot("../jobs"))
    fails("get an id of dots", lambda: mb.get_bot(".."))
    fails("get an empty id", lambda: mb.get_bot(""))
    stranger = MeetBot("mb_test_" + "0" * 40, mb.base_url)
    fails("a key of nobody", stranger.list_bots)
    reader = MeetBot(os.environ["MEETBOT_READ_KEY"], mb.base_url)
    fails("a key that may only read", lambda: reader.dispatch_bot(meeting_url=SHORT))
    fails("no url, no name", lambda: mb.dispatch_bot(meeting_url="not-a-url", display_name=" "))
    rules = AutoLeaveConfig(after_solo_seconds=0)
    fails("no time at all", lambda: mb.dispatch_bot(meeting_url=SHORT, auto_leave=rules))
    body = {"meetingUrl": SHORT, "join_at": "2026-05-15T14:00:00Z"}
    fails("a misspelt field", lambda: mb.request("POST", "/api/v1/jobs", json=body))
    fails("no such path", lambda: mb.request("GET", "/api/v1/nothing"))
    fails("too large a page", lambda: mb.list_bots(limit=1000))
    fails("no such cursor", lambda: mb.list_bots(cursor="nobody's"))
    fails("nothing to say", lambda: mb.send_chat_message(NOBODY, ""))


def dispatched(mb: MeetBot) -> Job:
    def dispatch(**changed: Any) -> Job:
        rules = AutoLeaveConfig(after_solo_seconds=30, after_silence_seconds=None, on_bot_detected=True)
        return mb.dispatch_bot(
            **{
                "meeting_url": LONG,
                "external_id": "long",
                "display_name": "Acme Notetaker",
                "metadata": {"customer": ["cust_4711", None, True, 7, "é <&>"]},
                "auto_leave": rules,
                **changed,
            }
        )

    job = dispatch(idempotency_key="conformance")
    say("dispatched", job.status, job.platform, job.external_id, job.display_name, job.meeting_url)
    say("its metadata", json.dumps(job.metadata, ensure_ascii=False, separators=(",", ":")))
    rules = job.auto_leave
    seconds = (rules.after_entry_delay_seconds, rules.after_silence_seconds)
    say("its rules", *seconds, rules.after_solo_seconds, rules.after_max_seconds, rules.on_bot_detected)
    say("the same key", dispatch(idempotency_key="conformance").id == job.id)
    say("the same external id", dispatch().id == job.id)
    fails("the same key, another job", lambda: dispatch(idempotency_key="conformance", display_name="B"))
    return job


def controlled(mb: MeetBot, job: Job) -> None:
    statuses = []
    for event in mb.watch(job.id):
        if event.event == "job.status_changed":
            statuses.append(shown(event.data.status))
        if event.data.status == "recording":
            break
    say("watched", *statuses)
    fails("delete too early", lambda: mb.delete_recording(job.id))
    say("chat", mb.send_chat_message(job.id, "hello 👋").action)
    say("permission", mb.request_recording_permission(job.id).action)
    for verb, state in (
        (mb.pause_recording, "paused"),
        (mb.resume_recording, "on"),
        (mb.stop_recording, "stopped"),
    ):
        result = verb(job.id)
        while (now := mb.get_bot(job.id)) and now.recording.state != state:
            threading.Event().wait(0.05)
        say(f"{result.action}", now.recording.state if now else None)
    say("leave", mb.leave_bot(job.id).action)
    ended = mb.wait_for_bot(job.id, timeout=PATIENCE)
    say("it ended", ended.status, ended.leave_reason, ended.failure_code, ended.attempt)
    fails("pause after the end", lambda: mb.pause_recording(job.id))
    mb.cancel_bot(job.id)
    say("cancel after the end", None)


def recorded(mb: MeetBot, job: Job, hook: Receiver, secret: str) -> None:
    seen: list[str] = []
    ended = mb.wait_for_bot(
        job.id, timeout=PATIENCE, on_update=lambda job: seen.append(shown(job.status))
    )
    say("a meeting ended", seen[-1], ended.status, ended.leave_reason, ended.failure_code)
    uri = ended.manifest_uri
    say("its manifest", uri is not None and uri.startswith("file://"))
    timeline = list(mb.watch(job.id))
    # The mix is made later, and its event comes when it may.
    changes = [event for event in timeline if event.event in ("job.status_changed", "job.finalized")]
    say("timeline", *(f"{event.event} {event.data.status}" for event in changes))
    say("of the bot", listed(event.event for event in timeline if event.event.startswith("bot.")))
    people = [event.data for event in timeline if isinstance(event.data, webhooks.ParticipantChanged)]
    say("people", listed(data.participant.name for data in people))
    chat = [event.data.message for event in timeline if isinstance(event.data, webhooks.ChatWritten)]
    say("last chat", chat[-1].sender)
    sequences = [event.data.sequence for event in timeline]
    say("no holes", sequences == list(range(1, len(timeline) + 1)))

    # By their sequence: a webhook may come twice.
    heard: dict[int, WebhookEvent] = {}
    body, headers = b"", dict[str, str]()
    while set(sequences) - heard.keys() or not any(event.event == "job.artifact_ready" for event in heard.values()):
        body, headers, event = hook.received.get(timeout=PATIENCE)
        heard[event.data.sequence] = event
    in_order = [heard[sequence] for sequence in sorted(heard)]
    say("webhooks", listed(event.event for event in in_order))
    say("of this job", all(event.data.job_id == job.id for event in in_order))
    say("metadata", listed(event.data.metadata["n"] for event in in_order))
    for event in in_order:
        if isinstance(event.data, webhooks.Finalized):
            say("finalized", event.data.leave_reason, event.data.manifest_uri == uri, event.data.duration_ms > 0)
        if isinstance(event.data, webhooks.ArtifactReady):
            file = event.data.artifact
            say("artifact", file.name, file.media_type, event.data.manifest_uri == uri)
    signature = {name.lower(): value for name, value in headers.items()}["x-meetbot-signature"]
    say("verified", verify_webhook_signature(body=body, header=signature, secret=secret))
    say("another body", verify_webhook_signature(body=body + b" ", header=signature, secret=secret))
    say("another secret", verify_webhook_signature(body=body, header=signature, secret="whsec_dGVzdA=="))
    for label, changed, given in (
        ("unwrap with two secrets", body, ["whsec_dGVzdA==", secret]),
        ("unwrap another body", body + b" ", [secret]),
        ("unwrap with another secret", body, ["whsec_dGVzdA=="]),
        ("unwrap with no secret", body, ["secret"]),
    ):
        try:
            say(label, webhooks.unwrap(changed, headers, given).data.job_id == job.id)
        except MeetbotError as error:
            say(label, kind(error))


def downloaded(mb: MeetBot, job: Job) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = mb.download_artifacts(job.id, folder)
        manifest = mb.manifest(job.id)
        say("participants", listed(one.name for one in manifest.participants))
        for track in sorted(manifest.tracks, key=lambda track: str(track.file)):
            say("track", track.file, track.kind, track.source, track.codec, track.container)
        say("manifest", manifest.complete, manifest.leave_reason, manifest.mixed.state, manifest.mixed.file, manifest.chat)
        say("downloaded", listed(path.name for path in paths))
        for file in sorted(manifest.files, key=lambda file: str(file.name)):
            content = (Path(folder) / str(file.name)).read_bytes()
            same = hashlib.sha256(content).hexdigest() == file.sha256
            say("file", file.name, file.media_type, len(content) == file.bytes, same)
        in_memory = mb.artifact(job.id, "events.jsonl")
        say("in memory", in_memory == (Path(folder) / "events.jsonl").read_bytes())
    speaking = mb.speaking(job.id)
    say("speaking", all(span.end_ms > span.start_ms for span in speaking), len(speaking) > 0)
    captions = mb.captions(job.id)
    said = (one.text is not None and one.speaker is not None for one in captions)
    say("captions", listed(map(shown, said)))
    say("chat file", mb.chat(job.id)[-1].sender)
    say("events file", mb.events_file(job.id)[0].type)
    fails("captions of no job", lambda: mb.captions(NOBODY))
    fails("no such file", lambda: mb.artifact(job.id, "audio.Nobody.webm"))
    fails("no file", lambda: mb.artifact(job.id, ".."))
    fails("a manifest of no job", lambda: mb.manifest(NOBODY))


def lists(mb: MeetBot) -> None:
    later = datetime.now(timezone.utc) + timedelta(days=30)
    for n in range(3):
        mb.dispatch_bot(meeting_url=SHORT, external_id=f"later-{n}", join_at=later)
    first = mb.list_bots(limit=2)
    say("first page", *(job.external_id for job in first), first.next_cursor is not None)
    second = mb.list_bots(limit=2, cursor=first.next_cursor)
    say("second page", *(job.external_id for job in second), second.next_cursor is not None)
    say("all", *(job.external_id for job in mb.iter_bots(page_size=1)))
    say("completed", *(job.external_id for job in mb.iter_bots(status="completed")))
    ended = mb.iter_bots(status=["failed", "cancelled"], platform="sandbox")
    say("failed or cancelled", *(job.external_id for job in ended))
    say("of tomorrow", len(mb.list_bots(created_after=later)))
    for job in mb.list_bots(external_id="later-1"):
        say("one", job.external_id, job.status_detail)
    for job in mb.iter_bots(status="queued"):
        mb.cancel_bot(job.id)
        say("cancelled", job.external_id, mb.wait_for_bot(job.id, timeout=PATIENCE).status)


def looked_up(mb: MeetBot, job: Job) -> None:
    first = mb.deliveries(job_id=job.id, limit=1)
    say("deliveries", len(first.data), first.next_cursor is not None)
    delivery = first.data[0]
    found = mb.get_delivery(delivery.id)
    say("a delivery", found is not None and found.id == delivery.id and found.job_id == job.id)
    say("again", mb.redeliver(delivery.id).id == delivery.id)
    say("no delivery", mb.get_delivery("dlv_00000000000000000000000000"))
    fails("redeliver nothing", lambda: mb.redeliver("dlv_00000000000000000000000000"))
    usage = mb.usage()
    say("usage", len(str(usage.month)), usage.bots, usage.queued_jobs, usage.max_bots, usage.max_minutes)
    for way in mb.list_platforms().data:
        if way.platform in ("sandbox", "teams"):
            say("platform", way.platform, way.via, way.joinable, way.experimental, not way.missing)
    host = mb.host()
    say("host", host.version, host.draining, host.cpu.cores > 0, host.memory.total_bytes > 0, host.bots.max > 0)


def deleted(mb: MeetBot, job: Job, consumer: str) -> None:
    before = mb.get_bot(job.id)
    recorded = before.recording.bytes if before else None
    receipt = mb.delete_recording(job.id)
    say("deleted", listed(one.name for one in receipt.removed))
    say("its receipt", receipt.job_id == job.id, receipt.deleted_at is not None, len(receipt.already_gone))
    again = mb.delete_recording(job.id)
    say("deleted again", len(again.removed), again.deleted_at == receipt.deleted_at)
    fails("a manifest that was deleted", lambda: mb.manifest(job.id))
    found = mb.get_bot(job.id)
    assert found is not None
    say("its job", found.recording.deleted_at == receipt.deleted_at, (recorded or 0) > 0, found.recording.bytes == 0)
    fails("erase somebody else", lambda: mb.erase_consumer("nobody"))
    erased = mb.erase_consumer(consumer)
    say("erased", erased.consumer == consumer, erased.jobs, erased.keys)
    fails("a key that was erased", mb.list_bots)


def main() -> None:
    secret = os.environ["MEETBOT_WEBHOOK_SECRET"]
    given = os.environ["MEETBOT_API_BASE_URL"]
    mb = MeetBot(base_url=given + "/api/v1/")
    say("base url", mb.base_url == given)
    errors(mb)
    hook = Receiver(secret)
    failing = mb.dispatch_bot(meeting_url=NONE, external_id="failing")
    short = mb.dispatch_bot(
        meeting_url=SHORT,
        external_id="short",
        on_status_change_url=f"{hook.url}/status",
        on_finalize_url=f"{hook.url}/final",
        metadata={"n": 1},
    )
    long = dispatched(mb)
    controlled(mb, long)
    recorded(mb, short, hook, secret)
    downloaded(mb, short)
    ended = mb.wait_for_bot(failing.id, timeout=PATIENCE)
    say("a failure", ended.status, ended.failure_code, ended.failure_detail, ended.manifest_uri)
    fails("a manifest of nothing", lambda: mb.manifest(failing.id))
    lists(mb)
    looked_up(mb, short)
    deleted(mb, short, os.environ["MEETBOT_CONSUMER"])


main()
