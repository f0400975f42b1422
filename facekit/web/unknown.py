"""The groups of unnamed faces, updated by corrections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.clustering.constraints import constrained
from facekit.clustering.groups import Clustering, group_of
from facekit.gallery.decisions import Decisions, FaceFinder
from facekit.gallery.records import FaceSource
from facekit.utils.grouping import rows_by_label

# The sort key of a group, the largest first, and the indices of its faces.
_Ranked: TypeAlias = tuple[int, int, list[int]]


class UnknownGroups:
    """Groups of faces, without named ones; only groups affected by a change are recomputed."""

    def __init__(
        self, sources: Sequence[FaceSource], vectors: npt.NDArray[np.float32], found: Clustering
    ) -> None:
        self._sources, self._vectors = sources, vectors
        self._labels = found.labels
        self._groups = [_ranked(group.members) for group in found.groups]
        self._places: dict[str, list[int]] = {}
        for place, source in enumerate(sources):
            if source.sha256 is not None:
                self._places.setdefault(source.sha256, []).append(place)
        self.images = frozenset(self._places)

    def after(self, named: Iterable[FaceSource], decisions: Decisions) -> list[list[int]]:
        """Returns the places of the faces of each group, the largest first, typical faces first."""
        known = FaceFinder(named)
        gone = {
            place
            for place in self._places_of(known.images())
            if known.find(self._sources[place]) is not None
        }
        decided = self._places_of(decisions.images())
        sources = [self._sources[place] for place in decided]
        for place, said in zip(decided, map(decisions.of, sources), strict=True):
            if said.person is not None or said.excluded is not None:
                gone.add(place)
        same, different = (
            [(decided[one], decided[other]) for one, other in pairs]
            for pairs in decisions.pairs(sources)
        )
        faces = [*gone, *(place for pair in (*same, *different) for place in pair)]
        touched = set(self._labels[faces].tolist())
        groups = [group for label, group in enumerate(self._groups) if label not in touched]
        groups += sorted(self._made_again(touched, gone, same, different))
        groups.sort()
        return [members for _, _, members in groups]

    def _places_of(self, images: Iterable[str]) -> list[int]:
        return sorted(place for image in images for place in self._places.get(image, ()))

    def _made_again(
        self,
        touched: set[int],
        gone: set[int],
        same: list[tuple[int, int]],
        different: list[tuple[int, int]],
    ) -> Iterator[_Ranked]:
        faces = np.flatnonzero(np.isin(self._labels, list(touched)))
        pairs = (
            np.searchsorted(faces, np.array(some, dtype=np.int64).reshape(-1, 2))
            for some in (same, different)
        )
        vectors = self._vectors[faces]
        _, labels = np.unique(self._labels[faces], return_inverse=True)
        labels = constrained(vectors, labels.reshape(-1), *pairs)
        there = np.flatnonzero(~np.isin(faces, list(gone)))
        for rows in rows_by_label(labels[there]):
            yield _ranked(faces[list(group_of(vectors, there[rows]).members)].tolist())


def _ranked(members: Sequence[int]) -> _Ranked:
    return -len(members), min(members), list(members)
