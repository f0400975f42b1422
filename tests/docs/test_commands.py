"""The commands that the pages name exist with these arguments."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facekit.cli import _parser

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((PROJECT / "docs").glob("**/*.md")),
]
# What a shell adds to a command is cut off: what reads it, files and comments.
_SHELL = re.compile(r"\s(?:\||#|>).*")
_FENCE = re.compile(
    r"^( *)```(?P<language>\S*)[^\n]*\n(?P<content>.*?)^\1```$", re.MULTILINE | re.DOTALL
)
# An error message that begins like a command.
_MESSAGES = {"facekit does not download images; download it first"}
# A line break may stand within the code of a sentence.
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """Yields what stands after a program's name, in blocks of commands and in sentences."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line.strip().removeprefix("$ ")
        for fence in _FENCE.finditer(text)
        if fence["language"] in ("", "console")
        for line in fence["content"].splitlines()
        if fence["language"] == "" or line.startswith("$ ")
    ]
    lines += [" ".join(code.split()) for code in _INLINE.findall(_FENCE.sub("", text))]
    for line in lines:
        if line.startswith(f"{program} ") and line not in _MESSAGES:
            yield shlex.split(_SHELL.sub("", line.removeprefix(f"{program} ")))


def benchmark_commands() -> list[tuple[str, list[str]]]:
    return [
        (page.stem, words)
        for page in PAGES
        for words in commands(page, "python")
        if words[0].startswith(("benchmarks/", "examples/", "images/"))
    ]


def facekit_commands() -> list[tuple[str, list[str]]]:
    return [(page.stem, words) for page in PAGES for words in commands(page, "facekit")]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ValueError(message)


def parser_of(script: Path) -> _Parser | None:
    """Reads the arguments of a script from its source: running it would import TensorFlow."""
    calls = [
        node
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_argument"
    ]
    if not calls:
        return None
    parser = _Parser(add_help=False)
    for call in calls:
        shape = {
            keyword.arg: ast.literal_eval(keyword.value)
            for keyword in call.keywords
            if keyword.arg in ("action", "nargs")
        }
        parser.add_argument(*(ast.literal_eval(flag) for flag in call.args), **shape)
    return parser


def described(command: tuple[str, list[str]]) -> str:
    return f"{command[0]}: {' '.join(command[1])}"


@pytest.mark.parametrize("command", benchmark_commands(), ids=described)
def test_a_script_that_a_page_names_takes_these_arguments(command: tuple[str, list[str]]) -> None:
    script, *arguments = command[1]
    assert (PROJECT / script).is_file()
    parser = parser_of(PROJECT / script)
    # A script without a parser reads few arguments, of which it alone knows the meaning.
    if parser is not None and arguments:
        parser.parse_args(arguments)


@pytest.mark.parametrize("command", facekit_commands(), ids=described)
def test_a_command_that_a_page_names_can_be_parsed(
    command: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = command[1]
    if len(words) > 2:
        _parser().parse_args(words)
        return
    # In a sentence, a command may be named without its arguments.
    with pytest.raises(SystemExit) as end:
        _parser().parse_args([*words, "--help"])
    printed = capsys.readouterr()
    assert end.value.code == 0, printed.err
    assert all(word in printed.out for word in words if word.startswith("--"))


def test_the_pages_name_commands() -> None:
    assert len(benchmark_commands()) > 30
    assert len(facekit_commands()) > 40


@pytest.mark.parametrize(
    "script", sorted((PROJECT / "benchmarks").glob("*.py")), ids=lambda p: p.stem
)
def test_every_benchmark_that_can_be_run_is_named_by_a_page(script: Path) -> None:
    if "__main__" in script.read_text(encoding="utf-8"):
        assert script.name in {Path(words[0]).name for _, words in benchmark_commands()}
