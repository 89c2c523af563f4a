"""The snippets of a document, by their language."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[4]


def snippets(document: str, language: str) -> list[str]:
    """The fenced blocks of this language, in their order."""
    text = (ROOT / document).read_text()
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert found, f"{document} has no {language}"
    return found
