"""The examples of the documentation and of the docstrings run, and print what they say.

With ``FACEKIT_UPDATE_PAGES=1`` the pages are rewritten with what the examples print, so that new
weights, whose distances and thresholds are others, cost one command.
"""

from __future__ import annotations

import contextlib
import doctest
import functools
import importlib
import io
import os
import pkgutil
import re
import runpy
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import facekit
from facekit import Embedder
from facekit.cli import main
from facekit.errors import WeightsNotFoundError

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("**/*.md"))]
# Importing it runs the command.
MODULES = [
    module.name
    for module in pkgutil.walk_packages(facekit.__path__, "facekit.")
    if module.name != "facekit.__main__"
]

# An example may show a warning, as it would to its reader.
pytestmark = pytest.mark.filterwarnings("default::facekit.errors.FacekitWarning")


@dataclass(frozen=True)
class Example:
    """A fenced block of Python, and the block of text right after it: what it prints."""

    line: int
    code: str
    output: str | None
    output_lines: tuple[int, int] = (0, 0)


def fences(page: Path) -> Iterator[tuple[int, int, str, str]]:
    """Yields the fenced blocks of a page: first and last line number, info string, content."""
    start, info, content = 0, "", []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if not start and line.startswith("```"):
            start, info, content = number, line.removeprefix("```").strip(), []
        elif start and line.strip() == "```":
            yield start, number, info, "\n".join(content)
            start = 0
        elif start:
            content.append(line)


def examples(page: Path) -> list[Example]:
    blocks = list(fences(page))
    lines = page.read_text(encoding="utf-8").splitlines()
    found = []
    for index, (start, end, info, code) in enumerate(blocks):
        if info != "python":
            continue
        output, output_lines = None, (0, 0)
        if index + 1 < len(blocks):
            next_start, next_end, next_info, text = blocks[index + 1]
            between = "".join(lines[end : next_start - 1]).strip()
            if next_info == "text" and not between:
                output, output_lines = text, (next_start, next_end)
        found.append(Example(start, code, output, output_lines))
    return found


def weights_are_there(data_folder: Path) -> bool:
    return (data_folder / "weights" / "facenet-20180402-vggface2" / "weights.npz").is_file()


@functools.cache
def shared_embedder(weights: str) -> Embedder:
    """An embedder changes nothing of its own, so that all pages can use one."""
    return Embedder(weights)


@pytest.fixture
def folder_of_images(
    tmp_path: Path, hopper: Path, astronaut: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working directory with the photos that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    # It needs both portraits, without which the fixtures skip the test.
    runpy.run_path(str(PROJECT / "examples" / "sample_photos.py"))
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")
    monkeypatch.setattr("facekit.recognizer.Embedder", shared_embedder)
    return tmp_path


# To build a network of Keras, and above all to train one, takes long.
_BUILDS = re.compile(r"TripletTrainer\(|Distiller\(|build_network\(|to_network\(|engine=\"keras\"")
_LONG_MODULES = (
    "facekit.embedding.embedder",
    "facekit.training.trainer",
    "facekit.training.distillation.",
)
_LONG_PAGES = {"plots", "video"}


def page_parameter(page: Path) -> object:
    """A page for a test; of one that takes long, in make check alone."""
    long = page.stem in _LONG_PAGES or any(_BUILDS.search(each.code) for each in examples(page))
    return pytest.param(page, marks=[pytest.mark.check] if long else [])


def module_parameter(name: str) -> object:
    """A module for a test; of one that takes long, in make check alone."""
    long = name.startswith(_LONG_MODULES)
    return pytest.param(name, marks=[pytest.mark.check] if long else [])


@pytest.mark.parametrize(
    "page", [page_parameter(page) for page in PAGES if examples(page)], ids=lambda p: p.stem
)
def test_the_examples_of_a_page_run(
    page: Path, folder_of_images: Path, request: pytest.FixtureRequest
) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    lines = page.read_text(encoding="utf-8").splitlines()
    shift = 0
    for example in examples(page):
        # Blank lines put the lines of the example where they are in the page.
        source = "\n" * example.line + example.code
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(source, str(page), "exec"), namespace)
        except WeightsNotFoundError:
            if weights_are_there(request.getfixturevalue("data_folder")):
                raise
            pytest.skip("the FaceNet weights are not in the folder that FACEKIT_DATA names")
        if example.output is None:
            continue
        if "FACEKIT_UPDATE_PAGES" in os.environ:
            start, end = (line + shift for line in example.output_lines)
            new = printed.getvalue().strip().splitlines()
            lines[start : end - 1] = new
            shift += len(new) - (end - 1 - start)
            page.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            assert printed.getvalue().strip() == example.output.strip(), (
                f"{page.name}, line {example.line}"
            )


# What these print depends on the machine, or takes data that are not part of facekit.
_ELSEWHERE = {"evaluate", "train", "weights", "completion", "video"}
# Distances and confidences differ in their last digits from processor to processor.
_DECIMAL = re.compile(r"\d+\.\d+")


def typed(command: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Returns the lines that a command prints, standard output before standard error."""
    program, *words = shlex.split(command)
    if program != "facekit":
        subprocess.run(command, shell=True, check=True)
        return []
    main(words)
    printed = capsys.readouterr()
    return [line.rstrip() for line in (printed.out + printed.err).splitlines()]


@pytest.mark.check
@pytest.mark.skipif(os.name == "nt", reason="the page copies files as a POSIX shell does")
def test_the_commands_of_the_page_of_the_terminal_print_what_it_shows(
    folder_of_images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    page = PROJECT / "docs" / "terminal.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    shown, inside = [], False
    for line in lines:
        inside = line == "```console" or (inside and line != "```")
        command = line.removeprefix("$ ") if inside and line.startswith("$ ") else ""
        if command.split(" ")[:1] == ["facekit"] and command.split(" ")[1] in _ELSEWHERE:
            command = ""
        if command or not inside or line.startswith("$ "):
            shown.append(line)
            running = bool(command)
            shown += typed(command, capsys) if command else []
        elif not running:
            shown.append(line)
    if "FACEKIT_UPDATE_PAGES" in os.environ:
        page.write_text("\n".join(shown) + "\n", encoding="utf-8")
    else:
        assert _DECIMAL.split("\n".join(shown)) == _DECIMAL.split("\n".join(lines))
        pairs = zip(*(_DECIMAL.findall("\n".join(text)) for text in (shown, lines)), strict=True)
        assert all(abs(float(one) - float(other)) < 0.011 for one, other in pairs)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    for start, _, info, code in fences(page):
        if info.startswith("python") and info != "python":
            assert info == "python no-run", f"{page.name}, line {start}"
            assert code.startswith("# Not run"), f"{page.name}, line {start}"


@pytest.mark.parametrize(
    "page", [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md"], ids=lambda p: p.stem
)
def test_links_that_sphinx_does_not_check_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target]
    assert [target for target in inside if not (PROJECT / target).exists()] == []


@pytest.mark.parametrize("name", [module_parameter(name) for name in MODULES])
def test_the_examples_of_a_module_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0, capsys.readouterr().out
