"""Files of a recording that have a JSON object in each line: captions, chat, events."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ._errors import MeetbotDecodeError
from ._events import Caption, ChatMessage, RecordingEvent
from ._models import Model, problems
from ._responses import ManifestFile

if TYPE_CHECKING:
    from ._responses import Manifest

#: How a line of each file is read.
MODELS: dict[str, type[Model]] = {"captions": Caption, "chat": ChatMessage, "events": RecordingEvent}
#: How large a file may be that is read into memory.
MOST = 64 << 20


def file_of(manifest: Manifest, which: str) -> ManifestFile | None:
    """What the manifest says of this file; `None` where it names none.

    Raises:
        MeetbotDecodeError: It is too large for the memory.
    """
    names = {file.name: file for file in manifest.files}
    events = "events.jsonl" if "events.jsonl" in names else None
    name = {"captions": manifest.captions, "chat": manifest.chat, "events": events}[which]
    if name is None:
        return None
    file = names.get(name) or ManifestFile(name=name)
    if file.bytes is not None and file.bytes > MOST:
        raise MeetbotDecodeError(
            f"{name} is larger than {MOST >> 20} MiB: download it to a file, and read that line by line",
            attempts=1,
        )
    return file


def read(file: ManifestFile, body: bytes, which: str) -> list[Any]:
    """Each line that is an object. Other lines are skipped: a full disk may have truncated one.

    Raises:
        MeetbotDecodeError: The file is not what the manifest says, or a line has a value of another type.
    """
    if file.bytes is not None and file.bytes != len(body):
        raise MeetbotDecodeError(f"{file.name} should have {file.bytes} bytes, and {len(body)} came", attempts=1)
    found = hashlib.sha256(body).hexdigest()
    if file.sha256 is not None and found != file.sha256:
        raise MeetbotDecodeError(
            f"{file.name} is not what the manifest says: SHA-256 {found}, not {file.sha256}", attempts=1
        )
    model, lines = MODELS[which], []
    for number, line in enumerate(body.split(b"\n"), 1):
        try:
            lines.append(model.model_validate_json(line))
        except ValidationError as error:
            if _is_object(line):
                raise MeetbotDecodeError(
                    f"{file.name}: line {number} is not what it should be: {problems(error)}",
                    attempts=1,
                ) from None
    return lines


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
