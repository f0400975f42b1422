"""The public names: ``__all__`` of the package and of each of its parts."""

from __future__ import annotations

import importlib
import pkgutil

import facekit

# The command line, and what the parts share with each other, are used from inside alone.
_INTERNAL = {"cli", "utils"}


def public_names() -> dict[str, list[str]]:
    """Returns the public names of each part, each name once."""
    parts = ["facekit"] + [
        f"facekit.{module.name}"
        for module in pkgutil.iter_modules(facekit.__path__)
        if module.ispkg and module.name not in _INTERNAL
    ]
    seen = {"__version__"}
    names: dict[str, list[str]] = {}
    for part in parts:
        listed = getattr(importlib.import_module(part), "__all__", [])
        new = [name for name in listed if name not in seen]
        seen.update(new)
        if new:
            names[part] = sorted(new, key=lambda name: (name.islower(), name.casefold()))
    return names
