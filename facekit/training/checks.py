"""Checks of arguments that several parts of training take."""

from __future__ import annotations

import numpy as np

from facekit.errors import InvalidArgumentError


def check_whole(value: int, name: str, least: int) -> int:
    """Returns a whole number that is at least ``least``, or says which argument is none."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InvalidArgumentError(
            f"{name} must be a whole number of at least {least}, got {value!r}"
        )
    return int(value)
