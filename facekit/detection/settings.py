"""The settings of the cascade."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The settings of a search.

    Args:
        min_face_size: The side of the smallest face, in pixels.
        scale_factor: The ratio between neighboring levels of the pyramid.
        thresholds: The confidence that a window needs to pass each of the three networks.
        complete_pyramid: Whether the pyramid reaches faces as large as the image.
        overlaps: The overlaps above which the weaker of two windows is dropped: within a level,
            between levels, after R-Net and, relative to the smaller one, after O-Net; as in
            ``mtcnn``.
    """

    min_face_size: float
    scale_factor: float
    thresholds: tuple[float, float, float]
    complete_pyramid: bool
    overlaps: tuple[float, float, float, float] = (0.5, 0.7, 0.7, 0.7)
