"""The Python SDK of meetbot: dispatch bots to video meetings, follow them, and verify their webhooks.

Example:
    >>> from meetbot import MeetBot
    >>> mb = MeetBot()  # $MEETBOT_API_KEY, $MEETBOT_API_BASE_URL
    >>> job = mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=20")
"""

from typing import TYPE_CHECKING

from ._core import VERSION as __version__
from ._core import Answer
from ._errors import (
    Issue,
    MeetbotConfigurationError,
    MeetbotConflictError,
    MeetbotConnectionError,
    MeetbotDecodeError,
    MeetbotError,
    MeetbotFileError,
    MeetbotForbiddenError,
    MeetbotNotFoundError,
    MeetbotRateLimitError,
    MeetbotServerError,
    MeetbotTimeoutError,
    MeetbotUnauthorizedError,
    MeetbotUnexpectedStatusError,
    MeetbotValidationError,
)
from ._signature import verify_webhook_signature
from ._sync.client import MeetBot

if TYPE_CHECKING:
    from . import testing, webhooks
    from ._async.client import AsyncMeetBot
    from ._async.streams import AsyncStream
    from ._downloads import Progress
    from ._enums import (
        ControlAction,
        ControlState,
        DeliveryState,
        DeliveryStateWord,
        EndpointState,
        EventName,
        FailureCode,
        JobStatus,
        JobStatusWord,
        LeaveReason,
        MixState,
        Permission,
        Platform,
        PlatformWord,
        RecordingState,
        Via,
    )
    from ._events import Caption, ChatMessage, Participant, RecordingEvent, TimelineEvent, WebhookEvent
    from ._httpx import AsyncHttpxTransport, HttpxTransport
    from ._models import (
        AutoLeave,
        AutoLeaveConfig,
        AutoLeaveSettings,
        ControlResult,
        Job,
        JobList,
        Recording,
        RequestRecordingPermissionResult,
        Webhooks,
    )
    from ._observe import CallEnded, CallStarted
    from ._raw import RawResponse
    from ._responses import (
        Attempt,
        DeletionReceipt,
        Delivery,
        DeliveryPage,
        DeliveryTry,
        Endpoint,
        ErasureReceipt,
        Gap,
        Host,
        HostBots,
        HostCpu,
        HostDisk,
        HostMemory,
        Manifest,
        ManifestFile,
        ManifestParticipant,
        MissingRequirement,
        Mixed,
        PlatformAvailability,
        PlatformPage,
        RemovedObject,
        Span,
        SpeakingSpan,
        Track,
        UnavailableTrack,
        Usage,
    )
    from ._sync.streams import Stream
    from ._transport import AsyncTransport, Request, Response, Transport

__all__ = [
    "Answer",
    "AsyncHttpxTransport",
    "AsyncMeetBot",
    "AsyncStream",
    "AsyncTransport",
    "Attempt",
    "AutoLeave",
    "AutoLeaveConfig",
    "AutoLeaveSettings",
    "CallEnded",
    "CallStarted",
    "Caption",
    "ChatMessage",
    "ControlAction",
    "ControlResult",
    "ControlState",
    "DeletionReceipt",
    "Delivery",
    "DeliveryPage",
    "DeliveryState",
    "DeliveryStateWord",
    "DeliveryTry",
    "Endpoint",
    "EndpointState",
    "ErasureReceipt",
    "EventName",
    "FailureCode",
    "Gap",
    "Host",
    "HostBots",
    "HostCpu",
    "HostDisk",
    "HostMemory",
    "HttpxTransport",
    "Issue",
    "Job",
    "JobList",
    "JobStatus",
    "JobStatusWord",
    "LeaveReason",
    "Manifest",
    "ManifestFile",
    "ManifestParticipant",
    "MeetBot",
    "MeetbotConfigurationError",
    "MeetbotConflictError",
    "MeetbotConnectionError",
    "MeetbotDecodeError",
    "MeetbotError",
    "MeetbotFileError",
    "MeetbotForbiddenError",
    "MeetbotNotFoundError",
    "MeetbotRateLimitError",
    "MeetbotServerError",
    "MeetbotTimeoutError",
    "MeetbotUnauthorizedError",
    "MeetbotUnexpectedStatusError",
    "MeetbotValidationError",
    "MissingRequirement",
    "MixState",
    "Mixed",
    "Participant",
    "Permission",
    "Platform",
    "PlatformAvailability",
    "PlatformPage",
    "PlatformWord",
    "Progress",
    "RawResponse",
    "Recording",
    "RecordingEvent",
    "RecordingState",
    "RemovedObject",
    "Request",
    "RequestRecordingPermissionResult",
    "Response",
    "Span",
    "SpeakingSpan",
    "Stream",
    "TimelineEvent",
    "Track",
    "Transport",
    "UnavailableTrack",
    "Usage",
    "Via",
    "WebhookEvent",
    "Webhooks",
    "__version__",
    "testing",
    "verify_webhook_signature",
    "webhooks",
]

