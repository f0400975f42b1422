"""Finding faces: where they are, and their five keypoints."""

from facekit.detection.detector import Detector
from facekit.detection.protocol import FaceDetector
from facekit.detection.yunet import YuNetDetector

__all__ = ["Detector", "FaceDetector", "YuNetDetector"]
