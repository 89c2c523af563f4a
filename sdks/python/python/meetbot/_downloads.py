"""Writes a recorded file piece by piece, beside its place first, and moves it there when it is whole."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ._errors import (
    MeetbotConfigurationError,
    MeetbotDecodeError,
    MeetbotFileError,
    MeetbotTimeoutError,
)

if TYPE_CHECKING:
    from . import _core
    from ._responses import ManifestFile

#: How many bytes are asked for at a time: what a broken connection costs at most. A piece has to come within the time of one try.
PIECE = 1 << 20
#: How many are asked for at least, where larger pieces take too long.
LEAST = 64 << 10


#: As in `bytes 0-9/100`; a number of more digits is no file's size.
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")

#: How many seconds a download waits at most for a mix that is still to be made.
LONGEST_MIX = 600.0


def mix_pause(waited: float) -> float | None:
    """How many seconds to wait before the manifest of a pending mix is asked for again, after having waited for so long: a tenth of that. `None` after
    the longest time."""
    left = LONGEST_MIX - waited
    return min(max(waited / 10, 0.2), 5.0, left) if left > 0 else None


@dataclass(frozen=True)
class Progress:
    """How far the download of a file has come; what `on_progress` gets after each piece."""

    name: str
    """The file."""
    received: int
    """How many bytes are there."""
    total: int | None
    """How many there will be; `None` while that is not known."""


class Download:
    """One file on its way to `target`. Leaving it with an error leaves nothing behind."""

    def __init__(
        self,
        name: str,
        target: str | os.PathLike[str],
        expected: ManifestFile | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._name = name
        self._target = Path(target)
        if os.path.isdir(self._target):
            raise MeetbotConfigurationError(
                f"the target is the file to write, and {str(self._target)!r} is a folder"
            )
        # A unique name: files of other downloads and existing files are not overwritten.
        self._part = self._target.with_name(f"{self._target.name}.{os.urandom(4).hex()}.part")
        self._expected = expected
        self._on_progress = on_progress
        self._piece = PIECE
        self._received = 0
        self._total = expected.bytes if expected is not None else None
        self._hash = hashlib.sha256()
        self._done = False
        try:
            self._file = self._part.open("xb")
        except OSError as error:
            raise MeetbotFileError(f"{self._part} cannot be written: {error}") from error
        except ValueError as error:
            raise MeetbotConfigurationError(
                f"{str(self._target)!r} is no file's name: {error}"
            ) from error

    def wanted(self) -> tuple[tuple[str, str], ...] | None:
        """The headers of the next request; `None` when the file is whole."""
        if self._done:
            return None
        if self._total == 0:
            return ()
        return (("range", f"bytes={self._received}-{self._received + self._piece - 1}"),)

    def slow_down(self, error: MeetbotTimeoutError) -> None:
        """The last piece took too long: the next ones are a quarter of it, and the error is raised when they are as small as can be."""
        if self._piece <= LEAST:
            raise error
        self._piece = max(self._piece // 4, LEAST)

    def take(self, answer: _core.Answer) -> None:
        """Writes the next piece."""
        body = answer.body
        if answer.status == 206:
            most, total = self._after(answer.header("content-range") or "")
        elif self._received == 0:
            # A server without ranges gives all at once.
            most = total = len(body)
        else:
            raise MeetbotDecodeError(f"{self._name}: a piece was asked for, and all of it came")
        if total != (total if self._total is None else self._total):
            raise MeetbotDecodeError(
                f"{self._name}: it should have {self._total} bytes, and the server says {total}"
            )
        if len(body) > most:
            raise MeetbotDecodeError(f"{self._name}: the server sent more than it said")
        self._total = total
        try:
            self._file.write(body)
        except OSError as error:
            raise MeetbotFileError(f"{self._part} cannot be written: {error}") from error
        self._hash.update(body)
        self._received += len(body)
        self._done = self._received == total
        if not body and not self._done:
            raise MeetbotDecodeError(f"{self._name}: an empty piece came")
        if self._on_progress:
            self._on_progress(Progress(self._name, self._received, self._total))

    def finished(self) -> Path:
        """Checks the file against the manifest and moves it to its place."""
        found = self._hash.hexdigest()
        promised = None if self._expected is None else self._expected.sha256
        if promised is not None and found != promised:
            raise MeetbotDecodeError(
                f"{self._name} is not what the manifest says: SHA-256 {found}, not {promised}"
            )
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._part, self._target)
        except OSError as error:
            raise MeetbotFileError(f"{self._target} cannot be written: {error}") from error
        return self._target

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            # On a full disk closing fails too, for what is still to be written.
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._part.unlink()

    def _after(self, content_range: str) -> tuple[int, int]:
        """The size of the piece and that of the whole, when the piece begins where the last one ended."""
        read = _CONTENT_RANGE.fullmatch(content_range)
        if read is not None:
            first, last, total = (int(number) for number in read.groups())
            if first == self._received and first <= last < total:
                return last - first + 1, total
        raise MeetbotDecodeError(
            f"{self._name}: the piece from {self._received} was asked for, and {content_range!r} came"
        )


def flat(name: str | None) -> str:
    """The name of a file in a folder: one that leads elsewhere is refused, as is none."""
    if not name or name in (".", "..") or any(letter in name for letter in "/\\\0"):
        raise MeetbotDecodeError(f"the manifest names a file {name!r}, which is no file's name")
    return name


def folder(path: str | os.PathLike[str]) -> Path:
    """The folder, made where it is missing."""
    made = Path(path)
    try:
        made.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MeetbotConfigurationError(f"{made} is no folder to write to: {error}") from error
    return made
