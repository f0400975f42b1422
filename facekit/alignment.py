"""The aligner: cuts faces out of an image as the square images that an embedder reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.faces import Face
from facekit.io.images import ImageSource, RGBImage, load_image
from facekit.utils.validation import choice, number, several, vectors, whole

AlignmentMode: TypeAlias = Literal["similarity", "crop"]
"""How a face is mapped to the square: by its keypoints or by its box."""

DEFAULT_TEMPLATE: tuple[tuple[float, float], ...] = (
    (0.3433, 0.4040),
    (0.6567, 0.4040),
    (0.5000, 0.5950),
    (0.3588, 0.7339),
    (0.6412, 0.7339),
)
"""Where the five keypoints lie in the aligned image, as fractions of its side.

The order is that of :class:`facekit.Keypoints`. The points are the average of MTCNN's keypoints
over 44,350 faces, in a square around the box with the box's center and 1.25 times the
square root of its area as the side, made symmetric. ``benchmarks/alignment_template.py`` computes
them.
"""

# A mapping by area averaging draws at most this many samples per pixel and direction; a larger
# reduction first shrinks the image, so that time and memory stay bounded.
_MAX_SUPERSAMPLING = 8

_Matrix: TypeAlias = npt.NDArray[np.float64]


class Aligner:
    """Cuts faces out of an image, upright and of one size.

    Two modes exist, because a network recognizes best what it was trained on:

    ``"similarity"``
        The rotation, scale and shift that bring the five keypoints closest, in the least-squares
        sense, to a template. It undoes a tilt of the head and keeps the face's proportions.
    ``"crop"``
        FaceNet's cut: the box grown by ``margin``, clipped to the image and stretched to the
        square.

    Every face yields an image. Beyond the border of the image, the nearest pixel is repeated
    (``similarity``) or the cut ends (``crop``). If all keypoints coincide, so that they determine
    no similarity, the face's box is used instead. Shrinking averages areas, enlarging interpolates
    linearly.

    Args:
        size: The side S of the aligned images, in pixels.
        mode: ``"similarity"`` or ``"crop"``.
        margin: For ``crop``: by how much the box's width and height grow, 0.25 for 25 %.
        template: For ``similarity``: where the keypoints should lie, five ``(x, y)`` as fractions
            of the side; ``facekit.alignment.DEFAULT_TEMPLATE`` by default.

    Raises:
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> import numpy as np
        >>> from facekit import Aligner, Face, Keypoints
        >>> points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
        >>> face = Face(box=(10, 12, 80, 100), confidence=0.98, keypoints=points)
        >>> Aligner(size=160).align(np.zeros((128, 96, 3), dtype=np.uint8), [face]).shape
        (1, 160, 160, 3)

    References:
        S. Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point
        Patterns", IEEE Transactions on Pattern Analysis and Machine Intelligence 13(4), 1991,
        equations 40 to 42 (``similarity``).
        F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet: A Unified Embedding for Face
        Recognition and Clustering", CVPR 2015, and its implementation by David Sandberg (``crop``).
    """

    def __init__(
        self,
        size: int = 160,
        mode: AlignmentMode = "similarity",
        *,
        margin: float = 0.25,
        template: Sequence[Sequence[float]] = DEFAULT_TEMPLATE,
    ) -> None:
        self.size, self.mode, self.margin, self.template = size, mode, margin, template
        self._check()

    def _check(self) -> None:
        whole(self.size, "size", least=1)
        choice(self.mode, "mode", get_args(AlignmentMode))
        number(self.margin, "margin", 0.0)
        if len(vectors(self.template, 2, "template")) != 5:
            raise InvalidArgumentError(f"template must be five (x, y) pairs, got {self.template!r}")

    def __repr__(self) -> str:
        return f"Aligner(size={self.size}, mode={self.mode!r})"

    def align(self, image: ImageSource, faces: Sequence[Face]) -> npt.NDArray[np.uint8]:
        """Cuts the given faces out of an image.

        Args:
            image: The image in which the faces were found, as :func:`facekit.load_image` reads.
            faces: The faces; positions in pixels of that image.

        Returns:
            uint8 ``(n, S, S, 3)``, RGB, in the order of ``faces``.

        Raises:
            ImageError: If the image cannot be read.
            InvalidArgumentError: If ``faces`` holds something else, or an attribute was changed to
                a value outside its range.
        """
        self._check()
        pixels, faces = load_image(image), several(faces, "faces", Face)
        aligned = np.empty((len(faces), self.size, self.size, 3), dtype=np.uint8)
        for index, face in enumerate(faces):
            if self.mode == "crop":
                aligned[index] = self._crop(pixels, face)
            else:
                aligned[index] = _warp(pixels, self._matrix(face), self.size)
        return aligned

    def to_dict(self) -> dict[str, Any]:
        """Returns the arguments that make an equal aligner, as plain Python values."""
        return {
            "size": int(self.size),
            "mode": self.mode,
            "margin": float(self.margin),
            "template": np.asarray(self.template, dtype=np.float64).tolist(),
        }

    def _matrix(self, face: Face) -> _Matrix:
        template = np.array(self.template) * self.size
        matrix = similarity_transform(face.keypoints.to_array(), template)
        return _box_matrix(face, self.margin, self.size) if matrix is None else matrix

    def _crop(self, pixels: RGBImage, face: Face) -> RGBImage:
        height, width = pixels.shape[:2]
        x, y, box_width, box_height = face.box
        left, right = _clipped_span(x, box_width, self.margin, width)
        top, bottom = _clipped_span(y, box_height, self.margin, height)
        return _resize(pixels[top:bottom, left:right], self.size, self.size)


def similarity_transform(
    source: npt.NDArray[np.float64], target: npt.NDArray[np.float64]
) -> _Matrix | None:
    """Estimates the similarity that maps one set of points closest to another.

    Args:
        source: Points, float64 ``(n, 2)``.
        target: Where they should come to lie, float64 ``(n, 2)``.

    Returns:
        The 2×3 matrix ``[s·R | t]`` of rotation R (no reflection), scale s and shift t that
        minimizes the squared distances. ``None`` if the points determine none: all points of one
        set coincide, or one set mirrors the other and spreads equally in all directions.

    Example:
        >>> import numpy as np
        >>> square = np.array([[0., 0.], [1., 0.], [1., 1.], [0., 1.]])
        >>> similarity_transform(square, square @ [[1, 1], [-1, 1]] + [3, 4]).round(6).tolist()
        [[1.0, -1.0, 3.0], [1.0, 1.0, 4.0]]

    References:
        Umeyama (1991), equations 40 to 42, which in the plane need no decomposition.
    """
    # In the plane as complex numbers, where a rotation with a scale is one factor.
    start, end = (np.ascontiguousarray(each).view(np.complex128)[:, 0] for each in (source, target))
    start_mean, end_mean = start.mean(), end.mean()
    start, end = start - start_mean, end - end_mean
    start_spread, end_spread = np.linalg.norm(start), np.linalg.norm(end)
    # Relative to the coordinates: nearly coinciding points give a scale without meaning.
    reach = 1e-6 * math.sqrt(len(start))
    if start_spread <= reach * (1.0 + abs(start_mean)) or end_spread <= reach * (
        1.0 + abs(end_mean)
    ):
        return None
    agreement = np.vdot(start, end)
    # Mirrored points may agree in no direction more than in any other.
    if abs(agreement) <= 1e-6 * start_spread * end_spread:
        return None
    factor = agreement / start_spread**2
    shift = end_mean - factor * start_mean
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )


def _box_matrix(face: Face, margin: float, size: int) -> _Matrix:
    # Less than a millionth of a pixel counts as a single point, whose scale is undefined.
    scale = size / ((1 + margin) * max(*face.box[2:], 1e-6))
    center_x, center_y = face.center
    return np.array(
        [[scale, 0.0, size / 2 - scale * center_x], [0.0, scale, size / 2 - scale * center_y]]
    )


def _warp(pixels: RGBImage, matrix: _Matrix, size: int) -> RGBImage:
    import cv2

    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    reduction = 1.0 / scale
    if reduction > _MAX_SUPERSAMPLING:
        # Only the part that is needed; otherwise the reduced copy could be almost as large as the
        # image.
        pixels, matrix = _relevant_part(pixels, matrix, size, margin=math.ceil(reduction))
        pixels, matrix = _shrink(pixels, matrix, reduction / _MAX_SUPERSAMPLING)
        reduction = 1.0 / float(np.hypot(matrix[0, 0], matrix[1, 0]))
    samples = max(1, math.ceil(min(reduction, _MAX_SUPERSAMPLING) - 1e-9))
    # Pixel centers: the coordinates above are continuous, with (0, 0) the corner of the first
    # pixel, while OpenCV puts (0, 0) at its center.
    to_samples = matrix * samples
    to_samples[:, 2] += 0.5 * to_samples[:, :2].sum(axis=1) - 0.5
    side = size * samples
    pixels, to_samples = _relevant_part(pixels, to_samples, side)
    warped = cv2.warpAffine(
        pixels, to_samples, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return _resize(np.asarray(warped, dtype=np.uint8), size, size)


def _relevant_part(
    pixels: RGBImage, matrix: _Matrix, side: int, margin: int = 2
) -> tuple[RGBImage, _Matrix]:
    """Returns the part of the image that the square shows: OpenCV warps at most 32,767 pixels."""
    height, width = pixels.shape[:2]
    inverse = np.linalg.inv(matrix[:, :2])
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]]) - matrix[:, 2]
    corners = corners @ inverse.T
    # Clipped before rounding: the coordinates of a face far outside overflow an integer.
    left, top = np.floor(corners.min(axis=0)) - margin
    right, bottom = np.ceil(corners.max(axis=0)) + margin
    left, top = int(np.clip(left, 0, width - 1)), int(np.clip(top, 0, height - 1))
    right, bottom = int(np.clip(right, left + 1, width)), int(np.clip(bottom, top + 1, height))
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ (left, top)
    return np.ascontiguousarray(pixels[top:bottom, left:right]), shifted


def _shrink(pixels: RGBImage, matrix: _Matrix, factor: float) -> tuple[RGBImage, _Matrix]:
    height, width = pixels.shape[:2]
    new_width, new_height = max(1, round(width / factor)), max(1, round(height / factor))
    shrunk = matrix.copy()
    shrunk[:, 0] *= width / new_width
    shrunk[:, 1] *= height / new_height
    return _resize(pixels, new_width, new_height), shrunk


def _resize(pixels: RGBImage, width: int, height: int) -> RGBImage:
    import cv2

    if pixels.shape[:2] == (height, width):
        return pixels
    # OpenCV's area mode enlarges by repeating pixels, so each direction gets its own mode.
    resized: npt.NDArray[Any] = pixels
    if pixels.shape[0] > height:
        resized = cv2.resize(resized, (pixels.shape[1], height), interpolation=cv2.INTER_AREA)
    if pixels.shape[1] > width:
        resized = cv2.resize(resized, (width, resized.shape[0]), interpolation=cv2.INTER_AREA)
    resized = cv2.resize(resized, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)


def _clipped_span(start: float, length: float, margin: float, limit: int) -> tuple[int, int]:
    grow = length * margin / 2
    # Halves up: rounding them to even would make the size of the cut depend on its place.
    first = int(np.clip(start - grow + 0.5, 0, limit - 1))
    last = int(np.clip(start + length + grow + 0.5, first + 1, limit))
    return first, last
