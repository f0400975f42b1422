"""Faces cut out of images together with their surroundings."""

from __future__ import annotations

import numpy as np

from facekit.io.images import RGBImage

DETECTABLE = 1.6
"""How much wider than its box a face is cut out: the detector finds it again, and little of a
neighbor is on the cut."""


def square_around(
    image: RGBImage, box: tuple[float, float, float, float], growth: float = DETECTABLE
) -> RGBImage:
    """Returns what an image shows in a square around a box, as a view; empty outside the image."""
    x, y, width, height = box
    half = growth * max(width, height) / 2
    left, right = (int(np.clip(x + width / 2 + d, 0, image.shape[1])) for d in (-half, half))
    top, bottom = (int(np.clip(y + height / 2 + d, 0, image.shape[0])) for d in (-half, half))
    return image[top:bottom, left:right]
