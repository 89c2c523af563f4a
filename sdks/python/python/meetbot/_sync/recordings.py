"""Recordings: what they hold, their files, their deletion."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from .. import _calls
from .._errors import MeetbotTimeoutError
from .._wire import sleep
from .caller import Caller

if TYPE_CHECKING:
    from pathlib import Path

    from .._downloads import Progress
    from .._events import Caption, ChatMessage, RecordingEvent
    from .._models import Job
    from .._responses import DeletionReceipt, Manifest, ManifestFile, SpeakingSpan


class RecordingCalls(Caller):
    """The calls that read recordings, download their files and delete them."""

    def manifest(self, job_id: Job | str, *, timeout: float | None = None) -> Manifest:
        """What was recorded (`GET …/manifest`).

        Raises:
            MeetbotNotFoundError: There is no manifest yet.

        Example:
            >>> manifest = mb.manifest(ended_job_id)
            >>> print(sorted(person.name for person in manifest.participants))
            ['Alice', 'Bob']
        """
        return self._call(_calls.manifest(job_id), timeout)

    def speaking(self, job_id: Job | str, *, timeout: float | None = None) -> list[SpeakingSpan]:
        """Who spoke when, by start: the manifest's `speaking`.

        Raises:
            MeetbotNotFoundError: There is no manifest yet.

        Example:
            >>> spans = mb.speaking(ended_job_id)
            >>> print(sorted({span.participant_id for span in spans}), spans[0].end_ms > spans[0].start_ms)
            ['p-alice', 'p-bob'] True
        """
        return (self.manifest(job_id, timeout=timeout)).speaking

    def captions(self, job_id: Job | str, *, timeout: float | None = None) -> list[Caption]:
        """The meeting's captions, `captions.jsonl`, in the order in which they came; empty where there were none, as on platforms that give none.

        The file is checked by its SHA-256, and read into memory (at most 64 MiB). A line that was cut off is left out.

        Raises:
            MeetbotNotFoundError: There is no manifest yet.
            MeetbotDecodeError: The file is not what the manifest says, or too large, or a line has a value of another type.

        Example:
            >>> for caption in mb.captions(ended_job_id):
            ...     line = f"{caption.speaker}: {caption.text}"
        """
        return self._lines("captions", job_id, timeout)

    def chat(self, job_id: Job | str, *, timeout: float | None = None) -> list[ChatMessage]:
        """The meeting's chat, `chat.jsonl`, in the order in which it was written; empty where nothing was. It is read as `captions` are.

        Raises:
            MeetbotNotFoundError: There is no manifest yet.
            MeetbotDecodeError: The file is not what the manifest says, or too large, or a line has a value of another type.

        Example:
            >>> for message in mb.chat(ended_job_id):
            ...     line = f"{message.sender}: {message.text}"
        """
        return self._lines("chat", job_id, timeout)

    def events_file(self, job_id: Job | str, *, timeout: float | None = None) -> list[RecordingEvent]:
        """The lines of `events.jsonl`, what happened to the recording; empty where the manifest names no such file. It is read as `captions` are.

        A line of a type that this version does not know has its fields as extra ones. The events of the job itself come from `watch`.

        Raises:
            MeetbotNotFoundError: There is no manifest yet.
            MeetbotDecodeError: The file is not what the manifest says, or too large, or a line has a value of another type.

        Example:
            >>> events = mb.events_file(ended_job_id)
            >>> print(events[0].type, events[-1].type, events[-1].reason)
            started left meeting_ended
        """
        return self._lines("events", job_id, timeout)

    def artifacts(self, job_id: Job | str, *, timeout: float | None = None) -> list[ManifestFile]:
        """All files of the job (`GET …/artifacts`): those of its manifest, and what was kept of joins that failed.

        A job without a manifest may have the latter too.

        Example:
            >>> files = mb.artifacts(ended_job_id)
            >>> print("events.jsonl" in [file.name for file in files])
            True
        """
        return (self._call(_calls.artifacts(job_id), timeout)).data

    def artifact(self, job_id: Job | str, name: str, *, timeout: float | None = None) -> bytes:
        """A recorded file, in memory (at most 64 MiB; `download_artifact` has no limit).

        Example:
            >>> chat = mb.artifact(ended_job_id, "events.jsonl")
            >>> print(chat[:1])
            b'{'
        """
        call = _calls.artifact(job_id, name)
        return (self._send(call.method, call.path, None, timeout, None)).body

    def download_artifact(
        self,
        job_id: Job | str,
        name: str,
        target: str | os.PathLike[str],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        expected: ManifestFile | None = None,
    ) -> Path:
        """A recorded file, written to `target`, over a file that was there.

        It is fetched in pieces of 1 MiB, each tried again by the rules of every call, and in smaller ones, down to 64 KiB, where a piece
        takes too long; written beside its place, and moved there when it is whole.

        Args:
            job_id: The job, or its id.
            name: The file, as the manifest names it.
            target: Where to write it.
            on_progress: Called after each piece.
            expected: The file's entry in the manifest: its SHA-256 is checked.

        Raises:
            MeetbotFileError: It cannot be written.
            MeetbotDecodeError: It is not what the manifest says.

        Example:
            >>> path = mb.download_artifact(ended_job_id, "audio.Alice.webm", folder / "alice.webm")
            >>> print(path.name)
            alice.webm
        """
        from .._downloads import Download

        path = _calls.artifact(job_id, name).path
        with Download(name, target, expected, on_progress) as download:
            while (headers := download.wanted()) is not None:
                try:
                    answer = self._send("GET", path, None, None, None, headers)
                except MeetbotTimeoutError as error:
                    download.slow_down(error)
                else:
                    download.take(answer)
            return download.finished()

    def download_artifacts(
        self,
        job: Job | str,
        folder: str | os.PathLike[str],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        wait_for_mix: bool = True,
    ) -> list[Path]:
        """Everything that was recorded, written into the folder: the files of the manifest, each checked by its SHA-256, then the manifest.

        A job ends before its mix is made. While the manifest says that the mix is pending, this waits for it, for ten minutes at most; after
        that, and with `wait_for_mix=False` at once, it takes the files that there are.

        Args:
            job: The job, or its id.
            folder: Where to write; made where it is missing.
            on_progress: Called after each piece of a file.
            wait_for_mix: Whether to wait for a mix that is still to be made.

        Example:
            >>> paths = mb.download_artifacts(ended_job_id, folder)
            >>> print("audio.Alice.webm" in [path.name for path in paths], paths[-1].name)
            True manifest.json
        """
        from .. import _downloads

        job_id = _calls.job_id_of(job)
        into, fetch = _downloads.folder(folder), self.download_artifact
        paths, began = [], monotonic()
        manifest = self.manifest(job_id)
        while wait_for_mix and manifest.mixed.state == "pending":
            pause = _downloads.mix_pause(monotonic() - began)
            if pause is None:
                break
            sleep(pause)
            manifest = self.manifest(job_id)
        for file in manifest.files:
            name = _downloads.flat(file.name)
            paths.append(fetch(job_id, name, into / name, on_progress=on_progress, expected=file))
        paths.append(fetch(job_id, "manifest.json", into / "manifest.json"))
        return paths

    def delete_recording(self, job_id: Job | str, *, timeout: float | None = None) -> DeletionReceipt:
        """Deletes everything that was recorded (`DELETE …/recording`), and says what that was.

        Raises:
            MeetbotConflictError: The job has not ended.

        Example:
            >>> receipt = mb.delete_recording(ended_job_id)
            >>> print(len(receipt.removed) > 2, receipt.already_gone)
            True []
        """
        return self._call(_calls.delete_recording(job_id), timeout)

    def _lines(self, which: str, job_id: Job | str, timeout: float | None) -> list[Any]:
        from .. import _lines

        file = _lines.file_of(self.manifest(job_id, timeout=timeout), which)
        if file is None or file.name is None:
            return []
        return _lines.read(file, self.artifact(job_id, file.name, timeout=timeout), which)
