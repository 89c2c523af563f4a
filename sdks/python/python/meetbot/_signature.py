"""Whether a webhook is the server's."""

from __future__ import annotations

from collections.abc import Iterable

from . import _core


def verify_webhook_signature(
    *, body: bytes | bytearray | memoryview | str, header: str | None, secret: str | Iterable[str]
) -> bool:
    """Whether `header`, the value of `X-Meetbot-Signature`, is the signature of exactly these bytes.

    In constant time. `False` for a missing header, an empty secret, or any other form than `sha256=` and 64 hex digits.

    Args:
        body: The raw body. One that was parsed and printed again is another body.
        header: The header's value; `None` when it was not sent.
        secret: The webhook secret, `whsec_…`; several during a rotation, and any of them will do.

    Example:
        >>> from meetbot import verify_webhook_signature
        >>> header = "sha256=00850923c6e3021c39db699664a5fbda4d62d6fb12a06566cda33074bfac21b1"
        >>> verify_webhook_signature(body=b"{}", header=header, secret="whsec_dGVzdA==")
        True
        >>> verify_webhook_signature(body=b"{ }", header=header, secret="whsec_dGVzdA==")
        False
    """
    secrets = (secret,) if isinstance(secret, str) else tuple(secret)
    try:
        raw = body.encode() if isinstance(body, str) else bytes(body)
        # All are tried, so that the time taken does not tell which one fits.
        return any([_core.verify_signature(raw, header, one) for one in secrets])
    except UnicodeEncodeError:
        # A header or a body that is no text, as some servers decode what a stranger sends: nobody has signed it.
        return False
