"""What else the API tells of jobs: manifests, events, deliveries, receipts."""

from __future__ import annotations

from typing import Annotated, Any, Union

from pydantic import Discriminator, Field, Tag

from ._models import Model, Timestamp
from ._words import (
    DeliveryState,
    EndpointState,
    EventName,
    FailureCode,
    JobStatus,
    LeaveReason,
    Permission,
    Platform,
)


class ManifestParticipant(Model):
    """Someone who was in the meeting. Times are milliseconds from the manifest's `started_at`."""

    id: str
    name: str
    is_bot: bool
    is_host: bool
    joined_at: int
    left_at: int | None = None
    """`None` when they were there to the end."""
    speaking_ms: int
    """How long they spoke, by audio level."""
    names: list[str]
    """Every name they had."""


class Gap(Model):
    """A time without media."""

    start_ms: int
    end_ms: int
    reason: str
    """`packet_loss`, `muted`, `paused` or `bot_lost`. The set is open."""


class Track(Model):
    """One media file."""

    file: str
    participant_id: str
    kind: str
    """`audio` or `video`."""
    source: str
    """`microphone`, `camera` or `screen`."""
    codec: str
    container: str
    start_ms: int
    duration_ms: int
    packets: int
    lost_packets: int
    bytes: int
    sha256: str
    gaps: list[Gap]


class ManifestFile(Model):
    """A file beside the manifest."""

    name: str
    media_type: str
    bytes: int
    sha256: str


class Mixed(Model):
    """The mix of all audio tracks."""

    file: str | None = None
    missing_because: str | None = None


class Span(Model):
    """From when to when, in milliseconds."""

    start_ms: int
    end_ms: int


class Attempt(Model):
    """One bot that worked on a recording."""

    attempt: int
    joined_ms: int | None = None
    ended_ms: int | None = None
    outcome: str
    """`left`, `lost` or `never_joined`."""
    gap_ms: int | None = None


class Manifest(Model):
    """What was recorded, by whom, when, and in which files."""

    schema_version: int
    job_id: str
    external_id: str | None = None
    meeting_url: str
    platform: Platform
    display_name: str
    complete: bool
    """Whether the recording has no break."""
    started_at: Timestamp
    ended_at: Timestamp
    duration_ms: int
    leave_reason: LeaveReason | None = None
    failure_code: FailureCode | None = None
    participants: list[ManifestParticipant]
    tracks: list[Track]
    files: list[ManifestFile]
    """Every file beside the manifest."""
    mixed: Mixed = Field(default_factory=Mixed)
    captions: str | None = None
    chat: str | None = None
    pauses: list[Span]
    attempts: list[Attempt]


class RemovedObject(Model):
    """A stored object that was removed."""

    name: str
    bytes: int


class DeletionReceipt(Model):
    """What became of a recording that was to be deleted."""

    job_id: str
    deleted_at: Timestamp
    removed: list[RemovedObject]
    already_gone: list[str]


class ErasureReceipt(Model):
    """What became of a consumer that was to be erased."""

    consumer: str
    erased_at: Timestamp
    jobs: int
    keys: int
    removed: list[RemovedObject]


class HostCpu(Model):
    """The processors of a server's machine."""

    cores: int
    used_percent: float
    """How busy all of them are together, from 0 to 100."""
    load1: float
    load5: float
    load15: float


class HostMemory(Model):
    """The memory of a server's machine."""

    total_bytes: int
    used_bytes: int
    server_bytes: int
    """What the server uses of it, with its bots."""


class HostDisk(Model):
    """The disk that holds the server's data."""

    total_bytes: int
    free_bytes: int


class HostBots(Model):
    """The bots of a server."""

    running: int
    max: int


class Host(Model):
    """The machine of a server, and what the server does on it."""

    version: str
    uptime_seconds: int
    draining: bool
    """Whether it is stopping: it takes no more jobs then."""
    cpu: HostCpu
    memory: HostMemory
    disk: HostDisk
    bots: HostBots
    jobs: dict[str, int]
    """How many jobs there are in each status, all consumers' together."""
    webhook_backlog: int
    """How many webhooks have neither arrived nor been given up."""


