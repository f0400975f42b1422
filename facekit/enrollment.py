"""Enrolling images of known people into a gallery, in batches; finished batches are kept."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from facekit.errors import (
    EnrollmentError,
    EnrollmentWarning,
    FileFormatError,
    InvalidArgumentError,
)
from facekit.gallery import Gallery
from facekit.gallery.database import partial_path, remove_files
from facekit.gallery.protocol import Batch
from facekit.gallery.records import FaceSource
from facekit.io.decoding import Truncated
from facekit.io.images import ImageSource
from facekit.io.people import PersonImage
from facekit.pipeline import (
    EmbeddedFace,
    EmbeddedImage,
    FacePipeline,
    Select,
    select_largest,
    select_marked,
)
from facekit.quality.gate import limits_broken
from facekit.report import ImageOutcome, ImageReport, OutcomeStatus, some_of
from facekit.utils.progress import track
from facekit.utils.validation import identity

# Faces are written to the gallery in batches of this size, so that an interruption loses few.
_FACES_AT_A_TIME = 64


class Enrollment:
    """Takes images of known people through a pipeline into a gallery.

    A file whose content is already enrolled for the same person is skipped, so that an interrupted
    enrollment resumes.

    Args:
        gallery: Where to enroll.

    Attributes:
        gallery: As given.
        outcomes: The outcome for each image so far.
        visited: Person and hash of the images that were enrolled now or before.
    """

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self.outcomes: list[ImageOutcome] = []
        self.visited: set[tuple[str, str]] = set()
        self._known = {(p.person, p.sha256) for p in gallery.images() if p.sha256 is not None}
        self._pieces: list[tuple[str, EmbeddedFace, str | None]] = []

    @property
    def report(self) -> ImageReport:
        """The outcomes so far."""
        return ImageReport(tuple(self.outcomes))

    def run(
        self,
        images: Iterable[PersonImage],
        pipeline: FacePipeline,
        *,
        cropped: bool = False,
        max_pixels: int,
        truncated: Truncated = "error",
        progress: bool = False,
    ) -> ImageReport:
        """Enrolls one face of each image: the marked one, or else the largest.

        If it ends early, for instance by an interruption, the images before are enrolled.
        """
        listed = images if isinstance(images, list) else []
        for image in listed:
            _named(image)
        waiting: deque[PersonImage] = deque()
        people: dict[int, str] = {}
        selects: dict[int, Select] = {}
        stream = pipeline.run(
            _sources(images, waiting, people, selects),
            select=selects,
            cropped=cropped,
            skip=lambda index, digest: (people[index], digest) in self._known,
            max_pixels=max_pixels,
            truncated=truncated,
        )
        total = sum(image.source is not None for image in listed)
        try:
            for found in track(stream, "Enrolling", total=total, shown=progress):
                self._note_others(waiting)
                del selects[found.index]
                self._note(people.pop(found.index), waiting.popleft(), found)
                if len(self._pieces) >= _FACES_AT_A_TIME:
                    self._write()
            self._note_others(waiting)
        finally:
            stream.close()  # type: ignore[attr-defined]
            self._write()
        return self.report

    def content(self) -> Iterator[Batch]:
        """Yields the enrolled images and embeddings, batch by batch.

        Images that an interrupted run enrolled and that this run was not given are left out.
        """
        for images, embeddings in self.gallery.snapshot():
            kept = [
                place
                for place, image in enumerate(images)
                if image.sha256 is None or (image.person, image.sha256) in self.visited
            ]
            yield [images[place] for place in kept], embeddings[kept]

    def _note_others(self, waiting: deque[PersonImage]) -> None:
        while waiting and waiting[0].problem:
            image = waiting.popleft()
            status: OutcomeStatus = "unreadable" if image.unreadable else "not an image"
            self.outcomes.append(ImageOutcome(image.person, image.name, status, image.problem))

    def _note(self, person: str, image: PersonImage, found: EmbeddedImage) -> None:
        name = image.name
        key = None if found.sha256 is None else (person, found.sha256)
        if found.error is not None:
            problem = str(found.error).removeprefix(f"{name}: ")
            outcome = ImageOutcome(person, name, "unreadable", problem)
        elif key is not None and key in self._known:
            self.visited.add(key)
            outcome = ImageOutcome(person, name, "already enrolled", "the same file is enrolled")
        elif not found.faces:
            where = "" if image.box is None else " where it is marked"
            outcome = ImageOutcome(person, name, "no face", f"no face found{where}")
        elif problems := found.faces[0].problems:
            outcome = ImageOutcome(person, name, "poor quality", "; ".join(problems))
        else:
            outcome = ImageOutcome(person, name, "enrolled")
            if found.found > 1 and image.box is None:
                detail = f"{found.found} faces found, the largest was taken"
                outcome = ImageOutcome(person, name, "several faces", detail)
            self._pieces.append((person, replace(found.faces[0], source=name), found.sha256))
            if key is not None:
                self._known.add(key)
                self.visited.add(key)
        self.outcomes.append(outcome)

    def _write(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces:
            self.gallery.extend(
                [person for person, _, _ in pieces],
                np.stack([face.unit for _, face, _ in pieces]),
                [FaceSource(f.source, sha256=digest, box=f.face.box) for _, f, digest in pieces],
            )


def checked(report: ImageReport, *, stacklevel: int) -> ImageReport:
    """Returns the report on an enrollment in which at least one image could be used."""
    poor = [outcome.detail for outcome in report.left_out if outcome.status == "poor quality"]
    limits = limits_broken(line for detail in poor for line in detail.split("; "))
    wider = ", ".join(f"{name}=None" for name in limits)
    way_round = (
        f"\nTo enroll poor images, too, pass quality=QualityGate({wider}) or quality=None."
        if limits
        else ""
    )
    if not report.used and not report.already_enrolled:
        lines = [outcome.line().strip() for outcome in report.left_out]
        raise EnrollmentError(f"none of the photos can be enrolled{some_of(lines)}{way_round}")
    if report.left_out or report.several_faces:
        warnings.warn(report.summary() + way_round, EnrollmentWarning, stacklevel=stacklevel + 1)
    return report


@contextmanager
def partial_gallery(gallery: Gallery) -> Iterator[Gallery]:
    """Yields the gallery that collects the new set of people before it replaces the old one.

    For a gallery in a file it is a file beside it: after an interruption, the next run resumes from
    it. It is deleted at the end.
    """
    fresh = _partial(gallery)
    try:
        yield fresh
    except EnrollmentError:
        _close_and_discard(fresh)
        raise
    _close_and_discard(fresh)


def _close_and_discard(fresh: Gallery) -> None:
    fresh.close()
    if fresh.path is not None:
        remove_files(fresh.path)


def _partial(gallery: Gallery) -> Gallery:
    if gallery.path is None:
        return Gallery(gallery.weights, gallery.embedding_size)
    path = partial_path(gallery.path)
    if path.exists():
        try:
            return Gallery.open(path, weights=gallery.weights)
        except (FileFormatError, InvalidArgumentError):  # of other weights, or never finished
            remove_files(path)
    return Gallery.create(path, gallery.weights, gallery.embedding_size)


def _named(image: PersonImage) -> PersonImage:
    """Returns the image with its name in the form that a gallery stores."""
    return image if image.source is None else replace(image, person=identity(image.person))


def _sources(
    images: Iterable[PersonImage],
    waiting: deque[PersonImage],
    people: dict[int, str],
    selects: dict[int, Select],
) -> Iterator[ImageSource]:
    """Yields the images to read, and notes the person and face of each; pixels are not kept."""
    index = 0
    for given in images:
        image = _named(given)
        waiting.append(replace(image, source=None))
        if image.source is not None:
            people[index] = image.person
            selects[index] = select_largest if image.box is None else select_marked(image.box)
            index += 1
            yield image.source
