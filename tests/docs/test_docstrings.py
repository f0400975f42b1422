"""The docstring of everything in the reference says what its reader needs."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import facekit

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "index.md"
SECTIONS = r"Args|Attributes|Returns|Yields|Raises|Warns|Example|References"


def public(name: str) -> Any:
    """Returns what a name of the reference stands for."""
    parts = f"facekit.{name}".split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"{name}: is not there")


def entries() -> Iterator[tuple[str, Any]]:
    """Yields every class and function of the reference, and what the classes define."""
    listings = re.findall(r":toctree: generated\n\n((?: {3}\S+\n)+)", REFERENCE.read_text("utf-8"))
    for name in " ".join(listings).split():
        found = public(name)
        if inspect.isfunction(found) or inspect.isclass(found):
            yield name, found
        for attribute, member in vars(found).items() if inspect.isclass(found) else ():
            function = getattr(member, "__func__", member)
            described = inspect.isfunction(function) or isinstance(
                member, property | cached_property
            )
            if described and not attribute.startswith("_"):
                yield f"{name}.{attribute}", function


def section(documentation: str, names: str) -> str:
    """Returns what is said in the sections of these names."""
    pattern = rf"^(?:{names}):\n(.*?)(?=^(?:{SECTIONS}):\n|\Z)"
    return "\n".join(re.findall(pattern, documentation, re.MULTILINE | re.DOTALL))


def parameters(found: Callable[..., Any]) -> list[str]:
    left_out = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        parameter.name
        for parameter in inspect.signature(found).parameters.values()
        if parameter.name not in ("self", "cls") and parameter.kind not in left_out
    ]


def raised(found: Any) -> set[str]:
    """Returns the errors of facekit that the code itself raises, or a private helper beside it."""
    functions = [found]
    if inspect.isclass(found):
        functions = [
            vars(found)[name] for name in ("__init__", "__post_init__") if name in vars(found)
        ]
    names: set[str] = set()
    seen: list[Any] = []
    while functions:
        function = functions.pop()
        if function in seen or not inspect.isfunction(function):
            continue
        seen.append(function)
        if function.__code__.co_filename.startswith("<"):  # made by dataclass
            continue
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                names.add(getattr(node.exc.func, "id", ""))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                helper = function.__globals__.get(node.func.id)
                if node.func.id.startswith("_"):
                    functions.append(helper)
    return {name for name in names if hasattr(facekit.errors, name)}


def missing(found: Any) -> list[str]:
    documentation = inspect.getdoc(found) or ""
    if not documentation:
        return ["a docstring"]
    if not callable(found) or (inspect.isclass(found) and issubclass(found, BaseException)):
        return []
    described = section(documentation, "Args|Attributes")
    lacking = [
        f"the argument {name}"
        for name in parameters(found)
        # Those of a base are described there, and named in a sentence.
        if not re.search(rf"^ +{name}:|``{name}``", described, re.MULTILINE)
    ]
    errors = section(documentation, "Raises")
    lacking += [f"the error {name}" for name in sorted(raised(found)) if name not in errors]
    returns = inspect.signature(found).return_annotation
    is_told = documentation.startswith("Returns ") or section(documentation, "Returns|Yields")
    if inspect.isfunction(found) and returns not in (None, "None") and not is_told:
        lacking.append("what it returns")
    if "." not in found.__qualname__ and ">>> " not in section(documentation, "Example"):
        lacking.append("an example")
    return lacking


def test_docstrings_are_complete() -> None:
    lacking = {name: missing(found) for name, found in entries()}
    assert len(lacking) > 200
    report = [f"{name} lacks {', '.join(parts)}" for name, parts in lacking.items() if parts]
    assert not report, "\n".join(report)
