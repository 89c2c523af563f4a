"""`MeetBot`. Made from `_async_client.py` by `write_sync_client.py`: change it there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from . import _calls, _wire
from ._errors import MeetbotNotFoundError
from ._wire import send

if TYPE_CHECKING:
    from ._models import AutoLeaveConfig, Job, JobList, RequestRecordingPermissionResult

T = TypeVar("T")


class MeetBot:
    """A client of a meetbot server.

    What is not given comes from `MEETBOT_API_KEY` and `MEETBOT_API_BASE_URL`. One client serves any number of threads,
    and works in a forked child. Use it with `with`, or without: nothing has to be closed.

    Every call is tried again where that may help: 3 times after its first try, on 429, 500, 502, 503, 504 and lost connections, with
    exponential pauses or what `Retry-After` says, and with the same `Idempotency-Key`. Ctrl-C ends a call
    within a tenth of a second.

    Args:
        api_key: The API key; by default `$MEETBOT_API_KEY`.
        base_url: Where the server is; by default `$MEETBOT_API_BASE_URL`, or else `https://api.meetbot.dev`.
        timeout: How many seconds one try of a call may take; 30 by default.
        connect_timeout: How many seconds connecting may take; 10 by default.
        deadline: How many seconds a whole call may take, all its tries and the pauses between them included; by default only the tries
            are limited.
        max_retries: How often a call is tried again after its first try; 3 by default.
        proxy: Sends everything through this proxy, `http://user:password@host:port`; by default `$HTTPS_PROXY`, `$HTTP_PROXY` and
            `$NO_PROXY` say which one, if any.
        ca_bundle: Trusts these certificates beside the platform's: the path of a PEM file, or its bytes.

    Raises:
        MeetbotConfigurationError: A key or a setting is missing or cannot be used.

    Example:
        >>> from meetbot import MeetBot
        >>> with MeetBot() as mb:
        ...     job = mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=20")
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
        ca_bundle: str | os.PathLike[str] | bytes | None = None,
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
        )
        self._base_url = self._core.base_url

    @property
    def base_url(self) -> str:
        """Where calls go, without a slash at the end.

        Example:
            >>> from meetbot import MeetBot
            >>> MeetBot("mb_test_0123456789", "http://127.0.0.1:3010/").base_url
            'http://127.0.0.1:3010'
        """
        return self._base_url

    def dispatch_bot(
        self,
        *,
        meeting_url: str,
        external_id: str | None = None,
        platform: str | None = None,
        display_name: str | None = None,
        join_at: datetime | str | None = None,
        on_finalize_url: str | None = None,
        on_status_change_url: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        auto_leave: AutoLeaveConfig | Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Job:
        """Sends a bot to a meeting (`POST /api/v1/jobs`).

        With an `external_id` that was used before, the job of that time is the answer, and no second bot is sent.

        Args:
            meeting_url: The meeting's URL (at most 2,048 characters).
            external_id: Your own id for the job (1 to 255 characters).
            platform: The meeting's product, where the URL does not tell (a self-hosted server).
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
            >>> job = mb.dispatch_bot(
            ...     external_id="lesson-2026-05-09-pavel",
            ...     meeting_url="https://meet.google.com/abc-defg-hij",
            ...     display_name="Acme Notetaker",
            ... )
            >>> print(job.platform, job.display_name)
            google-meet Acme Notetaker
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
        return self._call(call, timeout, idempotency_key)

    def get_bot(self, job_id: str, *, timeout: float | None = None) -> Job | None:
        """The job, or `None` when there is none with this id (`GET /api/v1/jobs/{id}`).

        Example:
            >>> job = mb.get_bot(job_id)
            >>> print(job.id == job_id, mb.get_bot("job_00000000000000000000000000"))
            True None
        """
        try:
            return self._call(_calls.get_bot(job_id), timeout)
        except MeetbotNotFoundError as error:
            # A proxy's 404 is no answer about a job.
            if error.code is None:
                raise
            return None

    def list_bots(
        self,
        *,
        status: str | Iterable[str] | None = None,
        external_id: str | None = None,
        platform: str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        timeout: float | None = None,
    ) -> JobList:
        """One page of jobs, newest first (`GET /api/v1/jobs`): a `list[Job]` whose `next_cursor` says where the next page begins.

        Args:
            status: Jobs in this status, or in any of these.
            external_id: The job with this id of your own.
            platform: Jobs for meetings of this product.
            created_after: Jobs created at this time or later.
            created_before: Jobs created before this time.
            limit: How many jobs a page holds: 1 to 200; the server's default is 50.
            cursor: `next_cursor` of the page before.
            timeout: How many seconds one try may take, for this call alone.

        Example:
            >>> page = mb.list_bots(status=["queued", "recording"], limit=20)
            >>> if page.next_cursor:
            ...     page = mb.list_bots(status=["queued", "recording"], cursor=page.next_cursor)
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
        return self._call(call, timeout)

    def cancel_bot(self, job_id: str, *, timeout: float | None = None) -> None:
        """Calls a job off (`DELETE /api/v1/jobs/{id}`). What was recorded is kept. No error when it had ended already.

        Example:
            >>> mb.cancel_bot(job_id)
        """
        self._call(_calls.cancel_bot(job_id), timeout)

    def request_recording_permission(
        self, job_id: str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> RequestRecordingPermissionResult:
        """Asks the host for permission to record.

        Raises:
            MeetbotConflictError: The job is in a state in which a bot cannot ask.

        Example:
            >>> result = mb.request_recording_permission(recording_job_id)
            >>> print(result.action, result.recording.permission)
            request_recording_permission granted
        """
        call = _calls.control(job_id, "request-recording-permission")
        return self._call(call, timeout, idempotency_key)

    def pause_recording(
        self, job_id: str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> RequestRecordingPermissionResult:
        """Records nothing until resumed.

        Raises:
            MeetbotConflictError: The job is not recording.

        Example:
            >>> result = mb.pause_recording(recording_job_id)
            >>> print(result.state, result.recording.state)
            done paused
        """
        return self._call(_calls.control(job_id, "pause-recording"), timeout, idempotency_key)

    def resume_recording(
        self, job_id: str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> RequestRecordingPermissionResult:
        """Goes on recording.

        Raises:
            MeetbotConflictError: The recording was stopped, or the bot is not in the call.

        Example:
            >>> result = mb.resume_recording(recording_job_id)
            >>> print(result.recording.state)
            on
        """
        return self._call(
            _calls.control(job_id, "resume-recording"), timeout, idempotency_key
        )

    def stop_recording(
        self, job_id: str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> RequestRecordingPermissionResult:
        """Stops the recording for good; the bot stays in the meeting.

        Raises:
            MeetbotConflictError: The job is not recording.

        Example:
            >>> result = mb.stop_recording(recording_job_id)
            >>> print(result.recording.state)
            stopped
        """
        return self._call(_calls.control(job_id, "stop-recording"), timeout, idempotency_key)

    def leave_bot(
        self, job_id: str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> RequestRecordingPermissionResult:
        """Lets the bot leave the meeting and finish its recording.

        Raises:
            MeetbotConflictError: The job has ended.

        Example:
            >>> result = mb.leave_bot(recording_job_id)
            >>> print(result.action)
            leave_call
        """
        return self._call(_calls.control(job_id, "leave-call"), timeout, idempotency_key)

    def send_chat_message(
        self,
        job_id: str,
        message: str,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> RequestRecordingPermissionResult:
        """Writes into the meeting's chat (1 to 4,000 characters). A message is written at most once.

        Raises:
            MeetbotConflictError: The bot is not in the call.

        Example:
            >>> result = mb.send_chat_message(recording_job_id, "This meeting is recorded.")
            >>> print(result.state)
            done
        """
        call = _calls.control(job_id, "send-chat-message", {"message": message})
        return self._call(call, timeout, idempotency_key)

    def close(self) -> None:
        """Gives the connections up; calls after it fail. Leaving `with` does it too, and nobody has to.

        Example:
            >>> from meetbot import MeetBot
            >>> MeetBot("mb_test_0123456789").close()
        """
        self._core.close()

    def __enter__(self) -> MeetBot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._base_url!r})"

    def _call(
        self, call: _calls.Call[T], timeout: float | None, idempotency_key: str | None = None
    ) -> T:
        answer = send(self._core, call, timeout, idempotency_key)
        return _wire.read(self._core, call, answer)
