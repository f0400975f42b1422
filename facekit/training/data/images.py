"""The images of a folder or of a CSV manifest: finding the face of each."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from facekit.errors import EnrollmentError, ImageError, TrainingDataError
from facekit.io.files import without_nul
from facekit.io.images import Reading
from facekit.io.people import PersonImage, people_images
from facekit.pipeline import EmbeddedImage, FacePipeline, content_sha256
from facekit.report import ImageOutcome, OutcomeStatus
from facekit.training.data.collection import AlignedFace, SourceImage
from facekit.utils.progress import track


def folder_candidates(folder: Path) -> list[PersonImage]:
    """Lists the images of a folder with one folder per person, and what lies beside them."""
    try:
        return list(people_images(folder))
    except EnrollmentError as error:
        raise TrainingDataError(str(error)) from error


def manifest_candidates(path: Path, *, path_column: str, identity_column: str) -> list[PersonImage]:
    """Lists the images of a CSV file, whose relative paths start at the file's own folder."""
    candidates = []
    for line, row in csv_rows(path, (path_column, identity_column)):
        person, image = (row[identity_column] or "").strip(), row[path_column]
        if image:
            source = path.parent / image
            candidates.append(PersonImage(person, str(source), source))
        else:
            name = f"{path}, line {line}"
            candidates.append(PersonImage(person, name, None, "the line names no photo"))
    if not candidates:
        raise TrainingDataError(f"{path}: lists no photos")
    return candidates


def csv_rows(
    path: Path, columns: Sequence[str], *, hint: str = ""
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields the lines of a CSV file that has these columns, with their numbers."""
    try:
        with without_nul(path).open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise TrainingDataError(
                    f"{path}: has no column {', '.join(missing)}; its first line names "
                    f"{', '.join(reader.fieldnames or ()) or 'nothing'}"
                )
            for row in reader:
                yield reader.line_num, row
    except FileNotFoundError as error:
        raise TrainingDataError(f"{path}: no such file{hint}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error


def read_images(
    images: list[PersonImage], *, progress: bool
) -> Iterator[SourceImage | ImageOutcome]:
    """Identifies each image by its content, or says why that cannot be done."""
    for image in track(images, "Reading photos", total=len(images), shown=progress):
        if image.source is None:
            status: OutcomeStatus = "unreadable" if image.unreadable else "not an image"
            yield ImageOutcome(image.person, image.name, status, image.problem)
            continue
        try:
            digest = content_sha256(image.source)
        except ImageError as error:
            detail = str(error).removeprefix(f"{image.name}: ")
            yield ImageOutcome(image.person, image.name, "unreadable", detail)
            continue
        if digest is None:
            yield ImageOutcome(image.person, image.name, "unreadable", "no such file")
            continue
        yield SourceImage(image.person, image.name, digest)


def align_largest(
    images: list[SourceImage], pipeline: FacePipeline, reading: Reading
) -> Iterator[AlignedFace]:
    """Yields the largest face of each image, or why there is none."""
    sources = [image.source for image in images]
    for found in pipeline.run(sources, select="largest", **reading):
        yield _aligned(found)


def _aligned(image: EmbeddedImage) -> AlignedFace:
    if image.error is not None:
        return "unreadable", str(image.error).removeprefix(f"{image.source}: "), None
    if not image.faces:
        return "no face", "no face found", None
    if image.found == 1:
        return "used", "", image.faces[0].aligned
    detail = f"{image.found} faces found, the largest was taken"
    return "several faces", detail, image.faces[0].aligned
