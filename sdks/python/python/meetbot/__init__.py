"""The Python SDK of meetbot: dispatch bots to video meetings, follow them, and verify their webhooks.

Example:
    >>> from meetbot import MeetBot
    >>> mb = MeetBot()  # $MEETBOT_API_KEY, $MEETBOT_API_BASE_URL
    >>> job = mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=20")
"""

from typing import TYPE_CHECKING

from ._sync.client import MeetBot
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

if TYPE_CHECKING:
    from . import testing, webhooks
    from ._async.client import AsyncMeetBot
    from ._async.following import AsyncStream
    from ._downloads import Progress
    from ._events import Caption, ChatMessage, Participant, RecordingEvent, TimelineEvent, WebhookEvent
    from ._sync.following import Stream
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
    from ._records import (
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
    from ._transport import AsyncTransport, Request, Response, Transport
    from ._words import (
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
    "Attempt": "_records",
    "Endpoint": "_records",
    "DeliveryTry": "_records",
    "Gap": "_records",
    "HostBots": "_records",
    "HostCpu": "_records",
    "HostDisk": "_records",
    "HostMemory": "_records",
    "ManifestFile": "_records",
    "ManifestParticipant": "_records",
    "Mixed": "_records",
    "RemovedObject": "_records",
    "Span": "_records",
    "SpeakingSpan": "_records",
    "UnavailableTrack": "_records",
    "Caption": "_events",
    "ChatMessage": "_events",
    "Participant": "_events",
    "RecordingEvent": "_events",
    "ControlResult": "_models",
    "AsyncStream": "_async.following",
    "Stream": "_sync.following",
    "Delivery": "_records",
    "DeliveryPage": "_records",
    "DeletionReceipt": "_records",
    "ErasureReceipt": "_records",
    "Host": "_records",
    "Manifest": "_records",
    "MissingRequirement": "_records",
    "PlatformAvailability": "_records",
    "PlatformPage": "_records",
    "TimelineEvent": "_events",
    "Track": "_records",
    "Usage": "_records",
    "WebhookEvent": "_events",
    "AsyncTransport": "_transport",
    "Request": "_transport",
    "Response": "_transport",
    "Transport": "_transport",
    "DeliveryState": "_words",
    "DeliveryStateWord": "_words",
    "EndpointState": "_words",
    "EventName": "_words",
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
    "ControlAction": "_words",
    "ControlState": "_words",
    "FailureCode": "_words",
    "JobStatus": "_words",
    "JobStatusWord": "_words",
    "LeaveReason": "_words",
    "MixState": "_words",
    "Permission": "_words",
    "Platform": "_words",
    "PlatformWord": "_words",
    "RecordingState": "_words",
    "Via": "_words",
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
