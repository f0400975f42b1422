"""The measured figures that the pages name: what ``benchmarks/results.json`` and the cards hold.

    python docs/figures.py

writes those of README.md, from ``_templates/readme_figures.md``; those of the pages are filled in
when the pages are built.
``default`` stands for the default weights, and ``facenet`` for the larger ones, wherever the
results name a set of weights: ``{{ lfw.default.similarity.accuracy.percent(2) }}``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY

README, TEMPLATE = PROJECT / "README.md", PROJECT / "docs" / "_templates" / "readme_figures.md"
_ALIASES = {DEFAULT_WEIGHTS: "default", "facenet-20180402-vggface2": "facenet"}
_BLOCK = re.compile(r"(<!-- Figures: [^\n]*-->\n).*?(<!-- End of the figures -->)", re.DOTALL)


class Figure(float):
    """A number and the ways to write it: ``0.9828`` is ``98.3 %`` and ``0.983``."""

    def percent(self, digits: int = 1) -> str:
        return f"{100 * self:.{digits}f} %"

    def fixed(self, digits: int = 3) -> str:
        return f"{self:.{digits}f}"

    def __str__(self) -> str:
        return f"{int(self):,}" if self.is_integer() else f"{self:g}"


class Entry(dict[str, Any]):
    """Figures by name."""

    def table(
        self, heading: str, columns: Mapping[str, str], rows: Sequence[str] | None = None
    ) -> str:
        """Returns a Markdown table with one row for each entry in this one.

        Args:
            heading: What stands above the names of the rows.
            columns: The heading of each column by the path of the figure in it, to which the way
                to write it may be added: ``{"rates/0.01:percent2": "accepted"}``.
            rows: The names of the rows, in order; all by default.
        """
        lines = [f"| {heading} | {' | '.join(columns.values())} |"]
        lines.append("|---" + "|---:" * len(columns) + "|")
        for name in self if rows is None else rows:
            row = self[name]
            cells = [_cell(row, *column.partition(":")[::2]) for column in columns]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        return "\n".join(lines)

    def beside(self, names: Sequence[str], rows: Mapping[str, str]) -> str:
        """Returns a Markdown table with one column for each of some entries in this one.

        Args:
            names: The names of the entries.
            rows: What stands before each row by the path of its figures, as in :meth:`table`; the
                first is the heading.
        """
        lines = [
            f"| {text} | {' | '.join(_cell(self[n], *path.partition(':')[::2]) for n in names)} |"
            for path, text in rows.items()
        ]
        return "\n".join([lines[0], "|---" + "|---:" * len(names) + "|", *lines[1:]])


def _cell(row: Entry, path: str, form: str) -> str:
    """Returns the figure at a path, written in a form such as ``percent2``."""
    found: Any = row
    for name in path.split("/"):
        found = found.get(name, "") if isinstance(found, dict) else ""
    if form == "plain" or not isinstance(found, Figure):
        return str(found)
    method, digits = re.fullmatch(r"([a-z]*)(\d*)", form).groups()
    return getattr(found, method or "fixed")(*map(int, digits))


def substitutions() -> dict[str, Entry]:
    """Returns the results by benchmark and subject, and the cards of the weights by name."""
    results = json.loads((PROJECT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    found = {
        benchmark: Entry(
            {
                _alias(subject): _figures(
                    {**entry["results"], "command": entry["command"], **_weights(entry)}
                )
                for subject, entry in entries.items()
            }
        )
        for benchmark, entries in results.items()
    }
    cards = {_alias(name): _figures(_card(name)) for name in REGISTRY}
    return {**found, "cards": Entry(cards)}


def _card(name: str) -> dict[str, Any]:
    record = REGISTRY[name]
    thresholds = {f"{rate:g}": value for rate, value in record.thresholds.items()}
    source = record.distances.source if record.distances else ""
    return {
        **record.to_dict(),
        "thresholds": thresholds,
        "distances": source,
        "identity": record.identity,
    }


def _weights(entry: dict[str, Any]) -> dict[str, str]:
    return {"weights": entry["weights"]} if "weights" in entry else {}


def _alias(subject: str) -> str:
    name, slash, variant = subject.partition("/")
    return _ALIASES.get(name, name) + slash + variant


def _figures(value: Any) -> Any:
    if isinstance(value, dict):
        return Entry({name: _figures(each) for name, each in value.items()})
    if isinstance(value, list):
        return [_figures(each) for each in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Figure(value) if is_number else value


def readme() -> str:
    """Returns README.md with the figures as they are now."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    filled = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(substitutions())
    text = README.read_text(encoding="utf-8")
    return _BLOCK.sub(lambda block: f"{block[1]}{filled.strip()}\n{block[2]}", text)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    README.write_text(readme(), encoding="utf-8")


if __name__ == "__main__":
    main()
