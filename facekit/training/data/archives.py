"""Faces detected beforehand: images in zip archives, boxes and keypoints in an index."""

from __future__ import annotations

import hashlib
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from facekit.alignment import Aligner
from facekit.errors import ImageError, InvalidArgumentError, TrainingDataError
from facekit.faces import Face, Keypoints
from facekit.io.images import Reading, load_image
from facekit.io.safetensors_file import sha256
from facekit.report import ImageOutcome
from facekit.training.data.collection import AlignedFace, SourceImage
from facekit.training.data.images import csv_rows

_BOX = ("box_x1", "box_y1", "box_x2", "box_y2")
_POINTS = tuple((f"{name}_x", f"{name}_y") for name in Keypoints._fields)
_COLUMNS = ("archive", "name", "label", *_BOX, *(c for point in _POINTS for c in point), "score")

# The errors of reading or decoding a damaged, encrypted or missing member.
_UNREADABLE = (ImageError, KeyError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)


class Archive:
    """A zip file that any number of threads may read."""

    def __init__(self, path: Path) -> None:
        try:
            self.digest = sha256(path)
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise TrainingDataError(
                f"{path}: cannot be read as a zip archive ({error}); fetch it again"
            ) from error
        self._lock = threading.Lock()

    def read(self, name: str) -> bytes:
        """Returns the content of a member."""
        # zipfile counts its open members without locking.
        with self._lock:
            return self._zip.read(name)

    def close(self) -> None:
        """Closes the file."""
        self._zip.close()


def read_index(
    index: Path,
    open_files: ExitStack,
    aligner: Aligner,
    *,
    labeled_only: bool,
    min_score: float,
    reading: Reading,
) -> Iterator[SourceImage | ImageOutcome]:
    """Yields in order an image of an index, or why it is not used."""
    archives: dict[str, Archive] = {}
    hint = "; give the index, or its folder if it is called index.csv"
    for line, row in csv_rows(index, _COLUMNS, hint=hint):
        person, source = row["label"], f"{row['archive']}/{row['name']}"
        try:
            face = _face(row)
        except (InvalidArgumentError, TypeError, ValueError) as error:
            raise TrainingDataError(f"{index}, line {line}: is malformed ({error})") from error
        if labeled_only and not person:
            yield ImageOutcome(person, source, "unknown person")
        elif face.confidence < min_score:
            yield ImageOutcome(person, source, "uncertain", f"confidence {face.confidence:.4f}")
        else:
            archive = archives.get(row["archive"])
            if archive is None:
                archive = Archive(index.parent / row["archive"])
                archives[row["archive"]] = open_files.enter_context(closing(archive))
            align = partial(_aligned, archive, row["name"], face, aligner, reading)
            content = f"{archive.digest}/{row['name']}/{face}"
            yield SourceImage(person, source, hashlib.sha256(content.encode()).hexdigest(), align)


def _aligned(
    archive: Archive, name: str, face: Face, aligner: Aligner, reading: Reading
) -> AlignedFace:
    try:
        pixels = load_image(archive.read(name), **reading)
    except _UNREADABLE as error:
        return "unreadable", str(error).removeprefix("the bytes given: "), None
    return "used", "", aligner.align(pixels, [face])[0]


def _face(row: Mapping[str, str]) -> Face:
    left, top, right, bottom = (float(row[name]) for name in _BOX)
    points = Keypoints(*((float(row[x]), float(row[y])) for x, y in _POINTS))
    return Face((left, top, right - left, bottom - top), float(row["score"]), points)
