"""Measures of the quality of a face's image."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.alignment import DEFAULT_TEMPLATE, Aligner, similarity_transform
from facekit.faces import Face
from facekit.io.images import ImageSource, load_image
from facekit.quality.occlusion import covered
from facekit.quality.pose import head_pose
from facekit.utils.validation import instance

# Sharpness and light are measured on the aligned face at one small size, 20 pixels between the
# eyes: any usable face is shrunk to it, so that its size and camera noise hardly matter.
_SIDE = 64
# The middle of the aligned face: forehead to mouth, without hair, neck and background.
_MIDDLE = slice(round(0.15 * _SIDE), round(0.85 * _SIDE))
# Added to the variance, in gray levels squared, so that noise on an even surface does not count as
# sharpness.
_NOISE_VARIANCE = 25.0
_WHITE = 250
# The weights of ITU-R BT.601, those of JPEG files.
_LUMA = np.array([0.299, 0.587, 0.114])
# The box of a face is this share of the side of the aligned image, in its middle.
_BOX = 0.8
# The share of a face outside the image is counted in this many rows and columns.
_CELLS = 32


@dataclass(frozen=True)
class FaceQuality:
    """The quality of the image of one face.

    Args:
        interocular: The distance between the eyes, in pixels of the image.
        side: The shorter side of the box, in pixels of the image.
        sharpness: The strength of fine detail relative to coarse, in the direction in which it is
            weakest: the standard deviation of the second differences of the luminance, divided by
            that of the luminance itself, with 20 pixels between the eyes. 0 is even or completely
            blurred, 0.3 is typical.
        brightness: The mean luminance of the face, 0 (black) to 1 (white).
        contrast: The standard deviation of the luminance of the face, 0 to 0.5.
        overexposed: The share of the face that is pure white, 0 to 1.
        yaw: How far the head is turned to a side, in degrees; positive toward the right border.
        pitch: How far it is lowered, in degrees; negative if it is raised.
        roll: How far it is tilted in the plane of the image, in degrees; positive clockwise.
        outside: The share of the face that lies beyond the border of the image, 0 to 1.
        confidence: The detector's confidence that this is a face, 0 to 1.
        occlusion: The estimated share of the eyes or of the mouth, whichever is larger, that dark
            glasses, a mask, a hand or something else covers, 0 to 1. 0 where it was not measured.
        problems: What is not good enough, in words; see :class:`facekit.QualityGate`. Empty if
            there are no problems or no gate was applied.

    Example:
        >>> from facekit.quality.measures import FaceQuality
        >>> quality = FaceQuality(
        ...     interocular=42.0, side=90.0, sharpness=0.4, brightness=0.5, contrast=0.16,
        ...     overexposed=0.0, yaw=-9.5, pitch=4.0, roll=1.0, outside=0.0, confidence=0.999)
        >>> quality.good
        True
    """

    interocular: float
    side: float
    sharpness: float
    brightness: float
    contrast: float
    overexposed: float
    yaw: float
    pitch: float
    roll: float
    outside: float
    confidence: float
    occlusion: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers and problems as plain Python values, ready for ``json.dumps``."""
        return {**asdict(self), "problems": list(self.problems)}


def measure_quality(image: ImageSource, face: Face) -> FaceQuality:
    """Measures the quality of the image of a face.

    Args:
        image: The image in which the face was found, as :func:`facekit.load_image` reads it.
        face: The face; positions in pixels of that image.

    Returns:
        The measures, without problems; a :class:`facekit.QualityGate` finds these.

    Raises:
        ImageError: If the image cannot be read.
        InvalidArgumentError: If ``face`` is not a :class:`facekit.Face`.

    Example:
        >>> import numpy as np
        >>> from facekit import Face, Keypoints
        >>> from facekit.quality import measure_quality
        >>> points = Keypoints((30, 40), (70, 40), (50, 64), (32, 81), (68, 81))
        >>> face = Face(box=(10, 12, 80, 100), confidence=0.98, keypoints=points)
        >>> even_gray = np.full((128, 96, 3), 51, dtype=np.uint8)
        >>> quality = measure_quality(even_gray, face)
        >>> quality.interocular, quality.brightness, quality.sharpness
        (40.0, 0.2, 0.0)
    """
    instance(face, "face", Face)
    pixels = load_image(image)
    aligned = Aligner(_SIDE).align(pixels, [face])[0]
    luminance = np.asarray(aligned @ _LUMA)
    middle = luminance[_MIDDLE, _MIDDLE]
    pose = head_pose(face.keypoints)
    left, right = face.keypoints.left_eye, face.keypoints.right_eye
    return FaceQuality(
        interocular=math.hypot(right[0] - left[0], right[1] - left[1]),
        side=float(min(face.box[2:])),
        sharpness=_sharpness(luminance),
        brightness=float(middle.mean() / 255.0),
        contrast=float(middle.std() / 255.0),
        overexposed=float((middle >= _WHITE).mean()),
        yaw=pose.yaw,
        pitch=pose.pitch,
        roll=pose.roll,
        outside=_share_outside(face, pixels.shape[1], pixels.shape[0]),
        confidence=float(face.confidence),
        occlusion=max(covered(aligned)),
    )


def _sharpness(luminance: npt.NDArray[np.float64]) -> float:
    middle = _shifted(luminance, 0, 0)
    # The least sharp of four directions: motion blur removes detail in one direction only.
    detail = min(
        (
            (_shifted(luminance, x, y) + _shifted(luminance, -x, -y) - 2.0 * middle)
            / (x * x + y * y)
        ).var()
        for x, y in ((1, 0), (0, 1), (1, 1), (1, -1))
    )
    return math.sqrt(detail / (middle.var() + _NOISE_VARIANCE))


def _shifted(luminance: npt.NDArray[np.float64], x: int, y: int) -> npt.NDArray[np.float64]:
    """Returns the middle of the aligned face, moved by one pixel at most."""
    first, last = _MIDDLE.start, _MIDDLE.stop
    return luminance[first + y : last + y, first + x : last + x]


def _share_outside(face: Face, width: int, height: int) -> float:
    """Returns the share of a face that lies outside the image, where its keypoints put it."""
    # Not the share of the box, which a detector may have clipped to the image.
    cells = 0.5 + _BOX * ((np.arange(_CELLS) + 0.5) / _CELLS - 0.5)
    grid = np.stack(np.meshgrid(cells, cells), axis=-1).reshape(-1, 2)
    to_square = similarity_transform(face.keypoints.to_array(), np.array(DEFAULT_TEMPLATE))
    if to_square is None:  # the keypoints coincide; only the box is left
        points = (grid - 0.5) / _BOX * face.box[2:] + face.center
    else:
        points = (grid - to_square[:, 2]) @ np.linalg.inv(to_square[:, :2]).T
    inside = (points >= 0).all(axis=1) & (points <= (width, height)).all(axis=1)
    return float(1.0 - inside.mean())
