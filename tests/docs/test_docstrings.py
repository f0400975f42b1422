"""The docstring of everything in the reference says what its reader needs."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
import sys
import textwrap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import FunctionType, GenericAlias
from typing import Any

import facekit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))
from public_names import described_names

_PROJECT = Path(__file__).resolve().parents[2]
SECTIONS = r"Args|Attributes|Returns|Yields|Raises|Warns|Example|References"


def public(name: str) -> Any:
    """Returns what a name of the reference stands for."""
    found = pydoc.locate(f"facekit.{name}")
    assert found is not None, name
    return inspect.unwrap(found)  # of lru_cache


def listed() -> list[str]:
    """Returns the public names, under the part that they are imported from."""
    return [
        f"{part}.{name}".removeprefix("facekit.")
        for part, names in described_names().items()
        for name in names
    ]


def has_docstring(found: Any) -> bool:
    """Returns whether it is a class or a function; aliases and data have none of their own."""
    # In Python 3.10 list[int] passes for a class.
    return isinstance(found, type | FunctionType) and type(found) is not GenericAlias


def entries() -> Iterator[tuple[str, Any]]:
    """Yields every class and function of the reference, and what the classes define."""
    for name in listed():
        found = public(name)
        if not has_docstring(found):
            continue
        yield name, found
        for attribute, member in vars(found).items() if inspect.isclass(found) else ():
            function = getattr(member, "__func__", member)
            kinds = FunctionType | property | cached_property
            if isinstance(function, kinds) and not attribute.startswith("_"):
                yield f"{name}.{attribute}", function


def section(documentation: str, names: str) -> str:
    """Returns what is said in the sections of these names."""
    pattern = rf"^(?:{names}):\n(.*?)(?=^(?:{SECTIONS}):\n|\Z)"
    return "\n".join(re.findall(pattern, documentation, re.MULTILINE | re.DOTALL))


def raised(found: Any) -> set[str]:
    """Returns the errors of facekit that the code raises itself, or by a private function."""
    is_class = inspect.isclass(found)
    waiting = [vars(found).get(m) for m in ("__init__", "__post_init__")] if is_class else [found]
    names: set[str] = set()
    seen: set[Any] = set()
    while waiting:
        function = waiting.pop()
        # What dataclass has made has no file.
        if not inspect.isfunction(function) or "<" in function.__code__.co_filename:
            continue
        seen.add(function)
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                names.add(getattr(node.exc.func, "id", ""))
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("_"):
                helper = function.__globals__.get(node.func.id)
                waiting += [] if helper in seen else [helper]
    return {name for name in names if hasattr(facekit.errors, name)}


def missing(found: Any) -> list[str]:
    """Returns what its reader would look for in vain."""
    documentation = inspect.getdoc(found) or ""
    if not documentation:
        return ["a docstring"]
    if not callable(found) or (inspect.isclass(found) and issubclass(found, BaseException)):
        return []
    signature = inspect.signature(found)
    described = section(documentation, "Args|Attributes")
    lacking = [
        f"the argument {name}"
        for name in signature.parameters
        if name not in ("self", "cls", "args", "kwargs")
        # Those of a base are described there, and named in a sentence.
        and not re.search(rf"^ +{name}:|``{name}``", described, re.MULTILINE)
    ]
    errors = section(documentation, "Raises")
    lacking += [f"the error {name}" for name in sorted(raised(found)) if f"{name}:" not in errors]
    is_told = documentation.startswith("Returns ") or section(documentation, "Returns|Yields")
    returns = signature.return_annotation not in (None, "None") and inspect.isfunction(found)
    if returns and not is_told:
        lacking.append("what it returns")
    if "." not in found.__qualname__ and ">>> " not in section(documentation, "Example"):
        lacking.append("an example")
    return lacking


def test_docstrings_are_complete() -> None:
    lacking = {name: missing(found) for name, found in entries()}
    assert len(lacking) > 100
    report = [f"{name} lacks {', '.join(parts)}" for name, parts in lacking.items() if parts]
    assert not report, "\n".join(report)


# How a part works inside is shown with these; everything else that a page uses is public.
_INNER = {"DEFAULT_TEMPLATE", "REGISTRY", "overlap", "plan_pyramid", "suppress_non_maxima"}


def test_the_reference_describes_what_the_pages_import() -> None:
    pages = [_PROJECT / "README.md", *sorted((_PROJECT / "docs").rglob("*.md"))]
    imported = {
        name
        for page in pages
        for names in re.findall(
            r"^from facekit\S* import (\([^)]+\)|.+)$", page.read_text(encoding="utf-8"), re.M
        )
        for name in re.findall(r"\w+", names.partition("#")[0])
    }
    assert len(imported) > 50
    described = {name for names in described_names().values() for name in names}
    assert imported - described == _INNER
