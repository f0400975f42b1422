"""Fills the face cache of a data set. Resumable; each image is processed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from facekit.errors import TrainingDataError
from facekit.io.sources import in_order
from facekit.report import OutcomeStatus, PhotoOutcome, PhotoReport
from facekit.training.data.face_cache import CachedPhoto, FaceCache
from facekit.utils.progress import track

AlignedFace: TypeAlias = tuple[OutcomeStatus, str, npt.NDArray[np.uint8] | None]
"""The outcome for a photo, a detail, and its face, uint8 ``(S, S, 3)``, if any."""


@dataclass(frozen=True)
class Photo:
    """A photo whose face belongs in a data set."""

    person: str  # who it shows, empty if unknown
    source: str
    digest: str  # what identifies its content, for the cache
    # Cuts out its face, if it is known without detection.
    align: Callable[[], AlignedFace] | None = None


Align: TypeAlias = Callable[[list[Photo]], Iterator[AlignedFace]]
"""Finds and cuts out one face per photo, in order and in bounded memory."""


@dataclass(frozen=True)
class Gathered:
    """The faces of a data set."""

    rows: npt.NDArray[np.int64]  # the number of each face in the cache, int64 `(n,)`
    used: tuple[PhotoOutcome, ...]  # the photo of each face
    report: PhotoReport  # the outcome for every photo


def gather(
    items: Iterable[Photo | PhotoOutcome],
    cache: FaceCache,
    *,
    threads: int,
    at_a_time: int,
    progress: bool,
    align: Align | None = None,
) -> Gathered:
    """Finds and aligns the faces that are not yet in the cache."""
    items = list(items)
    photos = [item for item in items if isinstance(item, Photo)]
    known = cache.find(photo.digest for photo in photos)
    # One of several photos with equal content is enough.
    missing = {photo.digest: photo for photo in photos if photo.digest not in known}
    unaligned = list(missing.values())
    faces = align(unaligned) if align else in_order(unaligned, _aligned, threads=threads)
    aligned = zip(missing, faces, strict=True)
    new: dict[str, AlignedFace] = {}
    try:
        for digest, face in track(aligned, "Aligning faces", total=len(missing), shown=progress):
            new[digest] = face
            if len(new) == at_a_time:
                known.update(_keep(new, cache))
                new = {}
    finally:
        known.update(_keep(new, cache))
    return _gathered(items, known)


def _aligned(photo: Photo) -> AlignedFace:
    assert photo.align is not None
    return photo.align()


def _keep(new: dict[str, AlignedFace], cache: FaceCache) -> dict[str, CachedPhoto]:
    # A photo that cannot be read now may be readable next time.
    unreadable = {
        d: CachedPhoto(*found[:2], None) for d, found in new.items() if found[0] == "unreadable"
    }
    cache.add({digest: found for digest, found in new.items() if digest not in unreadable})
    return unreadable | cache.find(new.keys() - unreadable.keys())


def _gathered(items: list[Photo | PhotoOutcome], known: dict[str, CachedPhoto]) -> Gathered:
    outcomes: list[PhotoOutcome] = []
    rows: list[int] = []
    first: dict[str, PhotoOutcome] = {}
    for item in items:
        outcome = item if isinstance(item, PhotoOutcome) else _outcome(item, known, first)
        outcomes.append(outcome)
        if isinstance(item, Photo) and outcome.used:
            first[item.digest] = outcome
            rows.append(cast("int", known[item.digest].face))
    report = PhotoReport(tuple(outcomes), done="used")
    if not rows:
        raise TrainingDataError(f"no face can be used\n{report.summary()}")
    return Gathered(np.array(rows, dtype=np.int64), tuple(first.values()), report)


def _outcome(
    photo: Photo, known: dict[str, CachedPhoto], first: dict[str, PhotoOutcome]
) -> PhotoOutcome:
    """Returns the outcome for a photo, given those used before it."""
    twin = first.get(photo.digest)
    if twin is not None:
        detail = f"the same image as {twin.source} ({twin.person or 'unknown'})"
        return PhotoOutcome(photo.person, photo.source, "duplicate", detail)
    cached = known[photo.digest]
    return PhotoOutcome(photo.person, photo.source, cached.status, cached.detail)
