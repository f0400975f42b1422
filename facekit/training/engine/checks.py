"""Checks of arguments that several parts of training take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError


def check_whole(value: int, name: str, least: int) -> int:
    """Returns a whole number that is at least ``least``, or says which argument is none."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InvalidArgumentError(
            f"{name} must be a whole number of at least {least}, got {value!r}"
        )
    return int(value)


def check_faces(images: object) -> npt.NDArray[np.uint8]:
    """Returns the images if they are aligned faces, uint8 ``(n, S, S, 3)``."""
    if (
        not isinstance(images, np.ndarray)
        or images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[1] != images.shape[2]
        or images.shape[3] != 3
    ):
        found = (
            f"{images.dtype} {images.shape}"
            if isinstance(images, np.ndarray)
            else type(images).__name__
        )
        raise InvalidArgumentError(f"images must be uint8 (n, S, S, 3), got {found}")
    return images
