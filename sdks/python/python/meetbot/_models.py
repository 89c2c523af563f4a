"""What the API answers with, as pydantic models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError
from pydantic.alias_generators import to_camel

from ._calls import wire_time
from ._errors import MeetbotConfigurationError
from ._words import (
    ControlAction,
    ControlState,
    FailureCode,
    JobStatus,
    LeaveReason,
    Permission,
    Platform,
    RecordingState,
)

__all__ = [
    "AutoLeave",
    "AutoLeaveConfig",
    "Job",
    "JobList",
    "Recording",
    "RequestRecordingPermissionResult",
    "Webhooks",
]


Timestamp = Annotated[datetime, PlainSerializer(wire_time, return_type=str, when_used="json")]


class Model(BaseModel):
    """A part of an answer. Fields that this version does not know are kept, under the names they came with."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="allow", defer_build=True
    )


class Recording(Model):
    """The recording of a job."""

    state: RecordingState
    """Whether the bot records."""
    permission: Permission
    """Whether the meeting allows it."""
    started_at: Timestamp | None = None
    """When the first packet was on disk."""
    paused_ms: int
    """How long it was paused so far, in milliseconds."""
    deleted_at: Timestamp | None = None
    """When the recording was deleted."""


class Webhooks(Model):
    """Where webhooks of a job go."""

    on_status_change: str | None = None
    """Gets every event but `job.finalized`."""
    on_finalize: str | None = None
    """Gets `job.finalized` and `job.failed`."""


class AutoLeave(Model):
    """When the bot leaves by itself: what was set, and the server's defaults for the rest. `None`: the rule is off."""

    after_entry_delay_seconds: int | None = None
    after_silence_seconds: int | None = None
    after_solo_seconds: int | None = None
    after_max_seconds: int | None = None
    on_bot_detected: bool = False


class AutoLeaveConfig(BaseModel):
    """When a bot is to leave by itself. What is not set is not sent, and the server's default holds; `None` switches a rule off.

    Example:
        >>> from meetbot import AutoLeaveConfig
        >>> AutoLeaveConfig(after_solo_seconds=30, after_silence_seconds=None).to_wire()
        {'afterSilenceSeconds': None, 'afterSoloSeconds': 30}
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", defer_build=True
    )

    after_entry_delay_seconds: int | None = None
    """Give up when not admitted this long after knocking (default 600)."""
    after_silence_seconds: int | None = None
    """Leave when nobody has spoken for this long (default 1200)."""
    after_solo_seconds: int | None = None
    """Leave when no other human has been there for this long (default 60)."""
    after_max_seconds: int | None = None
    """Leave after this long in the call (default 14400)."""
    on_bot_detected: bool = False
    """Leave when another notetaker bot is in the meeting (default off)."""

    @classmethod
    def read(cls, config: AutoLeaveConfig | Mapping[str, Any]) -> AutoLeaveConfig:
        """The settings in a mapping.

        Raises:
            MeetbotConfigurationError: A name is wrong, or a value of another kind.

        Example:
            >>> from meetbot import AutoLeaveConfig
            >>> AutoLeaveConfig.read({"after_solo_seconds": 30}).to_wire()
            {'afterSoloSeconds': 30}
        """
        try:
            return cls.model_validate(config)
        except ValidationError as error:
            raise MeetbotConfigurationError(f"auto_leave: {problems(error)}") from error

    def to_wire(self) -> dict[str, Any]:
        """What is sent: the fields that were set.

        Example:
            >>> from meetbot import AutoLeaveConfig
            >>> AutoLeaveConfig().to_wire()
            {}
        """
        return self.model_dump(by_alias=True, exclude_unset=True)


class Job(Model):
    """A bot asked for a meeting, and what became of it: a snapshot of the moment of the call."""

    id: str
    """Its id, `job_…`."""
    external_id: str | None = None
    """Your own id for it, if you gave one."""
    meeting_url: str
    """The meeting's URL as it was given."""
    platform: Platform
    """The meeting's product."""
    display_name: str
    """The name the bot shows in the meeting."""
    status: JobStatus
    """Where it stands."""
    status_detail: str | None = None
    """A hint about what the status is busy with: `scheduled`, `waiting_room`, `reconnecting`… The set is open."""
    recording: Recording
    """The recording."""
    join_at: Timestamp | None = None
    """When the bot is to join; `None` means at once."""
    webhooks: Webhooks
    """Where its webhooks go."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Your own data, given back as it was sent."""
    auto_leave: AutoLeave
    """When the bot leaves by itself."""
    attempt: int
    """Which bot this is: 1 for the first, one more each time a lost bot is replaced; 0 before the first."""
    leave_reason: LeaveReason | None = None
    """Why the bot left."""
    failure_code: FailureCode | None = None
    """Why the job failed."""
    failure_detail: str | None = None
    """The failure in a sentence."""
    manifest_uri: str | None = None
    """Where the manifest is: `file://…` or `s3://…`. Set as soon as there is one, whatever the final status."""
    created_at: Timestamp
    """When it was created."""
    updated_at: Timestamp
    """When it last changed."""
    joined_at: Timestamp | None = None
    """When the first bot was in the call."""
    ended_at: Timestamp | None = None
    """When it ended."""


class JobList(list[Job]):
    """One page of jobs, newest first: a list, and where the next page begins."""

    next_cursor: str | None
    """`cursor` for the next page; `None` on the last."""

    def __init__(self, jobs: list[Job], next_cursor: str | None = None) -> None:
        super().__init__(jobs)
        self.next_cursor = next_cursor


class JobPage(Model):
    """A page of jobs as it goes over the wire."""

    data: list[Job]
    next_cursor: str | None = None


class RequestRecordingPermissionResult(Model):
    """What became of something that a bot was asked to do: the answer to all six verbs."""

    job_id: str
    """The job."""
    command_id: str
    """The command."""
    action: ControlAction
    """What was asked."""
    state: ControlState
    """How far it has come: `done`, `denied`, or `pending` when the bot had not answered within 5 s."""
    status: JobStatus
    """The job's status now."""
    recording: Recording
    """The job's recording now."""
    requested_at: Timestamp
    """When it was asked."""
    updated_at: Timestamp
    """When its state last changed."""


class Unreadable(Exception):
    """A body does not hold what its call promises; the text says why, without showing what came."""


def _job_list(body: bytes) -> JobList:
    page = JobPage.model_validate_json(body)
    return JobList(page.data, page.next_cursor)


_READERS: dict[str, Callable[[bytes], Any]] = {
    "Job": Job.model_validate_json,
    "JobList": _job_list,
    "RequestRecordingPermissionResult": RequestRecordingPermissionResult.model_validate_json,
}


def read_model(model: str, body: bytes) -> Any:
    """The model of this name in a body.

    Raises:
        Unreadable: The body does not hold one.
    """
    reader = _READERS.get(model)
    if reader is None:
        # Most programs never need these.
        from . import _records

        reader = _READERS[model] = getattr(_records, model).model_validate_json
    try:
        return reader(body)
    except ValidationError as error:
        why = problems(error)
    # Outside of the handler: the error of pydantic shows what came, the API key included should it be in there.
    raise Unreadable(why)


def problems(error: ValidationError) -> str:
    """What is wrong, the first three things, without what was there."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {problem['msg']}"
        for problem in found[:3]
    )
