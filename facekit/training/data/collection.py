"""Fills the face cache of a data set. Resumable; each image is processed once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt

from facekit.errors import TrainingDataError
from facekit.io.sources import in_order
from facekit.report import ImageOutcome, ImageReport, OutcomeStatus
from facekit.training.data.face_cache import CachedImage, FaceCache
from facekit.utils.progress import track

_THREADS = min(os.cpu_count() or 1, 8)

AlignedFace: TypeAlias = tuple[OutcomeStatus, str, npt.NDArray[np.uint8] | None]
"""The outcome for an image, a detail, and its face, uint8 ``(S, S, 3)``, if any."""


@dataclass(frozen=True)
class SourceImage:
    """An image whose face belongs in a data set."""

    person: str  # who it shows, empty if unknown
    source: str
    digest: str  # what identifies its content, for the cache
    # Cuts out its face, if it is known without detection.
    align: Callable[[], AlignedFace] | None = None


Align: TypeAlias = Callable[[list[SourceImage]], Iterator[AlignedFace]]
"""Finds and cuts out one face per image, in order and in bounded memory."""


@dataclass(frozen=True)
class Gathered:
    """The faces of a data set."""

    rows: npt.NDArray[np.int64]  # the number of each face in the cache, int64 `(n,)`
    used: tuple[ImageOutcome, ...]  # the image of each face
    report: ImageReport  # the outcome for every image


def gather(
    items: Iterable[SourceImage | ImageOutcome],
    cache: FaceCache,
    *,
    at_a_time: int,
    progress: bool,
    align: Align | None = None,
) -> Gathered:
    """Finds and aligns the faces that are not yet in the cache."""
    items = list(items)
    images = [item for item in items if isinstance(item, SourceImage)]
    known = cache.find(image.digest for image in images)
    # One of several images with equal content is enough.
    missing = {image.digest: image for image in images if image.digest not in known}
    unaligned = list(missing.values())
    faces = (
        align(unaligned) if align else in_order(unaligned, partial(map, _aligned), threads=_THREADS)
    )
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


def _aligned(image: SourceImage) -> AlignedFace:
    assert image.align is not None
    return image.align()


def _keep(new: dict[str, AlignedFace], cache: FaceCache) -> dict[str, CachedImage]:
    # An image that cannot be read now may be readable next time.
    unreadable = {
        d: CachedImage(*found[:2], None) for d, found in new.items() if found[0] == "unreadable"
    }
    cache.add({digest: found for digest, found in new.items() if digest not in unreadable})
    return unreadable | cache.find(new.keys() - unreadable.keys())


def _gathered(items: list[SourceImage | ImageOutcome], known: dict[str, CachedImage]) -> Gathered:
    outcomes: list[ImageOutcome] = []
    rows: list[int] = []
    first: dict[str, ImageOutcome] = {}
    for item in items:
        outcome = item if isinstance(item, ImageOutcome) else _outcome(item, known, first)
        outcomes.append(outcome)
        if isinstance(item, SourceImage) and outcome.used:
            first[item.digest] = outcome
            rows.append(cast("int", known[item.digest].face))
    report = ImageReport(tuple(outcomes), done="used")
    if not rows:
        raise TrainingDataError(f"no face can be used\n{report.summary()}")
    return Gathered(np.array(rows, dtype=np.int64), tuple(first.values()), report)


def _outcome(
    image: SourceImage, known: dict[str, CachedImage], first: dict[str, ImageOutcome]
) -> ImageOutcome:
    """Returns the outcome for an image, given those used before it."""
    twin = first.get(image.digest)
    if twin is not None:
        detail = f"the same image as {twin.source} ({twin.person or 'unknown'})"
        return ImageOutcome(image.person, image.source, "duplicate", detail)
    cached = known[image.digest]
    return ImageOutcome(image.person, image.source, cached.status, cached.detail)