class Usage(Model):
    """What a key's consumer has used, in the key's world (live or test)."""

    month: str
    """In UTC, as in `2026-11`."""
    minutes: int
    """Started minutes in meetings: of jobs that ended in this month, but for failures that are not billed, and of bots in a meeting now."""
    max_minutes: int | None
    """How many there may be before new jobs are refused with `quota_exceeded`; `None`: no limit."""
    bots: int
    """Jobs with a bot, or with one to come for one that was lost."""
    max_bots: int | None
    """How many there may be before further jobs wait in the queue; `None`: no limit of this consumer's."""


class Participant(Model):
    """Someone in the meeting."""

    id: str
    name: str
    is_host: bool
    is_bot: bool


class ChatMessage(Model):
    """A message of the meeting's chat."""

    id: str
    sender_id: str
    sender: str
    text: str
    private: bool
    """Whether only the bot was written to."""
    at_ms: int
    """Milliseconds from the recording's start."""


class EventData(Model):
    """What every event says; of an event that this version does not know, the rest is in the extra fields."""

    event: EventName
    sequence: int
    """Counts a job's events up from 1."""
    job_id: str
    external_id: str | None = None
    status: JobStatus
    metadata: dict[str, Any] = Field(default_factory=dict)


class StatusChanged(EventData):
    """Of `job.status_changed`."""

    previous_status: JobStatus | None = None
    status_detail: str | None = None
    leave_reason: LeaveReason | None = None


class Finalized(EventData):
    """Of `job.finalized`."""

    manifest_uri: str | None = None
    leave_reason: LeaveReason | None = None
    duration_ms: int = 0


class Failed(EventData):
    """Of `job.failed`."""

    failure_code: FailureCode | None = Field(None, alias="failure_code")
    failure_detail: str | None = Field(None, alias="failure_detail")
    failure_reason: str | None = Field(None, alias="failure_reason")
    """The detail again, for receivers of version 1."""
    manifest_uri: str | None = None


class PermissionChanged(EventData):
    """Of the three `bot.recording_permission_*`."""

    permission: Permission


class ChatWritten(EventData):
    """Of `bot.chat_message`."""

    message: ChatMessage


class ParticipantChanged(EventData):
    """Of `bot.participant_joined` and `bot.participant_left`."""

    participant: Participant


_KINDS = {
    "job.status_changed": "status",
    "job.finalized": "finalized",
    "job.failed": "failed",
    "bot.recording_permission_requested": "permission",
    "bot.recording_permission_granted": "permission",
    "bot.recording_permission_denied": "permission",
    "bot.chat_message": "chat",
    "bot.participant_joined": "participant",
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
        Annotated[PermissionChanged, Tag("permission")],
        Annotated[ChatWritten, Tag("chat")],
        Annotated[ParticipantChanged, Tag("participant")],
        Annotated[EventData, Tag("other")],
    ],
    Discriminator(_kind),
]


class TimelineEvent(Model):
    """One line of a job's timeline; `isinstance(event.data, StatusChanged)` tells what it carries."""

    id: str
    event: EventName
    emitted_at: Timestamp
    data: AnyEventData


class EventPage(Model):
    """A page of a job's timeline, oldest first."""

    data: list[TimelineEvent]
    next_cursor: str | None = None


class WebhookEvent(Model):
    """A webhook as it was sent; `isinstance(event.data, Finalized)` tells what it carries."""

    delivery_id: str
    """The same over all tries: keep it, to take each delivery once."""
    event: EventName
    emitted_at: Timestamp
    attempt: int
    """Which try this is, from 1."""
    version: int
    data: AnyEventData


class DeliveryTry(Model):
    """One try of a delivery."""

    at: Timestamp
    duration_ms: int
    status: int | None = None
    error: str | None = None
    answer: str | None = None


class Endpoint(Model):
    """How the endpoint of a delivery is now."""

    state: EndpointState
    failures: int
    failing_since: Timestamp | None = None
    rests_until: Timestamp | None = None


class Delivery(Model):
    """One event on its way to one webhook endpoint."""

    id: str
    job_id: str
    event: EventName
    sequence: int
    url: str
    state: DeliveryState
    next_try_at: Timestamp | None = None
    created_at: Timestamp
    endpoint: Endpoint | None = None
    tries: list[DeliveryTry]


class DeliveryPage(Model):
    """A page of deliveries, newest first."""

    data: list[Delivery]
    next_cursor: str | None = None
