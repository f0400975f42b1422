"""Pages, examples, docstrings, comments and messages keep to plain technical English."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FILES = [
    *sorted(PROJECT.glob("*.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
    *sorted((PROJECT / "examples").glob("*.*")),
]
AVOIDED = re.compile(
    r"what became of|\bwhoever\b|\b(?:no|some)body\b|\bso many\b|\ba text (?:that|which)\b"
    r"|\bcannot be had\b|\brightly\b|\banew\b"
    r"|\b(?:is|are) no (?:picture|proof|consent|error|signature|photo|image|stranger)s?\b"
    r"|\bthat is to say\b|\bas to\b|\bof yours\b|\bsuch as it is\b|\bbe had\b|\bat hand\b"
    r"|\bwhatever its\b|\bthe other way round\b"
    r"|\bfor ever\b|\bat the (?:most|least)\b|\bone and the same\b|\bthere it is\b|\bthat which\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_page_avoids_phrases_that_readers_stumble_over(path: Path) -> None:
    # A phrase may be broken by the end of a line.
    text = " ".join(path.read_text(encoding="utf-8").split())
    assert AVOIDED.findall(text) == []


def words(path: Path) -> str:
    """Returns the comments and the strings of a module, docstrings and messages among them."""
    kinds = {
        tokenize.COMMENT,
        tokenize.STRING,
        getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING),
    }
    with tokenize.open(path) as file:
        tokens = [token for token in tokenize.generate_tokens(file.readline) if token.type in kinds]
    # A sentence may go on in the next comment or string.
    return " ".join(" ".join(token.string.strip("\"'#f ") for token in tokens).split())


def test_docstrings_comments_and_messages_avoid_them_too() -> None:
    found = {
        str(path.relative_to(PROJECT)): phrases
        for path in sorted((PROJECT / "facekit").rglob("*.py"))
        if (phrases := AVOIDED.findall(words(path)))
    }
    assert found == {}
