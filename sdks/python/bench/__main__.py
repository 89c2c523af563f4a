"""`cargo xtask bench python`: what a call costs, side by side with other HTTP clients, all in one run.

The server is the real one. Every figure is the median of the rounds; in each round every client takes its turn, each in a process of
its own, so that a machine that slows down slows all of them down.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from meetbot import MeetBot

HERE = Path(__file__).parent
CALLERS = (1, 10, 100)
SYNC = ("httpx", "pyreqwest", "meetbot")
ASYNC = ("httpx", "aiohttp", "pyreqwest", "meetbot")
Figures = dict[str, float]


@contextmanager
def server(program: str) -> Iterator[None]:
    """Runs the server and puts its URL and key into the environment."""
    with tempfile.TemporaryDirectory() as data:
        process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # The clients are measured, not what the server grants a key.
            env=os.environ | {"MEETBOT_LIMITS_REQUESTS_PER_MINUTE": "0", "MEETBOT_LIMITS_QUEUED_JOBS": "0"},
        )
        assert process.stdout
        try:
            started = json.loads(process.stdout.readline())
            create = [program, "keys", "create", "--test", "--json", "--data-dir", data]
            os.environ["MEETBOT_API_BASE_URL"] = started["url"]
            os.environ["MEETBOT_API_KEY"] = json.loads(subprocess.check_output(create))["key"]
            yield
        finally:
            process.terminate()
            process.wait()


def measure(*arguments: str) -> Figures:
    """One measurement in a fresh process."""
    command = [sys.executable, str(HERE / "measure.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    figures: Figures = json.loads(done.stdout)
    return figures


def median(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def calls(rounds: int, count: int, job_id: str) -> None:
    for mode, contestants in (("sync", SYNC), ("async", ASYNC)):
        print(f"\n{mode}, CPU µs per call (httpx costs so many times as much), calls per second")
        print(f"{'callers':>12}" + "".join(f"{callers:>30}" for callers in CALLERS))
        measured: dict[tuple[str, int], list[Figures]] = {}
        for _ in range(rounds):
            for callers in CALLERS:
                for client in contestants:
                    figures = measure(mode, client, str(callers), str(count), job_id)
                    measured.setdefault((client, callers), []).append(figures)
        for client in contestants:
            row = f"{client:>12}"
            for callers in CALLERS:
                figures = median(measured[client, callers])
                ratio = median(measured["httpx", callers])["cpu_us"] / figures["cpu_us"]
                cell = f"{figures['cpu_us']:.0f} ({ratio:.1f}×) {figures['per_second']:,.0f}/s"
                row += f"{cell:>30}"
            print(row)


def starts(rounds: int, job_id: str) -> None:
    print("\none call in a fresh process: CPU ms in all, of import, client, and call; memory in MB")
    measured: dict[str, list[Figures]] = {client: [] for client in SYNC}
    for _ in range(rounds):
        for client in SYNC:
            measured[client].append(measure("start", client, job_id))
    for client in SYNC:
        figures = median(measured[client])
        parts = [f"{figures[part]:>8.1f}" for part in ("total_ms", "import_ms", "client_ms", "call_ms")]
        print(f"{client:>12}{''.join(parts)}{figures['memory_mb']:>8.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, help="the server's program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=2000, help="calls in one measurement")
    options = parser.parse_args()
    with server(options.program), MeetBot() as mb:
        job = mb.dispatch_bot(
            meeting_url="https://sandbox.meetbot.dev/two-speakers",
            join_at=datetime.now(timezone.utc) + timedelta(days=300),
            metadata={"customer_id": "cust_4711", "note": "as large as a job usually is"},
        )
        calls(options.rounds, options.calls, job.id)
        starts(options.rounds, job.id)
        mb.cancel_bot(job.id)


if __name__ == "__main__":
    main()
