"""How calls are sent: through the Rust core, from a thread or from an asyncio loop."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from operator import index
from typing import TYPE_CHECKING, Any, TypedDict, Union, cast

from . import _core
from ._errors import MeetbotConfigurationError
from ._observe import logger
from ._parts import check_seconds, check_sendable

if TYPE_CHECKING:
    from . import _gevent
    from ._parts import Parts
    from ._transport import Transport

__all__ = [
    "EventReader",
    "Options",
    "Pem",
    "Settings",
    "core",
    "merged",
    "wait_for_change",
    "send",
    "sleep",
    "wait",
]

#: The path of a PEM file, or its bytes.
Pem = Union[str, "os.PathLike[str]", bytes]


class Settings(TypedDict):
    """The settings that a client has from its construction on."""

    api_key: str | None
    base_url: str | None
    user_agent: str
    proxy: str | None
    ca_bundle: bytes | None
    client_cert: bytes | None


class Options(TypedDict):
    """The options of all calls of a client, or of a copy made by `with_options`; times in seconds."""

    timeout: float | None
    connect_timeout: float | None
    deadline: float | None
    max_retries: int | None


USER_AGENT = (
    f"meetbot-python/{_core.VERSION}"
    f" {sys.implementation.name}/{'.'.join(map(str, sys.version_info[:3]))}"
)


def core(
    *,
    api_key: str | None,
    base_url: str | None,
    timeout: float | None,
    connect_timeout: float | None,
    deadline: float | None,
    max_retries: int | None,
    proxy: str | None,
    ca_bundle: Pem | None,
    client_cert: Pem | tuple[Pem, Pem] | None,
    transport: object,
) -> tuple[_core.Core, Options]:
    """The core of a new client, and the options it has."""
    given = {"proxy": proxy, "ca_bundle": ca_bundle, "client_cert": client_cert}
    ignored = [name for name, value in given.items() if value is not None]
    if transport is not None and ignored:
        raise MeetbotConfigurationError(
            f"a transport of your own does not use {', '.join(ignored)}: set it up there"
            " (httpx.Client(proxy=…, verify=…, cert=…))"
        )
    options: Options = {
        "timeout": timeout,
        "connect_timeout": connect_timeout,
        "deadline": deadline,
        "max_retries": max_retries,
    }
    settings: Settings = {
        "api_key": api_key,
        "base_url": base_url,
        "user_agent": USER_AGENT,
        "proxy": proxy,
        "ca_bundle": None if ca_bundle is None else _read(ca_bundle, "the CA bundle"),
        "client_cert": None if client_cert is None else _identity(client_cert),
    }
    try:
        made = _core.Core(settings, checked(options))
    except (TypeError, UnicodeEncodeError):
        made = None
    if made is None:
        # Raised outside of the handler: the core's error text may contain the key, and must not become the `__context__`.
        raise MeetbotConfigurationError(
            "the API key, the base URL or the proxy is no text that can be sent"
        )
    if made.in_the_clear:
        logger.warning(
            "the API key goes over plain http:// to another machine, and everyone on the way can read it: use https:// in place of %s",
            made.base_url,
        )
    return made, options


def checked(options: Options) -> Options:
    """The options, where the core can take them."""
    for name in ("timeout", "connect_timeout", "deadline"):
        check_seconds(name, options[name])
    retries = options["max_retries"]
    try:
        if retries is None or 0 <= index(retries) < 1 << 32:
            return options
    except TypeError:
        pass
    raise MeetbotConfigurationError(
        f"max_retries is a whole number, not below 0: {retries!r} is none"
    )


def merged(options: Options, given: Mapping[str, Any]) -> Options:
    """The options with those that are given."""
    changes = {name: value for name, value in given.items() if value is not None}
    return checked(cast("Options", {**options, **changes}))


def _identity(given: Pem | tuple[Pem, Pem]) -> bytes:
    if not isinstance(given, tuple):
        return _read(given, "the client certificate")
    certificate, key = given
    return _read(certificate, "the client certificate") + b"\n" + _read(key, "the client's key")


def _read(pem: Pem, what: str) -> bytes:
    if isinstance(pem, bytes):
        return pem
    try:
        with open(pem, "rb") as file:
            return file.read()
    except OSError as error:
        raise MeetbotConfigurationError(f"{what} cannot be read: {error}") from error


def _is_patched() -> bool:
    """Whether gevent has replaced Python's sockets. A call must not block the thread then, since every greenlet of the thread would block too."""
    monkey = sys.modules.get("gevent.monkey")
    return (
        monkey is not None
        and bool(monkey.is_module_patched("socket"))
        # gevent's hub can watch a pipe on POSIX systems only.
        and os.name == "posix"
    )


def sleep(seconds: float) -> None:
    """Sleeps. Under gevent only the greenlet sleeps, also when gevent patched the program after this import."""
    time.sleep(seconds)


def send(core: _core.Core, transport: Transport | None, parts: Parts) -> _core.Answer:
    """Makes a call and waits for its answer; other threads run meanwhile, and Ctrl-C ends it."""
    check_sendable(parts)
    if transport is None:
        if _is_patched():
            from . import _gevent

            return _gevent.call(core, parts)
        return core.call(parts)
    from ._transport import send_through

    return send_through(core, transport, parts)


class EventReader:
    """Waits for a stream's events. An interrupted wait loses no event."""

    def __init__(self, events: _core.Events) -> None:
        self._events = events
        #: The reader that does the waiting in a program that gevent has patched; made by the first `next` there.
        self._gevent_reader: _gevent.EventReader | None = None

    def is_usable_here(self) -> bool:
        """Whether the calling thread may wait with this reader: without gevent, every thread may."""
        return self._gevent_reader is None or self._gevent_reader.is_usable_here()

    def next(self) -> str | None:
        """The next event, as JSON; `None` after the last."""
        if self._gevent_reader is None:
            if not _is_patched():
                return self._events.next()
            from . import _gevent

            self._gevent_reader = _gevent.EventReader(self._events)
        return self._gevent_reader.next()

    def close(self) -> None:
        """Cancels the wait. The stream itself is closed when the last reference to it is dropped."""
        if self._gevent_reader is not None:
            self._gevent_reader.close()


def wait(core: _core.Core, job_id: str, timeout: float | None, *, listen: bool) -> _core.Wait:
    """A wait for a job's end. With a custom transport it polls only, since such a transport has no event stream."""
    check_seconds("timeout", timeout)
    return core.wait(job_id, timeout) if listen else _core.Wait(job_id, timeout)


def wait_for_change(wait: _core.Wait, pause: float) -> None:
    """Returns when something may have happened to the job, and after the pause at the latest."""
    if _is_patched():
        from . import _gevent

        _gevent.wait_for_change(wait, pause)
    else:
        wait.wait_for_change(pause)
