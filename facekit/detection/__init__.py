"""Finding faces: where they are, and their five keypoints."""

from facekit.detection.detector import Detector
from facekit.detection.stream import DetectedImage

__all__ = ["DetectedImage", "Detector"]
