"""For tests of programs that use this SDK: a server that is played, signed webhooks, and fixtures for pytest.

pytest finds the fixture `meetbot_mock` by itself where this package is installed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from . import _core
from ._errors import MeetbotConfigurationError
from ._signature import texts
from ._transport import Request, Response

if TYPE_CHECKING:
    from ._async.client import AsyncMeetBot
    from ._sync.client import MeetBot

#: The key of the clients that a mock makes.
KEY = "mb_test_0123456789abcdefghijklmnopqrstuvwxyz"

_VERBS = (
    "request-recording-permission",
    "pause-recording",
    "resume-recording",
    "stop-recording",
    "leave-call",
    "send-chat-message",
)

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def job(**fields: Any) -> dict[str, Any]:
    """A job as the server shows it, in the names of the wire, with these fields changed.

    Example:
        >>> from meetbot import Job, testing
        >>> Job(**testing.job(status="recording")).status.is_final
        False
    """
    made: dict[str, Any] = {
        "id": "job_01KAB1CDEFGHJKMNPQRSTVWXYZ",
        "externalId": None,
        "meetingUrl": "https://sandbox.meetbot.dev/two-speakers",
        "platform": "sandbox",
        "displayName": "meetbot",
        "status": "queued",
        "statusDetail": None,
        "recording": {
            "state": "off",
            "permission": "not_required",
            "startedAt": None,
            "pausedMs": 0,
            "bytes": None,
            "deletedAt": None,
        },
        "joinAt": None,
        "webhooks": {"onStatusChange": None, "onFinalize": None},
        "metadata": {},
        "autoLeave": {
            "afterEntryDelaySeconds": 600,
            "afterSilenceSeconds": 1200,
            "afterSoloSeconds": 60,
            "afterMaxSeconds": 14400,
            "onBotDetected": False,
        },
        "recordVideo": None,
        "account": None,
        "attempt": 0,
        "leaveReason": None,
        "failureCode": None,
        "failureDetail": None,
        "manifestUri": None,
        "createdAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "joinedAt": None,
        "endedAt": None,
    }
    unknown = fields.keys() - made.keys()
    if unknown:
        raise MeetbotConfigurationError(f"a job has no {', '.join(sorted(unknown))}")
    return {**made, **fields}


def sign_webhook(
    data: Mapping[str, Any] | bytes, secret: str, *, sent_at: float | None = None
) -> tuple[bytes, dict[str, str]]:
    """A webhook as the server sends it: its body and its headers, in both signature schemes.

    Args:
        data: The event's data, `{"event": "job.finalized", "manifestUri": …}`: what is missing of an envelope is filled in. Bytes are signed as they are.
        secret: The webhook secret, `whsec_…`.
        sent_at: When, in seconds since 1970; now by default.

    Raises:
        MeetbotConfigurationError: The secret is missing or cannot be one.

    Example:
        >>> from meetbot import testing, webhooks
        >>> body, headers = testing.sign_webhook({"event": "job.failed", "failure_code": "network_loss"}, "whsec_dGVzdA==")
        >>> print(webhooks.unwrap(body, headers, "whsec_dGVzdA==").data.failure_code)
        network_loss
    """
    [secret] = texts(secret)
    seconds = int(time.time() if sent_at is None else sent_at)
    body = data if isinstance(data, bytes) else json.dumps(_envelope(data)).encode()
    headers = {
        "content-type": "application/json",
        "x-meetbot-signature": _core.sign(body, secret),
        "x-meetbot-webhook-version": "2",
        "webhook-id": "dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ",
        "webhook-timestamp": str(seconds),
    }
    headers["webhook-signature"] = _core.sign_standard(headers["webhook-id"], seconds, body, secret)
    return body, headers


def _envelope(data: Mapping[str, Any]) -> dict[str, Any]:
    name = str(data.get("event", "job.status_changed"))
    completed = ("job.finalized", "job.artifact_ready")
    statuses = {"job.failed": "failed", **dict.fromkeys(completed, "completed")}
    return {
        "deliveryId": "dlv_01KAB1CDEFGHJKMNPQRSTVWXYZ",
        "event": name,
        "emittedAt": "2026-01-01T00:00:00.000Z",
        "attempt": 1,
        "version": 2,
        "data": {
            "event": name,
            "sequence": 1,
            "jobId": "job_01KAB1CDEFGHJKMNPQRSTVWXYZ",
            "externalId": None,
            "status": statuses.get(name, "recording"),
            "metadata": {},
            **data,
        },
    }


class MockServer:
    """Plays the server without a network: jobs can be dispatched, asked for, listed and cancelled, and answers of your own be given.

    Example:
        >>> from meetbot import testing
        >>> mock = testing.MockServer()
        >>> mb = mock.client()
        >>> job = mb.dispatch_bot(meeting_url="https://meet.example/a", external_id="lesson-1")
        >>> mock.set_job(job.id, status="completed", manifestUri="file:///m.json")
        >>> print(mb.wait_for_bot(job.id).manifest_uri)
        file:///m.json
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        """The jobs by their ids, in the names of the wire."""
        self.requests: list[Request] = []
        """What came, oldest first."""
        self._answers: list[Response | BaseException] = []
        #: Requests with an idempotency key, and their answers.
        self._dispatches: dict[str, tuple[bytes | None, Response]] = {}

    def client(self, **settings: Any) -> MeetBot:
        """A blocking client of this server.

        Example:
            >>> from meetbot import testing
            >>> testing.MockServer().client().list_bots()
            []
        """
        from ._sync.client import MeetBot

        return MeetBot(settings.pop("api_key", KEY), transport=self.transport, **settings)

    def async_client(self, **settings: Any) -> AsyncMeetBot:
        """An asynchronous client of this server.

        Example:
            >>> import asyncio
            >>> from meetbot import testing
            >>> asyncio.run(testing.MockServer().async_client().list_bots())
            []
        """
        from ._async.client import AsyncMeetBot

        async def transport(request: Request) -> Response:
            return self.transport(request)

        return AsyncMeetBot(settings.pop("api_key", KEY), transport=transport, **settings)

    def answer_next(self, status: int, body: object = None, **headers: str) -> None:
        """Gives this answer to the next request that has none yet; `Retry_After="1"` is the header `Retry-After`.

        Example:
            >>> from meetbot import testing
            >>> mock = testing.MockServer()
            >>> mock.answer_next(503, {"error": "unavailable"}, Retry_After="0")
            >>> print(mock.client().list_bots(), len(mock.requests))
            [] 2
        """
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers.append(Response(status, named, content))

    def fail_next(self, error: BaseException) -> None:
        """Lets the next request that has no answer yet fail with this error: an `OSError` is a broken connection.

        Example:
            >>> from meetbot import testing
            >>> mock = testing.MockServer()
            >>> mock.fail_next(ConnectionResetError("gone"))
            >>> print(mock.client(max_retries=1).list_bots())
            []
        """
        self._answers.append(error)

    def set_job(self, job_id: str, **fields: Any) -> None:
        """Changes a job, in the names of the wire.

        Example:
            >>> from meetbot import testing
            >>> mock = testing.MockServer()
            >>> job = mock.client().dispatch_bot(meeting_url="https://meet.example/a")
            >>> mock.set_job(job.id, status="recording")
        """
        self.jobs[job_id] = job(**{**self.jobs[job_id], **fields})

    def transport(self, request: Request) -> Response:
        """What clients send through; it can be given to a client as its `transport` itself.

        Example:
            >>> from meetbot import MeetBot, testing
            >>> MeetBot("mb_test_0123456789", transport=testing.MockServer().transport).list_bots()
            []
        """
        self.requests.append(request)
        if self._answers:
            scripted = self._answers.pop(0)
            if isinstance(scripted, BaseException):
                raise scripted
            return scripted
        url = urlsplit(request.url)
        parts = url.path.split("/api/v1/", 1)[-1].split("/")
        if parts == ["jobs"] and request.method == "POST":
            return self._dispatched_once(request)
        if parts == ["jobs"] and request.method == "GET":
            try:
                return self._listed(parse_qs(url.query))
            except (TypeError, ValueError) as error:
                return _said(400, {"error": "invalid_input", "message": str(error)})
        if parts[0] == "jobs" and len(parts) > 1:
            found = self.jobs.get(parts[1])
            if found is None:
                return _said(404, {"error": "not_found", "message": "there is no such job"})
            if len(parts) == 2 and request.method == "GET":
                return _said(200, found)
            if len(parts) == 2 and request.method == "DELETE":
                if found["status"] not in ("completed", "failed", "cancelled"):
                    self.set_job(found["id"], status="cancelled", leaveReason="cancelled")
                return Response(204, {}, b"")
            if len(parts) == 3 and request.method == "POST" and parts[2] in _VERBS:
                return _said(200, _result(found, parts[2]))
        message = f"the mock does not play {request.method} {url.path}: answer_next() can"
        return _said(501, {"error": "not_played", "message": message})

    def _dispatched_once(self, request: Request) -> Response:
        key = {name.lower(): value for name, value in request.headers.items()}.get("idempotency-key")
        if key is None:
            return self._dispatched(json.loads(request.content or b"{}"))
        if key not in self._dispatches:
            answer = self._dispatched(json.loads(request.content or b"{}"))
            self._dispatches[key] = (request.content, answer)
        content, answer = self._dispatches[key]
        if content != request.content:
            message = "this Idempotency-Key was used for another request; use a new one"
            return _said(422, {"error": "idempotency_mismatch", "message": message})
        return answer

    def _dispatched(self, body: dict[str, Any]) -> Response:
        known = [
            one
            for one in self.jobs.values()
            if one["externalId"] is not None and one["externalId"] == body.get("externalId")
        ]
        if known:
            return _said(200, known[0])
        number = len(self.jobs)
        identity = "job_01KAB1CDEFGHJKMNPQRSTV" + "".join(
            _ALPHABET[number // 32**place % 32] for place in (3, 2, 1, 0)
        )
        given = {name: body[name] for name in job() if name in body and name != "autoLeave"}
        made = job(id=identity, **given)
        made["autoLeave"] = {**made["autoLeave"], **body.get("autoLeave", {})}
        made["webhooks"] = {**job()["webhooks"], **body.get("webhooks", {})}
        self.jobs[identity] = made
        return _said(201, made)

    def _listed(self, query: dict[str, list[str]]) -> Response:
        newest_first = reversed(list(self.jobs.values()))
        found = [
            one
            for one in newest_first
            if one["status"] in query.get("status", [one["status"]])
            and one["externalId"] in query.get("externalId", [one["externalId"]])
            and one["platform"] in query.get("platform", [one["platform"]])
            and all(_at(one["createdAt"]) >= _at(after) for after in query.get("createdAfter", []))
            and all(_at(one["createdAt"]) < _at(before) for before in query.get("createdBefore", []))
        ]
        start = int(query.get("cursor", ["0"])[0])
        end = start + int(query.get("limit", ["50"])[0])
        following = str(end) if end < len(found) else None
        return _said(200, {"data": found[start:end], "nextCursor": following})


def _at(time: str) -> datetime:
    # CPython 3.10 does not read `Z`.
    return datetime.fromisoformat(time.replace("Z", "+00:00"))


def _result(found: dict[str, Any], verb: str) -> dict[str, Any]:
    return {
        "jobId": found["id"],
        "commandId": "cmd_01KAB1CDEFGHJKMNPQRSTVWXYZ",
        "action": verb.replace("-", "_"),
        "state": "done",
        "status": found["status"],
        "recording": found["recording"],
        "requestedAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": "2026-01-01T00:00:00.000Z",
    }


def _said(status: int, body: object) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(body).encode())


if TYPE_CHECKING:
    meetbot_mock: Callable[[], Iterator[MockServer]]
else:
    # pytest is imported by pytest alone; and type checkers would take this as saying that there is every name.
    def __getattr__(name: str) -> Callable[[], Iterator[MockServer]]:
        if name != "meetbot_mock":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            import pytest
        except ImportError:
            raise AttributeError("meetbot_mock is a fixture of pytest, which is not installed") from None

        @pytest.fixture(name="meetbot_mock")
        def mock() -> Iterator[MockServer]:
            """A played server, new for each test."""
            yield MockServer()

        globals()[name] = mock
        return mock


def __dir__() -> list[str]:
    return ["KEY", "MockServer", "job", "meetbot_mock", "sign_webhook"]
