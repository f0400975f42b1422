"""The part of a picture that is searched, and the way back from it to the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from facekit.detection.boxes import clipped
from facekit.detection.cascade import Detections
from facekit.errors import ImageError
from facekit.faces import Face, Keypoints
from facekit.io.images import RGBImage

Region: TypeAlias = tuple[float, float, float, float]
"""A rectangle of a picture, in pixels. It is ``(x, y, width, height)`` from the top left corner."""


@dataclass(frozen=True)
class View:
    """A part of a picture, reduced if it was too large.

    Attributes:
        picture: The whole picture, uint8 ``(height, width, 3)``.
        pixels: What is searched, uint8 ``(height, width, 3)``.
        left: Where the part begins in the picture, in pixels; likewise ``top``.
        height: The part's size in the picture, in pixels; likewise ``width``.
    """

    picture: RGBImage
    pixels: RGBImage
    left: int
    top: int
    height: int
    width: int

    @classmethod
    def of(cls, picture: RGBImage, region: Region | None, max_side: int | None, name: str) -> View:
        """Cuts out and reduces what is to be searched.

        Args:
            picture: uint8 ``(height, width, 3)``.
            region: The part to search; all of it by default.
            max_side: The longest side that is searched as it is, in pixels.
            name: What to call the picture.

        Returns:
            The view.

        Raises:
            ImageError: If the region lies outside the picture.
        """
        left, top, right, bottom = 0, 0, picture.shape[1], picture.shape[0]
        if region is not None:
            x, y, region_width, region_height = region
            left, top = max(int(np.floor(x)), 0), max(int(np.floor(y)), 0)
            right = min(int(np.ceil(x + region_width)), right)
            bottom = min(int(np.ceil(y + region_height)), bottom)
            if left >= right or top >= bottom:
                raise ImageError(
                    f"{name}: has {picture.shape[1]} × {picture.shape[0]} pixels, and the region "
                    f"{region} (x, y, width, height) lies outside"
                )
        part = picture[top:bottom, left:right]
        height, width = part.shape[:2]
        pixels = np.ascontiguousarray(part)
        if max_side is not None and max(height, width) > max_side:
            ratio = max_side / max(height, width)
            size = (max(round(width * ratio), 1), max(round(height * ratio), 1))
            pixels = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA))
        return cls(picture, pixels, left, top, height, width)

    def faces(self, found: Detections, *, fit_boxes: bool, fit_keypoints: bool) -> list[Face]:
        """Returns what was found in the view as faces of the picture.

        Args:
            found: The faces in pixels of the view.
            fit_boxes: Whether boxes are clipped to the part that was searched.
            fit_keypoints: Whether keypoints are moved into it.

        Returns:
            The faces, in the same order. Those whose box has no area are left out.
        """
        ratio = np.array([self.width / self.pixels.shape[1], self.height / self.pixels.shape[0]])
        corner = np.array([self.left, self.top])
        boxes, keypoints = found.boxes * np.tile(ratio, 2), found.keypoints * ratio
        if fit_boxes:
            boxes = clipped(boxes, self.height, self.width)
        if fit_keypoints:
            keypoints = np.clip(keypoints, 0.0, [self.width - 1, self.height - 1])
        boxes, keypoints = boxes + np.tile(corner, 2), keypoints + corner
        return [
            _face(box, confidence, points)
            for box, confidence, points in zip(boxes, found.confidences, keypoints, strict=True)
            if box[2] > box[0] and box[3] > box[1]
        ]


def _face(box: npt.NDArray[np.float64], confidence: float, points: npt.NDArray[np.float64]) -> Face:
    x1, y1, x2, y2 = box.tolist()
    return Face(
        box=(x1, y1, x2 - x1, y2 - y1),
        confidence=min(float(confidence), 1.0),
        keypoints=Keypoints(*(tuple(point) for point in points.tolist())),
    )
