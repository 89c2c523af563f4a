"""What the API answers with, as pydantic models.

Required of an answer is what gives it meaning; a server that is older or newer than this SDK may leave out the rest, send `null`, words that are not known
here, and more fields. What is missing or `null` reads as `None`, 0, `False`, empty, or a model of which nothing is known. A value of another type
is an error (`spec/README.md` has the rule, `spec/vectors/answers.json` the cases).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, TypedDict, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    Strict,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from ._enums import (
    ControlAction,
    ControlState,
    FailureCode,
    JobStatus,
    LeaveReason,
    Permission,
    Platform,
    RecordingState,
)
from ._errors import MeetbotConfigurationError
from ._times import wire_time

__all__ = [
    "AutoLeave",
    "AutoLeaveConfig",
    "AutoLeaveSettings",
    "ControlResult",
    "Job",
    "JobList",
    "Recording",
    "RequestRecordingPermissionResult",
    "Webhooks",
]


T = TypeVar("T")


class OrPlain:
    """Reads `null` as what a missing field reads as."""

    def __init__(self, plain: Callable[[], Any]) -> None:
        self._plain = plain

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        nullable = core_schema.nullable_schema(handler(source))
        return core_schema.no_info_after_validator_function(self._filled, nullable)

    def _filled(self, value: Any) -> Any:
        return self._plain() if value is None else value


class Moment:
    """Reads RFC 3339 with an offset, and a `datetime`. pydantic alone takes numbers too, as seconds since 1970."""

    _PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.chain_schema(
            [core_schema.str_schema(pattern=self._PATTERN), core_schema.datetime_schema()]
        )
        either = core_schema.union_schema([core_schema.datetime_schema(strict=True), text])
        return core_schema.json_or_python_schema(json_schema=text, python_schema=either)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


Timestamp = Annotated[
    datetime, Moment(), PlainSerializer(wire_time, return_type=str, when_used="json")
]
Id = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, Strict()]
#: Fields that are 0, `False` or empty if they are missing.
Count = Annotated[int, Strict(), OrPlain(int)]
Ratio = Annotated[float, Strict(), OrPlain(float)]
Flag = Annotated[bool, Strict(), OrPlain(bool)]
Many = Annotated[list[T], OrPlain(list)]
Metadata = Annotated[dict[str, Any], OrPlain(dict)]


class Model(BaseModel):
    """A part of an answer. Fields that this version does not know are kept, under the names they came with."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="allow", defer_build=True
    )


class Recording(Model):
    """The recording of a job."""

    state: RecordingState | None = None
    """Whether the bot records."""
    permission: Permission | None = None
    """Whether the meeting allows it."""
    started_at: Timestamp | None = None
    """When the first packet was on disk."""
    paused_ms: Count = 0
    """How long it was paused so far, in milliseconds."""
    bytes: Whole | None = None
    """How many bytes all files of the recording have on the server's disk, the manifest included; `None` until the job has ended, while they are still to be
    counted, and from a server that does not count them; 0 where nothing was recorded, or all of it is deleted."""
    deleted_at: Timestamp | None = None
    """When the recording was deleted."""


class Webhooks(Model):
    """Where webhooks of a job go."""

    on_status_change: str | None = None
    """Gets every event but `job.finalized` and `job.artifact_ready`."""
    on_finalize: str | None = None
    """Gets `job.finalized`, `job.failed` and `job.artifact_ready`."""


class AutoLeave(Model):
    """When the bot leaves by itself: what was set, and the server's defaults for the rest. `None`: the rule is off."""

    after_entry_delay_seconds: Whole | None = None
    after_silence_seconds: Whole | None = None
    after_solo_seconds: Whole | None = None
    after_max_seconds: Whole | None = None
    on_bot_detected: Flag = False


class AutoLeaveSettings(TypedDict, total=False):
    """The fields of `AutoLeaveConfig` as a dictionary; `AutoLeaveConfig.read` takes any other mapping."""

    after_entry_delay_seconds: int | None
    after_silence_seconds: int | None
    after_solo_seconds: int | None
    after_max_seconds: int | None
    on_bot_detected: bool


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
    """Leave when another notetaker bot is in the meeting; of several bots of one server the first stays (default off)."""

    @classmethod
    def read(cls, config: AutoLeaveConfig | AutoLeaveSettings | Mapping[str, Any]) -> AutoLeaveConfig:
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

    id: Id
    """Its id, `job_…`."""
    external_id: str | None = None
    """Your own id for it, if you gave one."""
    meeting_url: str | None = None
    """The meeting's URL as it was given."""
    platform: Platform | None = None
    """The meeting's product."""
    display_name: str | None = None
    """The name the bot shows in the meeting."""
    status: JobStatus
    """Where it stands. A word that this version does not know is not final."""
    status_detail: str | None = None
    """A hint about what the status is busy with: `scheduled`, `waiting_room`, `reconnecting`… The set is open."""
    recording: Annotated[Recording, OrPlain(Recording)] = Field(default_factory=Recording)
    """The recording."""
    join_at: Timestamp | None = None
    """When the bot is to join; `None` means at once."""
    webhooks: Annotated[Webhooks, OrPlain(Webhooks)] = Field(default_factory=Webhooks)
    """Where its webhooks go."""
    metadata: Metadata = Field(default_factory=dict)
    """Your own data, given back as it was sent."""
    auto_leave: Annotated[AutoLeave, OrPlain(AutoLeave)] = Field(default_factory=AutoLeave)
    """When the bot leaves by itself."""
    record_video: Annotated[bool, Strict()] | None = None
    """Whether cameras are recorded; `None` where the server's settings say it."""
    account: str | None = None
    """The operator's account as which the bot joins; `None` where it joins as a guest."""
    attempt: Count = 0
    """Which bot this is: 1 for the first, one more each time a lost bot is replaced; 0 before the first."""
    leave_reason: LeaveReason | None = None
    """Why the bot left."""
    failure_code: FailureCode | None = None
    """Why the job failed."""
    failure_detail: str | None = None
    """The failure in a sentence."""
    manifest_uri: str | None = None
    """Where the manifest is: `file://…` or `s3://…`. Set as soon as there is one, whatever the final status."""
    created_at: Timestamp | None = None
    """When it was created."""
    updated_at: Timestamp | None = None
    """When it last changed."""
    joined_at: Timestamp | None = None
    """When the first bot was in the call."""
    ended_at: Timestamp | None = None
    """When it ended."""

    def __str__(self) -> str:
        why = self.failure_code or self.leave_reason or self.status_detail
        return f"{self.id} {self.status}" + (f" ({why})" if why else "")


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


class ControlResult(Model):
    """What became of something that a bot was asked to do: the answer to all six verbs."""

    job_id: Id
    """The job's id."""
    command_id: str | None = None
    """The command's id."""
    action: ControlAction | None = None
    """What was asked."""
    state: ControlState
    """How far it has come: `done`, `denied`, or `pending` when the bot had not answered within 5 s."""
    status: JobStatus | None = None
    """The job's status now."""
    recording: Annotated[Recording, OrPlain(Recording)] = Field(default_factory=Recording)
    """The job's recording now."""
    requested_at: Timestamp | None = None
    """When it was asked."""
    updated_at: Timestamp | None = None
    """When its state last changed."""


#: The same, under the name that the SDK had first.
RequestRecordingPermissionResult = ControlResult


def problems(error: ValidationError) -> str:
    """What is wrong, the first three things, without what was there."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {problem['msg']}"
        for problem in found[:3]
    )
