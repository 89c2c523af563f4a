"""Concurrent downloads, existing files and a full disk."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted_server import KEY, Reply, answer, refusal

from meetbot import (
    HttpxTransport,
    MeetBot,
    MeetbotConfigurationError,
    MeetbotDecodeError,
    MeetbotFileError,
    MeetbotNotFoundError,
)
from meetbot._responses import ManifestFile

ID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"


def pieces(content: bytes, size: int) -> list[Any]:
    """The file in its pieces, as a server gives them."""
    return [
        answer(
            content[start : start + size],
            206,
            Content_Range=f"bytes {start}-{min(start + size, len(content)) - 1}/{len(content)}",
        )
        for start in range(0, len(content), size)
    ]


def entry(content: bytes) -> ManifestFile:
    """The file's entry in a manifest."""
    digest = hashlib.sha256(content).hexdigest()
    return ManifestFile(name="a", media_type="audio/webm", bytes=len(content), sha256=digest)


def test_two_downloads_of_one_target_do_not_write_into_one_another(
    client: Any, scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meetbot._downloads.PIECE", 4)
    first, second, target = b"0123456789", b"abcdefghij", tmp_path / "a"
    other = MeetBot(KEY, scripted(*pieces(second, 4)).url)
    between: list[bytes] = []

    def on_progress(at: Any) -> None:
        if at.received == 4:
            other.download_artifact(ID, "a", target, expected=entry(second))
            between.append(target.read_bytes())

    mb = client(scripted(*pieces(first, 4)).url)
    mb.download_artifact(ID, "a", target, on_progress=on_progress, expected=entry(first))
    assert between == [second] and target.read_bytes() == first
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_beside_the_target_is_not_changed(client: Any, scripted: Any, tmp_path: Path) -> None:
    own = tmp_path / "a.part"
    own.write_text("mine")
    with pytest.raises(MeetbotNotFoundError):
        client(scripted(refusal(404, "not_found")).url).download_artifact(ID, "a", tmp_path / "a")
    client(scripted(*pieces(b"0123", 4)).url).download_artifact(ID, "a", tmp_path / "a")
    assert own.read_text() == "mine" and (tmp_path / "a").read_bytes() == b"0123"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.part"]


@contextmanager
def full_after(size: int) -> Iterator[None]:
    """Limits the size of files: a write beyond it fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [6_000, 300_000], ids=["all at once at its end", "on the way"])
def test_a_full_disk_is_an_error_and_leaves_no_file(
    client: Any, scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("meetbot._downloads.PIECE", 100_000)
    mb = client(scripted(*pieces(bytes(size), 100_000)).url)
    with full_after(4_096), pytest.raises(MeetbotFileError, match="alice"):
        mb.download_artifact(ID, "a", tmp_path / "alice")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", [".", "..", "/", "", "a\0b", "a\ud800"], ids=ascii)
def test_a_target_that_is_no_file_is_an_error_before_any_request(
    client: Any, scripted: Any, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = scripted(*pieces(b"0123", 4))
    with pytest.raises(MeetbotConfigurationError):
        client(server.url).download_artifact(ID, "a", target)
    assert server.requests == [] and list(tmp_path.iterdir()) == []


def chunked(content: bytes, content_range: str | None = None) -> Reply:
    """An answer that does not say how long it is."""
    status = "200 OK" if content_range is None else f"206 Partial Content\r\nContent-Range: {content_range}"
    head = f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    return Reply(head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))


@pytest.mark.parametrize(
    "lie",
    [
        answer(b"01234"),
        answer(b"012"),
        chunked(b"0" * 100_000),
        chunked(b"0123456", "bytes 0-3/4"),
        answer(b"0123", 206, Content_Range="bytes 0-3/8"),
        answer(b"0123", 206, Content_Range="bytes 0-3/*"),
    ],
    ids=["longer", "shorter", "endless", "beyond its range", "of a longer file", "of any file"],
)
@pytest.mark.parametrize("through", ["core", "httpx"])
def test_bytes_beyond_the_announced_size_are_not_stored(
    through: str, lie: Any, client: Any, scripted: Any, tmp_path: Path
) -> None:
    server = scripted(lie)
    with httpx.Client() as inner:
        mb = client(server.url) if through == "core" else MeetBot(KEY, server.url, transport=HttpxTransport(inner))
        with pytest.raises(MeetbotDecodeError, match="said|says|came"):
            mb.download_artifact(ID, "a", tmp_path / "a", expected=entry(b"0123"))
    assert list(tmp_path.iterdir()) == [] and len(server.requests) == 1


def test_a_part_of_a_file_is_read_up_to_its_announced_length(client: Any, scripted: Any) -> None:
    mb = client(scripted(chunked(b"0" * (32 << 20), "bytes 0-3/10")).url)
    with pytest.raises(MeetbotDecodeError, match="more than it said"):
        mb.artifact(ID, "a")
