"""Webhooks: whether they are the server's and fresh, and what they say."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from . import _core
from ._errors import MeetbotDecodeError, MeetbotError
from ._events import (
    ChatMessage,
    ChatWritten,
    EventData,
    Failed,
    Finalized,
    Participant,
    ParticipantChanged,
    PermissionChanged,
    StatusChanged,
    WebhookEvent,
)
from ._models import Unreadable, read_model
from ._signature import verify_webhook_signature

__all__ = [
    "ChatMessage",
    "ChatWritten",
    "EventData",
    "Failed",
    "Finalized",
    "Headers",
    "MeetbotSignatureError",
    "Participant",
    "ParticipantChanged",
    "PermissionChanged",
    "StatusChanged",
    "WebhookEvent",
    "unwrap",
    "verify_webhook_signature",
]

#: How old a webhook may be, in seconds, and how far ahead its clock.
TOLERANCE = 300.0


class MeetbotSignatureError(MeetbotError):
    """The webhook is not the server's, or it is an old one that was sent again: answer 401."""


class Headers(Protocol):
    """A request's headers as frameworks give them: a mapping, or whatever else has such `items`, like Flask's."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Their names and values."""
        ...


def unwrap(
    body: bytes | bytearray | memoryview | str,
    headers: Headers,
    secret: str | Iterable[str],
    *,
    tolerance: float | None = TOLERANCE,
) -> WebhookEvent:
    """Verifies a webhook and reads it.

    By the headers of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`), which sign the time too. `X-Meetbot-Signature` signs none:
    it is taken only where the age does not matter, or whoever has an old webhook could leave those headers out.

    Args:
        body: The raw body. One that was parsed and printed again is another body.
        headers: The request's headers, in any spelling of their names.
        secret: The webhook secret, `whsec_…`; several during a rotation, and any of them will do.
        tolerance: How many seconds old the webhook may be, five minutes by default. Given as `None`, its age does not matter.

    Raises:
        MeetbotSignatureError: It is not signed with any of the secrets, or too old: answer 401.
        MeetbotDecodeError: It is signed, but no event that this version can read: answer 200, or it is sent again.

    Example:
        >>> from meetbot import testing, webhooks
        >>> body, headers = testing.sign_webhook({"event": "job.finalized", "manifestUri": "file:///m.json"}, "whsec_dGVzdA==")
        >>> event = webhooks.unwrap(body, headers, "whsec_dGVzdA==")
        >>> if isinstance(event.data, webhooks.Finalized):
        ...     print(event.data.manifest_uri)
        file:///m.json
    """
    try:
        raw = body.encode() if isinstance(body, str) else bytes(body)
    except UnicodeEncodeError:
        raise _refused("its body is no text that can be sent") from None
    found = {name.lower(): value for name, value in headers.items()}
    secrets = (secret,) if isinstance(secret, str) else tuple(secret)
    if "webhook-signature" in found:
        _verify_standard(raw, found, secrets, tolerance)
    elif tolerance is not None:
        raise _refused("nothing in it says when it was sent; with tolerance=None its age does not matter")
    elif not verify_webhook_signature(
        body=raw, header=found.get("x-meetbot-signature"), secret=secrets
    ):
        raise _refused("the signature is missing or not made with this secret")
    try:
        event: WebhookEvent = read_model("WebhookEvent", raw)
    except Unreadable as error:
        raise MeetbotDecodeError(
            f"the webhook is signed but no event that this version can read: {error}",
            body=raw.decode(errors="replace"),
        ) from None
    return event


def _verify_standard(
    raw: bytes, headers: Mapping[str, str], secrets: tuple[str, ...], tolerance: float | None
) -> None:
    identity, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signatures = headers["webhook-signature"]
    try:
        # All are tried, so that the time taken does not tell which one fits.
        fits = [_core.verify_standard(identity, sent, raw, signatures, one) for one in secrets]
    except UnicodeEncodeError:
        raise _refused("a header of it is no text that can be sent") from None
    if not any(fits):
        raise _refused("the signature is not made with this secret")
    if tolerance is None:
        return
    try:
        age = abs(time.time() - int(sent))
    except (ValueError, OverflowError):
        raise _refused("its timestamp is no time") from None
    # The right way round for NaN, which is neither more nor less than anything.
    if not age <= tolerance:
        raise _refused(f"it was sent more than {tolerance:g} s ago or ahead: is the clock right?")


def _refused(why: str) -> MeetbotSignatureError:
    return MeetbotSignatureError(f"the webhook is not taken: {why}")
