"""Whether a face is good enough to be enrolled or named: size, sharpness, light, pose, border."""

from facekit.quality.gate import QualityGate
from facekit.quality.measures import FaceQuality, measure_quality
from facekit.quality.pose import HeadPose, head_pose

__all__ = ["FaceQuality", "HeadPose", "QualityGate", "head_pose", "measure_quality"]
