"""Signals, cancelled tasks, closed loops, forks and threads: nothing hangs or leaks."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from conftest import Server
from scripted_server import HANG, KEY, STREAM, Reply, a_job, an_event, answer, refusal

from meetbot import AsyncMeetBot, Job, MeetBot

ID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"
PATIENCE = 30.0


def python(program: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program), *arguments],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


@pytest.mark.parametrize(
    ("call", "reply", "requests", "hangs"),
    [
        ("get_bot", HANG, 1, True),
        # The longest wait of a client without an event.
        ("get_bot", refusal(429, "rate_limited", Retry_After="60"), 1, False),
        ("wait_for_bot", answer(a_job("recording")), 2, True),
    ],
    ids=["a hang", "a pause before the next try", "a wait for events"],
)
def test_ctrl_c_ends_a_blocked_call_within_150_ms(
    scripted: Any, call: str, reply: Any, requests: int, hangs: bool
) -> None:
    server = scripted(reply, events=HANG)
    child = python(
        """
        import os, signal, sys, threading, time
        from meetbot import MeetBot

        mb = MeetBot("mb_test_x", sys.argv[1])
        sent = []
        def interrupt():
            sys.stdin.readline()
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            getattr(mb, sys.argv[2])("job_1")
        except KeyboardInterrupt:
            print(time.perf_counter() - sent[0])
        """,
        server.url,
        call,
        stdin=subprocess.PIPE,
    )
    for _ in range(requests):
        assert server.came.acquire(timeout=PATIENCE)
    out, err = child.communicate("now\n", timeout=PATIENCE)
    assert err == "" and float(out) < 0.15, (out, err)
    assert not hangs or server.hung_up.acquire(timeout=PATIENCE), "the socket is closed"


def test_cancelling_a_task_closes_its_socket(scripted: Any) -> None:
    server = scripted(HANG)

    async def main() -> None:
        mb = AsyncMeetBot(KEY, server.url)
        task = asyncio.create_task(mb.get_bot(ID))
        assert await asyncio.to_thread(server.came.acquire, True, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.hung_up.acquire, True, PATIENCE)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(mb.get_bot(ID), 0.05)

    asyncio.run(main())


def test_cancelling_a_task_between_two_tries_ends_the_tries(scripted: Any) -> None:
    server = scripted(refusal(503, "unavailable", Retry_After="1"))

    async def main() -> None:
        task = asyncio.create_task(AsyncMeetBot(KEY, server.url).get_bot(ID))
        assert await asyncio.to_thread(server.came.acquire, True, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Longer than the pause: a try that was still to come would have come.
        assert not await asyncio.to_thread(server.came.acquire, True, 1.5)

    asyncio.run(main())


def test_one_client_serves_several_loops_in_turn_and_at_once(scripted: Any) -> None:
    server = scripted(answer(a_job()))
    mb = AsyncMeetBot(KEY, server.url)

    async def main() -> list[Job | None]:
        return await asyncio.gather(*(mb.get_bot(ID) for _ in range(10)))

    for _ in range(3):
        assert len(asyncio.run(main())) == 10
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: asyncio.run(main()), range(8)))
    assert all(job is not None and job.id == ID for jobs in results for job in jobs)


def test_a_loop_closed_with_calls_in_flight_prints_and_leaks_nothing(scripted: Any) -> None:
    server = scripted(HANG)
    child = python(
        """
        import asyncio, gc, os, sys, time
        from meetbot import AsyncMeetBot

        mb = AsyncMeetBot("mb_test_x", sys.argv[1], timeout=0.2, max_retries=0)

        def once():
            loop = asyncio.new_event_loop()
            calls = [mb.get_bot("job_1") for _ in range(5)]
            async def begin():
                for call in calls:
                    asyncio.ensure_future(call)
                await asyncio.sleep(0.05)
            loop.run_until_complete(begin())
            for task in asyncio.all_tasks(loop):
                task._log_destroy_pending = False  # What asyncio itself says about such tasks.
            loop.close()

        once()
        sys.stdin.readline()
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            once()
        sys.stdin.readline()
        gc.collect()
        async def fine():
            try:
                await mb.get_bot("job_1")
            except Exception as error:
                print(type(error).__name__)
        asyncio.run(fine())
        gc.collect()
        deadline = time.monotonic() + 10
        # The runtime's thread may be late by a moment; a leak would stay.
        while (more := len(os.listdir("/proc/self/fd")) - before) > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        print(more)
        """,
        server.url,
        stdin=subprocess.PIPE,
    )
    assert child.stdin
    for calls in [5, 25]:
        for _ in range(calls):
            assert server.hung_up.acquire(timeout=PATIENCE)
        child.stdin.write("\n")
        child.stdin.flush()
    out, err = child.communicate(timeout=PATIENCE)
    assert err == ""
    assert out.split()[0] == "MeetbotTimeoutError" and int(out.split()[1]) <= 1, out


def test_a_loop_that_cannot_watch_files_is_woken_by_call_soon_threadsafe(scripted: Any) -> None:
    server = scripted(answer(a_job()))

    def cannot_watch(fd: Any, callback: Any, *args: Any) -> None:
        raise NotImplementedError

    async def main() -> list[Job | None]:
        mb = AsyncMeetBot(KEY, server.url)
        return await asyncio.gather(*(mb.get_bot(ID) for _ in range(20)))

    loop = asyncio.new_event_loop()
    # As Windows' loop is in this.
    loop.add_reader = cannot_watch  # type: ignore[method-assign,assignment]
    try:
        assert len(loop.run_until_complete(main())) == 20
    finally:
        loop.close()


def test_a_closed_loop_is_freed_with_its_resources(scripted: Any) -> None:
    import weakref

    server = scripted(answer(a_job()))
    mb = AsyncMeetBot(KEY, server.url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(mb.get_bot(ID))
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


def holds_in_a_forked_child(check: Callable[[], bool]) -> None:
    with warnings.catch_warnings():
        # Python warns of forks while threads run; the runtime's thread is one, and supports forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        done = 1
        try:
            done = 0 if check() else 2
        finally:
            os._exit(done)
    waited = threading.Thread(target=lambda: status.append(os.waitpid(pid, 0)[1]))
    status: list[int] = []
    waited.start()
    waited.join(PATIENCE)
    assert status == [0], "the child hung" if not status else status


def test_a_call_in_a_forked_child_works_and_the_parents_client_too(scripted: Any) -> None:
    server = scripted(answer(a_job()))
    clients = [MeetBot(KEY, server.url)]
    aclients = [AsyncMeetBot(KEY, server.url)]

    def called() -> bool:
        job, again = clients[0].get_bot(ID), asyncio.run(aclients[0].get_bot(ID))
        return job == again and job is not None

    def called_and_dropped() -> bool:
        equal = called()
        clients.clear()
        aclients.clear()
        gc.collect()
        return equal

    assert called()
    holds_in_a_forked_child(called_and_dropped)
    assert called()


def test_a_client_in_a_forked_child_keeps_its_settings_whatever_the_environment_has(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted(answer(a_job()))
    monkeypatch.setenv("MEETBOT_API_KEY", KEY)
    monkeypatch.setenv("MEETBOT_API_BASE_URL", server.url)
    mb = MeetBot()
    monkeypatch.setenv("MEETBOT_API_KEY", "mb_test_another")
    monkeypatch.setenv("MEETBOT_API_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    holds_in_a_forked_child(lambda: mb.get_bot(ID) is not None)
    monkeypatch.delenv("MEETBOT_API_KEY")
    holds_in_a_forked_child(lambda: mb.get_bot(ID) is not None)
    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {KEY}"] * 2


def test_a_client_starts_no_thread_before_its_first_call() -> None:
    child = python(
        """
        import os
        from meetbot import AsyncMeetBot, MeetBot

        MeetBot("mb_test_x"), AsyncMeetBot("mb_test_x", max_retries=0)
        print(len(os.listdir("/proc/self/task")))
        """
    )
    assert child.communicate(timeout=PATIENCE) == ("1\n", "")


def in_another_process(mb_url: str) -> str:
    job = MeetBot(KEY, mb_url).get_bot(ID)
    assert job is not None
    return job.id


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_calls_work_in_multiprocessing(scripted: Any, method: str) -> None:
    server = scripted(answer(a_job()))
    assert in_another_process(server.url) == ID
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with multiprocessing.get_context(method).Pool(2) as pool:
            answers = pool.map_async(in_another_process, [server.url] * 4).get(PATIENCE)
    assert answers == [ID] * 4


def test_sixteen_threads_share_one_client(scripted: Any) -> None:
    server = scripted(answer(a_job()))
    mb = MeetBot(KEY, server.url)
    with ThreadPoolExecutor(16) as pool:
        jobs = list(pool.map(lambda _: mb.get_bot(ID), range(160)))
    assert len(jobs) == 160 and all(job is not None and job.id == ID for job in jobs)


def switches() -> int:
    """How often the runtime's thread has gone to sleep."""
    counted = []
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text().strip() == "meetbot":
            status = (task / "status").read_text().split()
            counted.append(int(status[status.index("voluntary_ctxt_switches:") + 1]))
    assert len(counted) == 1
    return counted[0]


