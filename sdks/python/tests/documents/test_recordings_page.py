"""docs/recordings.md: its Python reads a recording, and the lines that it shows are those that the bot writes."""

from __future__ import annotations

import json
import re

import pytest
from snippets import ROOT, snippets

from conftest import Server
from meetbot import MeetBot

DOCUMENT = "docs/recordings.md"


def test_the_pages_python_prints_who_spoke_when_and_how_loud(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEETBOT_API_KEY", server.key)
    monkeypatch.setenv("MEETBOT_API_BASE_URL", server.url)
    mb = MeetBot()
    job = mb.wait_for_bot(mb.dispatch_bot("https://sandbox.meetbot.dev/two-speakers?seconds=3"), timeout=60)
    names: dict[str, object] = {"job": job}
    for program in snippets(DOCUMENT, "python"):
        exec(program, names)
    said = capsys.readouterr().out
    assert "Alice speaks for" in said and "Bob speaks for" in said, said
    assert re.search("Alice: -1[0-9] dBov at the loudest", said) and "Bob: -" in said, said
    _, shown, *_ = (json.loads(block) for block in snippets(DOCUMENT, "json"))
    line, levels = mb.artifact(job, "levels.bin").split(b"\n", 1)
    header = json.loads(line)
    assert header.keys() == shown.keys() and header["tracks"][0].keys() == shown["tracks"][0].keys()
    assert len(levels) == sum(track["bins"] for track in header["tracks"]), header


def test_the_lines_that_the_page_shows_have_the_fields_of_their_schemas() -> None:
    span, _, caption, message = (json.loads(block) for block in snippets(DOCUMENT, "json"))
    assert span.keys() == {"participantId", "startMs", "endMs"}
    for line, name in ((caption, "captions"), (message, "chat")):
        schema = json.loads((ROOT / f"spec/{name}.schema.json").read_text())
        assert line.keys() == schema["properties"].keys(), name


def test_the_page_lists_every_type_of_line() -> None:
    schema = json.loads((ROOT / "spec/events.schema.json").read_text())
    page = (ROOT / DOCUMENT).read_text()
    for line in schema["oneOf"]:
        fields = [f"`{name}`" for name in line["properties"] if name != "type"]
        rows = [row for row in page.splitlines() if row.startswith("| `") and f"`{line['title']}`" in row.split("|")[1]]
        assert len(rows) == 1, line["title"]
        assert all(field in rows[0] for field in fields), rows
