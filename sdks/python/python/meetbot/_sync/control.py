"""What a bot in a meeting can be asked to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _calls
from .caller import Caller

if TYPE_CHECKING:
    from .._models import ControlResult, Job


class ControlCalls(Caller):
    """The six control verbs. Each answers when the bot has, or after 5 s with `pending`."""

    def request_recording_permission(
        self, job_id: Job | str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> ControlResult:
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
        self, job_id: Job | str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> ControlResult:
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
        self, job_id: Job | str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> ControlResult:
        """Goes on recording.

        Raises:
            MeetbotConflictError: The recording was stopped, or the bot is not in the call.

        Example:
            >>> result = mb.resume_recording(recording_job_id)
            >>> print(result.recording.state)
            on
        """
        return self._call(_calls.control(job_id, "resume-recording"), timeout, idempotency_key)

    def stop_recording(
        self, job_id: Job | str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> ControlResult:
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
        self, job_id: Job | str, *, idempotency_key: str | None = None, timeout: float | None = None
    ) -> ControlResult:
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
            >>> result = mb.send_chat_message(recording_job_id, "This meeting is recorded.")
            >>> print(result.state)
            done
        """
        call = _calls.control(job_id, "send-chat-message", {"message": message})
        return self._call(call, timeout, idempotency_key)
