"""The searched part of an image, and the conversion of results back to the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from facekit.detection.boxes import Boxes, clipped
from facekit.errors import ImageError
from facekit.faces import Face, Keypoints
from facekit.io.images import RGBImage

Region: TypeAlias = tuple[float, float, float, float]
"""A rectangle of an image, ``(x, y, width, height)`` in pixels from the top left corner."""

_BORDER = (127, 127, 127)


class Detections(NamedTuple):
    """The faces that an engine found in pixels, the most confident first."""

    boxes: Boxes  # x1, y1, x2, y2 in pixels, not clipped, `(n, 4)`
    confidences: npt.NDArray[np.float64]  # `(n,)`
    keypoints: npt.NDArray[np.float64]  # x and y, in the order of `Keypoints`, `(n, 5, 2)`

    @property
    def score(self) -> float:
        """The total evidence for faces: the sum of the confidences."""
        return float(self.confidences.sum())


@dataclass(frozen=True)
class View:
    """A part of an image, reduced if it is too large, with a border around it."""

    image: RGBImage  # the whole image
    pixels: RGBImage  # those to search
    left: int  # where the part begins in the image, in pixels
    top: int
    height: int  # its size in the image, in pixels
    width: int
    border: tuple[int, int] = (0, 0)  # its width left and right, its height above and below

    @classmethod
    def of(
        cls,
        image: RGBImage,
        region: Region | None,
        max_side: int | None,
        name: str,
        padding: float = 0.0,
    ) -> View:
        """Cuts out and reduces the part to search."""
        left, top, right, bottom = 0, 0, image.shape[1], image.shape[0]
        if region is not None:
            x, y, region_width, region_height = region
            left, top = max(int(np.floor(x)), 0), max(int(np.floor(y)), 0)
            right = int(min(np.ceil(x + region_width), right))
            bottom = int(min(np.ceil(y + region_height), bottom))
            if left >= right or top >= bottom:
                raise ImageError(
                    f"{name}: has {image.shape[1]} × {image.shape[0]} pixels, and the region "
                    f"{region} (x, y, width, height) lies outside"
                )
        part = image[top:bottom, left:right]
        height, width = part.shape[:2]
        pixels = np.ascontiguousarray(part)
        if max_side is not None and max(height, width) > max_side:
            ratio = max_side / max(height, width)
            size = (max(round(width * ratio), 1), max(round(height * ratio), 1))
            pixels = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA))
        across, down = (round(padding * pixels.shape[axis]) for axis in (1, 0))
        if across or down:
            pixels = np.asarray(
                cv2.copyMakeBorder(
                    pixels, down, down, across, across, cv2.BORDER_CONSTANT, value=_BORDER
                )
            )
        return cls(image, pixels, left, top, height, width, (across, down))

    def turned(self, degrees: int) -> RGBImage:
        """Returns the pixels rotated counterclockwise by a multiple of 90 degrees."""
        return np.ascontiguousarray(np.rot90(self.pixels, degrees // 90))

    def turned_back(self, found: Detections, degrees: int) -> Detections:
        """Converts results in the rotated pixels to :attr:`pixels`."""
        corners = self._turned_back(found.boxes.reshape(-1, 2, 2), degrees)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return Detections(boxes, found.confidences, self._turned_back(found.keypoints, degrees))

    def _turned_back(
        self, points: npt.NDArray[np.float64], degrees: int
    ) -> npt.NDArray[np.float64]:
        right, bottom = self.pixels.shape[1] - 1, self.pixels.shape[0] - 1
        x, y = points[..., 0], points[..., 1]
        places = {90: (right - y, x), 180: (right - x, bottom - y), 270: (y, bottom - x)}
        return np.stack(places[degrees], axis=-1)

    def faces(self, found: Detections, *, fit_boxes: bool, fit_keypoints: bool) -> list[Face]:
        """Converts results in the view to faces of the image."""
        border = np.array(self.border)
        size = np.array(self.pixels.shape[1::-1]) - 2 * border
        ratio = np.array([self.width, self.height]) / size
        corner = np.array([self.left, self.top])
        boxes = (found.boxes - np.tile(border, 2)) * np.tile(ratio, 2)
        keypoints = (found.keypoints - border) * ratio
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
