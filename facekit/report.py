"""What happened to each image: the reports of enrolling, and the answers of recognizing."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from facekit.errors import ImageError
from facekit.faces import RecognizedFace
from facekit.io.tables import Tabular
from facekit.utils.terminal import printable

OutcomeStatus: TypeAlias = Literal[
    "enrolled",
    "several faces",
    "already enrolled",
    "no face",
    "poor quality",
    "unreadable",
    "not a photo",
]
"""The outcome for one image; :class:`facekit.report.PhotoOutcome` says what each means."""


@dataclass(frozen=True)
class PhotoOutcome:
    """The outcome for one image that should be enrolled.

    Args:
        person: Whose image it is.
        source: What the image is called.
        status: ``"enrolled"``; ``"several faces"`` (enrolled, with the largest face);
            ``"already enrolled"`` (the same file was enrolled for this person before);
            ``"no face"``, ``"poor quality"``, ``"unreadable"`` or ``"not a photo"`` (left out).
        detail: One sentence more.

    Example:
        >>> from facekit.report import PhotoOutcome
        >>> outcome = PhotoOutcome("Ada", "ada.jpg", "no face", "no face found")
        >>> outcome.enrolled, outcome.line()
        (False, '  ada.jpg (Ada): no face found')
    """

    person: str
    source: str
    status: OutcomeStatus
    detail: str = ""

    @property
    def enrolled(self) -> bool:
        """Whether a face of the image was enrolled."""
        return self.status in ("enrolled", "several faces")

    @property
    def left_out(self) -> bool:
        """Whether no face of the image could be enrolled."""
        return not self.enrolled and self.status != "already enrolled"

    def line(self) -> str:
        """Returns the outcome as an indented line of a report."""
        return printable(f"  {self.source} ({self.person or 'nobody'}): {self.detail}")


@dataclass(frozen=True)
class EnrollmentReport(Tabular):
    """The outcome for every image that was given.

    Args:
        outcomes: One for each image, in order.

    Example:
        >>> from facekit import EnrollmentReport
        >>> from facekit.report import PhotoOutcome
        >>> report = EnrollmentReport((
        ...     PhotoOutcome("Ada", "ada.jpg", "enrolled"),
        ...     PhotoOutcome("Ada", "sea.jpg", "no face", "no face found")))
        >>> print(report.summary())
        1 photo of 1 person enrolled
        1 photo left out:
          sea.jpg (Ada): no face found
    """

    outcomes: tuple[PhotoOutcome, ...]

    @property
    def enrolled(self) -> tuple[PhotoOutcome, ...]:
        """The images that were enrolled."""
        return tuple(outcome for outcome in self.outcomes if outcome.enrolled)

    @property
    def left_out(self) -> tuple[PhotoOutcome, ...]:
        """The images that could not be enrolled."""
        return tuple(outcome for outcome in self.outcomes if outcome.left_out)

    @property
    def already_enrolled(self) -> tuple[PhotoOutcome, ...]:
        """The images that were enrolled before."""
        return tuple(o for o in self.outcomes if o.status == "already enrolled")

    @property
    def several_faces(self) -> tuple[PhotoOutcome, ...]:
        """The images of which the largest of several faces was enrolled."""
        return tuple(o for o in self.outcomes if o.status == "several faces")

    @property
    def people(self) -> dict[str, int]:
        """The people of the images given, sorted, with the number of images enrolled of each."""
        counts = Counter(outcome.person for outcome in self.outcomes if not outcome.left_out)
        return {name: counts[name] for name in sorted({o.person for o in self.outcomes})}

    def to_rows(self) -> list[dict[str, Any]]:
        """Returns a row for each image, as :meth:`to_frame` has them."""
        return [asdict(outcome) for outcome in self.outcomes]

    def summary(self) -> str:
        """Returns the report as text: a line in total, then one for each image worth a look."""
        enrolled_people = len({outcome.person for outcome in self.enrolled})
        several, before = self.several_faces, self.already_enrolled
        lines = [
            f"{_count(len(self.enrolled), 'photo', 'photos')} of "
            f"{_count(enrolled_people, 'person', 'people')} enrolled"
        ]
        if before:
            lines.append(f"{_count(len(before), 'photo', 'photos')} already enrolled")
        if self.left_out:
            lines.append(f"{_count(len(self.left_out), 'photo', 'photos')} left out:")
            lines += [outcome.line() for outcome in self.left_out]
        if several:
            lines.append(f"{_count(len(several), 'photo', 'photos')} with several faces:")
            lines += [outcome.line() for outcome in several]
        missing = [name for name, count in self.people.items() if name and not count]
        if missing:
            lines.append(f"not enrolled for want of a usable photo: {', '.join(missing)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class RecognizedImage(Tabular):
    """One of many images with the people in it, or the reason why it could not be used.

    Args:
        source: What the image is called.
        index: Its place, from 0; in a video the number of the frame.
        faces: One result for each face, as :meth:`facekit.FaceRecognizer.recognize` gives them.
        error: Why the image could not be used, or ``None``.

    Example:
        >>> from facekit import ImageError
        >>> from facekit.report import RecognizedImage
        >>> RecognizedImage("party.jpg", 0, error=ImageError("party.jpg: is empty")).to_dict()
        {'image': 'party.jpg', 'error': 'party.jpg: is empty'}
    """

    source: str
    index: int
    faces: tuple[RecognizedFace, ...] = ()
    error: ImageError | None = None

    def to_dict(self, *, rounded: bool = True) -> dict[str, Any]:
        """Returns the result as plain Python values, ready for ``json.dumps``.

        Args:
            rounded: As in :meth:`facekit.Face.to_dict`.

        Returns:
            ``image`` and either ``faces`` or ``error``.
        """
        if self.error is not None:
            return {"image": self.source, "error": str(self.error)}
        return {
            "image": self.source,
            "faces": [face.to_dict(rounded=rounded) for face in self.faces],
        }


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
