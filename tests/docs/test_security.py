"""SECURITY.md: every line of its list of threats names a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def threats() -> list[list[str]]:
    """Returns the cells of the lines of the list."""
    lines = (PROJECT / "SECURITY.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]


def test_every_threat_names_a_test_that_holds_it() -> None:
    rows = threats()
    assert len(rows) > 10
    for threat, _, tests in rows:
        named = re.findall(r"`(tests/[^`]+)`", tests)
        assert named, threat
        for name in named:
            path, _, function = name.partition("::")
            assert (PROJECT / path).exists(), name
            if function:
                source = (PROJECT / path).read_text(encoding="utf-8")
                assert re.search(rf"^def {function}\(", source, re.MULTILINE), name
