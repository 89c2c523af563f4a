"""Jobs: dispatched, listed, followed to their end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .. import _calls, _wire
from .._errors import MeetbotError
from .._loops import async_wait_for_change
from .caller import AsyncCaller
from .streams import AsyncEvents, AsyncJobs, AsyncTimeline

if TYPE_CHECKING:
    from .._enums import JobStatusWord, PlatformWord
    from .._events import TimelineEvent
    from .._models import AutoLeaveConfig, AutoLeaveSettings, Job, JobList
    from .streams import AsyncStream


class AsyncJobCalls(AsyncCaller):
    """The calls that dispatch jobs, list them and wait for them."""

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
        record_video: bool | None = None,
        account: str | None = None,
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
            record_video: Whether to record cameras; the server's settings decide where it is not given. Shared screens are recorded in any case; a bot with a
                browser records neither unless this is true.
            account: The account as which the bot joins: a name that the operator of the server has set up. Without it the bot joins as a guest.
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
            record_video=record_video,
            account=account,
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
        return AsyncJobs(self.list_bots, wanted)

    async def cancel_bot(self, job_id: Job | str, *, timeout: float | None = None) -> None:
        """Calls a job off (`DELETE /api/v1/jobs/{id}`). What was recorded is kept. No error when it had ended already.

        Example:
            >>> await mb.cancel_bot(job_id)
        """
        return await self._call(_calls.cancel_bot(job_id), timeout)

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
                if on_update is not None and _calls.has_changed_since(job, seen):
                    on_update(job)
                seen = job
                pause = wait.answered(job.status)
                if pause is None:
                    return job
            await async_wait_for_change(wait, pause or 0)

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
