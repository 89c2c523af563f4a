"""Events of jobs: lines of a timeline, and webhooks."""

from __future__ import annotations

from functools import cache, partial
from typing import Annotated, Any, Union

from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError, model_validator

from ._enums import EventName, FailureCode, JobStatus, LeaveReason, Permission, Via
from ._models import Count, Flag, Metadata, Model, OrPlain, Timestamp, Whole, problems
from ._responses import ManifestFile


class Participant(Model):
    """Someone in the meeting."""

    id: str | None = None
    name: str | None = None
    is_host: Flag = False
    is_bot: Flag = False


class ChatMessage(Model):
    """A message of the meeting's chat."""

    id: str | None = None
    sender_id: str | None = None
    sender: str | None = None
    text: str | None = None
    private: Flag = False
    """Whether only the bot was written to."""
    at_ms: Count = 0
    """Milliseconds from the recording's start."""


class Caption(Model):
    """A line of `captions.jsonl`: something that was said, in words."""

    speaker_id: str | None = None
    """The meeting's id for who said it."""
    speaker: str | None = None
    """Their name."""
    start_ms: Count = 0
    """Milliseconds from the recording's start."""
    end_ms: Count = 0
    text: str | None = None
    """The words."""


class RecordingEvent(Model):
    """A line of `events.jsonl`. Which fields it has follows from its `type`; the others are `None`, and fields that are not known are extra ones.

    Times are in milliseconds from the recording's start.
    """

    type: Annotated[str, OrPlain(str)] = ""
    """What happened: `started`, `participant_joined`, `participant_changed`, `participant_left`, `track`, `track_start`, `track_unavailable`, `gap`,
    `speaking`, `paused`, `resumed`, `stopped`, `connection_lost`, `datagrams_dropped`, `left`, `handed_over`. The set is open."""
    at_ms: Whole | None = None
    """When; a time from one moment to another has `start_ms` and `end_ms` in its place."""
    attempt: Whole | None = None
    """Which bot, from 1: of `started`, `track`, `datagrams_dropped`, `left` and `handed_over`."""
    started_at: Timestamp | None = None
    """The time 0 of the whole recording: of `started`."""
    participant: Participant | None = None
    """Who: of `participant_joined` and `participant_changed`."""
    id: str | None = None
    """Who: of `participant_left` and `speaking`."""
    file: str | None = None
    """Which media file: of `track`, `track_start` and `gap`."""
    participant_id: str | None = None
    """Who sent it: of `track` and `track_unavailable`."""
    kind: str | None = None
    """`audio` or `video`: of `track` and `track_unavailable`."""
    source: str | None = None
    """`microphone`, `camera` or `screen`: of `track` and `track_unavailable`."""
    codec: str | None = None
    """`opus`, `vp8`, `vp9`, `h264` or `pcm_s16le`, others where it is unavailable: of `track` and `track_unavailable`."""
    rotation: Whole | None = None
    """By how many degrees clockwise its pictures are to be turned: of `track`."""
    attributed_by: str | None = None
    """How it is known whose it is, as in the manifest: of `track`."""
    start_ms: Whole | None = None
    """From: of `gap` and `speaking`."""
    end_ms: Whole | None = None
    """To: of `gap` and `speaking`."""
    reason: str | None = None
    """Why: of `track_unavailable`, `gap` and `left`, as in the manifest."""
    lost: Whole | None = None
    """Packets that were sent but never came: of `gap`. Datagrams for which the bot's socket had no room: of `datagrams_dropped`."""


_UNNAMED = partial(EventName, "")


class EventData(Model):
    """What every event says; of an event that this version does not know, the rest is in the extra fields."""

    event: Annotated[EventName, OrPlain(_UNNAMED)] = Field(default_factory=_UNNAMED)
    sequence: Count = 0
    """Counts a job's events up from 1; 0 in a webhook that does not say it."""
    job_id: Annotated[str, OrPlain(str)] = ""
    """Empty in a timeline that does not repeat it."""
    external_id: str | None = None
    status: JobStatus | None = None
    metadata: Metadata = Field(default_factory=dict)


class StatusChanged(EventData):
    """Of `job.status_changed`."""

    previous_status: JobStatus | None = None
    status_detail: str | None = None
    leave_reason: LeaveReason | None = None
    via: Via | None = None
    """How the bot has got in; `None` in all but the change to `in_call`."""


class Finalized(EventData):
    """Of `job.finalized`."""

    manifest_uri: str | None = None
    leave_reason: LeaveReason | None = None
    duration_ms: Count = 0


class ArtifactReady(EventData):
    """Of `job.artifact_ready`: a file that is made after the job has ended (the mix) is there."""

    artifact: Annotated[ManifestFile, OrPlain(ManifestFile)] = Field(default_factory=ManifestFile)
    """The file, as the manifest lists it from now on."""
    manifest_uri: str | None = None


