"""The results that facekit's parts exchange and return: small frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from facekit.errors import ImageError, InvalidArgumentError
from facekit.utils.validation import number, numbers

Point = tuple[float, float]
"""A position in an image: x to the right and y downwards, in pixels."""

SAME_FACE = 0.25
"""The intersection over union from which two boxes in an image count as one face.

Photo managers draw larger boxes than detectors: a square with sides one and a half times as long
has an overlap of 0.44.
"""


class Keypoints(NamedTuple):
    """The five facial keypoints of MTCNN, each ``(x, y)`` in pixels of the image.

    *Left* and *right* are those of the image, as in the ``mtcnn`` package: ``left_eye`` is the
    eye nearer the left border when the person looks into the camera.

    Attributes:
        left_eye: The eye on the left of the image.
        right_eye: The eye on the right of the image.
        nose: The tip of the nose.
        mouth_left: The corner of the mouth on the left of the image.
        mouth_right: The corner of the mouth on the right of the image.

    Example:
        >>> from facekit import Keypoints
        >>> points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
        >>> points.nose
        (50, 60)
        >>> points.to_array().shape
        (5, 2)

    References:
        K. Zhang, Z. Zhang, Z. Li and Y. Qiao, "Joint Face Detection and Alignment Using Multitask
        Cascaded Convolutional Networks", 2016, section II. The ``mtcnn`` package, version 1.0.0.
    """

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point

    def to_array(self) -> npt.NDArray[np.float64]:
        """Returns the points as float64 ``(5, 2)``, in the order of the fields."""
        return np.array(self, dtype=np.float64)


@dataclass(frozen=True)
class Face:
    """One detected face.

    Args:
        box: ``(x, y, width, height)`` in pixels: the top left corner, then the size, both positive.
        confidence: The detector's confidence that this is a face, in [0, 1].
        keypoints: Eyes, nose and mouth corners.

    Raises:
        InvalidArgumentError: If a number is not finite, the box has no area, the confidence lies
            outside [0, 1], or the keypoints are of another class.

    Example:
        >>> from facekit import Face, Keypoints
        >>> points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
        >>> face = Face(box=(10.2, 12.0, 80.0, 99.6), confidence=0.98, keypoints=points)
        >>> face.to_dict()["box"]
        [10, 12, 80, 100]
    """

    box: tuple[float, float, float, float]
    confidence: float
    keypoints: Keypoints

    def __post_init__(self) -> None:
        box = numbers(self.box, "box", 4, "four finite numbers (x, y, width, height)")
        if box[2] <= 0 or box[3] <= 0:
            raise InvalidArgumentError(
                f"box must have a positive width and height, got {self.box!r}"
            )
        wanted = "Keypoints, (x, y) pairs of finite numbers"
        if not isinstance(self.keypoints, Keypoints):
            raise InvalidArgumentError(f"keypoints must be {wanted}, got {self.keypoints!r}")
        points = [numbers(point, "keypoints", 2, wanted) for point in self.keypoints]
        object.__setattr__(self, "box", box)
        object.__setattr__(self, "confidence", number(self.confidence, "confidence", 0, 1))
        object.__setattr__(self, "keypoints", Keypoints(*points))

    @property
    def area(self) -> float:
        """The area of the box in square pixels."""
        return self.box[2] * self.box[3]

    @property
    def center(self) -> Point:
        """The middle of the box."""
        x, y, width, height = self.box
        return (x + width / 2, y + height / 2)

    def to_dict(self, *, rounded: bool = True) -> dict[str, Any]:
        """Returns the face as the dictionary that ``mtcnn.MTCNN.detect_faces`` returns.

        Args:
            rounded: Whether box and keypoints are rounded to whole pixels, as ``mtcnn`` does. With
                ``False`` they stay exact, and :meth:`from_dict` restores an equal face.

        Returns:
            ``{"box": [x, y, width, height], "confidence": float, "keypoints": {name: [x, y]}}``,
            made of plain Python numbers and lists, ready for ``json.dumps``.
        """
        convert = round if rounded else float
        return {
            "box": [convert(value) for value in self.box],
            "confidence": float(self.confidence),
            "keypoints": {
                name: [convert(value) for value in point]
                for name, point in self.keypoints._asdict().items()
            },
        }

    @classmethod
    def from_dict(cls, dictionary: Mapping[str, Any]) -> Face:
        """Creates a face from a dictionary of :meth:`to_dict` or of the ``mtcnn`` package.

        Args:
            dictionary: With the keys ``box``, ``confidence`` and ``keypoints``.

        Returns:
            The face.

        Raises:
            InvalidArgumentError: If a key is missing or a value cannot be used.

        Example:
            >>> from facekit import Face
            >>> face = Face.from_dict({
            ...     "box": [10, 12, 80, 100], "confidence": 0.98,
            ...     "keypoints": {"left_eye": [30, 40], "right_eye": [70, 40], "nose": [50, 60],
            ...                   "mouth_left": [35, 80], "mouth_right": [65, 80]}})
            >>> Face.from_dict(face.to_dict()) == face
            True
        """
        try:
            x, y, width, height = (float(value) for value in dictionary["box"])
            points = dictionary["keypoints"]
            keypoints = Keypoints(
                *((float(points[name][0]), float(points[name][1])) for name in Keypoints._fields)
            )
            confidence = float(dictionary["confidence"])
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise InvalidArgumentError(
                f"a face needs box [x, y, width, height], confidence and keypoints "
                f"{list(Keypoints._fields)}, got {dictionary!r}"
            ) from error
        return cls(box=(x, y, width, height), confidence=confidence, keypoints=keypoints)


def largest_face(faces: Sequence[Face]) -> Face:
    """Returns the face with the largest box, the first of equal ones."""
    return max(faces, key=lambda face: face.area)


def box_overlap(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> float:
    """Returns the intersection over union of two boxes ``(x, y, width, height)``, 0 to 1."""
    across, down = (
        min(first[axis] + first[axis + 2], second[axis] + second[axis + 2])
        - max(first[axis], second[axis])
        for axis in (0, 1)
    )
    shared = max(across, 0.0) * max(down, 0.0)
    union = first[2] * first[3] + second[2] * second[3] - shared
    return shared / union if union > 0 else 0.0


@dataclass(frozen=True)
class DetectedImage:
    """One of many images, with its faces or the error that kept it from being read.

    Args:
        source: The image's name: its path, or its position in the list or video.
        index: Its position, from 0; in a video the number of the frame.
        faces: The faces, as ``Detector.detect`` returns them.
        image: The image itself, uint8 ``(height, width, 3)``; ``None`` if it could not be read.
        error: Why it could not be read, or ``None``.

    Example:
        >>> import numpy as np
        >>> from facekit import Detector
        >>> black = np.zeros((40, 40, 3), dtype=np.uint8)
        >>> found = next(Detector().detect_stream([black]))
        >>> found.source, found.index, found.faces, found.error
        ('image 0', 0, [], None)
    """

    source: str
    index: int
    faces: list[Face]
    image: npt.NDArray[np.uint8] | None = field(repr=False)
    error: ImageError | None = None


@dataclass(frozen=True)
class Identity:
    """The identity of an embedding: a person, or a stranger.

    Args:
        name: Who it is, or ``None`` for a stranger.
        candidate: The enrolled person that it resembles most; equal to ``name`` unless that is
            ``None``.
        distance: Euclidean distance to the candidate, between unit embeddings, 0 to 2.
        threshold: The largest distance at which ``name`` is given.
        probability: The probability that it is ``candidate``, as in :class:`RecognizedFace`.

    Example:
        >>> from facekit.faces import Identity
        >>> Identity(None, candidate="Ada", distance=1.3, threshold=0.9, probability=0.02).label
        'unknown'
    """

    name: str | None
    candidate: str
    distance: float
    threshold: float
    probability: float

    @property
    def label(self) -> str:
        """The name to show, that of the person or ``"unknown"``."""
        return "unknown" if self.name is None else self.name


@dataclass(frozen=True)
class RecognizedFace:
    """A face with its identity.

    Args:
        face: Where the face is.
        name: Who it is, or ``None`` for a stranger and for a face that is too poor to tell.
        candidate: The enrolled person that it resembles most; equal to ``name`` unless that is
            ``None``.
        distance: Euclidean distance between unit embeddings, from this face to the nearest
            enrolled image of ``candidate``: 0 is the same image, 1.41 is unrelated.
        threshold: The largest distance at which ``name`` is given.
        probability: The probability that it is ``candidate``, if half of all faces belong to
            enrolled people; see :meth:`facekit.IdentityClassifier.predict_proba`. For weights
            without a table of distances it only compares ``candidate`` with the other enrolled
            people, and says nothing about strangers.
        problems: Why the image of the face is too poor to be named, in the words of
            :class:`facekit.QualityGate`; ``name`` is then ``None``. Empty if it is good enough.
        remarks: What makes the name less certain, in the same words: the image would be too poor to
            be enrolled. Empty if it is good enough for that.

    Example:
        >>> from facekit import Face, Keypoints, RecognizedFace
        >>> points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
        >>> face = Face(box=(10, 12, 80, 100), confidence=0.98, keypoints=points)
        >>> stranger = RecognizedFace(
        ...     face, None, candidate="Ada", distance=1.3, threshold=0.9, probability=0.02)
        >>> stranger.label, stranger.candidate
        ('unknown', 'Ada')
    """

    face: Face
    name: str | None
    candidate: str
    distance: float
    threshold: float
    probability: float
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        face: Face,
        identity: Identity,
        problems: tuple[str, ...] = (),
        remarks: tuple[str, ...] = (),
    ) -> RecognizedFace:
        """Combines a face with its identity; a face with problems gets no name.

        Args:
            face: The face.
            identity: The identity of its embedding.
            problems: Why the image of the face is too poor to be named.
            remarks: What makes a name less certain; ignored if there are problems.

        Returns:
            The face with its identity.
        """
        own = {**vars(identity), "name": None if problems else identity.name}
        return cls(face, **own, problems=problems, remarks=() if problems else remarks)

    @property
    def label(self) -> str:
        """The name to show, that of the person or ``"unknown"``."""
        return "unknown" if self.name is None else self.name

    def to_dict(self, *, rounded: bool = True) -> dict[str, Any]:
        """Returns the result as plain Python values, ready for ``json.dumps``.

        Args:
            rounded: As in :meth:`Face.to_dict`.

        Returns:
            The dictionary of the face, with the other fields added.
        """
        others = {name: value for name, value in vars(self).items() if name != "face"}
        lists = {"problems": list(self.problems), "remarks": list(self.remarks)}
        return {**self.face.to_dict(rounded=rounded), **others, **lists}


@dataclass(frozen=True)
class Verification:
    """The answer to "do these two images show the same person?".

    Args:
        same: Whether the distance is at most the threshold.
        distance: Euclidean distance between the two unit embeddings, 0 to 2.
        threshold: The largest distance that counts as the same person.
        faces: The face used in each image.

    Example:
        >>> from facekit import FaceRecognizer
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> answer = FaceRecognizer("facekit-small").verify(portrait, portrait)
        >>> answer.same, round(answer.distance, 3)
        (True, 0.0)
    """

    same: bool
    distance: float
    threshold: float
    faces: tuple[Face, Face]

    def to_dict(self, *, rounded: bool = True) -> dict[str, Any]:
        """Returns the result as plain Python values, ready for ``json.dumps``.

        Args:
            rounded: As in :meth:`Face.to_dict`.
        """
        return {
            "same": self.same,
            "distance": self.distance,
            "threshold": self.threshold,
            "metric": "euclidean",
            "faces": [face.to_dict(rounded=rounded) for face in self.faces],
        }
