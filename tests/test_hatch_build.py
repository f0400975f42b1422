"""The README of the package on an index has no link that leads nowhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
from hatch_build import Links  # noqa: E402


def metadata(monkeypatch: pytest.MonkeyPatch, repository: str) -> dict[str, object]:
    monkeypatch.setenv("FACEKIT_REPOSITORY", repository)
    made: dict[str, object] = {}
    Links(str(PROJECT), {}).update(made)
    return made


def links(made: dict[str, object]) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", made["readme"]["text"])  # type: ignore[index]


def test_links_of_the_readme_are_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    made = metadata(monkeypatch, "https://example.org/owner/facekit/")
    assert all(link.startswith("https://example.org/owner/facekit/") for link in links(made))
    assert "https://example.org/owner/facekit/raw/main/images/hero.png" in links(made)
    assert made["urls"]["Issues"] == "https://example.org/owner/facekit/issues"  # type: ignore[index]


def test_without_an_address_links_are_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    made = metadata(monkeypatch, "")
    assert links(made) == []
    assert "urls" not in made
