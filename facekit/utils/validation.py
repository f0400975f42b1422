"""Checks of what a gallery is given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError

UNIT_NORM_TOLERANCE = 1e-2
"""By how much the norm of an embedding may differ from 1."""


def check_name(name: object) -> None:
    """Checks that a person's name is a text that is not empty.

    Raises:
        InvalidArgumentError: If it is not.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgumentError(
            f"a person's name must be a text that is not empty, got {name!r}"
        )


def check_positive(value: object, what: str) -> int:
    """Returns a positive whole number, whatever its type.

    Raises:
        InvalidArgumentError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InvalidArgumentError(f"{what} must be a positive whole number, got {value!r}")
    return int(value)


def checked_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns metadata as JSON will give them back.

    Raises:
        InvalidArgumentError: If one is no value for JSON.
    """
    try:
        checked: dict[str, Any] = json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"metadata must be values for JSON, got {values!r:.200} ({error})"
        ) from error
    return checked


def checked_embeddings(embeddings: npt.ArrayLike, size: int, what: str) -> npt.NDArray[np.float32]:
    """Returns embeddings as float32, ``(n, size)``.

    Raises:
        InvalidArgumentError: If they have another shape, or one is not of unit norm.
    """
    rows = np.asarray(embeddings, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != size:
        raise InvalidArgumentError(f"{what} must be (n, {size}), got {rows.shape}")
    norms = np.linalg.norm(rows, axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= UNIT_NORM_TOLERANCE))
    if len(wrong):
        raise InvalidArgumentError(
            f"{what} must be of unit L2 norm, row {wrong[0]} has {norms[wrong[0]]:.4g}; use "
            "sklearn.preprocessing.normalize"
        )
    return rows
