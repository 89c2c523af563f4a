"""Every call of the API as data, so that both clients share all code but the sending."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import _core
from ._errors import MeetbotConfigurationError
from ._times import wire_time_of

if TYPE_CHECKING:
    from ._enums import DeliveryStateWord, JobStatusWord, PlatformWord
    from ._events import EventPage
    from ._models import AutoLeaveConfig, AutoLeaveSettings, ControlResult, Job, JobList
    from ._responses import (
        Delivery,
        DeliveryPage,
        DeletionReceipt,
        ErasureReceipt,
        FilePage,
        Host,
        Manifest,
        PlatformPage,
        Usage,
    )

T = TypeVar("T")


class Call(Generic[T]):
    """A request, and the name of the model of its answer; `None` where the answer's body is not read."""

    __slots__ = ("body", "method", "model", "path")

    def __init__(
        self, method: str, path: str, model: str | None, body: bytes | None = None
    ) -> None:
        self.method = method
        self.path = path
        self.model = model
        self.body = body


def dispatch_bot(
    *,
    meeting_url: str,
    external_id: str | None,
    platform: PlatformWord | None,
    display_name: str | None,
    join_at: datetime | str | None,
    on_finalize_url: str | None,
    on_status_change_url: str | None,
    metadata: Mapping[str, Any] | None,
    auto_leave: AutoLeaveConfig | AutoLeaveSettings | None,
    record_video: bool | None,
    account: str | None,
) -> Call[Job]:
    body: dict[str, Any] = {"meetingUrl": meeting_url}
    if external_id is not None:
        body["externalId"] = external_id
    if platform is not None:
        body["platform"] = platform
    if display_name is not None:
        body["displayName"] = display_name
    if join_at is not None:
        body["joinAt"] = wire_time_of("join_at", join_at)
    webhooks = {}
    if on_status_change_url is not None:
        webhooks["onStatusChange"] = on_status_change_url
    if on_finalize_url is not None:
        webhooks["onFinalize"] = on_finalize_url
    if webhooks:
        body["webhooks"] = webhooks
    if metadata is not None:
        if not isinstance(metadata, Mapping):
            raise MeetbotConfigurationError(f"metadata is a mapping: {metadata!r} is none")
        body["metadata"] = dict(metadata)
    if auto_leave is not None:
        body["autoLeave"] = _auto_leave(auto_leave)
    if record_video is not None:
        body["recordVideo"] = record_video
    if account is not None:
        body["account"] = account
    return Call("POST", "/api/v1/jobs", "Job", json_bytes(body))


def job_id_of(job: Job | str) -> str:
    """The id of a job that is given as a whole, or by its id.

    Raises:
        MeetbotConfigurationError: It is neither.
    """
    found = job if isinstance(job, str) else getattr(job, "id", None)
    if isinstance(found, str):
        return found
    raise MeetbotConfigurationError(f"a job or its id is wanted: a {type(job).__name__} is no text and no Job")


def get_bot(job_id: Job | str) -> Call[Job]:
    return Call("GET", _path(("jobs", job_id_of(job_id)), ()), "Job")


def has_changed_since(job: Job, seen: Job | None) -> bool:
    """Whether a field other than `updated_at` has changed since `seen`: chat and people who join or leave change `updated_at` alone."""
    return seen is None or job != seen.model_copy(update={"updated_at": job.updated_at})


def list_bots(
    *,
    status: JobStatusWord | Iterable[JobStatusWord] | None,
    external_id: str | None,
    platform: PlatformWord | None,
    created_after: datetime | str | None,
    created_before: datetime | str | None,
    limit: int | None,
    cursor: str | None,
) -> Call[JobList]:
    words = (status,) if isinstance(status, str) else status or ()
    query = [("status", str(word)) for word in words]
    if external_id is not None:
        query.append(("externalId", external_id))
    if platform is not None:
        query.append(("platform", str(platform)))
    if created_after is not None:
        query.append(("createdAfter", wire_time_of("created_after", created_after)))
    if created_before is not None:
        query.append(("createdBefore", wire_time_of("created_before", created_before)))
    if limit is not None:
        query.append(("limit", str(limit)))
    if cursor is not None:
        query.append(("cursor", cursor))
    return Call("GET", _path(("jobs",), query), "JobList")


