"""Makes a notebook of each tutorial, and runs it: an error in a cell ends the build."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TUTORIALS = Path(__file__).resolve().parent / "tutorials"
FOLDER = TUTORIALS / "notebooks"
_SAMPLE_IMAGES = TUTORIALS.parents[1] / "examples" / "sample_photos.py"

_FENCE = re.compile(r"^```(python|text)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
_LINK_TO_PAGE = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")
_ROLE = re.compile(r"\{(?:meth|func|class|mod|attr)\}(`)~?(?:[\w.]*\.)?(\w+)`")
_DOWNLOAD = re.compile(r"^\{download\}.*\n\n", re.MULTILINE)
_SETUP = """# Run this once, in a clone: it installs facekit, and writes the two
# portraits in the public domain that the tutorial uses.
%pip install --quiet {package} matplotlib scikit-image
%run examples/sample_photos.py
"""


def notebook(page: str) -> dict[str, Any]:
    """Returns the notebook of a page in Markdown, in Jupyter's format 4.5."""
    page = _DOWNLOAD.sub("", page)
    title, _, rest = page.partition("\n\n")
    package = '".[train]"' if "facekit.training" in page else "."
    cells = [_cell("markdown", title), _cell("code", _SETUP.format(package=package))]
    end = 0
    for fence in _FENCE.finditer(rest):
        _add_text(cells, rest[end : fence.start()])
        end = fence.end()
        kind, content = fence.groups()
        if kind == "python":
            cells.append(_cell("code", content))
        elif cells[-1]["cell_type"] == "code":
            cells[-1]["outputs"] = _printed(content)
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


def run(made: dict[str, Any]) -> None:
    """Runs the code of a notebook beside the sample photos, and keeps what it prints."""
    import nbformat
    from nbclient import NotebookClient

    project = str(TUTORIALS.parents[1])
    paths = os.pathsep.join(filter(None, [project, os.environ.get("PYTHONPATH")]))
    _setup, *code = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PYTHONPATH": paths}
        images = [sys.executable, str(_SAMPLE_IMAGES)]
        subprocess.run(images, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
        client = NotebookClient(
            nbformat.reads(json.dumps({**made, "cells": code}), as_version=4),
            extra_arguments=["--log-level=40"],
            kernel_name="python3",
            timeout=300,
            resources={"metadata": {"path": folder}},
        )
        for cell, done in zip(code, client.execute(env=env).cells, strict=True):
            outputs = [output for output in done.outputs if output.output_type == "stream"]
            texts = ["".join(output.text) for output in outputs if output.name == "stdout"]
            cell["execution_count"] = done.execution_count
            cell["outputs"] = _printed("".join(texts))


def _printed(text: str) -> list[dict[str, Any]]:
    lines = text.splitlines(keepends=True)
    return [{"output_type": "stream", "name": "stdout", "text": lines}] if lines else []


def write_notebooks() -> None:
    """Writes the notebooks of all tutorials that have changed."""
    FOLDER.mkdir(exist_ok=True)
    for page in sorted(TUTORIALS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        made, path = notebook(text), FOLDER / f"{page.stem}.ipynb"
        if path.exists() and _sources(json.loads(path.read_text(encoding="utf-8"))) == _sources(
            made
        ):
            continue
        run(made)
        written = json.dumps(made, indent=1, ensure_ascii=False)
        path.write_text(written, encoding="utf-8")


def _sources(made: dict[str, Any]) -> list[list[str]]:
    return [cell["source"] for cell in made["cells"]]
