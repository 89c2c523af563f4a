"""The parts of a call, and checks of the options that a caller gives for one call."""

from __future__ import annotations

from ._errors import MeetbotConfigurationError

#: Method, path, JSON, headers; then the time limit and the idempotency key of this call alone.
Parts = tuple[
    str, str, "bytes | None", tuple[tuple[str, str], ...], "float | None", "str | None"
]

#: Time limits must be below this: 30,000 years.
MOST_SECONDS = 1e12


def check_sendable(parts: Parts) -> None:
    """Checks the options of one call.

    Raises:
        MeetbotConfigurationError: The time limit is no number of seconds, or the idempotency key is not ASCII.
    """
    _, _, _, _, timeout, idempotency_key = parts
    check_seconds("timeout", timeout)
    if idempotency_key is not None and not idempotency_key.isascii():
        raise MeetbotConfigurationError("an idempotency key is 1 to 255 visible ASCII characters")


def check_seconds(name: str, value: float | None) -> None:
    """Checks that the argument `name` is a number of seconds, or None.

    Raises:
        MeetbotConfigurationError: It is below 0, without an end, or no number.
    """
    try:
        if value is None or 0 <= value < MOST_SECONDS:
            return
    except TypeError:
        pass
    raise MeetbotConfigurationError(
        f"{name} is a number of seconds, not below 0 and with an end: {value!r} is none"
    )
