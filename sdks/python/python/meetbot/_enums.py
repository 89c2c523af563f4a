"""Open enums: sets of words that the server may extend. A word that this version does not know is a valid member."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal, TypeVar, Union

_W = TypeVar("_W", bound="Word")


class Word(str, Enum):
    """A word of the API. It is a `str`, prints as its word, and equals it: `status == "completed"`.

    A word that this version does not know is a member as good as any, only without a name in the class.
    """

    @classmethod
    def _missing_(cls: type[_W], value: object) -> _W | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_ = value.upper()
        word._value_ = value
        return word

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, form: str) -> str:
        return str.__format__(self, form)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return (type(self), (self._value_,))


class JobStatus(Word):
    """Where a job stands."""

    QUEUED = "queued"
    JOINING = "joining"
    IN_CALL = "in_call"
    RECORDING = "recording"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to the job any more. A word that this version does not know is not final.

        Example:
            >>> from meetbot import JobStatus
            >>> JobStatus("completed").is_final
            True
        """
        return self in _FINAL


_FINAL = frozenset({"completed", "failed", "cancelled"})


class LeaveReason(Word):
    """Why the bot left the meeting."""

    MEETING_ENDED = "meeting_ended"
    REMOVED = "removed"
    SILENCE = "silence"
    SOLO = "solo"
    MAX_DURATION = "max_duration"
    BOT_DETECTED = "bot_detected"
    REQUESTED = "requested"
    CANCELLED = "cancelled"
    NOT_ADMITTED = "not_admitted"


class RecordingState(Word):
    """Whether the bot records."""

    OFF = "off"
    AWAITING_PERMISSION = "awaiting_permission"
    ON = "on"
    PAUSED = "paused"
    STOPPED = "stopped"


class MixState(Word):
    """How far a recording's mix is."""

    PENDING = "pending"
    MADE = "made"
    UNAVAILABLE = "unavailable"


class Permission(Word):
    """Whether the meeting allows the recording."""

    NOT_REQUIRED = "not_required"
    PENDING = "pending"
    GRANTED = "granted"
    DENIED = "denied"


class Platform(Word):
    """A meeting's product."""

    GOOGLE_MEET = "google-meet"
    TEAMS = "teams"
    ZOOM_WEB = "zoom-web"
    JITSI = "jitsi"
    LIVEKIT = "livekit"
    GALENE = "galene"
    JANUS = "janus"
    SANDBOX = "sandbox"


class Via(Word):
    """How bots get into a platform's meetings."""

    NATIVE = "native"
    """They speak the platform's own protocol."""
    BROWSER = "browser"
    """They open the platform's web page."""
    RTMS = "rtms"
    """The platform streams the meeting to them; no bot is in the room."""
    SANDBOX = "sandbox"
    """The server plays the meeting itself."""


class FailureCode(Word):
    """Why a job failed."""

    WAITING_FOR_HOST = "waiting_for_host"
    MEETING_NOT_FOUND = "meeting_not_found"
    HOST_DENIED_ADMISSION = "host_denied_admission"
    REMOVED_FROM_MEETING = "removed_from_meeting"
    MEETING_ENDED = "meeting_ended"
    INTERNAL_ERROR = "internal_error"
    DISPATCH_TIMEOUT = "dispatch_timeout"
    NETWORK_LOSS = "network_loss"
    RECORDING_DISABLED = "recording_disabled"
    LOBBY_TIMEOUT = "lobby_timeout"
    AUTH_FAILURE = "auth_failure"
    QUOTA_EXCEEDED = "quota_exceeded"
    BOT_BLOCKED = "bot_blocked"
    REGISTRATION_REQUIRED = "registration_required"
    MEETING_FULL = "meeting_full"


class ControlAction(Word):
    """What a bot is asked to do."""

    REQUEST_RECORDING_PERMISSION = "request_recording_permission"
    PAUSE_RECORDING = "pause_recording"
    RESUME_RECORDING = "resume_recording"
    STOP_RECORDING = "stop_recording"
    LEAVE_CALL = "leave_call"
    SEND_CHAT_MESSAGE = "send_chat_message"
    CANCEL = "cancel"


class ControlState(Word):
    """How far a bot has come with what it was asked."""

    DONE = "done"
    PENDING = "pending"
    DENIED = "denied"
    EXPIRED = "expired"


class EventName(Word):
    """The name of an event."""

    STATUS_CHANGED = "job.status_changed"
    FINALIZED = "job.finalized"
    FAILED = "job.failed"
    ARTIFACT_READY = "job.artifact_ready"
    PERMISSION_REQUESTED = "bot.recording_permission_requested"
    PERMISSION_GRANTED = "bot.recording_permission_granted"
    PERMISSION_DENIED = "bot.recording_permission_denied"
    CHAT_MESSAGE = "bot.chat_message"
    CHAT_WITHHELD = "bot.chat_withheld"
    EVENTS_LEFT_OUT = "bot.events_left_out"
    PARTICIPANT_JOINED = "bot.participant_joined"
    PARTICIPANT_RENAMED = "bot.participant_renamed"
    PARTICIPANT_LEFT = "bot.participant_left"


class DeliveryState(Word):
    """How far a delivery has come."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class EndpointState(Word):
    """How a webhook endpoint is."""

    UP = "up"
    FAILING = "failing"
    DOWN = "down"


# Types of arguments: editors complete literals and type checkers check them; other values go through the enum,
# `JobStatus("on_hold")`. A plain `str` beside these would let every slip of the pen pass.
JobStatusWord = Union[
    JobStatus,
    Literal["queued", "joining", "in_call", "recording", "finalizing", "completed", "failed", "cancelled"],
]
PlatformWord = Union[
    Platform,
    Literal["google-meet", "teams", "zoom-web", "jitsi", "livekit", "galene", "janus", "sandbox"],
]
DeliveryStateWord = Union[DeliveryState, Literal["pending", "delivered", "dead"]]
