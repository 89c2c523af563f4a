"""Models of manifests, deliveries, receipts and a server's host."""

from __future__ import annotations

from typing import Annotated, Any, Union

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from ._enums import (
    DeliveryState,
    EndpointState,
    EventName,
    FailureCode,
    LeaveReason,
    MixState,
    Platform,
    Via,
)
from ._models import (
    Count,
    Flag,
    Id,
    Many,
    Model,
    OrPlain,
    Ratio,
    Timestamp,
    Whole,
)


class Counted:
    """Reads numbers by name; a name whose number is `null` is missing."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        counts = handler.generate_schema(dict[str, Union[Whole, None]])
        return core_schema.no_info_after_validator_function(self._known, counts)

    @staticmethod
    def _known(counts: dict[str, int | None]) -> dict[str, int]:
        return {name: count for name, count in counts.items() if count is not None}


Counts = Annotated[dict[str, int], Counted(), OrPlain(dict)]


class ManifestParticipant(Model):
    """Someone who was in the meeting. Times are milliseconds from the manifest's `started_at`."""

    id: str | None = None
    name: str | None = None
    is_bot: Flag = False
    is_host: Flag = False
    joined_at: Count = 0
    left_at: Whole | None = None
    """`None` when they were there to the end."""
    speaking_ms: Count = 0
    """How long they spoke, by audio level."""
    names: Many[str] = Field(default_factory=list)
    """Every name they had."""


class SpeakingSpan(Model):
    """A time in which somebody spoke, in milliseconds from the manifest's `started_at`; pauses of less than half a second are part of it."""

    participant_id: str | None = None
    """Who, by their `id` among the participants."""
    start_ms: Count = 0
    end_ms: Count = 0


class Gap(Model):
    """A time without media."""

    start_ms: Count = 0
    end_ms: Count = 0
    reason: str | None = None
    """`packet_loss`, `muted`, `paused`, `absent` (they had left) or `network_loss` (the bot was cut off). The set is open."""


class Track(Model):
    """One media file."""

    file: str | None = None
    participant_id: str | None = None
    kind: str | None = None
    """`audio` or `video`."""
    source: str | None = None
    """`microphone`, `camera` or `screen`."""
    codec: str | None = None
    container: str | None = None
    rotation: Count = 0
    """By how many degrees clockwise the pictures are to be turned for showing: 0, 90, 180 or 270. The file says so too, so players and ffmpeg turn them."""
    attributed_by: str | None = None
    """How it is known whose it is: `stream` (the meeting sends each participant's media separately), `source` (the packets name a source, and the
    meeting its owner), `unnamed` (they name a source whose owner was not known when the file began), `mix` (several participants at once, in one
    file) or `played` (a page played it, named its source, and encoded it again). All frames of a track are attributed in the same way. The set is
    open."""
    start_ms: Count = 0
    duration_ms: Count = 0
    packets: Count = 0
    lost_packets: Count = 0
    bytes: Count = 0
    sha256: str | None = None
    gaps: Many[Gap] = Field(default_factory=list)


class UnavailableTrack(Model):
    """A camera, a shared screen or a voice that was sent and is in no file."""

    participant_id: str | None = None
    """Who sent it, by their `id` among the participants."""
    kind: str | None = None
    """`audio` or `video`."""
    source: str | None = None
    """`microphone`, `camera` or `screen`."""
    codec: str | None = None
    """How it was encoded, as in `av1`."""
    start_ms: Count = 0
    """When the first of it came, in milliseconds."""
    missing_because: str | None = None
    """Why it is in no file, in a sentence."""


class ManifestFile(Model):
    """A file beside the manifest."""

    name: str | None = None
    media_type: str | None = None
    bytes: Whole | None = None
    """`None` where it is not said: 0 is a size."""
    sha256: str | None = None


class FilePage(Model):
    """All files of a job, on one page."""

    data: list[ManifestFile]


class Mixed(Model):
    """The mix of all audio tracks, made after the job has ended."""

    state: MixState | None = None
    """`None` in manifests of servers that made it before they wrote the manifest."""
    file: str | None = None
    """The file; `None` when there is none (yet)."""
    missing_because: str | None = None
    """Why there is none; `None` while it is still to be made."""


class Span(Model):
    """From when to when, in milliseconds."""

    start_ms: Count = 0
    end_ms: Count = 0


class Attempt(Model):
    """One bot that worked on a recording."""

    attempt: Count = 0
    joined_ms: Whole | None = None
    ended_ms: Whole | None = None
    outcome: str | None = None
    """`left`, `handed_over` (a server that was stopped gave the job to the next one's bot), `lost` (the process died) or `never_joined`."""
    gap_ms: Whole | None = None
    dropped_datagrams: Count = 0
    """How many datagrams reached the machine in its time and were dropped, because the bot's socket was full: the bot read too late. Most of them are among the tracks' `lostPackets`."""


class Manifest(Model):
    """What was recorded, by whom, when, and in which files."""

    schema_version: Count = 0
    job_id: Id
    external_id: str | None = None
    meeting_url: str | None = None
    platform: Platform | None = None
    display_name: str | None = None
    complete: Flag = False
    """Whether the recording has no break."""
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    duration_ms: Count = 0
    leave_reason: LeaveReason | None = None
    failure_code: FailureCode | None = None
    participants: Many[ManifestParticipant] = Field(default_factory=list)
    speaking: Many[SpeakingSpan] = Field(default_factory=list)
    """Who spoke when, by audio level, by start; the spans of one participant neither overlap nor touch. At most 20,000: beyond that, spans with the shortest
    pauses between them are joined, and `events.jsonl` has each. Empty in manifests of servers that did not write it."""
    tracks: Many[Track] = Field(default_factory=list)
    unavailable: Many[UnavailableTrack] = Field(default_factory=list)
    """What people sent that could not be recorded. Empty in manifests of servers that did not write it."""
    files: Many[ManifestFile] = Field(default_factory=list)
    """Every file beside the manifest."""
    mixed: Annotated[Mixed, OrPlain(Mixed)] = Field(default_factory=Mixed)
    captions: str | None = None
    chat: str | None = None
    pauses: Many[Span] = Field(default_factory=list)
    attempts: Many[Attempt] = Field(default_factory=list)


