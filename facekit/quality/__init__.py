"""Whether a face is good enough to be enrolled or named: size, sharpness, light, pose, cover."""

from facekit.quality.gate import QualityGate
from facekit.quality.measures import measure_quality

__all__ = ["QualityGate", "measure_quality"]
