"""Verifies the signatures of webhooks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Union

from . import _core
from ._errors import MeetbotConfigurationError

#: A raw body, as frameworks give it.
Body = Union[bytes, bytearray, memoryview, str]

#: A webhook secret, or several during a rotation.
Secrets = Union[str, bytes, Iterable[Union[str, bytes]]]


def verify_webhook_signature(*, body: Body, header: str | None, secret: Secrets) -> bool:
    """Whether `header`, the value of `X-Meetbot-Signature`, is the signature of exactly these bytes.

    In constant time. `False` for a missing header, or any other form than `sha256=` and 64 hex digits.

    Args:
        body: The raw body. One that was parsed and printed again is another body.
        header: The header's value; `None` when it was not sent.
        secret: The webhook secret, `whsec_…`; several during a rotation, and any of them will do. White space at its ends, as files have
            it, is passed over.

    Raises:
        MeetbotConfigurationError: A secret is missing or cannot be one (empty, without `whsec_`, not base64), or the body was parsed: every
            webhook would be refused. Answer 500.

    Example:
        >>> from meetbot import verify_webhook_signature
        >>> header = "sha256=00850923c6e3021c39db699664a5fbda4d62d6fb12a06566cda33074bfac21b1"
        >>> verify_webhook_signature(body=b"{}", header=header, secret="whsec_dGVzdA==")
        True
        >>> verify_webhook_signature(body=b"{ }", header=header, secret="whsec_dGVzdA==")
        False
    """
    secrets = texts(secret)
    if header is not None and not isinstance(header, str):
        raise MeetbotConfigurationError(
            f"the signature's header is a text or None, not of the type {type(header).__name__}"
        )
    try:
        raw = raw_body(body)
        # All are tried, so that the time taken does not tell which one fits.
        return any([_core.verify_signature(raw, header, one) for one in secrets])
    except UnicodeEncodeError:
        # A header or a body that is not text, as some servers decode invalid requests: its signature is invalid.
        return False


def raw_body(body: Body) -> bytes:
    """The bytes that were signed.

    Raises:
        UnicodeEncodeError: The text cannot have been sent.
    """
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise MeetbotConfigurationError(
        f"the body is of the type {type(body).__name__}, and the signature is of its bytes: pass them as they came"
        " (Flask: request.get_data(), FastAPI: await request.body(), Django: request.body)"
    )


def texts(secret: Secrets) -> tuple[str, ...]:
    """The secrets as texts, each of which can be one.

    Raises:
        MeetbotConfigurationError: One cannot, or there is none.
    """
    if isinstance(secret, (str, bytes)):
        return (_text(secret),)
    # A mapping has no order, and gives its keys.
    if not isinstance(secret, Iterable) or hasattr(secret, "keys"):
        raise _no_secret(secret)
    found = tuple(_text(one) for one in secret)
    if not found:
        raise MeetbotConfigurationError("there is no webhook secret: the list of them is empty")
    return found


def _text(secret: str | bytes) -> str:
    if isinstance(secret, bytes):
        secret = secret.decode("utf-8", "replace")
    if not isinstance(secret, str):
        raise _no_secret(secret)
    # A text that cannot be encoded for the core (half of a surrogate pair) cannot be a secret.
    secret = secret.encode("utf-8", "replace").decode()
    _core.check_secret(secret)
    return secret


def _no_secret(secret: object) -> MeetbotConfigurationError:
    if secret is None:
        return MeetbotConfigurationError(
            "the webhook secret is None: is the variable that should hold it set?"
        )
    # Its value may be a secret in another form.
    return MeetbotConfigurationError(
        f"a webhook secret is a text, or a list of texts, not of the type {type(secret).__name__}"
    )
