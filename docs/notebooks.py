"""Makes a notebook of each tutorial: its text, its code, and what the code prints.

What a page prints is checked whenever the tests run its code (``tests/docs``), so the notebook
shows the same output as the page without being run again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

TUTORIALS = Path(__file__).resolve().parent / "tutorials"
FOLDER = TUTORIALS / "notebooks"

_FENCE = re.compile(r"^```(python|text)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
_LINK_TO_PAGE = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")
_ROLE = re.compile(r"\{(?:meth|func|class|mod|attr)\}(`)~?(?:[\w.]*\.)?(\w+)`")
_DOWNLOAD = re.compile(r"^\{download\}.*\n\n", re.MULTILINE)
_SETUP = """# Run this once, in a clone: it installs facekit, and writes the two
# portraits in the public domain that the tutorial uses.
%pip install --quiet . matplotlib scikit-image
%run examples/sample_photos.py
"""


def notebook(page: str) -> dict[str, Any]:
    """Returns the notebook of a page in Markdown, in Jupyter's format 4.5."""
    page = _DOWNLOAD.sub("", page)
    title, _, rest = page.partition("\n\n")
    cells = [_cell("markdown", title), _cell("code", _SETUP)]
    end = 0
    for fence in _FENCE.finditer(rest):
        _add_text(cells, rest[end : fence.start()])
        end = fence.end()
        kind, content = fence.groups()
        if kind == "python":
            cells.append(_cell("code", content))
        elif cells[-1]["cell_type"] == "code":
            lines = content.splitlines(keepends=True)
            cells[-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": lines}]
        else:
            _add_text(cells, fence.group())
    _add_text(cells, rest[end:])
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _add_text(cells: list[dict[str, Any]], text: str) -> None:
    text = _ROLE.sub(r"\1\2`", _LINK_TO_PAGE.sub(r"\1", text)).strip()
    if text:
        cells.append(_cell("markdown", text))


def _cell(kind: str, source: str) -> dict[str, Any]:
    cell = {
        "cell_type": kind,
        "metadata": {},
        "source": source.rstrip("\n").splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def write_notebooks() -> None:
    """Writes the notebooks of all tutorials that have changed."""
    FOLDER.mkdir(exist_ok=True)
    for page in sorted(TUTORIALS.glob("*.md")):
        text = json.dumps(notebook(page.read_text(encoding="utf-8")), indent=1, ensure_ascii=False)
        path = FOLDER / f"{page.stem}.ipynb"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
