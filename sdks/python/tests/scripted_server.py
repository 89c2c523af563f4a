"""HTTP servers whose answers the test scripts, invalid ones included: a client of `scripted-server`, which spec/README.md describes."""

from __future__ import annotations

import atexit
import base64
import functools
import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "spec" / "vectors"

KEY = "mb_test_0123456789abcdef"


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
    """The reaction to a request: sends these bytes, then does `then`, one of a script's actions."""

    raw: bytes
    then: str = "closes"
    #: The bytes that it repeats where it `floods`.
    flood: bytes = b""

    def script(self) -> dict[str, Any]:
        flood = {"flood": encoded(self.flood)} if self.flood else {}
        return {"answer": encoded(self.raw), "then": self.then, **flood}


def encoded(bytes_: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(bytes_).decode()}


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


def an_event(sequence: int) -> bytes:
    """An event of the stream that reports a change."""
    cases = json.loads((VECTORS / "models.json").read_text())["cases"]
    event: dict[str, Any] = next(c["json"] for c in cases if c["model"] == "timeline_event")
    event["data"]["sequence"] = sequence
    return f"id: {sequence}\ndata: {json.dumps(event)}\n\n".encode()


HANG = Reply(b"", "hangs")
RESET = Reply(b"", "resets")
CUT = Reply(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"id":')
#: A stream of events that stays open; `ScriptedServer.send` adds to it.
STREAM = Reply(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", "relays")


class ScriptedServer:
    """Gives these answers in turn, and the last one from then on; to requests for an event stream `events`, if there is one."""

    def __init__(self, replies: Iterable[Reply], events: Reply | None = None) -> None:
        #: Released once for each request that has come.
        self.came = threading.Semaphore(0)
        #: Released each time a client disconnects.
        self.hung_up = threading.Semaphore(0)
        #: Released each time a connection has ended.
        self.closed = threading.Semaphore(0)
        self._requests: list[Request] = []
        *first, last = (reply.script() for reply in replies)
        script = {"replies": [*first, {**last, "always": True}]}
        if events is not None:
            script["events"] = [{**events.script(), "always": True}]
        self._program = program()
        done = self._program.done({"start": script})
        self.url: str = done["url"]
        self._number: int = done["server"]
        self._program.servers[self._number] = self

    @property
    def requests(self) -> list[Request]:
        """The requests that have come."""
        self._program.done({"flush": {}})
        return self._requests

    def send(self, more: bytes) -> None:
        """Sends these bytes over the connection that relays, or over the next one that will."""
        self._program.done({"send": {"server": self._number, "bytes": encoded(more)}})

    def close(self) -> None:
        """Refuses connections from now on, and ends those that are open."""
        self._program.done({"stop": {"server": self._number}})

    def happened(self, report: dict[str, Any]) -> None:
        if report["happened"] == "asked":
            request = report["request"]
            method, path, _ = request["line"].split(" ")
            body = request["body"]
            body = body.encode() if isinstance(body, str) else base64.b64decode(body["base64"])
            self._requests.append(Request(method, path, dict(request["headers"]), body))
            self.came.release()
        elif report["happened"] == "closed":
            if report["byClient"]:
                self.hung_up.release()
            self.closed.release()


class Program:
    """The process that serves all scripts: commands go to its input, answers and reports come from its output."""

    def __init__(self) -> None:
        default = ROOT / "target" / "debug" / "scripted-server"
        found = os.environ.get("MEETBOT_SCRIPTED_SERVER", str(default))
        assert Path(found).exists(), f"{found} is not there: cargo build --package meetbot-testkit"
        self.servers: dict[int, ScriptedServer] = {}
        self._process = subprocess.Popen([found], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._asking = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()
        atexit.register(self._end)

    def done(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carries out a command; what happened before it has been reported by then."""
        assert self._process.stdin
        with self._asking:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            answer = self._answers.get(timeout=60)
        assert "done" in answer, answer
        done: dict[str, Any] = answer["done"]
        return done

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            if "happened" in said:
                self.servers[said["server"]].happened(said)
            else:
                self._answers.put(said)

    def _end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


@functools.cache
def program() -> Program:
    return Program()
