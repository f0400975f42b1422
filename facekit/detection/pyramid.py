"""The image pyramid: a picture at the scales at which a window of P-Net is a face."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

# The side of the window in which the proposal network looks for a face, and that of the smallest
# picture to which it has an answer, in pixels.
WINDOW = 12
SMALLEST_LEVEL = 11


class Level(NamedTuple):
    """One size of a picture.

    Attributes:
        scale: The level's size in sizes of the picture, before rounding down to whole pixels.
        height: Its height in pixels.
        width: Its width.
    """

    scale: float
    height: int
    width: int


def plan_pyramid(
    height: int, width: int, min_face_size: float, scale_factor: float, *, complete: bool = False
) -> list[Level]:
    """Plans the pyramid of a picture.

    Args:
        height: The picture's height in pixels.
        width: Its width.
        min_face_size: The side in pixels of the smallest face to find: it fills a window on the
            first level.
        scale_factor: The ratio between neighbouring levels.
        complete: Whether the pyramid goes on until a window covers the whole picture. ``mtcnn``
            makes as many levels as a first level of the picture's size would need, whatever its
            first level is: below a ``min_face_size`` of 17 or so it stops before the largest
            faces.

    Returns:
        The levels, the largest first; none if the picture is too small to hold such a face.

    Example:
        >>> from facekit.detection.pyramid import plan_pyramid
        >>> plan_pyramid(40, 60, min_face_size=20, scale_factor=0.5)
        [Level(scale=0.6, height=24, width=36)]

    References:
        Zhang et al. 2016, section II-A. The number of levels: ``mtcnn`` 1.0.0.
    """
    side = min(height, width)
    first = WINDOW / min_face_size
    # A picture smaller than a window has no level to speak of, and its logarithm another sign.
    if complete:
        count = math.ceil(math.log(WINDOW / max(side * first, WINDOW)) / math.log(scale_factor)) + 1
    else:
        count = round(-(math.log(side / WINDOW) / math.log(scale_factor) + 1))
    scales = (first * scale_factor ** np.arange(max(count, 0))).tolist()
    levels = [Level(scale, int(height * scale), int(width * scale)) for scale in scales]
    return [level for level in levels if min(level.height, level.width) >= SMALLEST_LEVEL]


def resized(pixels: npt.NDArray[np.float32], level: Level) -> npt.NDArray[np.float32]:
    """Returns a picture at the size of a level: each pixel is the mean of the area it covers.

    Args:
        pixels: float32 ``(height, width, 3)``.
        level: The size.

    Returns:
        float32 ``(level.height, level.width, 3)``.
    """
    size = (level.width, level.height)
    if level.height <= pixels.shape[0] and level.width <= pixels.shape[1]:
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    # Asked to enlarge, OpenCV interpolates between pixels instead of averaging over areas.
    rows = _area_weights(pixels.shape[0], level.height)
    columns = _area_weights(pixels.shape[1], level.width)
    larger: npt.NDArray[np.float32] = np.einsum(
        "ah,hwc,bw->abc", rows, pixels, columns, optimize=True
    )
    return larger


def _area_weights(source: int, target: int) -> npt.NDArray[np.float32]:
    """Returns how much of each pixel of a line lies in each pixel of its enlarged copy."""
    edges = np.linspace(0.0, source, target + 1)
    starts, ends = edges[:-1, None], edges[1:, None]
    pixel = np.arange(source)
    shares = np.clip(np.minimum(ends, pixel + 1) - np.maximum(starts, pixel), 0.0, None)
    return np.asarray(shares / (ends - starts), dtype=np.float32)
