"""Names in plots."""

from __future__ import annotations

from collections.abc import Iterable

from facekit.errors import InvalidArgumentError


def checked_names(argument: str, names: Iterable[str | None]) -> list[str | None]:
    """Returns names as a list of strings and ``None``."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InvalidArgumentError(f"{argument} must be a sequence of names, got {names!r}")
    checked = list(names)
    for name in checked:
        if not (name is None or isinstance(name, str)):
            raise InvalidArgumentError(f"{argument} must hold strings and None, got {name!r}")
    return checked


def in_order(names: Iterable[str | None]) -> list[str | None]:
    """Returns each name once, in alphabetical order; ``None`` comes last."""
    return sorted(set(names), key=lambda name: (name is None, name or ""))