def test_a_blocking_call_wakes_no_other_thread(server: Server) -> None:
    mb = MeetBot(server.key, server.url)
    # The first ones find the runtime's thread at work.
    for _ in range(20):
        mb.list_bots(limit=1)
    before = switches()
    for _ in range(500):
        mb.list_bots(limit=1)
    # It looks ten times a second whether it is needed, and a busy machine may take seconds; each call would wake it twice.
    assert switches() - before < 250


def test_a_call_of_a_loop_is_sent_by_the_thread_of_the_loop(server: Server) -> None:
    async def main() -> int:
        mb = AsyncMeetBot(server.key, server.url)
        for _ in range(20):
            await mb.list_bots(limit=1)
        before = switches()
        for _ in range(500):
            await mb.list_bots(limit=1)
        return switches() - before

    # Each answer wakes the runtime's thread once; the call would wake it before.
    assert asyncio.run(main()) < 750


def test_a_closed_connection_is_not_reused(scripted: Any) -> None:
    # Nothing announces that they are to be closed.
    server = scripted(answer(a_job(), Connection="keep-alive"))
    mb = MeetBot(KEY, server.url, max_retries=0)
    for _ in range(50):
        assert mb.get_bot(ID) is not None
        assert server.closed.acquire(timeout=PATIENCE)


