"""The outcome for each image: reports on images of people, and results of recognition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from facekit.errors import ImageError
from facekit.faces import RecognizedFace
from facekit.io.tables import Tabular
from facekit.utils.terminal import printable

OutcomeStatus: TypeAlias = Literal[
    "enrolled",
    "used",
    "several faces",
    "already enrolled",
    "no face",
    "poor quality",
    "unreadable",
    "not an image",
    "duplicate",
    "uncertain",
    "unknown person",
]
"""The outcome for one image; :class:`facekit.report.ImageOutcome` says what each means."""


@dataclass(frozen=True)
class ImageOutcome:
    """The outcome for one image that was to be enrolled or trained with.

    Args:
        person: Whose image it is; empty if unknown.
        source: The image's name.
        status: ``"enrolled"``, in a data set ``"used"``; ``"several faces"`` (likewise, with the
            largest face); ``"already enrolled"`` (the same file was enrolled for this person
            before); ``"no face"``, ``"poor quality"``, ``"unreadable"``, ``"not an image"``,
            ``"duplicate"`` (the same file was used before), ``"uncertain"`` (the detector's
            confidence is too low) or ``"unknown person"`` (left out).
        detail: A further sentence.

    Example:
        >>> from facekit.report import ImageOutcome
        >>> outcome = ImageOutcome("Ada", "ada.jpg", "no face", "no face found")
        >>> outcome.used, outcome.line()
        (False, '  ada.jpg (Ada): no face found')
    """

    person: str
    source: str
    status: OutcomeStatus
    detail: str = ""

    @property
    def used(self) -> bool:
        """Whether a face of the image was enrolled or added to the data set."""
        return self.status in ("enrolled", "used", "several faces")

    @property
    def left_out(self) -> bool:
        """Whether no face of the image could be used."""
        return not self.used and self.status != "already enrolled"

    def line(self) -> str:
        """Returns the outcome as an indented line of a report."""
        detail = self.detail or self.status
        person = f" ({self.person})" if self.person else ""
        return printable(f"  {self.source}{person}: {detail}")


@dataclass(frozen=True)
class ImageReport(Tabular):
    """The outcome for every image of an enrollment or a data set.

    Args:
        outcomes: One for each image, in order.
        done: One word for what was done with the usable images.

    Example:
        >>> from facekit.report import ImageReport
        >>> from facekit.report import ImageOutcome
        >>> report = ImageReport((
        ...     ImageOutcome("Ada", "ada.jpg", "enrolled"),
        ...     ImageOutcome("Ada", "sea.jpg", "no face", "no face found")))
        >>> print(report.summary())
        1 photo of 1 person enrolled
        1 photo left out:
          sea.jpg (Ada): no face found
    """

    outcomes: tuple[ImageOutcome, ...]
    done: str = "enrolled"

    @property
    def used(self) -> tuple[ImageOutcome, ...]:
        """The images that were enrolled, or are in the data set."""
        return tuple(outcome for outcome in self.outcomes if outcome.used)

    @property
    def left_out(self) -> tuple[ImageOutcome, ...]:
        """The images that could not be used."""
        return tuple(outcome for outcome in self.outcomes if outcome.left_out)

    @property
    def already_enrolled(self) -> tuple[ImageOutcome, ...]:
        """The images that were enrolled before."""
        return tuple(o for o in self.outcomes if o.status == "already enrolled")

    @property
    def several_faces(self) -> tuple[ImageOutcome, ...]:
        """The images with several faces, whose largest was used."""
        return tuple(o for o in self.outcomes if o.status == "several faces")

    @property
    def counts(self) -> dict[OutcomeStatus, int]:
        """How many images have each status; statuses without images are left out."""
        return dict(Counter(outcome.status for outcome in self.outcomes))

    @property
    def people(self) -> dict[str, int]:
        """The people of the images given, sorted, with the number of images used for each."""
        counts = Counter(outcome.person for outcome in self.outcomes if not outcome.left_out)
        return {name: counts[name] for name in sorted({o.person for o in self.outcomes})}

    def to_rows(self) -> list[dict[str, Any]]:
        """Returns a row for each image, as ``to_frame`` has them."""
        return [asdict(outcome) for outcome in self.outcomes]

    def summary(self, most: int = 10) -> str:
        """Returns the report as text: a line of totals, then the images worth checking.

        Args:
            most: The maximum number of images per status, and of people without an image, to name.
        """
        used, before, several = self.used, self.already_enrolled, self.several_faces
        people = len({outcome.person for outcome in used if outcome.person})
        lines = [f"{_images(used)} of {_count(people, 'person', 'people')} {self.done}"]
        if before:
            lines.append(f"{_images(before)} already enrolled")
        if self.left_out:
            lines += [f"{_images(self.left_out)} left out:", *_named(self.left_out, most)]
        if several:
            lines += [f"{_images(several)} with several faces:", *_named(several, most)]
        missing = [name for name, count in self.people.items() if name and not count]
        if missing:
            more = f" and {len(missing) - most:,} more" * (len(missing) > most)
            names = ", ".join(missing[:most])
            lines.append(f"not {self.done} for lack of a usable photo: {names}{more}")
        return "\n".join(lines)


def _named(outcomes: Sequence[ImageOutcome], most: int) -> Iterator[str]:
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts[outcome.status] += 1
        if counts[outcome.status] <= most:
            yield outcome.line()
    for status, number in counts.items():
        if number > most:
            yield f"  and {number - most:,} more: {status}"


@dataclass(frozen=True)
class RecognizedImage(Tabular):
    """One of many images, with the people in it or the error that kept it from being used.

    Args:
        source: The image's name.
        index: Its position, from 0; in a video the number of the frame.
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


def some_of(lines: Sequence[str]) -> str:
    """Returns the first lines of a list, for the end of a sentence; nothing of an empty one."""
    more = f"; and {len(lines) - 10} more" * (len(lines) > 10)
    return (": " if lines else "") + "; ".join(lines[:10]) + more


def _images(outcomes: Sequence[ImageOutcome]) -> str:
    return _count(len(outcomes), "photo", "photos")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
