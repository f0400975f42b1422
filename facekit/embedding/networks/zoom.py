"""Enlarging aligned faces: the mirror image that is embedded beside a face shows a little less."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

# OpenCV interpolates between positions a 32nd of a pixel apart. At such positions the products
# are exact in float32, so that an ONNX model rounds to the same pixels.
_STEPS = 32


def zoom_positions(side: int, zoom: float) -> npt.NDArray[np.float32]:
    """Returns where each pixel of a row comes from, ``zoom`` times nearer to the middle."""
    middle = (side - 1) / 2.0
    positions = middle + (np.arange(side) - middle) / zoom
    found: npt.NDArray[np.float32] = (np.rint(_STEPS * positions) / _STEPS).astype(np.float32)
    return found


def zoomed(images: npt.NDArray[np.uint8], zoom: float) -> npt.NDArray[np.uint8]:
    """Enlarges uint8 ``(n, S, S, 3)`` about the middle."""
    import cv2

    places, shares = _maps(images.shape[1], zoom)
    found = np.empty(images.shape, dtype=np.uint8)
    for image, enlarged in zip(images, found, strict=True):
        cv2.remap(image, places, shares, cv2.INTER_LINEAR, dst=enlarged)
    return found


@functools.lru_cache(maxsize=8)
def _maps(side: int, zoom: float) -> Any:
    """Returns where the pixels of an image come from, as OpenCV takes it fastest."""
    import cv2

    positions = zoom_positions(side, zoom)
    return cv2.convertMaps(*np.meshgrid(positions, positions), cv2.CV_16SC2)


def zoom_matrix(side: int, zoom: float) -> npt.NDArray[np.float32]:
    """Returns float32 ``(S, S)``, which from the left enlarges columns as `zoomed` does."""
    positions = zoom_positions(side, zoom)
    distances = np.abs(positions[:, np.newaxis] - np.arange(side, dtype=np.float32))
    matrix: npt.NDArray[np.float32] = np.maximum(np.float32(1.0) - distances, np.float32(0.0))
    return matrix
