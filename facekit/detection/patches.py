"""Cutting windows out of an image at a network's input size."""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from facekit.detection.boxes import Boxes
from facekit.detection.networks import MEAN_PIXEL
from facekit.io.images import RGBImage

Source: TypeAlias = npt.NDArray[np.float32] | RGBImage
"""The image from which windows are cut: plain pixels, or float32 where that is faster."""

# OpenCV 4 rounds positions to 1/32 of a pixel, and does not accept longer sides.
_EXACT = int(cv2.__version__.partition(".")[0]) >= 5
_LONGEST_SIDE = 32_000


def patch_source(image: RGBImage, pixels: npt.NDArray[Any]) -> Source:
    """Prepares an image for cutting windows: the fast way where it is exact."""
    if _EXACT and pixels.dtype == np.float32 and max(pixels.shape) < _LONGEST_SIDE:
        return pixels
    return image


def cut_patches(source: Source, boxes: Boxes, side: int) -> npt.NDArray[np.float32]:
    """Cuts windows out of an image, by bilinear interpolation at the points of a grid."""
    # As tf.image.crop_and_resize, with the networks' zero outside the image. As in mtcnn 1.0.0,
    # coordinates are divided by the image's size and multiplied by the size less one.
    height, width = source.shape[:2]
    y, inside_rows = _points(boxes[:, 1], boxes[:, 3], side, height)
    x, inside_columns = _points(boxes[:, 0], boxes[:, 2], side, width)
    if source.dtype == np.float32:
        return _remapped(source, np.where(inside_rows, y, -9), np.where(inside_columns, x, -9))
    patches = _interpolated(source.reshape(-1, 3), y, x, height, width)
    patches[~(inside_rows[:, :, None] & inside_columns[:, None, :])] = MEAN_PIXEL
    return patches


def _remapped(
    pixels: npt.NDArray[Any], y: npt.NDArray[np.float32], x: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Samples the points of all windows at once, with OpenCV."""
    count, side = y.shape
    if not count:
        return np.empty((0, side, side, 3), dtype=np.float32)
    columns = np.broadcast_to(x[:, None, :], (count, side, side)).reshape(-1, side)
    rows = np.broadcast_to(y[:, :, None], (count, side, side)).reshape(-1, side)
    gray = (MEAN_PIXEL, MEAN_PIXEL, MEAN_PIXEL)
    patches = cv2.remap(
        pixels, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=gray
    )
    return np.asarray(patches, dtype=np.float32).reshape(count, side, side, 3)


def _interpolated(
    flat: npt.NDArray[Any],
    y: npt.NDArray[np.float32],
    x: npt.NDArray[np.float32],
    height: int,
    width: int,
) -> npt.NDArray[np.float32]:
    """Reads the four pixels around each point of an image, given as ``(height × width, 3)``."""
    np.clip(y, 0, height - 1, out=y)
    np.clip(x, 0, width - 1, out=x)
    above, left = y.astype(np.intp), x.astype(np.intp)
    below, right = np.minimum(above + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = (y - above)[:, :, None, None], (x - left)[:, None, :, None]
    left, right = left[:, None, :], right[:, None, :]

    def fetched(
        rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float32]:
        # All indices are valid; "clip" spares checking them.
        places = rows[:, :, None] * width + columns
        return flat.take(places, axis=0, mode="clip").astype(np.float32)

    def between(rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        start, mixed = fetched(rows, left), fetched(rows, right)
        mixed -= start
        mixed *= across.astype(np.float32)
        mixed += start
        return mixed

    upper, patches = between(above), between(below)
    patches -= upper
    patches *= down.astype(np.float32)
    patches += upper
    return patches


def _points(
    starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], side: int, length: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Returns sample points ``(n, side)`` along one axis, and which are inside the image."""
    # In single precision and in this order, like TensorFlow: at a border, the last digit decides
    # whether a point is inside.
    first = (starts / length).astype(np.float32)
    last = (ends / length).astype(np.float32)
    step = (last - first) * np.float32(length - 1) / np.float32(side - 1)
    points = (
        first[:, None] * np.float32(length - 1) + np.arange(side, dtype=np.float32) * step[:, None]
    )
    return points, (points >= 0) & (points <= length - 1)
