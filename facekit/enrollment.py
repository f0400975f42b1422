"""What to enroll: reading the photos of known people, and the report of what became of each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.errors import EnrollmentError, ImageError, InvalidArgumentError
from facekit.faces import Face, largest_face
from facekit.io.folders import list_images
from facekit.io.images import IMAGE_SUFFIXES, ImageSource, describe_source, load_image

if TYPE_CHECKING:
    from facekit.alignment import Aligner
    from facekit.detection import Detector
    from facekit.quality import QualityGate

EnrollmentSource: TypeAlias = (
    str | os.PathLike[str] | Mapping[str, Any] | Iterable[tuple[str, ImageSource]]
)
"""A folder with one folder a person, ``{name: images}``, or pairs of name and image."""

OutcomeStatus: TypeAlias = Literal[
    "enrolled", "several faces", "no face", "poor quality", "unreadable", "not a photo"
]


@dataclass(frozen=True)
class PhotoOutcome:
    """What became of one photo that should be enrolled.

    Args:
        person: Whose photo it is.
        source: What the photo is called.
        status: ``"enrolled"``; ``"several faces"`` (enrolled, with the largest face);
            ``"no face"``, ``"poor quality"``, ``"unreadable"`` or ``"not a photo"`` (left out).
        detail: One sentence more.

    Example:
        >>> from facekit.enrollment import PhotoOutcome
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
        """Whether a face of the photo is enrolled."""
        return self.status in ("enrolled", "several faces")

    def line(self) -> str:
        """Returns the outcome as an indented line of a report."""
        return f"  {self.source} ({self.person or 'nobody'}): {self.detail}"


