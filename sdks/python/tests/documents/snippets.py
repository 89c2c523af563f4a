"""The snippets of a document, by their language, and what running them takes."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from typing import IO

from conftest import program

PATIENCE_SECONDS = 60

ROOT = Path(__file__).parents[4]


def snippets(document: str, language: str) -> list[str]:
    """The fenced blocks of this language, in their order."""
    text = (ROOT / document).read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert found, f"{document} has no {language}"
    return found


def programs(folder: Path, stand_ins: Mapping[str, str]) -> str:
    """A `PATH` with our program and this environment's before all others; those that stand in for one that would take minutes take these
    arguments and no others."""
    folder.mkdir()
    (folder / "meetbot").symlink_to(program())
    for name, arguments in stand_ins.items():
        (folder / name).write_text(f"""#!/bin/sh\n[ "$*" = "{arguments}" ]\n""")
        (folder / name).chmod(0o755)
    return os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _put_lines(stream: IO[str], lines: Queue[str]) -> None:
    # Linux reports with this error that the terminal is closed.
    with stream, suppress(OSError):
        for line in stream:
            lines.put(line.rstrip())
    lines.put("the program has ended")


@contextmanager
def running(
    command: list[str], folder: Path, environment: Mapping[str, str], *, terminal: bool = False
) -> Iterator[Queue[str]]:
    """A program in this folder, and what it prints: into a pipe, or at a terminal."""
    read_end, write_end = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=write_end,
        stderr=write_end,
        # A shell's programs end with it.
        start_new_session=True,
    )
    os.close(write_end)
    lines: Queue[str] = Queue()
    reader = threading.Thread(target=_put_lines, args=(open(read_end), lines))
    reader.start()
    try:
        yield lines
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        reader.join()


def heard(lines: Queue[str], word: str) -> str:
    """The first line that holds the word."""
    said: list[str] = []
    while not said or word not in said[-1]:
        said.append(lines.get(timeout=PATIENCE_SECONDS))
        assert "the program has ended" not in said[-1], said
    return said[-1]
