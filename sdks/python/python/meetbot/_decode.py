"""Decodes answers and events into models. Importing the models imports pydantic, which is slow: it is done at the first answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from . import _core
from ._calls import Call
from ._errors import MeetbotDecodeError

if TYPE_CHECKING:
    from ._events import TimelineEvent

T = TypeVar("T")

_READERS: dict[str, Callable[[bytes], Any]] = {}


class Unreadable(Exception):
    """A body cannot be decoded. The text says why, and contains nothing of the body."""


def read(core: _core.Core, call: Call[T], answer: _core.Answer) -> T:
    """The decoded answer of the call.

    Raises:
        MeetbotDecodeError: The body does not hold it.
    """
    if call.model is None:
        return cast("T", None)
    try:
        return cast("T", read_model(call.model, answer.body))
    except Unreadable as error:
        why = str(error)
    raise core.unreadable(call.path, answer, why)


def read_event(text: str) -> TimelineEvent:
    """An event of a stream.

    Raises:
        MeetbotDecodeError: The text does not hold one.
    """
    try:
        return cast("TimelineEvent", read_model("TimelineEvent", text.encode()))
    except Unreadable as error:
        why = str(error)
    raise MeetbotDecodeError(f"an event of the stream cannot be read: {why}", body=text)


def read_model(model: str, body: bytes) -> Any:
    """The model of this name in a body.

    Raises:
        Unreadable: The body does not hold one.
    """
    reader = _READERS.get(model)
    if reader is None:
        reader = _READERS[model] = _reader(model)
    from pydantic import ValidationError

    from ._models import problems

    try:
        return reader(body)
    except ValidationError as error:
        why = problems(error)
    # Raised outside of the handler: pydantic's error shows the body, and the API key if the body contains it.
    raise Unreadable(why)


def _reader(model: str) -> Callable[[bytes], Any]:
    from . import _models

    if model == "JobList":
        return _job_list
    if hasattr(_models, model):
        return cast("Callable[[bytes], Any]", getattr(_models, model).model_validate_json)
    # Most programs never need these.
    from . import _events, _responses

    module = _events if hasattr(_events, model) else _responses
    return cast("Callable[[bytes], Any]", getattr(module, model).model_validate_json)


def _job_list(body: bytes) -> Any:
    from ._models import JobList, JobPage

    page = JobPage.model_validate_json(body)
    return JobList(page.data, page.next_cursor)