class RemovedObject(Model):
    """A stored object that was removed."""

    name: str | None = None
    bytes: Count = 0


class DeletionReceipt(Model):
    """What became of a recording that was to be deleted."""

    job_id: str | None = None
    deleted_at: Timestamp | None = None
    removed: Many[RemovedObject] = Field(default_factory=list)
    already_gone: Many[str] = Field(default_factory=list)


class ErasureReceipt(Model):
    """What became of a consumer that was to be erased."""

    consumer: str | None = None
    erased_at: Timestamp | None = None
    jobs: Count = 0
    keys: Count = 0
    removed: Many[RemovedObject] = Field(default_factory=list)


class HostCpu(Model):
    """The processors of a server's machine."""

    cores: Count = 0
    used_percent: Ratio = 0.0
    """How busy all of them are together, from 0 to 100."""
    load1: Ratio = 0.0
    load5: Ratio = 0.0
    load15: Ratio = 0.0


class HostMemory(Model):
    """The memory of a server's machine."""

    total_bytes: Count = 0
    used_bytes: Count = 0
    server_bytes: Count = 0
    """What the server uses of it, with its bots."""


class HostDisk(Model):
    """The disk that holds the server's data."""

    total_bytes: Count = 0
    free_bytes: Count = 0


class HostBots(Model):
    """The bots of a server."""

    running: Count = 0
    max: Count = 0


class Host(Model):
    """The machine of a server, and what the server does on it."""

    version: str | None = None
    uptime_seconds: Count = 0
    draining: Flag = False
    """Whether it is stopping: it takes no more jobs then."""
    cpu: Annotated[HostCpu, OrPlain(HostCpu)] = Field(default_factory=HostCpu)
    memory: Annotated[HostMemory, OrPlain(HostMemory)] = Field(default_factory=HostMemory)
    disk: Annotated[HostDisk, OrPlain(HostDisk)] = Field(default_factory=HostDisk)
    bots: Annotated[HostBots, OrPlain(HostBots)] = Field(default_factory=HostBots)
    jobs: Counts = Field(default_factory=dict)
    """How many jobs there are in each status, all consumers' together."""
    webhook_backlog: Count = 0
    """How many webhooks have neither arrived nor been given up."""


class Usage(Model):
    """What a key's consumer has used, in the key's world (live or test)."""

    month: str | None = None
    """In UTC, as in `2026-11`."""
    minutes: Count = 0
    """Started minutes in meetings: of jobs that ended in this month, but for failures that are not billed, and of bots in a meeting now."""
    max_minutes: Whole | None = None
    """How many there may be before new jobs are refused with `quota_exceeded`; `None`: no limit."""
    bots: Count = 0
    """Jobs with a bot, or with one to come for one that was lost."""
    max_bots: Whole | None = None
    """How many there may be before further jobs wait in the queue; `None`: no limit of this consumer's."""
    queued_jobs: Count = 0
    """Jobs that have had no bot yet, whenever their time is."""
    max_queued_jobs: Whole | None = None
    """How many there may be before new jobs are refused with `quota_exceeded`; `None`: no limit."""


class MissingRequirement(Model):
    """Something that the bots of a server would need."""

    code: str | None = None
    """A stable word for programs."""
    message: str | None = None
    """What is missing and how an operator provides it, for people."""


class PlatformAvailability(Model):
    """One way into a platform's meetings. A platform may have several."""

    platform: Platform
    via: Via | None = None
    """How bots get into its meetings; `None` where the server's version has no bot for it."""
    joinable: Flag = False
    """Whether a job for one of its meetings is taken. It follows from what the server's settings and its machine have, not from the bots that run at the moment."""
    experimental: Flag = False
    """Whether it may break with any change that the platform makes."""
    missing: Many[MissingRequirement] = Field(default_factory=list)
    """What the operator has to install or set; empty where it can be joined."""


class PlatformPage(Model):
    """The platforms that a server recognises, all of them on one page."""

    data: list[PlatformAvailability]
    next_cursor: str | None = None


class DeliveryTry(Model):
    """One try of a delivery."""

    at: Timestamp | None = None
    duration_ms: Count = 0
    status: Whole | None = None
    error: str | None = None
    answer: str | None = None


class Endpoint(Model):
    """How the endpoint of a delivery is now."""

    state: EndpointState | None = None
    failures: Count = 0
    failing_since: Timestamp | None = None
    rests_until: Timestamp | None = None


class Delivery(Model):
    """One event on its way to one webhook endpoint."""

    id: Id
    job_id: str | None = None
    event: EventName | None = None
    sequence: Count = 0
    url: str | None = None
    state: DeliveryState
    next_try_at: Timestamp | None = None
    created_at: Timestamp | None = None
    endpoint: Annotated[Endpoint, OrPlain(Endpoint)] = Field(default_factory=Endpoint)
    tries: Many[DeliveryTry] = Field(default_factory=list)


class DeliveryPage(Model):
    """A page of deliveries, newest first."""

    data: list[Delivery]
    next_cursor: str | None = None
