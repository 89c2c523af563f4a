"""The Rust core; `src/` has it."""

import asyncio
import weakref
from collections.abc import Sequence
from typing import Any, final

from ._errors import MeetbotError
from ._wire import Options, Settings

__all__ = [
    "VERSION",
    "Answer",
    "Completions",
    "Core",
    "Task",
    "api_path",
    "verify_signature",
]

VERSION: str

# Method, path, JSON, headers; then the time limit and the idempotency key of this call alone.
_Parts = tuple[
    str, str, bytes | None, Sequence[tuple[str, str]], float | None, str | None
]

@final
class Answer:
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> list[tuple[str, str]]: ...
    @property
    def attempts(self) -> int: ...
    def header(self, name: str) -> str | None: ...

@final
class Core:
    def __new__(cls, settings: Settings, options: Options) -> Core: ...
    def with_options(self, options: Options) -> Core: ...
    @property
    def base_url(self) -> str: ...
    def call(self, parts: _Parts) -> Answer: ...
    def start(
        self, completions: Completions, future: asyncio.Future[Any], parts: _Parts
    ) -> Task: ...
    def unreadable(self, path: str, answer: Answer, why: str) -> MeetbotError: ...
    def close(self) -> None: ...

@final
class Task:
    def abort(self) -> None: ...

@final
class Completions:
    @staticmethod
    def watched() -> Completions: ...
    @staticmethod
    def threadsafe(weak_loop: weakref.ref[asyncio.AbstractEventLoop]) -> Completions: ...
    def fileno(self) -> int: ...
    def drain(self) -> None: ...

def api_path(segments: Sequence[str], query: Sequence[tuple[str, str]]) -> str: ...
def verify_signature(body: bytes, header: str | None, secret: str) -> bool: ...