# Imported when they are first asked for: the models bring pydantic, the asynchronous client asyncio.
_LATER = {
    "Attempt": "_responses",
    "Endpoint": "_responses",
    "DeliveryTry": "_responses",
    "Gap": "_responses",
    "HostBots": "_responses",
    "HostCpu": "_responses",
    "HostDisk": "_responses",
    "HostMemory": "_responses",
    "ManifestFile": "_responses",
    "ManifestParticipant": "_responses",
    "Mixed": "_responses",
    "RemovedObject": "_responses",
    "Span": "_responses",
    "SpeakingSpan": "_responses",
    "UnavailableTrack": "_responses",
    "Caption": "_events",
    "ChatMessage": "_events",
    "Participant": "_events",
    "RecordingEvent": "_events",
    "ControlResult": "_models",
    "AsyncStream": "_async.streams",
    "Stream": "_sync.streams",
    "Delivery": "_responses",
    "DeliveryPage": "_responses",
    "DeletionReceipt": "_responses",
    "ErasureReceipt": "_responses",
    "Host": "_responses",
    "Manifest": "_responses",
    "MissingRequirement": "_responses",
    "PlatformAvailability": "_responses",
    "PlatformPage": "_responses",
    "TimelineEvent": "_events",
    "Track": "_responses",
    "Usage": "_responses",
    "WebhookEvent": "_events",
    "AsyncTransport": "_transport",
    "Request": "_transport",
    "Response": "_transport",
    "Transport": "_transport",
    "DeliveryState": "_enums",
    "DeliveryStateWord": "_enums",
    "EndpointState": "_enums",
    "EventName": "_enums",
    "AsyncHttpxTransport": "_httpx",
    "HttpxTransport": "_httpx",
    "Progress": "_downloads",
    "RawResponse": "_raw",
    "CallEnded": "_observe",
    "CallStarted": "_observe",
    "AsyncMeetBot": "_async.client",
    "AutoLeave": "_models",
    "AutoLeaveConfig": "_models",
    "AutoLeaveSettings": "_models",
    "Job": "_models",
    "JobList": "_models",
    "Recording": "_models",
    "RequestRecordingPermissionResult": "_models",
    "Webhooks": "_models",
    "ControlAction": "_enums",
    "ControlState": "_enums",
    "FailureCode": "_enums",
    "JobStatus": "_enums",
    "JobStatusWord": "_enums",
    "LeaveReason": "_enums",
    "MixState": "_enums",
    "Permission": "_enums",
    "Platform": "_enums",
    "PlatformWord": "_enums",
    "RecordingState": "_enums",
    "Via": "_enums",
}


if not TYPE_CHECKING:
    # Type checkers would take it as saying that there is every name.
    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in ("testing", "webhooks"):
            return import_module(f".{name}", __name__)
        try:
            module = _LATER[name]
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        found = globals()[name] = getattr(import_module(f".{module}", __name__), name)
        return found


def __dir__() -> list[str]:
    return sorted(__all__)
