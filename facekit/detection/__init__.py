"""Finding faces: where they are, and their five keypoints."""

from facekit.detection.detector import Detector

__all__ = ["Detector"]
