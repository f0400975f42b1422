"""Formulas are converted completely, and break where a narrow page may break them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

converter = pytest.importorskip("latex2mathml.converter")
PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "docs"))
import mathml  # noqa: E402

PAGES = [page for page in sorted((PROJECT / "docs").glob("*.md")) if "$" in page.read_text("utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_command_of_a_formula_stays_as_it_is(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    formulas = re.findall(r"\$\$\n(.*?)\n\$\$", text, re.DOTALL)
    formulas += re.findall(r"(?<![$`])\$([^$\n]+)\$(?![$`])", text.replace("$$", ""))
    for formula in formulas:
        for part in mathml.parts(formula):
            made = mathml.converted(part)
            assert re.findall(r">(\\\w+|&|\[\d+e[mx]\])<", made) == [], formula


def test_a_formula_is_split_between_groups_only() -> None:
    assert mathml.parts(r"a, \qquad \left\{ b \quad c \right\}") == [
        "a, ",
        r" \left\{ b \quad c \right\}",
    ]
    assert len(mathml.parts(r"\begin{aligned} a &= b, \qquad c \\ d \end{aligned}")) == 1
