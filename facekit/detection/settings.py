"""The settings of the cascade."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The settings of a search; see :class:`facekit.Detector`."""

    min_face_size: float
    scale_factor: float
    thresholds: tuple[float, float, float]
    complete_pyramid: bool
    # Above which the weaker of two windows is dropped: within a level, between levels, after R-Net
    # and, relative to the smaller one, after O-Net; as in mtcnn.
    overlaps: tuple[float, float, float, float]