def test_an_answer_that_comes_while_another_thread_keeps_the_gil_is_in_time(scripted: Any) -> None:
    server = scripted(Reply(b"", "relays"))
    child = python(
        """
        import sys, threading, time
        from meetbot import MeetBot

        mb = MeetBot("mb_test_x", sys.argv[1], timeout=1.5, max_retries=0)
        calling = threading.Thread(target=lambda: print(type(mb.get_bot("job_1")).__name__))
        calling.start()
        sys.stdin.readline()
        sys.setswitchinterval(60)  # The GIL is not asked for before that.
        print("keeping it", flush=True)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            pass
        sys.setswitchinterval(0.005)
        calling.join()
        """,
        server.url,
        stdin=subprocess.PIPE,
    )
    assert child.stdin and child.stdout
    assert server.came.acquire(timeout=PATIENCE)
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "keeping it\n"
    # By then the call has looked for signals at least once, and waits for the GIL.
    time.sleep(0.3)
    server.send(answer(a_job()).raw)
    out, err = child.communicate(timeout=PATIENCE)
    assert (out, err) == ("Job\n", "")


def test_blocking_calls_loops_and_streams_work_together(scripted: Any) -> None:
    server = scripted(answer(a_job()), events=STREAM)
    mb, amb = MeetBot(KEY, server.url), AsyncMeetBot(KEY, server.url)

    def blocking() -> int:
        return sum(mb.get_bot(ID) is not None for _ in range(50))

    async def in_a_loop() -> int:
        seen = 0
        for round in range(10):
            jobs = await asyncio.gather(*(amb.get_bot(ID) for _ in range(5)))
            seen += sum(job is not None for job in jobs)
            # Longer and shorter than it takes until the runtime's thread drives again.
            await asyncio.sleep(0.02 * round)
        return seen

    def watching() -> list[int]:
        return [event.data.sequence for event in islice(mb.watch(ID), 10)]

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(blocking) for _ in range(4)]
        calls += [pool.submit(lambda: asyncio.run(in_a_loop())) for _ in range(2)]
        events = pool.submit(watching)
        for sequence in range(1, 11):
            server.send(an_event(sequence))
        assert [call.result(PATIENCE) for call in calls] == [50] * 6
        assert events.result(PATIENCE) == list(range(1, 11))


def test_a_program_that_ends_with_a_call_in_flight_ends_at_once(scripted: Any) -> None:
    server = scripted(HANG)
    child = python(
        """
        import sys, threading
        from meetbot import MeetBot

        mb = MeetBot("mb_test_x", sys.argv[1])
        threading.Thread(target=mb.get_bot, args=("job_1",), daemon=True).start()
        sys.stdin.readline()
        """,
        server.url,
        stdin=subprocess.PIPE,
    )
    assert server.came.acquire(timeout=PATIENCE)
    out, err = child.communicate("\n", timeout=PATIENCE)
    assert (out, err, child.returncode) == ("", "", 0)


def test_a_call_of_a_daemon_thread_goes_unnoticed_after_python_has_ended(scripted: Any) -> None:
    server = scripted(HANG)
    child = python(
        """
        import ctypes, sys, threading
        from meetbot import MeetBot

        mb = MeetBot("mb_test_x", sys.argv[1])
        threading.Thread(target=mb.get_bot, args=("job_1",), daemon=True).start()
        # What is done last reads a character: the process stays when Python has ended.
        ctypes.pythonapi.Py_AtExit(ctypes.cast(ctypes.CDLL(None).getchar, ctypes.c_void_p))
        sys.stdin.readline()
        """,
        server.url,
        stdin=subprocess.PIPE,
    )
    assert server.came.acquire(timeout=PATIENCE)
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    # A call looks for signals every 100 ms.
    time.sleep(0.5)
    out, err = child.communicate(timeout=PATIENCE)
    assert (out, err, child.returncode) == ("", "", 0)


def test_a_machine_without_root_certificates_still_makes_a_client(tmp_path: Any) -> None:
    child = python(
        'import meetbot; print(meetbot.MeetBot("mb_test_x", "https://x.example"))',
        env={**os.environ, "SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": str(tmp_path)},
    )
    out, err = child.communicate(timeout=PATIENCE)
    assert (out, err) == ("MeetBot(base_url='https://x.example')\n", "")
