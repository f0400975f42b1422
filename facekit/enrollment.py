"""Enrolling images of known people into a gallery, in batches; finished batches are kept."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from facekit.errors import (
    EnrollmentError,
    EnrollmentWarning,
    FileFormatError,
    InvalidArgumentError,
)
from facekit.faces import SAME_FACE, box_overlap
from facekit.gallery import Gallery
from facekit.gallery.database import check_writable, partial_path, remove_files
from facekit.gallery.protocol import Batch
from facekit.gallery.records import FaceSource
from facekit.io.files import exists
from facekit.io.images import ImageSource, Reading
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
from facekit.utils.validation import identity, json_values

Box: TypeAlias = tuple[float, float, float, float]

# Faces are written to the gallery in batches of this size, so that an interruption loses few.
_FACES_AT_A_TIME = 64


class Enrollment:
    """Takes images of known people through a pipeline into a gallery."""

    def __init__(self, gallery: Gallery) -> None:
        if gallery.path is not None:
            check_writable(gallery.path)
        self.gallery = gallery
        self.outcomes: list[ImageOutcome] = []
        self._visited = _Faces()  # those enrolled now or before, of the images given
        self._known = _Faces()  # they are skipped, so that an interrupted enrollment resumes
        for image in gallery.images():
            self._known.add(image.person, image.sha256, image.box)
        self._pieces: list[tuple[str, EmbeddedFace, str | None]] = []

    @property
    def report(self) -> ImageReport:
        """The outcomes so far."""
        return ImageReport(tuple(self.outcomes))

    def run(
        self,
        images: Iterable[PersonImage],
        pipeline: FacePipeline,
        reading: Reading,
        *,
        cropped: bool,
        progress: bool,
    ) -> None:
        """Enrolls one face of each image: the marked one, or else the largest."""
        listed = images if isinstance(images, list) else []
        for image in listed:
            _named(image)
        waiting: deque[PersonImage] = deque()
        people: dict[int, PersonImage] = {}
        selects: dict[int, Select] = {}
        stream = pipeline.run(
            _sources(images, waiting, people, selects),
            select=selects,
            cropped=cropped,
            skip=lambda index, digest: self._known.has(
                people[index].person, digest, people[index].box
            ),
            **reading,
        )
        total = sum(image.source is not None for image in listed)
        try:
            for found in track(stream, "Enrolling", total=total, shown=progress):
                self._note_others(waiting)
                del selects[found.index]
                self._note(people.pop(found.index).person, waiting.popleft(), found)
                if len(self._pieces) >= _FACES_AT_A_TIME:
                    self._write()
            self._note_others(waiting)
        finally:  # the images before an interruption are enrolled
            stream.close()  # type: ignore[attr-defined]
            self._write()

    def content(self) -> Iterator[Batch]:
        """Yields the enrolled images and embeddings, batch by batch."""
        # Without those that an interrupted run enrolled and that this run was not given.
        for images, embeddings in self.gallery.snapshot():
            kept = [
                place
                for place, image in enumerate(images)
                if image.sha256 is None or self._visited.has(image.person, image.sha256, image.box)
            ]
            yield [images[place] for place in kept], embeddings[kept]

    def _note_others(self, waiting: deque[PersonImage]) -> None:
        while waiting and waiting[0].problem:
            image = waiting.popleft()
            status: OutcomeStatus = "unreadable" if image.unreadable else "not an image"
            self.outcomes.append(ImageOutcome(image.person, image.name, status, image.problem))

    def _note(self, person: str, image: PersonImage, found: EmbeddedImage) -> None:
        name = image.name
        if found.error is not None:
            problem = str(found.error).removeprefix(f"{name}: ")
            outcome = ImageOutcome(person, name, "unreadable", problem)
        elif self._known.has(person, found.sha256, image.box):
            self._visited.add(person, found.sha256, image.box)
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
            for faces in (self._known, self._visited):
                faces.add(person, found.sha256, found.faces[0].face.box)
        self.outcomes.append(outcome)

    def _write(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces:
            self.gallery.extend(
                [person for person, _, _ in pieces],
                np.stack([face.unit for _, face, _ in pieces]),
                [FaceSource(f.source, sha256=digest, box=f.face.box) for _, f, digest in pieces],
            )


class _Faces:
    """Faces of files; one without a box stands for all of its file, and is found by any box."""

    def __init__(self) -> None:
        self._boxes: dict[tuple[str, str], list[Box | None]] = {}

    def add(self, person: str, sha256: str | None, box: Box | None) -> None:
        """Adds the face of a person in a file."""
        if sha256 is not None:
            self._boxes.setdefault((person, sha256), []).append(box)

    def has(self, person: str, sha256: str | None, box: Box | None) -> bool:
        """Returns whether a face of a person in a file is known; without a box, whether any is."""
        there = self._boxes.get((person, sha256 or ""), ())
        return any(
            box is None or other is None or box_overlap(box, other) >= SAME_FACE for other in there
        )


def check_used(report: ImageReport) -> None:
    """Checks that at least one image of an enrollment could be used, and warns of the others."""
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
        # Of the line that calls a method of the recognizer, which enrolls and then checks.
        warnings.warn(report.summary() + way_round, EnrollmentWarning, stacklevel=4)


@contextmanager
def partial_gallery(gallery: Gallery, how: Mapping[str, Any]) -> Iterator[Gallery]:
    """Yields the gallery that collects the new set of people before it replaces the old one."""
    fresh, interrupted = _partial(gallery, json_values(how)), False
    try:
        yield fresh
    except BaseException as error:
        # The next run resumes from it.
        interrupted = not isinstance(error, EnrollmentError) and len(fresh) > 0
        raise
    finally:
        if not interrupted:
            fresh.close()
            if fresh.path is not None:
                remove_files(fresh.path)


def _partial(gallery: Gallery, how: dict[str, Any]) -> Gallery:
    if gallery.path is None:
        return Gallery(gallery.weights, gallery.embedding_size)
    check_writable(gallery.path)
    path = partial_path(gallery.path)
    if exists(path):
        try:
            partial = Gallery.open(path, weights=gallery.weights)
            if partial.settings == how:
                return partial
            partial.close()
        except (FileFormatError, InvalidArgumentError):  # of other weights, or never finished
            pass
        remove_files(path)
    partial = Gallery.create(path, gallery.weights, gallery.embedding_size)
    partial.set_settings(how)
    return partial


def _named(image: PersonImage) -> PersonImage:
    """Returns the image with its name in the form that a gallery stores."""
    return image if image.source is None else replace(image, person=identity(image.person))


def _sources(
    images: Iterable[PersonImage],
    waiting: deque[PersonImage],
    people: dict[int, PersonImage],
    selects: dict[int, Select],
) -> Iterator[ImageSource]:
    """Yields the images to read, and notes the person and face of each; pixels are not kept."""
    index = 0
    for given in images:
        image = _named(given)
        waiting.append(replace(image, source=None))
        if image.source is not None:
            people[index] = waiting[-1]
            selects[index] = select_largest if image.box is None else select_marked(image.box)
            index += 1
            yield image.source
