"""The exceptions of the SDK: one tree, picklable, and never with the API key in them."""

from __future__ import annotations

import json
from typing import Any

__all__ = [
    "Issue",
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
]


class Issue:
    """One thing that is wrong with a request."""

    __slots__ = ("code", "message", "path")

    path: tuple[str, ...]
    """The names of the fields on the way to it: `("autoLeave", "afterSoloSeconds")`."""
    code: str
    """What, for a program: `required`, `invalid_url`, `too_long`… The set is open."""
    message: str
    """What, and what would be right, for a person."""

    def __init__(self, path: tuple[str, ...], code: str, message: str) -> None:
        self.path = path
        self.code = code
        self.message = message

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Issue):
            return NotImplemented
        return (self.path, self.code, self.message) == (other.path, other.code, other.message)

    def __hash__(self) -> int:
        return hash((self.path, self.code, self.message))

    def __repr__(self) -> str:
        return f"Issue(path={self.path!r}, code={self.code!r}, message={self.message!r})"


class MeetbotError(Exception):
    """Any error of this SDK. `str(error)` is one line for people; the attributes are for programs.

    Example:
        >>> from meetbot import MeetbotError
        >>> try:
        ...     mb.dispatch_bot(meeting_url="not-a-url")
        ... except MeetbotError as error:
        ...     print(error.status, error.code)
        400 invalid_input
    """

    status: int | None
    """The HTTP status; `None` when there was no answer."""
    code: str | None
    """The server's machine-readable code, `invalid_input`; `None` when the answer was not the server's."""
    message: str
    """What went wrong, in a sentence: the server's own where it gave one."""
    body: Any
    """The body of the answer: parsed when it is JSON, else the text as it came, `None` without an answer."""
    request_id: str | None
    """The request's id, to quote when asking for help."""
    retry_after: float | None
    """How many seconds the server asks to wait before the next try."""
    attempts: int
    """How often the call was tried; 0 when nothing was sent."""
    transient: bool
    """Whether the same call may succeed later without anybody changing anything."""
    idempotency_key: str | None
    """The `Idempotency-Key` that all tries carried: give it to the next call, and the work is never done twice."""

    def __init__(
        self,
        text: str,
        *,
        message: str | None = None,
        status: int | None = None,
        code: str | None = None,
        body: Any = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        attempts: int = 0,
        transient: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        super().__init__(text)
        self.message = text if message is None else message
        self.status = status
        self.code = code
        self.body = body
        self.request_id = request_id
        self.retry_after = retry_after
        self.attempts = attempts
        self.transient = transient
        self.idempotency_key = idempotency_key

    @property
    def issues(self) -> list[Issue]:
        """Everything that is wrong with the request, where the server said so.

        Example:
            >>> from meetbot import MeetbotValidationError
            >>> try:
            ...     mb.dispatch_bot(meeting_url="not-a-url", display_name="")
            ... except MeetbotValidationError as error:
            ...     for issue in error.issues:
            ...         print(".".join(issue.path), issue.code)
            meetingUrl invalid_url
            displayName too_short
        """
        found = self.body.get("issues") if isinstance(self.body, dict) else None
        return [
            Issue(
                tuple(map(str, path)) if isinstance(path := issue.get("path"), list) else (),
                str(issue.get("code", "")),
                str(issue.get("message", "")),
            )
            for issue in (found if isinstance(found, list) else ())
            if isinstance(issue, dict)
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        return (_again, (type(self), self.args), self.__dict__)


class MeetbotValidationError(MeetbotError):
    """400 or 422: the request is not what the call takes; `issues` says where."""


class MeetbotUnauthorizedError(MeetbotError):
    """401: the key is missing, wrong or revoked."""


class MeetbotForbiddenError(MeetbotError):
    """403: the key may not do this."""


class MeetbotNotFoundError(MeetbotError):
    """404 `not_found`: there is no such thing, or it is another consumer's."""


class MeetbotConflictError(MeetbotError):
    """409: the job cannot take this in its state, or it collides with something else."""


class MeetbotRateLimitError(MeetbotError):
    """429: too many requests, or the quota is used up; `retry_after` says how many seconds to wait."""


class MeetbotServerError(MeetbotError):
    """5xx: something broke on the server's side."""


class MeetbotUnexpectedStatusError(MeetbotError):
    """Any other answer that is not a success, a redirect or a 404 of another code for example: is the base URL right?"""


class MeetbotConnectionError(MeetbotError):
    """No answer: the server cannot be reached, or the connection broke."""


class MeetbotTimeoutError(MeetbotConnectionError):
    """No answer in time."""


class MeetbotDecodeError(MeetbotError):
    """An answer that is not what the call promises; `body` shows what came."""


class MeetbotConfigurationError(MeetbotError, ValueError):
    """An argument or a setting that cannot be used; nothing was sent."""


class MeetbotFileError(MeetbotError):
    """A file on this machine could not be written."""


_BY_KIND: dict[str, type[MeetbotError]] = {
    "validation": MeetbotValidationError,
    "unauthorized": MeetbotUnauthorizedError,
    "forbidden": MeetbotForbiddenError,
    "not_found": MeetbotNotFoundError,
    "conflict": MeetbotConflictError,
    "rate_limit": MeetbotRateLimitError,
    "server": MeetbotServerError,
    "unexpected_status": MeetbotUnexpectedStatusError,
    "connection": MeetbotConnectionError,
    "timeout": MeetbotTimeoutError,
    "decode": MeetbotDecodeError,
    "configuration": MeetbotConfigurationError,
    "file": MeetbotFileError,
}


def from_core(kind: str, text: str, body: str | None, fields: dict[str, Any]) -> MeetbotError:
    """The exception for an error of the Rust SDK."""
    return _BY_KIND[kind](text, body=_parsed(body), **fields)


def _parsed(body: str | None) -> Any:
    if body is None:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        # The second for what is nested more deeply than anybody means it.
        return body


def _again(kind: type[MeetbotError], args: tuple[str, ...]) -> MeetbotError:
    return kind(*args)