class Failed(EventData):
    """Of `job.failed`, which says code and detail in two spellings, `failureCode` and `failure_code`."""

    @model_validator(mode="before")
    @classmethod
    def _either(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        both = {"failure_code": "failureCode", "failure_detail": "failureDetail"}
        newer = {old: data[new] for old, new in both.items() if data.get(new) is not None}
        return {**data, **newer}

    failure_code: FailureCode | None = Field(None, alias="failure_code")
    failure_detail: str | None = Field(None, alias="failure_detail")
    failure_reason: str | None = Field(None, alias="failure_reason")
    """The detail again, for receivers of version 1."""
    manifest_uri: str | None = None


class PermissionChanged(EventData):
    """Of the three `bot.recording_permission_*`."""

    permission: Permission | None = None


class ChatWritten(EventData):
    """Of `bot.chat_message`."""

    message: Annotated[ChatMessage, OrPlain(ChatMessage)] = Field(default_factory=ChatMessage)


class ChatWithheld(EventData):
    """Of `bot.chat_withheld`, which only the timeline has: nothing was to be recorded for a while, and that is over."""

    messages: Count = 0
    """How many messages of the chat are in no file and no event."""
    captions: Count = 0
    """How many captions are in no file."""


class EventsLeftOut(EventData):
    """Of `bot.events_left_out`, which only the timeline has: too much happened in the meeting to report all of it."""

    messages: Count = 0
    """How many messages of the chat are in `chat.jsonl` and have no event."""
    participant_events: Count = 0
    """How often somebody joined, left or changed their name, which is in `events.jsonl` and has no event."""


class ParticipantChanged(EventData):
    """Of `bot.participant_joined` and `bot.participant_left`."""

    participant: Annotated[Participant, OrPlain(Participant)] = Field(default_factory=Participant)


class ParticipantRenamed(EventData):
    """Of `bot.participant_renamed`."""

    participant: Annotated[Participant, OrPlain(Participant)] = Field(default_factory=Participant)
    """Who, under their new name."""
    previous_name: str | None = None
    """The name before."""


_KINDS = {
    "job.status_changed": "status",
    "job.finalized": "finalized",
    "job.failed": "failed",
    "job.artifact_ready": "artifact",
    "bot.recording_permission_requested": "permission",
    "bot.recording_permission_granted": "permission",
    "bot.recording_permission_denied": "permission",
    "bot.chat_message": "chat",
    "bot.chat_withheld": "withheld",
    "bot.events_left_out": "left_out",
    "bot.participant_joined": "participant",
    "bot.participant_renamed": "renamed",
    "bot.participant_left": "participant",
}


def _kind(data: Any) -> str:
    name = data.get("event") if isinstance(data, dict) else getattr(data, "event", None)
    return _KINDS.get(str(name), "other")


AnyEventData = Annotated[
    Union[
        Annotated[StatusChanged, Tag("status")],
        Annotated[Finalized, Tag("finalized")],
        Annotated[Failed, Tag("failed")],
        Annotated[ArtifactReady, Tag("artifact")],
        Annotated[PermissionChanged, Tag("permission")],
        Annotated[ChatWritten, Tag("chat")],
        Annotated[ChatWithheld, Tag("withheld")],
        Annotated[EventsLeftOut, Tag("left_out")],
        Annotated[ParticipantChanged, Tag("participant")],
        Annotated[ParticipantRenamed, Tag("renamed")],
        Annotated[EventData, Tag("other")],
    ],
    Discriminator(_kind),
]


def _named(event: EventName, data: EventData) -> EventData:
    """The data with the envelope's name, where it does not repeat it."""
    if data.event:
        return data
    try:
        return _any_event_data().validate_python(
            {**data.model_dump(by_alias=True), "event": str(event)}
        )
    except ValidationError as error:
        why = problems(error)
    # Outside of the handler: the error of pydantic shows what came.
    raise ValueError(why)


@cache
def _any_event_data() -> TypeAdapter[EventData]:
    return TypeAdapter(AnyEventData)


class TimelineEvent(Model):
    """One line of a job's timeline; `isinstance(event.data, StatusChanged)` tells what it carries."""

    id: str | None = None
    event: EventName
    emitted_at: Timestamp | None = None
    data: AnyEventData

    @model_validator(mode="after")
    def _whole(self) -> TimelineEvent:
        self.data = _named(self.event, self.data)
        if self.data.sequence == 0:
            raise ValueError("data.sequence is missing")
        return self


class EventPage(Model):
    """A page of a job's timeline, oldest first."""

    data: list[TimelineEvent]
    next_cursor: str | None = None


class WebhookEvent(Model):
    """A webhook as it was sent; `isinstance(event.data, Finalized)` tells what it carries."""

    delivery_id: str | None = None
    """The same over all tries: keep it, to take each delivery once."""
    event: EventName
    emitted_at: Timestamp | None = None
    attempt: Count = 0
    """Which try this is, from 1."""
    version: Count = 0
    data: AnyEventData

    @model_validator(mode="after")
    def _whole(self) -> WebhookEvent:
        self.data = _named(self.event, self.data)
        if not self.data.job_id:
            raise ValueError("data.jobId is missing")
        return self
