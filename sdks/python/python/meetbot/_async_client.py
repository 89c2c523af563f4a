"""`AsyncMeetBot`. `MeetBot` in `_client.py` is made from this file by `write_sync_client.py`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from . import _calls, _core, _observe, _wire
from ._async_following import AsyncEvents, AsyncJobs, AsyncTimeline
from ._errors import MeetbotError, MeetbotNotFoundError, MeetbotTimeoutError
from ._loops import anews, asend, asleep

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from ._async_following import AsyncStream
    from ._downloads import Progress
    from ._events import Caption, ChatMessage, RecordingEvent, TimelineEvent
    from ._models import AutoLeaveConfig, AutoLeaveSettings, ControlResult, Job, JobList
    from ._observe import CallEnded, CallStarted
    from ._raw import AsyncRawCalls
    from ._records import DeletionReceipt, Delivery, DeliveryPage, ErasureReceipt, Host
    from ._records import Manifest, ManifestFile, SpeakingSpan, Usage
    from ._transport import AsyncTransport
    from ._words import DeliveryStateWord, JobStatusWord, PlatformWord

T = TypeVar("T")


class AsyncMeetBot:
    """A client of a meetbot server, for asyncio.

    What is not given comes from `MEETBOT_API_KEY` and `MEETBOT_API_BASE_URL`. One client serves any number of tasks, loops and threads, also
    one loop after the other, and works in a forked child. Use it with `async with`, or without: nothing has to be closed.

    Every call is tried again where that may help: 3 times after its first try, on 429, 500, 502, 503, 504 and lost connections, with
    exponential pauses or what `Retry-After` says, and with the same `Idempotency-Key`. Cancelling the task that awaits a call
    closes its socket.

    Args:
        api_key: The API key; by default `$MEETBOT_API_KEY`.
        base_url: Where the server is; by default `$MEETBOT_API_BASE_URL`, or else `https://api.meetbot.dev`. A trailing `/api/v1` is taken off.
        timeout: How many seconds one try of a call may take; 30 by default.
        connect_timeout: How many seconds connecting may take; 10 by default.
        deadline: How many seconds a whole call may take, all its tries and the pauses between them included; by default only the tries
            are limited.
        max_retries: How often a call is tried again after its first try; 3 by default.
        proxy: Sends everything through this proxy, `http://user:password@host:port`; by default `$https_proxy`, `$http_proxy`,
            `$all_proxy` and `$no_proxy` (or the same in capitals) say which one, if any, but for servers on loopback. One that cannot be
            used is an error, from the environment too: no request goes past a proxy that was asked for.
        ca_bundle: Trusts these certificates beside the platform's: the path of a PEM file, or its bytes.
        client_cert: Shows this certificate to a server that demands one: the path of a PEM file that holds it and its private key (not
            encrypted), or the file's bytes; or a pair, the certificate's and the key's.
        on_request: Called before each call, and may add headers to it; for `watch` once, for all its connections.
        on_response: Called after each call, failed ones included, with how it ended; not after the stream of `watch`.
        transport: Sends the requests in place of the Rust core; see `AsyncTransport` and `AsyncHttpxTransport`.

    Raises:
        MeetbotConfigurationError: A key or a setting is missing or cannot be used.

    Example:
        >>> from meetbot import AsyncMeetBot
        >>> async with AsyncMeetBot() as mb:
        ...     job = await mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=20")
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        deadline: float | None = None,
        max_retries: int | None = None,
        proxy: str | None = None,
        ca_bundle: _wire.Pem | None = None,
        client_cert: _wire.Pem | tuple[_wire.Pem, _wire.Pem] | None = None,
        on_request: Callable[[CallStarted], None] | None = None,
        on_response: Callable[[CallEnded], None] | None = None,
        transport: AsyncTransport | None = None,
    ) -> None:
        self._core, self._options = _wire.core(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            connect_timeout=connect_timeout,
            deadline=deadline,
            max_retries=max_retries,
            proxy=proxy,
            ca_bundle=ca_bundle,
            client_cert=client_cert,
            transport=transport,
        )
        self._base_url = self._core.base_url
        #: What a call gives for its answer.
        self._read: Callable[[_core.Core, _calls.Call[Any], _core.Answer], Any] = _wire.read
        self._transport = transport
        self._hooks = _observe.hooks(on_request, on_response)

    def with_options(
        self,
        *,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        deadline: float | None = None,
        max_retries: int | None = None,
    ) -> Self:
        """The same client, its connections shared, with other options; what is not given stays as it is.

        Example:
            >>> patient = mb.with_options(deadline=120, max_retries=10)
            >>> page = await patient.list_bots(limit=1)
        """
        given = {"timeout": timeout, "connect_timeout": connect_timeout, "deadline": deadline, "max_retries": max_retries}
        changed = copy(self)
        changed._options = _wire.merged(self._options, given)
        changed._core = self._core.with_options(changed._options)
        return changed

    @property
    def with_raw_response(self) -> AsyncRawCalls:
        """The same calls, each giving its answer as it came: a `RawResponse` with status, headers, request id and body, and `parse()`.

        An answer that is an error is raised as ever; so is that there is no such job, where `get_bot` gives `None`.

        Example:
            >>> raw = await mb.with_raw_response.get_bot(job_id)
            >>> print(raw.status, raw.headers["content-type"], raw.parse().id == job_id)
            200 application/json True
        """
        from ._raw import AsyncRawCalls, RawResponse

        raw = copy(self)
        raw._read = RawResponse
        return AsyncRawCalls(raw)

    @property
    def base_url(self) -> str:
        """Where calls go, without a slash at the end.

        Example:
            >>> from meetbot import AsyncMeetBot
            >>> AsyncMeetBot("mb_test_0123456789", "http://127.0.0.1:3010/").base_url
            'http://127.0.0.1:3010'
        """
        return self._base_url

    async def dispatch_bot(
        self,
        meeting_url: str,
        *,
        external_id: str | None = None,
        platform: PlatformWord | None = None,
        display_name: str | None = None,
        join_at: datetime | str | None = None,
        on_finalize_url: str | None = None,
        on_status_change_url: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        auto_leave: AutoLeaveConfig | AutoLeaveSettings | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Job:
        """Sends a bot to a meeting (`POST /api/v1/jobs`).

        With an `external_id` that was used before, the job of that time is the answer, and no second bot is sent.

        Args:
            meeting_url: The meeting's URL (at most 2,048 characters). The only argument that may be given without its name.
            external_id: Your own id for the job (1 to 255 characters).
            platform: The meeting's product, where the URL does not tell (a self-hosted server). One that this version does not know is `Platform("…")`.
            display_name: The name that the bot shows (1 to 100 characters; the server's default is `meetbot`).
            join_at: When to join, with a time zone; the past or nothing means now, at most a year ahead.
            on_finalize_url: Gets the webhooks `job.finalized` and `job.failed`.
            on_status_change_url: Gets all other webhooks, and `job.failed`.
            metadata: Your own data, given back as it was sent: a JSON object of at most 16 KiB.
            auto_leave: When the bot leaves by itself.
            idempotency_key: Instead of one made for this call (1 to 255 visible ASCII characters): a second call with the same key and the
                same arguments gets the first one's answer for 24 hours.
            timeout: How many seconds one try may take, for this call alone.

        Raises:
            MeetbotValidationError: Something in it is wrong; `issues` says everything that is.

        Example:
            >>> job = await mb.dispatch_bot(
            ...     external_id="lesson-2026-05-10-anna",
            ...     meeting_url="https://sandbox.meetbot.dev/two-speakers",
            ...     display_name="Acme Notetaker",
            ... )
            >>> print(job.platform, job.display_name)
            sandbox Acme Notetaker
        """
        call = _calls.dispatch_bot(
            meeting_url=meeting_url,
            external_id=external_id,
            platform=platform,
            display_name=display_name,
            join_at=join_at,
            on_finalize_url=on_finalize_url,
            on_status_change_url=on_status_change_url,
            metadata=metadata,
            auto_leave=auto_leave,
        )
        return await self._call(call, timeout, idempotency_key)

    async def get_bot(self, job_id: Job | str, *, timeout: float | None = None) -> Job | None:
        """The job, or `None` when there is none with this id (`GET /api/v1/jobs/{id}`).

        Example:
            >>> job = await mb.get_bot(job_id)
            >>> print(job.id == job_id, await mb.get_bot("job_00000000000000000000000000"))
            True None
        """
        return await self._or_none(_calls.get_bot(job_id), timeout)

    async def list_bots(
        self,
        *,
        status: JobStatusWord | Iterable[JobStatusWord] | None = None,
        external_id: str | None = None,
        platform: PlatformWord | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: float | None = None,
    ) -> JobList:
        """One page of jobs, newest first (`GET /api/v1/jobs`): a `list[Job]` whose `next_cursor` says where the next page begins.

        Args:
            status: Jobs in this status, or in any of these. A status that this version does not know is `JobStatus("…")`.
            external_id: The job with this id of your own.
            platform: Jobs for meetings of this product.
            created_after: Jobs created at this time or later.
            created_before: Jobs created before this time.
            limit: How many jobs a page holds: 1 to 200; the server's default is 50. A page of large jobs holds fewer, and has a `next_cursor` all the same.
            cursor: `next_cursor` of the page before.
            timeout: How many seconds one try may take, for this call alone.

        Example:
            >>> page = await mb.list_bots(status=["queued", "recording"], limit=20)
            >>> if page.next_cursor:
            ...     page = await mb.list_bots(status=["queued", "recording"], cursor=page.next_cursor)
        """
        call = _calls.list_bots(
            status=status,
            external_id=external_id,
            platform=platform,
            created_after=created_after,
            created_before=created_before,
            limit=limit,
            cursor=cursor,
        )
        return await self._call(call, timeout)

    def iter_bots(
        self,
        *,
        status: JobStatusWord | Iterable[JobStatusWord] | None = None,
        external_id: str | None = None,
        platform: PlatformWord | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        page_size: int | None = None,
    ) -> AsyncStream[Job]:
        """All jobs that `list_bots` would list, newest first, page by page as they are asked for.

        A page that fails may be asked for again: the next job comes from it.

        Example:
            >>> async for job in mb.iter_bots(status="failed"):
            ...     print(job.id, job.failure_code, job.failure_detail)
        """
        wanted = {
            "status": status if status is None or isinstance(status, str) else tuple(status),
            "external_id": external_id,
            "platform": platform,
            "created_after": created_after,
            "created_before": created_before,
            "limit": page_size,
        }
        return AsyncJobs(self, wanted)

    async def cancel_bot(self, job_id: Job | str, *, timeout: float | None = None) -> None:
        """Calls a job off (`DELETE /api/v1/jobs/{id}`). What was recorded is kept. No error when it had ended already.

        Example:
            >>> await mb.cancel_bot(job_id)
        """
        return await self._call(_calls.cancel_bot(job_id), timeout)

    async def request_recording_permission(
        self, job_id: Job | str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> ControlResult:
        """Asks the host for permission to record.

        Raises:
            MeetbotConflictError: The job is in a state in which a bot cannot ask.

        Example:
            >>> result = await mb.request_recording_permission(recording_job_id)
            >>> print(result.action, result.recording.permission)
            request_recording_permission granted
        """
        call = _calls.control(job_id, "request-recording-permission")
        return await self._call(call, timeout, idempotency_key)

    async def pause_recording(
        self, job_id: Job | str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> ControlResult:
        """Records nothing until resumed.

        Raises:
            MeetbotConflictError: The job is not recording.

        Example:
            >>> result = await mb.pause_recording(recording_job_id)
            >>> print(result.state, result.recording.state)
            done paused
        """
        return await self._call(_calls.control(job_id, "pause-recording"), timeout, idempotency_key)

    async def resume_recording(
        self, job_id: Job | str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> ControlResult:
        """Goes on recording.

        Raises:
            MeetbotConflictError: The recording was stopped, or the bot is not in the call.

        Example:
            >>> result = await mb.resume_recording(recording_job_id)
            >>> print(result.recording.state)
            on
        """
        return await self._call(_calls.control(job_id, "resume-recording"), timeout, idempotency_key)

    async def stop_recording(
        self, job_id: Job | str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> ControlResult:
        """Stops the recording for good; the bot stays in the meeting.

        Raises:
            MeetbotConflictError: The job is not recording.

        Example:
            >>> result = await mb.stop_recording(recording_job_id)
            >>> print(result.recording.state)
            stopped
        """
        return await self._call(_calls.control(job_id, "stop-recording"), timeout, idempotency_key)

    async def leave_bot(
        self, job_id: Job | str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> ControlResult:
        """Lets the bot leave the meeting and finish its recording.

        Raises:
            MeetbotConflictError: The job has ended.

        Example:
            >>> result = await mb.leave_bot(recording_job_id)
            >>> print(result.action)
            leave_call
        """
        return await self._call(_calls.control(job_id, "leave-call"), timeout, idempotency_key)

    async def send_chat_message(
        self,
        job_id: Job | str,
        message: str,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> ControlResult:
        """Writes into the meeting's chat (1 to 4,000 characters). A message is written at most once.

        Raises:
            MeetbotConflictError: The bot is not in the call.

        Example:
            >>> result = await mb.send_chat_message(recording_job_id, "This meeting is recorded.")
            >>> print(result.state)
            done
        """
        call = _calls.control(job_id, "send-chat-message", {"message": message})
        return await self._call(call, timeout, idempotency_key)

    async def wait_for_bot(
        self,
        job_id: Job | str,
        *,
        timeout: float | None = None,
        on_update: Callable[[Job], None] | None = None,
    ) -> Job:
        """Waits until the job has ended, by listening to its events and by asking for it every 2 to 5 s; where there is no stream of
        events to be had, or with a `transport=`, by asking alone: often at first, every 5 s later.

        A server that is away for less than five minutes does not end the wait.

        Args:
            job_id: The job, or its id.
            timeout: Gives up after so many seconds, also when a request hangs; the job goes on.
            on_update: Called with the job each time something else in it than `updated_at` is seen to have changed.

        Raises:
            MeetbotTimeoutError: The job has not ended in time.

        Example:
            >>> job = await mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=1")
            >>> job = await mb.wait_for_bot(job.id, timeout=60, on_update=lambda job: None)
            >>> print(job.status)
            completed
        """
        # Not `get_bot`: that there is no such job is an error here, with the answer that said so.
        call = _calls.get_bot(job_id)
        wait = _wire.wait(self._core, _calls.job_id_of(job_id), timeout, listen=self._transport is None)
        seen: Job | None = None
        while True:
            asking = self._within(wait.left())
            try:
                job = await asking._call(call, None)
            except MeetbotError as error:
                pause = wait.failed(error.transient)
                if pause is None:
                    raise
            else:
                if on_update is not None and _calls.differs(job, seen):
                    on_update(job)
                seen = job
                pause = wait.answered(job.status)
                if pause is None:
                    return job
            await anews(wait, pause or 0)

    def watch(self, job_id: Job | str) -> AsyncStream[TimelineEvent]:
        """The job's events from its first, each as it happens; ends after the job's last event.

        A connection that breaks is taken up where it broke, so that no event is missed or comes twice; also after an error, and after
        a wait for the next event that was given up, it goes on where it was.

        Example:
            >>> job = await mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=1")
            >>> async for event in mb.watch(job.id):
            ...     last = event
            >>> print(last.event, last.data.status)
            job.finalized completed
        """
        return (AsyncEvents if self._transport is None else AsyncTimeline)(self, _calls.job_id_of(job_id))

    async def manifest(self, job_id: Job | str, *, timeout: float | None = None) -> Manifest:
        """What was recorded (`GET …/manifest`).

        Raises:
            MeetbotNotFoundError: There is no manifest yet.

        Example:
            >>> manifest = await mb.manifest(ended_job_id)
            >>> print(sorted(person.name for person in manifest.participants))
            ['Alice', 'Bob']
        """
        return await self._call(_calls.manifest(job_id), timeout)

    async def speaking(self, job_id: Job | str, *, timeout: float | None = None) -> list[SpeakingSpan]:
        """Who spoke when, by start: the manifest's `speaking`.

        Raises:
            MeetbotNotFoundError: There is no manifest yet.

        Example:
            >>> spans = await mb.speaking(ended_job_id)
            >>> print(sorted({span.participant_id for span in spans}), spans[0].end_ms > spans[0].start_ms)
            ['p-alice', 'p-bob'] True
        """
        return (await self.manifest(job_id, timeout=timeout)).speaking

    async def captions(self, job_id: Job | str, *, timeout: float | None = None) -> list[Caption]:
        """The meeting's captions, `captions.jsonl`, in the order in which they came; empty where there were none, as on platforms that give none.

        The file is checked by its SHA-256, and read into memory (at most 64 MiB). A line that was cut off is left out.

        Raises:
            MeetbotNotFoundError: There is no manifest yet.
            MeetbotDecodeError: The file is not what the manifest says, or too large, or a line has a value of another type.

        Example:
            >>> for caption in await mb.captions(ended_job_id):
            ...     line = f"{caption.speaker}: {caption.text}"
        """
        return await self._lines("captions", job_id, timeout)

    async def chat(self, job_id: Job | str, *, timeout: float | None = None) -> list[ChatMessage]:
        """The meeting's chat, `chat.jsonl`, in the order in which it was written; empty where nothing was. It is read as `captions` are.

        Raises:
            MeetbotNotFoundError: There is no manifest yet.
            MeetbotDecodeError: The file is not what the manifest says, or too large, or a line has a value of another type.

        Example:
            >>> for message in await mb.chat(ended_job_id):
            ...     line = f"{message.sender}: {message.text}"
        """
        return await self._lines("chat", job_id, timeout)

    async def events_file(self, job_id: Job | str, *, timeout: float | None = None) -> list[RecordingEvent]:
        """The lines of `events.jsonl`, what happened to the recording; empty where the manifest names no such file. It is read as `captions` are.

        A line of a type that this version does not know has its fields as extra ones. What happens to the job is told by `watch`.

        Raises:
            MeetbotNotFoundError: There is no manifest yet.
            MeetbotDecodeError: The file is not what the manifest says, or too large, or a line has a value of another type.

        Example:
            >>> events = await mb.events_file(ended_job_id)
            >>> print(events[0].type, events[-1].type, events[-1].reason)
            started left meeting_ended
        """
        return await self._lines("events", job_id, timeout)

    async def artifact(self, job_id: Job | str, name: str, *, timeout: float | None = None) -> bytes:
        """A recorded file, in memory (at most 64 MiB; `download_artifact` has no limit).

        Example:
            >>> chat = await mb.artifact(ended_job_id, "events.jsonl")
            >>> print(chat[:1])
            b'{'
        """
        call = _calls.artifact(job_id, name)
        return (await self._send(call.method, call.path, None, timeout, None)).body

    async def download_artifact(
        self,
        job_id: Job | str,
        name: str,
        target: str | os.PathLike[str],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        expected: ManifestFile | None = None,
    ) -> Path:
        """A recorded file, written to `target`, over a file that was there.

        It is fetched in pieces of 1 MiB, each tried again by the rules of every call, and in smaller ones, down to 64 KiB, where a piece
        takes too long; written beside its place, and moved there when it is whole.

        Args:
            job_id: The job, or its id.
            name: The file, as the manifest names it.
            target: Where to write it.
            on_progress: Called after each piece.
            expected: The file's entry in the manifest: its SHA-256 is checked.

        Raises:
            MeetbotFileError: It cannot be written.
            MeetbotDecodeError: It is not what the manifest says.

        Example:
            >>> path = await mb.download_artifact(ended_job_id, "audio.Alice.webm", folder / "alice.webm")
            >>> print(path.name)
            alice.webm
        """
        from ._downloads import Download

        path = _calls.artifact(job_id, name).path
        with Download(name, target, expected, on_progress) as download:
            while (headers := download.wanted()) is not None:
                try:
                    answer = await self._send("GET", path, None, None, None, headers)
                except MeetbotTimeoutError as error:
                    download.slow_down(error)
                else:
                    download.take(answer)
            return download.finished()

    async def download_artifacts(
        self,
        job: Job | str,
        folder: str | os.PathLike[str],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        wait_for_mix: bool = True,
    ) -> list[Path]:
        """Everything that was recorded, written into the folder: the files of the manifest, each checked by its SHA-256, then the manifest.

        A job ends before its mix is made. While the manifest says that the mix is pending, this waits for it, for ten minutes at most; after
        that, and with `wait_for_mix=False` at once, it takes the files that there are.

        Args:
            job: The job, or its id.
            folder: Where to write; made where it is missing.
            on_progress: Called after each piece of a file.
            wait_for_mix: Whether to wait for a mix that is still to be made.

        Example:
            >>> paths = await mb.download_artifacts(ended_job_id, folder)
            >>> print("audio.Alice.webm" in [path.name for path in paths], paths[-1].name)
            True manifest.json
        """
        from . import _downloads

        job_id = _calls.job_id_of(job)
        into, fetch = _downloads.folder(folder), self.download_artifact
        paths, began = [], monotonic()
        manifest = await self.manifest(job_id)
        while wait_for_mix and manifest.mixed.state == "pending":
            pause = _downloads.mix_pause(monotonic() - began)
            if pause is None:
                break
            await asleep(pause)
            manifest = await self.manifest(job_id)
        for file in manifest.files:
            name = _downloads.flat(file.name)
            paths.append(await fetch(job_id, name, into / name, on_progress=on_progress, expected=file))
        paths.append(await fetch(job_id, "manifest.json", into / "manifest.json"))
        return paths

    async def delete_recording(self, job_id: Job | str, *, timeout: float | None = None) -> DeletionReceipt:
        """Deletes everything that was recorded (`DELETE …/recording`), and says what that was.

        Raises:
            MeetbotConflictError: The job has not ended.

        Example:
            >>> receipt = await mb.delete_recording(ended_job_id)
            >>> print(len(receipt.removed) > 2, receipt.already_gone)
            True []
        """
        return await self._call(_calls.delete_recording(job_id), timeout)

    async def erase_consumer(self, confirm: str, *, timeout: float | None = None) -> ErasureReceipt:
        """Cancels all bots of the key's consumer and erases everything it has, this key included (scope `admin`).

        A live key erases both worlds, a test key the test world alone.

        Args:
            confirm: The consumer's name.
            timeout: How many seconds one try may take, for this call alone.

        Example:
            >>> from meetbot import MeetbotForbiddenError
            >>> try:
            ...     await mb.erase_consumer("acme")
            ... except MeetbotForbiddenError as error:
            ...     print(error.code)
            forbidden
        """
        return await self._call(_calls.erase_consumer(confirm), timeout)

    async def host(self, *, timeout: float | None = None) -> Host:
        """The machine of the server, and how much the server does on it (`GET /api/v1/admin/host`, scope `admin`).

        Example:
            >>> from meetbot import MeetbotForbiddenError
            >>> try:
            ...     print((await mb.host()).bots.running)
            ... except MeetbotForbiddenError as error:
            ...     print(error.code)
            forbidden
        """
        return await self._call(_calls.host(), timeout)

    async def usage(self, *, timeout: float | None = None) -> Usage:
        """What the key's consumer has used this month, in the key's world (live or test), and what it may use (`GET /api/v1/usage`).

        Example:
            >>> usage = await mb.usage()
            >>> print(usage.max_bots)
            None
        """
        return await self._call(_calls.usage(), timeout)

    async def deliveries(
        self,
        *,
        job_id: Job | str | None = None,
        state: DeliveryStateWord | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: float | None = None,
    ) -> DeliveryPage:
        """One page of webhook deliveries with every try, newest first: `data`, and `next_cursor` for the next page.

        Example:
            >>> page = await mb.deliveries(state="dead")
            >>> for delivery in page.data:
            ...     delivery = await mb.redeliver(delivery.id)
        """
        call = _calls.deliveries(job_id=job_id, state=state, limit=limit, cursor=cursor)
        return await self._call(call, timeout)

    async def get_delivery(self, delivery_id: str, *, timeout: float | None = None) -> Delivery | None:
        """A webhook delivery with every try, or `None` when there is none with this id.

        Example:
            >>> print(await mb.get_delivery("dlv_00000000000000000000000000"))
            None
        """
        return await self._or_none(_calls.get_delivery(delivery_id), timeout)

    async def redeliver(
        self, delivery_id: str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> Delivery:
        """Sends a webhook again at once, whatever became of it, under the same `deliveryId`.

        Example:
            >>> for delivery in (await mb.deliveries(state="dead")).data:
            ...     delivery = await mb.redeliver(delivery.id)
        """
        return await self._call(_calls.redeliver(delivery_id), timeout, idempotency_key)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> _core.Answer:
        """A call of your own to any path of the API, with the key, the retries and the errors of every other; its answer as it came.

        Args:
            method: The method.
            path: From `/` on, with its query, percent-encoded.
            json: The body.
            headers: Headers to send beside those of the SDK.
            idempotency_key: Instead of one made for this call.
            timeout: How many seconds one try may take, for this call alone.

        Example:
            >>> answer = await mb.request("GET", "/api/v1/jobs?limit=1")
            >>> print(answer.status, answer.header("content-type"), answer.attempts)
            200 application/json 1
        """
        body = None if json is None else _calls.json_bytes(json)
        more = tuple((headers or {}).items())
        return await self._send(method, path, body, timeout, idempotency_key, more)

    async def close(self) -> None:
        """Gives the connections up; calls after it fail. Leaving `async with` does it too, and nobody has to.

        Example:
            >>> from meetbot import AsyncMeetBot
            >>> await AsyncMeetBot("mb_test_0123456789").close()
        """
        self._core.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._base_url!r})"

    async def _lines(self, which: str, job_id: Job | str, timeout: float | None) -> list[Any]:
        from . import _lines

        file = _lines.file_of(await self.manifest(job_id, timeout=timeout), which)
        if file is None or file.name is None:
            return []
        return _lines.read(file, await self.artifact(job_id, file.name, timeout=timeout), which)

    def _within(self, seconds: float | None) -> Self:
        """The same client with no more than this time for a whole call."""
        own = self._options["deadline"]
        if seconds is None or (own is not None and own <= seconds):
            return self
        return self.with_options(deadline=seconds)

    def _stream(self, job_id: str) -> _core.Events:
        observed = _observe.begin(self._hooks, "GET", _calls.events(job_id).path)
        return self._core.watch(job_id, observed.headers if observed else ())

    async def _or_none(self, call: _calls.Call[T], timeout: float | None) -> T | None:
        try:
            return await self._call(call, timeout)
        except MeetbotNotFoundError:
            # Who wants answers as they came wants this one too.
            if self._read is not _wire.read:
                raise
            return None

    async def _call(
        self, call: _calls.Call[T], timeout: float | None, idempotency_key: str | None = None
    ) -> T:
        answer = await self._send(call.method, call.path, call.body, timeout, idempotency_key)
        return cast("T", self._read(self._core, call, answer))

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        timeout: float | None,
        idempotency_key: str | None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> _core.Answer:
        observed = _observe.begin(self._hooks, method, path)
        if observed is None:
            parts = (method, path, body, headers, timeout, idempotency_key)
            return _observe.warned(await asend(self._core, self._transport, parts))
        parts = (method, path, body, headers + observed.headers, timeout, idempotency_key)
        try:
            answer = await asend(self._core, self._transport, parts)
        except BaseException as error:
            observed.failed(error)
            raise
        observed.answered(answer)
        return _observe.warned(answer)