@dataclass(frozen=True)
class EnrollmentReport:
    """What became of every photo that was given.

    Args:
        outcomes: One for each photo, in order.

    Example:
        >>> from facekit import EnrollmentReport
        >>> from facekit.enrollment import PhotoOutcome
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
        """The photos that are enrolled."""
        return tuple(outcome for outcome in self.outcomes if outcome.enrolled)

    @property
    def left_out(self) -> tuple[PhotoOutcome, ...]:
        """The photos that are not enrolled."""
        return tuple(outcome for outcome in self.outcomes if not outcome.enrolled)

    @property
    def several_faces(self) -> tuple[PhotoOutcome, ...]:
        """The photos of which the largest of several faces is enrolled."""
        return tuple(o for o in self.outcomes if o.status == "several faces")

    @property
    def people(self) -> dict[str, int]:
        """The people of the photos given, sorted, with the number of photos enrolled of each."""
        counts = Counter(outcome.person for outcome in self.enrolled)
        return {name: counts[name] for name in sorted({o.person for o in self.outcomes})}

    def summary(self) -> str:
        """Returns the report as text: a line in total, then one for each photo worth a look."""
        enrolled_people = sum(1 for count in self.people.values() if count)
        several = self.several_faces
        lines = [
            f"{_count(len(self.enrolled), 'photo', 'photos')} of "
            f"{_count(enrolled_people, 'person', 'people')} enrolled"
        ]
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
class Candidate:
    """A photo to enroll: whose it is, what it is called, and where to read it.

    Args:
        person: Whose it is.
        label: What it is called in the report.
        source: Where to read it, or ``None`` if it is no photo and only to be reported.
        problem: Why it is no photo.
    """

    person: str
    label: str
    source: ImageSource | None
    problem: str = ""


def find_face(
    candidate: Candidate,
    detector: Detector,
    aligner: Aligner,
    quality: QualityGate | None = None,
) -> tuple[PhotoOutcome, npt.NDArray[np.uint8] | None, Face | None]:
    """Finds the face of a photo that should show one person.

    Args:
        candidate: The photo.
        detector: Finds the faces; of several the largest is taken.
        aligner: Cuts it out.
        quality: The gate that the face must pass, or ``None``.

    Returns:
        What became of the photo, the aligned face, uint8 ``(1, S, S, 3)``, and where it is in the
        photo; ``None`` and ``None`` if the photo has to be left out.
    """
    person, label = candidate.person, candidate.label
    if candidate.source is None:
        return PhotoOutcome(person, label, "not a photo", candidate.problem), None, None
    try:
        pixels = load_image(candidate.source)
    except ImageError as error:
        return PhotoOutcome(person, label, "unreadable", str(error)), None, None
    faces = detector.detect(pixels)
    if not faces:
        return PhotoOutcome(person, label, "no face", "no face found"), None, None
    face = largest_face(faces)
    problems = () if quality is None else quality.assess(pixels, face).problems
    if problems:
        return PhotoOutcome(person, label, "poor quality", "; ".join(problems)), None, None
    aligned = aligner.align(pixels, [face])
    if len(faces) == 1:
        return PhotoOutcome(person, label, "enrolled"), aligned, face
    detail = f"{len(faces)} faces found, the largest was taken"
    return PhotoOutcome(person, label, "several faces", detail), aligned, face


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def read_candidates(photos: EnrollmentSource) -> list[Candidate]:
    """Lists the photos to enroll.

    Args:
        photos: As :meth:`facekit.FaceRecognizer.fit` takes them.

    Returns:
        The photos, each with its person; in a folder also the files that are none.

    Raises:
        EnrollmentError: If the folder is missing or holds no photos.
        InvalidArgumentError: If ``photos`` has another form.
    """
    if isinstance(photos, str | os.PathLike):
        candidates = list(_in_folder(Path(photos)))
    elif isinstance(photos, Mapping):
        candidates = [item for name, images in photos.items() for item in _of_person(name, images)]
    elif isinstance(photos, Iterable):
        candidates = [item for pair in photos for item in _of_pair(pair)]
    else:
        raise InvalidArgumentError(
            "photos must be a folder, {name: images} or pairs of (name, image), "
            f"got {type(photos).__name__}"
        )
    if not candidates:
        raise EnrollmentError("no photos to enroll were given")
    return candidates


def _in_folder(folder: Path) -> Iterator[Candidate]:
    if not folder.is_dir():
        raise EnrollmentError(
            f"{folder}: {'is a file' if folder.exists() else 'no such folder'}; give a folder with "
            "one folder a person, named after the person, that holds the photos"
        )
    people = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    for person in people:
        yield from _in_person_folder(person.name, person)
    if not people:
        raise EnrollmentError(
            f"{folder}: holds no folders; put the photos of each person into a folder named after "
            "the person"
        )
    for path in list_images(folder).images:
        problem = "lies beside the folders of the people, not inside one"
        yield Candidate("", str(path), None, problem)


def _in_person_folder(name: str, folder: Path) -> Iterator[Candidate]:
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if not paths:
        yield Candidate(name, str(folder), None, "the folder is empty")
    for path in paths:
        if path.is_dir():
            yield Candidate(name, str(path), None, "is a folder; photos in it are not read")
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            yield Candidate(name, str(path), None, "is not a picture, by the ending of its name")
        else:
            yield Candidate(name, str(path), path)


def _of_person(name: str, images: Any) -> Iterator[Candidate]:
    if isinstance(images, str | os.PathLike) and Path(images).is_dir():
        yield from _in_person_folder(name, Path(images))
    elif isinstance(images, list | tuple | set | frozenset | Iterator) and not hasattr(
        images, "read"
    ):  # an open file iterates over its lines, but is one photo
        number = 0
        for number, image in enumerate(images, start=1):
            yield Candidate(name, describe_source(image, f"photo {number} of {name}"), image)
        if number == 0:
            yield Candidate(name, f"photos of {name}", None, "the list is empty")
    else:
        yield Candidate(name, describe_source(images, f"photo 1 of {name}"), images)


def _of_pair(pair: Any) -> Iterator[Candidate]:
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
        raise InvalidArgumentError(
            f"photos must be pairs of (name, image), got {type(pair).__name__} {pair!r:.80}"
        )
    yield from _of_person(pair[0], pair[1])
