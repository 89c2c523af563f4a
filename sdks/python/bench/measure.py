"""One measurement in a process of its own: `measure.py sync|async CLIENT CALLERS CALLS JOB_ID`, or `measure.py start CLIENT JOB_ID`.

Prints one line of JSON. CPU time is the whole process's, user and system, all threads.
"""

from __future__ import annotations

# Little, and the rest where it is needed: what is imported here, no start would seem to pay for.
import os
import resource
import sys
import time


def cpu() -> float:
    """Seconds of CPU that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory_mb() -> float:
    """What the process holds now. (The peak that `getrusage` tells begins with the parent's.)"""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def report(**figures: float) -> None:
    import json

    print(json.dumps(figures), flush=True)


def report_calls(calls: int, cpu_seconds: float, wall_seconds: float) -> None:
    report(cpu_us=cpu_seconds / calls * 1e6, per_second=calls / wall_seconds)


def measure_sync(client: str, callers: int, calls: int, job_id: str) -> None:
    import threading

    import clients

    get = clients.SYNC[client]()
    ready = threading.Barrier(callers + 1)

    def caller() -> None:
        get(job_id)
        ready.wait()
        ready.wait()
        for _ in range(calls // callers):
            get(job_id)

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    ready.wait()
    used, began = cpu(), time.perf_counter()
    ready.wait()
    for thread in threads:
        thread.join()
    report_calls(calls // callers * callers, cpu() - used, time.perf_counter() - began)


async def measure_async(client: str, callers: int, calls: int, job_id: str) -> None:
    import asyncio

    import clients

    get = clients.ASYNC[client]()
    await asyncio.gather(*(get(job_id) for _ in range(callers)))

    async def caller() -> None:
        for _ in range(calls // callers):
            await get(job_id)

    used, began = cpu(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    report_calls(calls // callers * callers, cpu() - used, time.perf_counter() - began)


def measure_start(client: str, job_id: str) -> None:
    """What a script pays that makes one call: import, client, the call. The model and its pydantic are in the call."""
    before, bare_mb = cpu(), memory_mb()
    __import__(client)
    imported = cpu()
    import clients

    ready = cpu()
    get = clients.SYNC[client]()
    made = cpu()
    get(job_id)
    called = cpu()
    report(
        import_ms=(imported - before) * 1e3,
        client_ms=(made - ready) * 1e3,
        call_ms=(called - made) * 1e3,
        total_ms=(called - before - (ready - imported)) * 1e3,
        memory_mb=memory_mb() - bare_mb,
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["sync", client, callers, calls, job_id]:
            measure_sync(client, int(callers), int(calls), job_id)
        case ["async", client, callers, calls, job_id]:
            import asyncio

            asyncio.run(measure_async(client, int(callers), int(calls), job_id))
        case ["start", client, job_id]:
            measure_start(client, job_id)
        case _:
            sys.exit(__doc__)
    # What happens while an interpreter ends is not measured, and pyreqwest sometimes crashes there.
    os._exit(0)
