"""The pages and examples keep to plain technical English."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FILES = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((PROJECT / "docs").glob("*.md")),
    *sorted((PROJECT / "docs" / "tutorials").glob("*.md")),
    *sorted((PROJECT / "examples").glob("*.py")),
]
AVOIDED = re.compile(
    r"what became of|\bwhoever\b|\b(?:no|some)body\b|\bso many\b|\ba text (?:that|which)\b"
    r"|\bcannot be had\b|\brightly\b|\banew\b"
    r"|\b(?:is|are) no (?:picture|proof|consent|error|signature|photo|image|stranger)s?\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_page_avoids_phrases_that_readers_stumble_over(path: Path) -> None:
    # A phrase may be broken by the end of a line.
    text = " ".join(path.read_text(encoding="utf-8").split())
    assert AVOIDED.findall(text) == []
