"""The quality gate: limits for the measures of a face, and messages for violations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from facekit.faces import Face
from facekit.io.images import ImageSource
from facekit.quality.measures import FaceQuality, measure_quality
from facekit.utils.validation import number


class _Limit(NamedTuple):
    name: str  # "min_" or "max_" and the field of FaceQuality
    problem: str
    unit: str
    factor: float
    largest: float | None


# The order of the problems of a face. Every message reads
# "<problem>: <number><unit>, at least (at most) <limit> wanted".
_LIMITS = (
    _Limit("min_interocular", "too small", " pixels between the eyes", 1, None),
    _Limit("min_side", "too small", " pixels from side to side", 1, None),
    _Limit("min_sharpness", "blurred", " sharpness", 1, None),
    _Limit("min_brightness", "too dark", " % brightness", 100, 1),
    _Limit("min_contrast", "too little contrast", " % contrast", 100, 0.5),
    _Limit("max_overexposed", "overexposed", " % of the face white", 100, 1),
    _Limit("max_yaw", "turned to the side", " degrees", 1, 90),
    _Limit("max_pitch", "raised or lowered", " degrees", 1, 180),
    _Limit("max_roll", "tilted", " degrees", 1, 180),
    _Limit("max_outside", "cut by the border", " % of the face outside", 100, 1),
    _Limit("min_confidence", "hardly a face", " confidence", 1, 1),
    _Limit("max_occlusion", "covered", " % of the eyes or the mouth", 100, 1),
)


@dataclass(frozen=True)
class QualityGate:
    """Flags faces whose images are too poor for a purpose.

    ``None`` turns a limit off. The defaults are for enrolling: beyond them, a tenth to a fifth of
    the matches with the person's good images is lost in measurements. :meth:`for_naming` has wider
    limits. The page on quality shows the curves.

    Args:
        min_interocular: Smallest distance between the eyes, in pixels.
        min_side: Smallest length of the shorter side of the box, in pixels; off by default, for it
            says little that the distance between the eyes does not.
        min_sharpness: Smallest ``sharpness`` of :class:`facekit.quality.measures.FaceQuality`.
        min_brightness: Smallest mean luminance, 0 to 1.
        min_contrast: Smallest standard deviation of the luminance, 0 to 0.5.
        max_overexposed: Largest share of the face that is white, 0 to 1.
        max_yaw: Furthest turn to either side, in degrees.
        max_pitch: Furthest raise or nod, in degrees.
        max_roll: Furthest tilt to either side, in degrees.
        max_outside: Largest share of the face beyond the border of the image, 0 to 1.
        min_confidence: Smallest confidence of the detector, 0 to 1.
        max_occlusion: Largest share of the eyes or of the mouth that is covered, 0 to 1; off by
            default, for deep shadows over the eyes are sometimes taken for dark glasses. 0.7 is
            what was measured.

    Raises:
        InvalidArgumentError: If a limit is neither ``None`` nor a number in its range.

    Example:
        >>> import numpy as np
        >>> from facekit import Face, Keypoints, QualityGate
        >>> points = Keypoints((30, 40), (48, 40), (39, 51), (31, 59), (47, 59))
        >>> face = Face(box=(20, 25, 38, 48), confidence=0.98, keypoints=points)
        >>> image = np.random.default_rng(0).integers(0, 256, (128, 96, 3), dtype=np.uint8)
        >>> QualityGate(min_interocular=24).assess(image, face).problems
        ('too small: 18 pixels between the eyes, at least 24 wanted',)
        >>> QualityGate(min_interocular=None).assess(image, face).problems
        ()
    """

    min_interocular: float | None = 14.0
    min_side: float | None = None
    min_sharpness: float | None = 0.12
    min_brightness: float | None = 0.08
    min_contrast: float | None = 0.03
    max_overexposed: float | None = 0.5
    max_yaw: float | None = 45.0
    max_pitch: float | None = 30.0
    max_roll: float | None = 50.0
    max_outside: float | None = 0.3
    min_confidence: float | None = 0.8
    max_occlusion: float | None = None

    def __post_init__(self) -> None:
        for limit in _LIMITS:
            value = getattr(self, limit.name)
            if value is not None:
                number(value, f"{limit.name}, if not None,", 0, limit.largest)

    @classmethod
    def for_naming(cls) -> QualityGate:
        """Returns the gate for faces that are to be named.

        Naming a poor face costs little: in measurements it got a wrong name no more often than a
        good one. The limits are where fewer than half of the usual matches remain, or where the
        measured range ends.

        Example:
            >>> from facekit import QualityGate
            >>> QualityGate.for_naming().max_pitch, QualityGate().max_pitch
            (42.0, 30.0)
        """
        return cls(
            min_interocular=7.0,
            min_sharpness=0.06,
            min_brightness=0.06,
            min_contrast=0.02,
            max_overexposed=0.8,
            max_yaw=60.0,
            max_pitch=42.0,
            max_roll=65.0,
            max_outside=0.45,
        )

    @classmethod
    def off(cls) -> QualityGate:
        """Returns a gate without limits; set the wanted ones with ``replace``.

        Example:
            >>> from dataclasses import replace
            >>> from facekit import QualityGate
            >>> only_size = replace(QualityGate.off(), min_interocular=30)
            >>> only_size.min_interocular, only_size.max_yaw
            (30, None)
        """
        return cls(**{field.name: None for field in fields(cls)})

    def without_border(self) -> QualityGate:
        """Returns the gate for images cropped to the face, without a limit for the border.

        Example:
            >>> from facekit import QualityGate
            >>> QualityGate().without_border().max_outside is None
            True
        """
        return replace(self, max_outside=None)

    def assess(self, image: ImageSource, face: Face, *, scale: float = 1.0) -> FaceQuality:
        """Measures a face and lists its problems.

        Args:
            image: The image in which the face was found, as :func:`facekit.load_image` reads it.
            face: The face; positions in pixels of that image.
            scale: If the image was reduced, how many pixels of the original one pixel stands for;
                sizes are measured in the original.

        Returns:
            The numbers, and the problems in words.

        Raises:
            ImageError: If the image cannot be read.
            InvalidArgumentError: If ``face`` is not a :class:`facekit.Face`, or ``scale`` is not a
                positive number.
        """
        scale = number(scale, "scale", above=0)
        quality = measure_quality(image, face)
        quality = replace(
            quality, interocular=quality.interocular * scale, side=quality.side * scale
        )
        return replace(quality, problems=self.problems(quality))

    def problems(self, quality: FaceQuality) -> tuple[str, ...]:
        """Lists the measures that exceed the limits.

        Args:
            quality: The numbers, as :func:`facekit.quality.measure_quality` returns them.

        Returns:
            One line for each violated limit. The words before the colon name the kind of problem
            and are always the same.
        """
        return tuple(
            _words(limit, value, wanted)
            for limit in _LIMITS
            if (wanted := getattr(self, limit.name)) is not None
            and _broken(limit, value := abs(getattr(quality, limit.name[4:])), wanted)
        )


def limits_broken(problems: Iterable[str]) -> list[str]:
    """Returns the arguments of :class:`facekit.QualityGate` that would let faces pass."""
    found = set(problems)
    return [
        limit.name
        for limit in _LIMITS
        if any(f"{limit.problem}: " in line and limit.unit in line for line in found)
    ]


def _broken(limit: _Limit, value: float, wanted: float) -> bool:
    return value < wanted if limit.name.startswith("min_") else value > wanted


def _words(limit: _Limit, value: float, wanted: float) -> str:
    bound = "at least" if limit.name.startswith("min_") else "at most"
    shown_limit = f"{wanted * limit.factor:.4g}"
    # As few digits as distinguish the number from the limit.
    for digits in range(2, 17):
        shown = f"{float(f'{value * limit.factor:.{digits}g}'):.15g}"
        if float(shown) != float(shown_limit):
            break
    unit = limit.unit if limit.unit == " degrees" else limit.unit[:2] * limit.unit.startswith(" %")
    return f"{limit.problem}: {shown}{limit.unit}, {bound} {shown_limit}{unit} wanted"
