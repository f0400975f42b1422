"""Files of facekit that a forger has altered, with a checksum that fits."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from effort import tries

VALUES = (None, "x", -1, 0, 1e308, 2**80, True, [], {}, [[]], [1, "a"], {"a": 1})


def forgeries(kept: dict[str, Any], *always: str, some: int = 20) -> Iterator[dict[str, Any]]:
    """Yields copies of nested values with another one in one place: ``always`` and some others."""
    every = list(_places(kept))
    drawn = np.random.default_rng(0).permutation(len(every))[: tries(some, len(every))]
    for number, at in enumerate(every):
        if number in drawn or at[-1] in always:
            for value in VALUES:
                forged = inside = copy.deepcopy(kept)
                for key in at[:-1]:
                    inside = inside[key]
                inside[at[-1]] = value
                yield forged


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*at, key))
