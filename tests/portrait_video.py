"""A video of portraits that move, cross and leave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from facekit import load_image
from facekit.video import VideoFrame


def portrait_frames(
    people: Mapping[str, Path], *, frames: int, size: tuple[int, int], rate: float = 12.0
) -> list[VideoFrame]:
    """Draws portraits that glide past each other, the first one before the others."""
    height, width = size
    side = round(0.9 * height)
    cuts = [
        cv2.resize(load_image(path)[:512, :512], (side, side), interpolation=cv2.INTER_AREA)
        for path in people.values()
    ]
    found = []
    for number in range(frames):
        image = np.full((height, width, 3), 90, dtype=np.uint8)
        for place, cut in reversed(list(enumerate(cuts))):
            share = (number / max(1, frames - 1) + place) % 2
            left = round((width - side) * (share if share <= 1 else 2 - share))
            image[height - side :, left : left + side] = cut
        found.append(VideoFrame(number, number / rate, image))
    return found
