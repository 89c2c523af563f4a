"""Times as the API writes them."""

from __future__ import annotations

from datetime import datetime, timezone

from ._errors import MeetbotConfigurationError


def wire_time(time: datetime) -> str:
    """UTC with milliseconds and `Z`, as the API writes it."""
    text = time.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def wire_time_of(name: str, value: datetime | str) -> str:
    """The time that a caller gave for the argument `name`; text is sent as it is.

    Raises:
        MeetbotConfigurationError: It has no time zone, or is beyond all dates in UTC.
    """
    if isinstance(value, str):
        return value
    if getattr(value, "tzinfo", None) is None:
        raise MeetbotConfigurationError(
            f"{name} is no time with a time zone: {value!r}; datetime(…, tzinfo=timezone.utc) is one"
        )
    try:
        return wire_time(value)
    except OverflowError as error:
        raise MeetbotConfigurationError(f"{name} is beyond all dates in UTC: {value!r}") from error
