"""Faces cut out of images with their surroundings."""

from __future__ import annotations

import numpy as np

from facekit.io.images import RGBImage

DETECTABLE = 1.6
"""How much wider than its box a face is cut out: enough for the detector to find it again, with
little of its neighbors."""


def square_around(
    image: RGBImage, box: tuple[float, float, float, float], growth: float = DETECTABLE
) -> RGBImage:
    """Returns a view of an image in a square around a box; empty outside the image."""
    x, y, width, height = box
    half = growth * max(width, height) / 2
    left, right = (int(np.clip(x + width / 2 + d, 0, image.shape[1])) for d in (-half, half))
    top, bottom = (int(np.clip(y + height / 2 + d, 0, image.shape[0])) for d in (-half, half))
    return image[top:bottom, left:right]
