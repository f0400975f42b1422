"""Bringing the faces of a data set into the cache: each once, and where it was interrupted, on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.progress import track
from facekit.training.face_cache import CachedPhoto, FaceCache
from facekit.training.report import FaceStatus

AlignedFace: TypeAlias = tuple[FaceStatus, str, npt.NDArray[np.uint8] | None]
"""What became of a photo, one sentence more, and its face, uint8 ``(S, S, 3)``, if it shows one."""


@dataclass(frozen=True)
class Photo:
    """A photo whose face belongs into a data set.

    Args:
        person: Whose it is, empty where that is not known.
        source: What it is called.
        digest: What identifies its content, for the cache.
        align: Finds its face and cuts it out.
    """

    person: str
    source: str
    digest: str
    align: Callable[[], AlignedFace]


def default_cache_folder() -> Path:
    """Returns the folder for aligned faces: ``faces`` in ``FACEKIT_HOME`` or the user's cache."""
    from facekit.embedding.weights import home

    return home() / "faces"


def collect(
    photos: Sequence[Photo], cache: FaceCache, *, threads: int, at_a_time: int, progress: bool
) -> list[CachedPhoto]:
    """Finds and aligns the faces that the cache does not hold yet.

    Args:
        photos: The photos.
        cache: Where their faces are kept.
        threads: How many threads align.
        at_a_time: After how many photos the cache is written: so many are lost by a kill.
        progress: Whether to show a progress bar.

    Returns:
        For each photo, in order, what became of it and the number of its face in the cache.

    Raises:
        FileFormatError: If the cache cannot be written.
    """
    known = cache.find(photo.digest for photo in photos)
    # Of photos with equal content, one is enough.
    missing = {photo.digest: photo for photo in photos if photo.digest not in known}
    chunks = [
        list(missing.values())[start : start + at_a_time]
        for start in range(0, len(missing), at_a_time)
    ]
    aligned = _align(chunks, threads)
    new: dict[str, AlignedFace] = {}
    for photo, found in track(aligned, "Aligning faces", total=len(missing), shown=progress):
        new[photo.digest] = found
        if len(new) == at_a_time:
            known.update(_keep(new, cache))
            new = {}
    known.update(_keep(new, cache))
    return [known[photo.digest] for photo in photos]


def _align(chunks: Sequence[Sequence[Photo]], threads: int) -> Iterator[tuple[Photo, AlignedFace]]:
    with ThreadPoolExecutor(threads) as executor:
        for chunk in chunks:
            yield from zip(chunk, executor.map(lambda photo: photo.align(), chunk), strict=True)


def _keep(new: dict[str, AlignedFace], cache: FaceCache) -> dict[str, CachedPhoto]:
    # A photo that cannot be read now may be readable next time.
    unreadable = {
        d: CachedPhoto(*found[:2], None) for d, found in new.items() if found[0] == "unreadable"
    }
    cache.add({digest: found for digest, found in new.items() if digest not in unreadable})
    return unreadable | cache.find(new.keys() - unreadable.keys())
