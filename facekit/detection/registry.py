"""Detectors by name, for the command line and for saved recognizers."""

from __future__ import annotations

from typing import Any

from facekit.detection.base import ImageDetector
from facekit.detection.detector import Detector
from facekit.detection.yunet import YuNetDetector
from facekit.utils.validation import choice

DETECTORS: dict[str, type[ImageDetector]] = {"mtcnn": Detector, "yunet": YuNetDetector}
"""The class of each detector by name."""


def make_detector(name: str, **parameters: Any) -> ImageDetector:
    """Creates a detector by name.

    Args:
        name: ``"mtcnn"`` for :class:`facekit.Detector`, ``"yunet"`` for
            :class:`facekit.YuNetDetector`.
        parameters: The arguments of its constructor.

    Returns:
        The detector.

    Raises:
        InvalidArgumentError: If the name is unknown, or an argument lies outside its range.

    Example:
        >>> from facekit.detection.registry import make_detector
        >>> make_detector("mtcnn", min_face_size=40)
        Detector(min_face_size=40)
    """
    return DETECTORS[choice(name, "detector", DETECTORS)](**parameters)
