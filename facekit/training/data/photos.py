"""The photos of a folder or of a CSV manifest: finding the face of each."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

from facekit.alignment import Aligner
from facekit.detection import Detector
from facekit.enrollment import Candidate, find_face, read_candidates
from facekit.errors import EnrollmentError, TrainingDataError
from facekit.training.data.collection import AlignedFace, Photo
from facekit.training.engine.report import FaceOutcome
from facekit.utils.progress import track


def folder_candidates(folder: Path) -> list[Candidate]:
    """Lists the photos of a folder with one folder a person, and what lies beside them.

    Raises:
        TrainingDataError: If the folder is missing or holds no folders.
    """
    try:
        return read_candidates(folder)
    except EnrollmentError as error:
        raise TrainingDataError(str(error)) from error


def manifest_candidates(path: Path, *, path_column: str, identity_column: str) -> list[Candidate]:
    """Lists the photos of a CSV file, whose relative paths start at the file's own folder.

    Raises:
        TrainingDataError: If the file cannot be read, lacks a column, or lists nothing.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = {path_column, identity_column} - set(reader.fieldnames or ())
            if missing:
                raise TrainingDataError(
                    f"{path}: has no column {', '.join(map(repr, sorted(missing)))}; its first "
                    f"line names {reader.fieldnames or 'nothing'}"
                )
            candidates = [
                _manifest_candidate(path, reader.line_num, row[path_column], row[identity_column])
                for row in reader
            ]
    except FileNotFoundError as error:
        raise TrainingDataError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error
    if not candidates:
        raise TrainingDataError(f"{path}: lists no photos")
    return candidates


def _manifest_candidate(
    manifest: Path, line: int, photo: str | None, person: str | None
) -> Candidate:
    person = (person or "").strip()
    if not photo:
        return Candidate(person, f"{manifest}, line {line}", None, "the line names no photo")
    path = manifest.parent / photo
    return Candidate(person, str(path), path)


def read_photos(
    candidates: list[Candidate], detector: Detector, aligner: Aligner, *, progress: bool
) -> Iterator[Photo | FaceOutcome]:
    """Reads the content of each photo, or says why that cannot be done.

    Args:
        candidates: The photos; each source a path or ``None``.
        detector: Finds the faces.
        aligner: Cuts them out.
        progress: Whether to show a progress bar.

    Yields:
        In order, a photo, or what became of one that cannot be used.
    """
    for candidate in track(candidates, "Reading photos", total=len(candidates), shown=progress):
        person, source = candidate.person, candidate.label
        if candidate.source is None:
            yield FaceOutcome(person, source, "not a photo", candidate.problem)
            continue
        try:
            content = Path(source).read_bytes()
        except (OSError, ValueError) as error:  # a name may hold what no path can
            yield FaceOutcome(person, source, "unreadable", str(error))
            continue
        digest = hashlib.sha256(content).hexdigest()

        def align(candidate: Candidate = candidate) -> AlignedFace:
            outcome, faces, _ = find_face(candidate, detector, aligner)
            status = "used" if outcome.status == "enrolled" else outcome.status
            detail = outcome.detail.removeprefix(f"{candidate.label}: ")
            return status, detail, None if faces is None else faces[0]

        yield Photo(person, source, digest, align)
