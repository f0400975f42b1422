"""Cutting windows out of a picture at the size that a network takes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from facekit.detection.boxes import Boxes
from facekit.detection.networks import MEAN_PIXEL
from facekit.io.images import RGBImage


def packed(pixels: RGBImage) -> npt.NDArray[np.uint32]:
    """Returns a picture with each pixel as one number, so that one look-up fetches it.

    Args:
        pixels: uint8 ``(height, width, 3)``.

    Returns:
        uint32 ``(height, width)``.
    """
    four = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    return np.asarray(four).view(np.uint32)[..., 0]


def cut_patches(
    picture: npt.NDArray[np.uint32], boxes: Boxes, side: int
) -> npt.NDArray[np.float32]:
    """Cuts windows out of a picture, by bilinear interpolation at the points of a grid.

    Args:
        picture: What :func:`packed` makes of it.
        boxes: ``(n, 4)``: x1, y1, x2 and y2 of the corners of the grids, in pixels.
        side: The number of points along a side.

    Returns:
        float32 ``(n, side, side, 3)``, values from 0 to 255; 127.5 outside the picture.

    References:
        The operation ``tf.image.crop_and_resize``, with what the networks take for nothing
        outside the picture. As in ``mtcnn`` 1.0.0, coordinates are divided by the sizes of the
        picture and multiplied by those less one.
    """
    height, width = picture.shape
    above, below, down, inside_rows = _grid(boxes[:, 1], boxes[:, 3], side, height)
    left, right, across, inside_columns = _grid(boxes[:, 0], boxes[:, 2], side, width)
    flat = picture.reshape(-1)
    above, below = above[:, :, None] * width, below[:, :, None] * width
    left, right, across = left[:, None, :], right[:, None, :], across[:, None, :, None]

    def fetched(rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        # All indices are valid; "clip" spares checking them.
        numbers = flat.take(rows + columns, mode="clip")
        return numbers.view(np.uint8).reshape(*numbers.shape, 4)

    def between(rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        start = fetched(rows, left).astype(np.float32)
        mixed = fetched(rows, right).astype(np.float32)
        mixed -= start
        mixed *= across
        mixed += start
        return mixed

    upper, patches = between(above), between(below)
    patches -= upper
    patches *= down[:, :, None, None]
    patches += upper
    patches[~(inside_rows[:, :, None] & inside_columns[:, None, :])] = MEAN_PIXEL
    return patches[..., :3]


def _grid(
    starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], side: int, length: int
) -> tuple[
    npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32], npt.NDArray[np.bool_]
]:
    """Places points along one axis.

    Returns:
        For each point, ``(n, side)``: the pixel before it, the one after it, how far it lies
        from the first towards the second, and whether it lies inside the picture.
    """
    # In single precision and in this order, as TensorFlow computes it: at a border, the last
    # digit decides whether a point lies inside.
    first = (starts / length).astype(np.float32)
    last = (ends / length).astype(np.float32)
    step = (last - first) * np.float32(length - 1) / np.float32(side - 1)
    points = (
        first[:, None] * np.float32(length - 1) + np.arange(side, dtype=np.float32) * step[:, None]
    )
    inside = (points >= 0) & (points <= length - 1)
    np.clip(points, 0, length - 1, out=points)
    before = points.astype(np.intp)
    after = np.minimum(before + 1, length - 1)
    return before, after, points - before.astype(np.float32), inside
