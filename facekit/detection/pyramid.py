"""The image pyramid: an image at the scales at which a window of P-Net is a face."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

# How many rows of a level one product draws, and the maximum multiplications of one.
_BAND = 4
_SMALL_PRODUCT = 200_000

# A level is drawn from the integral image if it has less than this share of the pixels.
_SMALL_LEVEL = 1 / 50

# The side of the proposal network's window, which is also that of its smallest input, in pixels.
WINDOW = 12
SMALLEST_LEVEL = 11


class Level(NamedTuple):
    """One level of an image pyramid, in pixels."""

    scale: float  # its size relative to the image, before rounding down to whole pixels
    height: int
    width: int


def plan_pyramid(
    height: int, width: int, min_face_size: float, scale_factor: float, *, complete: bool = False
) -> list[Level]:
    """Returns the levels of an image's pyramid, the largest first (Zhang et al. 2016, II-A)."""
    # The smallest face fills a window on the first level. mtcnn 1.0.0 makes as many levels as if
    # the first had the image's size: below a min_face_size of about 17 it stops before the largest
    # faces. A complete pyramid continues until a window covers the whole image.
    side = min(height, width)
    first = WINDOW / min_face_size
    # For an image smaller than a window the logarithm would change its sign.
    if complete:
        count = math.ceil(math.log(WINDOW / max(side * first, WINDOW)) / math.log(scale_factor)) + 1
    else:
        count = round(-(math.log(side / WINDOW) / math.log(scale_factor) + 1))
    scales = (first * scale_factor ** np.arange(max(count, 0))).tolist()
    levels = [Level(scale, int(height * scale), int(width * scale)) for scale in scales]
    return [level for level in levels if min(level.height, level.width) >= SMALLEST_LEVEL]


def draws_from_integral(level: Level, image: npt.NDArray[Any]) -> bool:
    """Returns whether a level is so small that :func:`draw_small_rows` is faster."""
    return level.height * level.width < _SMALL_LEVEL * image[..., 0].size


def draw_small_rows(
    integral: npt.NDArray[np.int32], level: Level, top: int, height: int
) -> npt.NDArray[np.float32]:
    """Like :func:`draw_rows`, but from ``cv2.integral``, without reading every pixel.

    Between the corners of pixels, the integral is bilinear.
    """
    width = integral.shape[1]
    rows, down, tall = _edges(len(integral) - 1, level.height, top, height)
    columns, across, wide = _edges(width - 1, level.width, 0, level.width)
    points = integral.reshape(-1).view("V12")  # fetches three numbers at a time

    def along(starts: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        places = starts[:, None] + columns
        left, right = (
            points.take(places + step).view(np.int32).reshape(*places.shape, 3) for step in (0, 1)
        )
        return np.asarray(left + across[:, None] * (right - left), dtype=np.float64)

    upper = along(width * rows)
    corners = upper + down[:, None, None] * (along(width * (rows + 1)) - upper)
    areas = np.diff(np.diff(corners, axis=0), axis=1)
    return (areas / (tall * wide)).astype(np.float32)


def _edges(
    source: int, target: int, first: int, count: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64], float]:
    """Returns the borders of ``count`` resized pixels, as whole pixels and fractions."""
    ratio = source / target
    edges = np.arange(first, first + count + 1, dtype=np.float64) * ratio
    whole: npt.NDArray[np.intp] = np.minimum(edges.astype(np.intp), source - 1)
    rest: npt.NDArray[np.float64] = edges - whole
    return whole, rest, ratio


def draw_rows(
    pixels: npt.NDArray[Any], level: Level, top: int, height: int
) -> npt.NDArray[np.float32]:
    """Draws some rows of a level: each pixel is the mean of the area that it covers.

    This equals ``tf.image.resize`` with the method ``AREA``, which ``mtcnn`` uses.
    """
    width = pixels.shape[1]
    lines = pixels.reshape(len(pixels), -1)
    rows = _mean_rows(lines, level.height, top, height).reshape(height, width, 3)
    if level.width <= width:
        size = (level.width, height)
        return np.asarray(cv2.resize(rows, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    # When enlarging, OpenCV interpolates between pixels instead of averaging over areas.
    columns = np.ascontiguousarray(rows.transpose(1, 0, 2)).reshape(width, -1)
    enlarged = _mean_rows(columns, level.width, 0, level.width)
    return np.ascontiguousarray(enlarged.reshape(level.width, height, 3).transpose(1, 0, 2))


def _mean_rows(
    lines: npt.NDArray[Any], target: int, first: int, count: int
) -> npt.NDArray[np.float32]:
    """Returns rows ``first`` to ``first + count`` of an array resized to ``target`` rows.

    A few rows at a time are computed as the product of a small weight matrix and the rows covered.
    """
    source, length = lines.shape
    bands = -(-count // _BAND)
    ratio = source / target
    starts = ((first + np.arange(bands * _BAND)) * ratio).reshape(bands, _BAND, 1)
    ends = np.minimum(starts + ratio, source)
    reach = min(int(np.ceil(_BAND * ratio)) + 1, source)
    covered = np.minimum(starts[:, 0, 0].astype(np.intp), source - reach)
    pixel = covered[:, None, None] + np.arange(reach)
    shares = np.minimum(ends, pixel + 1) - np.maximum(starts, pixel)
    weights = (np.maximum(shares, 0.0) / ratio).astype(np.float32)
    rows = np.empty((bands * _BAND, length), dtype=np.float32)
    # Products small enough that BLAS does not start threads.
    width = max(_SMALL_PRODUCT // (_BAND * reach), 64)
    for left in range(0, length, width):
        for band, begin in enumerate(covered.tolist()):
            part = lines[begin : begin + reach, left : left + width]
            out = rows[band * _BAND : (band + 1) * _BAND, left : left + width]
            np.matmul(weights[band], np.asarray(part, dtype=np.float32), out=out)
    return rows[:count]
