"""The pose of a head, from the five keypoints of its face."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from facekit.faces import Keypoints

FACE_MODEL: tuple[tuple[float, float, float], ...] = (
    (-0.500, 0.000, 0.00),
    (0.500, 0.000, 0.00),
    (0.000, 0.591, -0.55),
    (-0.443, 1.013, 0.00),
    (0.443, 1.013, 0.00),
)
"""Where the five keypoints lie on a face, x to the right, y downwards, z away from the viewer.

The unit is the distance between the eyes. The numbers are those of MTCNN's keypoints in 44,364
images: the median of the faces seen from the front, and for the nose the depth that explains how it
moves when the distance between the eyes is foreshortened, the same between 10 and 45 degrees.
``benchmarks/face_model.py`` computes them.
"""


class HeadPose(NamedTuple):
    """The pose of a head, in degrees; all zero looks straight into the camera.

    Attributes:
        yaw: Turn to a side: positive toward the right border of the image, −90 to 90.
        pitch: Nod: positive downward, −90 to 90; 0 is the average image.
        roll: Tilt: positive clockwise, as seen in the image, −180 to 180.

    Example:
        >>> from facekit.quality.pose import HeadPose
        >>> HeadPose(yaw=12.0, pitch=-3.0, roll=0.5).yaw
        12.0
    """

    yaw: float
    pitch: float
    roll: float


def head_pose(keypoints: Keypoints) -> HeadPose:
    """Estimates the pose of a head from the projection of a face model onto the keypoints."""
    # Scaled orthography: D. DeMenthon and L. Davis, "Model-Based Object Pose in 25 Lines of Code",
    # International Journal of Computer Vision 15, 1995 (the first step, POS).
    points = keypoints.to_array()
    projection = (points - points.mean(axis=0)).T @ _FIT
    # The closest matrix with rows of equal length at right angles: a rotation without its depth.
    u, scales, vt = np.linalg.svd(projection, full_matrices=False)
    if scales[0] <= 0.0:  # all five on one spot
        return HeadPose(0.0, 0.0, 0.0)
    right, down = u @ vt
    away = np.cross(right, down)
    yaw = math.asin(float(np.clip(away[0], -1.0, 1.0)))
    pitch, roll = math.atan2(away[1], away[2]), math.atan2(down[0], right[0])
    return HeadPose(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))


# Times the centered keypoints, (2, 5), this is the least-squares projection of the model.
_FIT = np.linalg.pinv((np.array(FACE_MODEL) - np.mean(FACE_MODEL, axis=0)).T)