def cancel_bot(job_id: Job | str) -> Call[None]:
    return Call("DELETE", _path(("jobs", job_id_of(job_id)), ()), None)


def control(
    job_id: Job | str, verb: str, body: Mapping[str, Any] | None = None
) -> Call[ControlResult]:
    """One of the six verbs, by its place in the path."""
    return Call(
        "POST",
        _path(("jobs", job_id_of(job_id), verb), ()),
        "ControlResult",
        None if body is None else json_bytes(body),
    )


def manifest(job_id: Job | str) -> Call[Manifest]:
    return Call("GET", _path(("jobs", job_id_of(job_id), "manifest"), ()), "Manifest")


def artifacts(job_id: Job | str) -> Call[FilePage]:
    return Call("GET", _path(("jobs", job_id_of(job_id), "artifacts"), ()), "FilePage")


def artifact(job_id: Job | str, name: str) -> Call[None]:
    return Call("GET", _path(("jobs", job_id_of(job_id), "artifacts", name), ()), None)


def delete_recording(job_id: Job | str) -> Call[DeletionReceipt]:
    return Call("DELETE", _path(("jobs", job_id_of(job_id), "recording"), ()), "DeletionReceipt")


def erase_consumer(confirm: str) -> Call[ErasureReceipt]:
    path = _path(("consumers", "me"), (("confirm", confirm),))
    return Call("DELETE", path, "ErasureReceipt")


def host() -> Call[Host]:
    return Call("GET", "/api/v1/admin/host", "Host")


def usage() -> Call[Usage]:
    return Call("GET", "/api/v1/usage", "Usage")


def list_platforms() -> Call[PlatformPage]:
    return Call("GET", "/api/v1/platforms", "PlatformPage")


def events(job_id: Job | str, cursor: str | None = None) -> Call[EventPage]:
    query = [] if cursor is None else [("cursor", cursor)]
    return Call("GET", _path(("jobs", job_id_of(job_id), "events"), query), "EventPage")


def deliveries(
    *, job_id: Job | str | None, state: DeliveryStateWord | None, limit: int | None, cursor: str | None
) -> Call[DeliveryPage]:
    query = []
    if job_id is not None:
        query.append(("jobId", job_id_of(job_id)))
    if state is not None:
        query.append(("state", str(state)))
    if limit is not None:
        query.append(("limit", str(limit)))
    if cursor is not None:
        query.append(("cursor", cursor))
    return Call("GET", _path(("webhooks", "deliveries"), query), "DeliveryPage")


def get_delivery(delivery_id: str) -> Call[Delivery]:
    return Call("GET", _path(("webhooks", "deliveries", delivery_id), ()), "Delivery")


def redeliver(delivery_id: str) -> Call[Delivery]:
    path = _path(("webhooks", "deliveries", delivery_id, "redeliver"), ())
    return Call("POST", path, "Delivery")


def json_bytes(value: object) -> bytes:
    """The value as JSON. A value that is no JSON is an error before anything is sent."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MeetbotConfigurationError(f"the body cannot be written as JSON: {error}") from error


def _path(segments: tuple[str, ...], query: Sequence[tuple[str, str]]) -> str:
    """The path of a call, each segment escaped."""
    try:
        return _core.api_path(segments, query)
    except (TypeError, UnicodeEncodeError):
        given = [*segments, *(value for _, value in query)]
        wrong = next((one for one in given if not _is_text(one)), given)
        raise MeetbotConfigurationError(f"{wrong!r} is no text that can be sent") from None


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _auto_leave(config: AutoLeaveConfig | AutoLeaveSettings) -> dict[str, Any]:
    from ._models import AutoLeaveConfig

    return AutoLeaveConfig.read(config).to_wire()
