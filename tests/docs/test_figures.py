"""The figures of the pages are those of ``benchmarks/results.json``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "docs"))
sys.path.insert(0, str(PROJECT / "benchmarks"))
import figures  # noqa: E402
import results  # noqa: E402

PAGES = sorted((PROJECT / "docs").glob("**/*.md"))


def expressions(page: Path) -> list[str]:
    return re.findall(r"\{\{.*?\}\}", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if expressions(page)], ids=lambda p: p.stem
)
def test_every_figure_that_a_page_names_was_measured(page: Path) -> None:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    for expression in expressions(page):
        assert environment.from_string(expression).render(figures.substitutions())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_no_figure_stands_in_code_where_it_is_not_filled_in(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = re.findall(r"```.*?```", text, re.DOTALL)
    code += re.findall(r"`[^`]+`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    assert [found for found in code if "{{" in found] == []


def test_readme_has_the_figures_of_today() -> None:
    current = figures.README.read_text(encoding="utf-8")
    assert current == figures.readme(), "run python docs/figures.py"


def test_a_benchmark_records_its_command_without_the_folders_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_DATA", str(tmp_path))
    words = ["/x/benchmarks/a.py", f"{tmp_path}/lfw", "--cache", "c", "--record", "--weights", "w"]
    assert results.command_line(words) == "python benchmarks/a.py lfw --weights w"


def test_recording_replaces_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    monkeypatch.setattr(results, "RESULTS", path)
    path.write_text(json.dumps({"b": {"kept": {"command": "c", "results": {}}}}))
    results.write("a", "w", "python benchmarks/a.py", {"share": 1 / 3, "parts": [1, 2]}, "w@1")
    found: dict[str, Any] = json.loads(path.read_text())
    assert found["b"] == {"kept": {"command": "c", "results": {}}}
    assert found["a"]["w"] == {
        "command": "python benchmarks/a.py",
        "weights": "w@1",
        "results": {"share": 0.333333, "parts": [1, 2]},
    }


def test_tables_have_a_row_for_each_entry() -> None:
    rows = figures.Entry(
        {"a": figures.Entry({"x": figures.Figure(0.5), "n": figures.Figure(1200)}), "b": {}}
    )
    assert rows.table("", {"x:percent0": "X", "n:plain": "N"}).splitlines()[2:] == [
        "| a | 50 % | 1,200 |",
        "| b |  |  |",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_table_stands_on_one_line(page: Path) -> None:
    # Over several lines it would be read as part of a sentence, and shown with its bars.
    for expression in expressions(page):
        assert "\n" not in expression or not re.search(r"\.(table|beside)\(", expression)
