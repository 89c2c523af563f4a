"""Webhooks: verifies their signature and age, and decodes them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from . import _core
from ._decode import Unreadable, read_model
from ._errors import MeetbotConfigurationError, MeetbotDecodeError, MeetbotError
from ._events import (
    ArtifactReady,
    ChatMessage,
    ChatWithheld,
    ChatWritten,
    EventData,
    EventsLeftOut,
    Failed,
    Finalized,
    Participant,
    ParticipantChanged,
    ParticipantRenamed,
    PermissionChanged,
    StatusChanged,
    WebhookEvent,
)
from ._signature import Body, Secrets, raw_body, texts, verify_webhook_signature

__all__ = [
    "ArtifactReady",
    "ChatMessage",
    "ChatWithheld",
    "ChatWritten",
    "EventData",
    "EventsLeftOut",
    "Failed",
    "Finalized",
    "Headers",
    "MeetbotSignatureError",
    "Participant",
    "ParticipantChanged",
    "ParticipantRenamed",
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
    body: Body,
    headers: Headers,
    secret: Secrets,
    *,
    tolerance: float | None = TOLERANCE,
) -> WebhookEvent:
    """Verifies a webhook and reads it.

    Verifies the headers of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`), whose signature covers the time too.
    `X-Meetbot-Signature` covers the body alone: it is accepted only with `tolerance=None`, since an attacker who replays an old webhook
    could leave the other headers out.

    Args:
        body: The raw body. One that was parsed and printed again is another body.
        headers: The request's headers, in any spelling of their names.
        secret: The webhook secret, `whsec_…`; several during a rotation, and any of them will do. White space at its ends, as files have
            it, is passed over.
        tolerance: How many seconds old the webhook may be, five minutes by default. Given as `None`, its age does not matter.

    Raises:
        MeetbotSignatureError: It is not signed with any of the secrets, or too old: answer 401.
        MeetbotDecodeError: It is signed, but no event that this version can read: answer 200, or it is sent again.
        MeetbotConfigurationError: A secret is missing or cannot be one (empty, without `whsec_`, not base64), the body was parsed, or the
            headers are no mapping: every webhook would be refused. Answer 500.

    Example:
        >>> from meetbot import testing, webhooks
        >>> body, headers = testing.sign_webhook({"event": "job.finalized", "manifestUri": "file:///m.json"}, "whsec_dGVzdA==")
        >>> event = webhooks.unwrap(body, headers, "whsec_dGVzdA==")
        >>> if isinstance(event.data, webhooks.Finalized):
        ...     print(event.data.manifest_uri)
        file:///m.json
    """
    secrets = texts(secret)
    found = _lower(headers)
    try:
        raw = raw_body(body)
    except UnicodeEncodeError:
        raise _refused("its body is no text that can be sent") from None
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


def _lower(headers: Headers) -> dict[str, str]:
    """The headers by their names in small letters."""
    if not hasattr(headers, "items"):
        raise MeetbotConfigurationError(
            f"the headers are a mapping, not of the type {type(headers).__name__}"
        )
    found = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise MeetbotConfigurationError(
                "the headers are a mapping of texts, and not of"
                f" {type(name).__name__} to {type(value).__name__}"
            )
        found[name.lower()] = value
    return found


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
    # Written so that NaN is refused: every comparison with NaN is false.
    if not age <= tolerance:
        raise _refused(f"it was sent more than {tolerance:g} s ago or ahead: is the clock right?")


def _refused(why: str) -> MeetbotSignatureError:
    return MeetbotSignatureError(f"the webhook is not taken: {why}")
