"""The Python SDK of meetbot: dispatch bots to video meetings, follow them, and verify their webhooks.

Example:
    >>> from meetbot import MeetBot
    >>> mb = MeetBot()  # $MEETBOT_API_KEY, $MEETBOT_API_BASE_URL
    >>> job = mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=20")
"""

from typing import TYPE_CHECKING

from ._client import MeetBot
from ._core import VERSION as __version__
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
    from ._async_client import AsyncMeetBot
    from ._models import (
        AutoLeave,
        AutoLeaveConfig,
        Job,
        JobList,
        Recording,
        RequestRecordingPermissionResult,
        Webhooks,
    )
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
    "AsyncMeetBot",
    "AutoLeave",
    "AutoLeaveConfig",
    "ControlAction",
    "ControlState",
    "FailureCode",
    "Issue",
    "Job",
    "JobList",
    "JobStatus",
    "LeaveReason",
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
    "Permission",
    "Platform",
    "Recording",
    "RecordingState",
    "RequestRecordingPermissionResult",
    "Webhooks",
    "__version__",
    "verify_webhook_signature",
]

# Imported when they are first asked for: the models bring pydantic, the asynchronous client asyncio.
_LATER = {
    "AsyncMeetBot": "_async_client",
    "AutoLeave": "_models",
    "AutoLeaveConfig": "_models",
    "Job": "_models",
    "JobList": "_models",
    "Recording": "_models",
    "RequestRecordingPermissionResult": "_models",
    "Webhooks": "_models",
    "ControlAction": "_words",
    "ControlState": "_words",
    "FailureCode": "_words",
    "JobStatus": "_words",
    "LeaveReason": "_words",
    "Permission": "_words",
    "Platform": "_words",
    "RecordingState": "_words",
}


def __getattr__(name: str) -> object:
    try:
        module = _LATER[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f".{module}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
