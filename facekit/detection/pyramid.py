"""The image pyramid: a picture at the scales at which a window of P-Net is a face."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from facekit.io.images import RGBImage

Number = TypeVar("Number", np.int32, np.float32)

# The scale up to which a level is a small one: drawn faster by sums, by measurement.
SMALL_SCALE = 0.2

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
        scale_factor: The ratio between neighboring levels.
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


def draw_level(pixels: npt.NDArray[np.float32], level: Level) -> npt.NDArray[np.float32]:
    """Draws a picture at the size of a level: each pixel is the mean of the area it covers.

    That is what ``tf.image.resize`` with its method ``AREA`` does, and so ``mtcnn``.

    Args:
        pixels: float32 ``(height, width, 3)``.
        level: The size.

    Returns:
        float32 ``(level.height, level.width, 3)``.
    """
    height, width = pixels.shape[:2]
    if level.height > height or level.width > width:
        # Asked to enlarge, OpenCV interpolates between pixels instead of averaging over areas.
        rows, columns = _area_weights(height, level.height), _area_weights(width, level.width)
        enlarged = np.einsum("ah,hwc,bw->abc", rows, pixels, columns, optimize=True)
        return np.asarray(enlarged, dtype=np.float32)
    size = (level.width, level.height)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def draw_small_levels(picture: RGBImage, levels: Iterable[Level]) -> list[npt.NDArray[np.float32]]:
    """Does what :func:`draw_level` does, faster for several small levels.

    Each level takes a look at every pixel of the picture, unless all pixels are added up once: the
    sum over any rectangle follows from its four corners.

    Args:
        picture: uint8 ``(height, width, 3)``.
        levels: Sizes smaller than the picture.

    Returns:
        For each level float32 ``(level.height, level.width, 3)``.

    References:
        F. Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984.
    """
    # The sums may overflow, which does no harm: only differences are used.
    sums = np.asarray(cv2.integral(picture, sdepth=cv2.CV_32S), dtype=np.int32)
    return [_means_of_areas(sums, level.height, level.width) for level in levels]


def _means_of_areas(
    sums: npt.NDArray[np.int32], height: int, width: int
) -> npt.NDArray[np.float32]:
    """Divides a picture into rectangles, given the sums above and left of each of its pixels."""
    row, down = _edges(sums.shape[0] - 1, height)
    column, across = _edges(sums.shape[1] - 1, width)
    down, across = down[:, None, None], across[None, :, None]
    # The sum up to an edge within a pixel: that up to the pixel, and of its row, its column and
    # itself the share before the edge.
    upper, lower = sums[row], sums[row + 1]
    whole = upper[:, column]
    in_row = lower[:, column] - whole
    in_column = upper[:, column + 1] - whole
    pixel = lower[:, column + 1] - upper[:, column + 1] - in_row
    shares = (in_row + pixel * across) * down + in_column * across
    total = _differences(whole).astype(np.float32) + _differences(shares.astype(np.float32))
    area = (sums.shape[0] - 1) * (sums.shape[1] - 1) / (height * width)
    return total / np.float32(area)


def _edges(source: int, target: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Divides a line of pixels into equal parts: the pixel of each edge, and how far into it."""
    edges = np.arange(target + 1) * source / target
    pixel = np.minimum(edges.astype(np.intp), source - 1)
    return pixel, np.asarray(edges - pixel, dtype=np.float32)


def _differences(corners: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Returns the sum over each rectangle from those up to its corners."""
    rows = corners[1:] - corners[:-1]
    return rows[:, 1:] - rows[:, :-1]


def _area_weights(source: int, target: int) -> npt.NDArray[np.float32]:
    """Returns how much of each pixel of a line lies in each pixel of its enlarged copy."""
    edges = np.linspace(0.0, source, target + 1)
    starts, ends = edges[:-1, None], edges[1:, None]
    pixel = np.arange(source)
    shares = np.clip(np.minimum(ends, pixel + 1) - np.maximum(starts, pixel), 0.0, None)
    return np.asarray(shares / (ends - starts), dtype=np.float32)
