"""Shared fixtures: scripted servers, the real server, and clients of both kinds with one interface."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scripted_server import KEY, Reply, ScriptedServer

from meetbot import AsyncMeetBot, MeetBot

ROOT = Path(__file__).parents[3]

#: The folder of the servers' logs; `cargo xtask test` searches it for secrets.
LOGS = ROOT / "target" / "test-logs"


@pytest.fixture(autouse=True)
def nothing_of_the_callers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MEETBOT_API_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts a scripted server with these replies."""
    started: list[ScriptedServer] = []

    def start(*replies: Reply, events: Reply | None = None) -> ScriptedServer:
        started.append(ScriptedServer(replies, events))
        return started[-1]

    yield start
    for server in started:
        server.close()


class Waiting:
    """An asynchronous client with the interface of the blocking one: each call runs the loop until it is done."""

    def __init__(self, loop: asyncio.AbstractEventLoop, mb: AsyncMeetBot) -> None:
        self._loop, self._mb = loop, mb

    def __getattr__(self, name: str) -> Any:
        if name == "base_url":
            return self._mb.base_url

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._loop.run_until_complete(getattr(self._mb, name)(*args, **kwargs))

        return call


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes a client of the server at this URL: each test runs with the blocking and with the asynchronous one."""
    if request.param == "sync":
        yield lambda url, **settings: MeetBot(settings.pop("api_key", KEY), url, **settings)
        return
    loop = asyncio.new_event_loop()
    yield lambda url, **settings: Waiting(
        loop, AsyncMeetBot(settings.pop("api_key", KEY), url, **settings)
    )
    loop.close()


@dataclass
class Server:
    """A running `meetbot serve`."""

    url: str
    key: str
    secret: str
    data: Path
    pid: int


def until(server: Server, job_id: str, status: str) -> None:
    """Returns when the job is in this status."""
    for event in MeetBot(server.key, server.url).watch(job_id):
        if event.data.status == status:
            return
    raise AssertionError(f"{job_id} has ended and was never {status}")


def program() -> str:
    """The server's program: `$MEETBOT_PROGRAM`, or what `cargo build` made."""
    found = os.environ.get("MEETBOT_PROGRAM", str(ROOT / "target" / "debug" / "meetbot"))
    assert Path(found).exists(), f"{found} is not there: cargo build --bin meetbot"
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server with its sandbox, in a separate folder."""
    data = tmp_path_factory.mktemp("server")
    LOGS.mkdir(parents=True, exist_ok=True)
    with open(LOGS / f"python-{os.getpid()}.log", "wb") as log:
        process = subprocess.Popen(
            # In development: the receivers of the tests are on loopback.
            [program(), "serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir", data / "data", "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            env={"MEETBOT_LOG": "debug", **os.environ},
        )
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line, Path(log.name).read_text()
        started = json.loads(line)
        create = [program(), "keys", "create", "--test", "--json", "--data-dir", str(data / "data")]
        key = json.loads(subprocess.check_output(create))
        yield Server(started["url"], key["key"], key["webhookSecret"], data / "data", process.pid)
    finally:
        process.terminate()
        process.communicate()
