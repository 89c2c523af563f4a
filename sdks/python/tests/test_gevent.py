"""Blocking calls in a program that gevent has patched: its other greenlets go on. Each test runs a separate program."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import pytest
from scripted_server import HANG, KEY, STREAM, a_job, an_event, answer, refusal

from conftest import Server

ID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"

#: Counts in `n` how often another greenlet had its turn, each hundredth of a second.
BEGIN = """
import json, sys, time
from gevent import monkey
monkey.patch_all()
import gevent, meetbot

n = [0]
def tick():
    while True:
        n[0] += 1
        gevent.sleep(0.01)
ticking = gevent.spawn(tick)
"""


def ran(program: str, *arguments: str, begin: str = BEGIN, until: Callable[[], object] = bool) -> Any:
    """The last line of the program's output; it gets a line of input once `until` has returned."""
    command = [sys.executable, "-c", begin + textwrap.dedent(program), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as running:
        try:
            until()
            stdout, stderr = running.communicate("go on\n", timeout=60)
        finally:
            running.kill()
    assert running.returncode == 0, stderr
    return json.loads(stdout.splitlines()[-1])


def test_greenlets_go_on_while_one_waits_for_a_bot(server: Server) -> None:
    waited = """
    mb = meetbot.MeetBot(*sys.argv[1:3], **settings)
    job = mb.dispatch_bot(meeting_url="https://sandbox.meetbot.dev/two-speakers?seconds=4")
    n[0], began = 0, time.monotonic()
    job = mb.wait_for_bot(job.id)
    print(json.dumps([job.status, n[0], time.monotonic() - began]))
    """
    through_httpx = "import httpx\nsettings = {'transport': meetbot.HttpxTransport(httpx.Client())}\n"
    # gevent's documentation advises against importing in this order, but programs do.
    late = BEGIN.replace("monkey.patch_all()\nimport gevent, meetbot", "import gevent, meetbot\nmeetbot.MeetBot\nmonkey.patch_all()")
    for begin in (BEGIN + "settings = {}\n", late + "settings = {}\n", BEGIN + through_httpx):
        status, ticks, seconds = ran(waited, server.key, server.url, begin=begin)
        assert status == "completed" and seconds > 1
        # About a hundred in a second, and fewer on a busy machine.
        assert ticks > seconds * 10, begin


def test_concurrent_calls_get_their_answers(scripted: Any) -> None:
    hanging, well, ill = scripted(HANG), scripted(answer(a_job("recording"))), scripted(refusal(404, "no_such_path"))

    def sent() -> None:
        for _ in range(50):
            assert hanging.came.acquire(timeout=20)

    said, ended = ran(
        """
        key, hanging, well, ill, job = sys.argv[1:]
        mb = meetbot.MeetBot(key, hanging, timeout=50)
        waiting = [gevent.spawn(mb.get_bot, job) for _ in range(50)]
        gevent.sleep(0)
        sys.stdin.readline()
        answered = [gevent.spawn(meetbot.MeetBot(key, well).get_bot, job) for _ in range(20)]
        said = [one.status for one in map(gevent.Greenlet.get, answered)]
        try:
            meetbot.MeetBot(key, ill).get_bot(job)
        except meetbot.MeetbotUnexpectedStatusError as error:
            said.append(error.code)
        try:
            with gevent.Timeout(0.05):
                mb.get_bot(job)
        except gevent.Timeout:
            said.append("timeout")
        gevent.killall(waiting)
        ticking.kill()
        print(json.dumps([said, gevent.wait(timeout=20)]))
        """,
        KEY,
        hanging.url,
        well.url,
        ill.url,
        ID,
        until=sent,
    )
    assert said == ["recording"] * 20 + ["no_such_path", "timeout"]
    assert ended, "nothing is left that gevent would wait for"
    for _ in range(50):
        assert hanging.hung_up.acquire(timeout=20), "what is given up is hung up"


def test_a_watch_that_is_given_up_for_a_while_loses_no_event(scripted: Any) -> None:
    server = scripted(STREAM)
    program = """
    mb = meetbot.MeetBot(*sys.argv[1:3])
    events, seen, given_up = mb.watch(sys.argv[3]), [], 0
    while len(seen) < 5:
        try:
            with gevent.Timeout(0.05):
                seen.append(next(events).data.sequence)
        except gevent.Timeout:
            given_up += 1
    events.close()
    print(json.dumps([seen, given_up > 0, n[0] > 10]))
    """

    def tell() -> None:
        assert server.came.acquire(timeout=20)
        for sequence in range(1, 6):
            # Longer than the program waits at a time.
            threading.Event().wait(0.12)
            server.send(an_event(sequence))

    threading.Thread(target=tell, daemon=True).start()
    assert ran(program, KEY, server.url, ID) == [[1, 2, 3, 4, 5], True, True]
    assert len(server.requests) == 1


def test_calls_of_a_forked_child_and_of_threads_wait_in_their_own_hub(scripted: Any) -> None:
    server = scripted(answer(a_job("recording")))
    program = """
    import os
    key, url, job = sys.argv[1:]
    mb = meetbot.MeetBot(key, url)
    said = [mb.get_bot(job).status]
    pool = gevent.get_hub().threadpool
    said += [pool.apply(lambda: mb.get_bot(job).status) for _ in range(3)]
    child = os.fork()
    if child == 0:
        os._exit(0 if mb.get_bot(job).status == "recording" else 1)
    said.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(said))
    """
    assert ran(program, KEY, server.url, ID) == ["recording"] * 4 + [0]


@pytest.mark.parametrize("patched", ["", "import gevent.monkey\ngevent.monkey.patch_time()\n"])
def test_gevent_is_not_used_without_its_patched_sockets(patched: str, scripted: Any) -> None:
    server = scripted(answer(a_job("recording")))
    program = """
    import json, sys, meetbot
    meetbot.MeetBot(*sys.argv[1:3]).get_bot(sys.argv[3])
    print(json.dumps([name for name in sys.modules if name in ("gevent.event", "meetbot._gevent")]))
    """
    used = ran(program, KEY, server.url, ID, begin=patched)
    assert "meetbot._gevent" not in used and (patched or not used)
