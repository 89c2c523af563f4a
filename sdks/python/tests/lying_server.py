"""A server that gives one scripted answer to each request, lies included, and remembers what it was asked."""

from __future__ import annotations

import json
import queue
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY = "mb_test_0123456789abcdef"

VECTORS = Path(__file__).parents[3] / "spec" / "vectors"


def a_job(status: str = "queued", **fields: Any) -> dict[str, Any]:
    """A job as the server shows it."""
    job: dict[str, Any] = json.loads((VECTORS / "models.json").read_text())["cases"][0]["json"]
    return {**job, "status": status, **fields}


def a_result(**fields: Any) -> dict[str, Any]:
    """A control result as the server shows it."""
    cases = json.loads((VECTORS / "models.json").read_text())["cases"]
    result: dict[str, Any] = next(c["json"] for c in cases if c["model"] == "control_result")
    return {**result, **fields}


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """What the server does with a request: it sends these bytes, and closes the connection or resets it; `None` never answers."""

    raw: bytes | None
    reset: bool = False
    #: Whether the connection stays open after these bytes.
    stays: bool = False
    #: What is sent after them again and again, until the client hangs up.
    flood: bytes = b""
    #: What is sent after them, each piece as it is put there.
    more: queue.SimpleQueue[bytes] | None = None


def answer(body: Any = b"", status: int = 200, **headers: str) -> Reply:
    """An answer; a body that is not bytes is sent as JSON. `Retry_After="1"` is the header `Retry-After`.

    The connection is closed after it, which `Connection` says unless it is given.
    """
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} As Scripted", f"Content-Length: {len(raw)}"]
    headers = {"Connection": "close", **headers}
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Reply("\r\n".join([*lines, "", ""]).encode() + raw)


def refusal(status: int, code: str, message: str = "no", **headers: str) -> Reply:
    return answer({"error": code, "message": message}, status, **headers)


def stream(more: queue.SimpleQueue[bytes]) -> Reply:
    """A stream of events that stays open."""
    return Reply(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", more=more)


def an_event(sequence: int) -> bytes:
    """An event of the stream that tells of a change."""
    cases = json.loads((VECTORS / "models.json").read_text())["cases"]
    event: dict[str, Any] = next(c["json"] for c in cases if c["model"] == "timeline_event")
    event["data"]["sequence"] = sequence
    return f"id: {sequence}\ndata: {json.dumps(event)}\n\n".encode()


HANG = Reply(None)
RESET = Reply(b"", reset=True)
CUT = Reply(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"id":')


class LyingServer:
    """Gives these answers in turn, then the last one for ever; to who asks for a stream of events, `events` if there is one."""

    def __init__(self, replies: Iterable[Reply], events: Reply | None = None) -> None:
        self.replies = list(replies)
        self.events = events
        self.requests: list[Request] = []
        #: Released once for each request that has come.
        self.came = threading.Semaphore(0)
        #: Released each time a client hangs up on a request that is never answered.
        self.hung_up = threading.Semaphore(0)
        #: Released each time the server has closed a connection.
        self.closed = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        # Wakes the thread that accepts, which a close alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        self._serve(connection)
        self.closed.release()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            line = stream.readline().decode().split()
            if len(line) < 2:
                return
            headers = {}
            while (header := stream.readline().decode().strip()) != "":
                name, _, value = header.partition(": ")
                headers[name.lower()] = value
            body = stream.read(int(headers.get("content-length", 0)))
            with self._lock:
                self.requests.append(Request(line[0], line[1], headers, body))
                if self.events is not None and headers.get("accept") == "text/event-stream":
                    reply = self.events
                else:
                    reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            self.came.release()
            if reply.raw is None:
                try:
                    stream.read()
                except OSError:
                    pass
                self.hung_up.release()
                return
            if reply.reset:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return
            try:
                connection.sendall(reply.raw)
                while reply.more is not None:
                    connection.sendall(reply.more.get())
                while reply.flood:
                    connection.sendall(reply.flood * (1 + (64 << 10) // len(reply.flood)))
                if reply.stays:
                    stream.read()
            except OSError:
                pass
