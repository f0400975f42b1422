"""Searching enrolled embeddings: exactly, or with FAISS where there are very many."""

from __future__ import annotations

import importlib.util
import threading
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError

EXACT_LIMIT = 50_000
"""Up to this many enrolled photos a search compares with every one."""

# How many similarities are held in memory at a time.
_MOST_SIMILARITIES = 1 << 23
LEAST_NORM = 0.98
"""A gallery's row whose norm is less is erased, or is being erased by another thread just now."""

SIGN_SIZE = 384
"""From this number of components on, FAISS compares the signs of the components."""

# How many photos the coarse search of FAISS passes on to the exact comparison, beyond those asked
# for. Two embeddings of 512 components at distance 1.1 share so many signs that each is nearly
# always among the first thousand of a million for the other; 8 bits a component say far more.
_SIGN_CANDIDATES, _BYTE_CANDIDATES = 1024, 128

# From this number of probes on, FAISS shares them between threads.
_PROBES_A_THREAD = 16

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]


_NONE: IntArray = np.empty(0, dtype=np.int64)


class Neighbors(NamedTuple):
    """The nearest enrolled photos of n probes, the nearest first.

    Attributes:
        rows: The photos' rows among the enrolled ones, int64 ``(n, c)``; −1 where there is none.
        distances: Euclidean distances, float64 ``(n, c)``; infinite where there is none.
    """

    rows: IntArray
    distances: FloatArray


class Index(Protocol):
    """Finds the nearest of the enrolled embeddings."""

    def search(self, probes: npt.NDArray[Any], count: int) -> Neighbors:
        """Returns the nearest enrolled photos of each probe, at most ``count``."""

    def updated(self, embeddings: npt.NDArray[Any], erased: IntArray | None) -> Index:
        """Returns an index of all rows, the new ones among them.

        Args:
            embeddings: All enrolled embeddings; those known before come first.
            erased: The rows among them that are erased; ``None`` if the same are as before.
        """


class ExactIndex:
    """Compares with every photo, by matrix products; erased rows, or of a small norm, are none."""

    def __init__(
        self, embeddings: npt.NDArray[Any], erased: IntArray = _NONE, least_norm: float = 0.0
    ) -> None:
        self._embeddings, self._erased = embeddings, erased
        self._least_norm = least_norm

    def search(self, probes: npt.NDArray[Any], count: int) -> Neighbors:
        """Returns the nearest enrolled photos of each probe, at most ``count``."""
        rows = np.full((len(probes), count), -1, dtype=np.int64)
        taken = min(count, len(self._embeddings))
        if taken:
            step = max(1, min(64, _MOST_SIMILARITIES // len(self._embeddings)))
            for start in range(0, len(probes), step):
                block = slice(start, start + step)
                similarity = probes[block].astype(self._embeddings.dtype) @ self._embeddings.T
                similarity[:, self._erased] = -2.0
                rows[block, :taken] = np.argpartition(-similarity, taken - 1, axis=1)[:, :taken]
        return _ordered(probes, self._embeddings, rows, self._least_norm)

    def updated(self, embeddings: npt.NDArray[Any], erased: IntArray | None) -> ExactIndex:
        """Returns an index of all rows, the new ones among them."""
        return ExactIndex(embeddings, self._erased if erased is None else erased, self._least_norm)


class FaissIndex:
    """Preselects by short codes with FAISS, and compares those selected exactly.

    Of :data:`SIGN_SIZE` components or more, the code is their signs: 1/32 of the memory, and
    counting differing bits is fast. The angle between two vectors is proportional to the expected
    number of differing signs, so the nearest embeddings are among those with the fewest. With fewer
    components the signs say too little, and the code has 8 bits for each component, a quarter of
    the memory. Either way a row is added in microseconds.

    Args:
        embeddings: ``(m, d)``, of unit L2 norm. Rows of zeros are passed over.

    Raises:
        InvalidArgumentError: If the package ``faiss-cpu`` is not installed.

    References:
        M. Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002,
        section 3, with the coordinate axes as hyperplanes. ``faiss.IndexBinaryFlat``,
        ``faiss.IndexScalarQuantizer``.
    """

    def __init__(self, embeddings: npt.NDArray[Any]) -> None:
        if not faiss_is_installed():
            raise InvalidArgumentError(
                'FAISS is not installed; pip install "facekit-recognition[faiss]"'
            )
        import faiss

        size = embeddings.shape[1]
        self._signs = size >= SIGN_SIZE
        if self._signs:
            self._codes: Any = faiss.IndexBinaryFlat(8 * -(-size // 8))
        else:
            kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
            self._codes = faiss.IndexScalarQuantizer(size, kind, faiss.METRIC_INNER_PRODUCT)
            # Larger components, which later rows may have, are cut off.
            self._scale = 127.0 / max(1e-3, float(np.abs(embeddings[:EXACT_LIMIT]).max()))
        # Adding moves what a search in another thread reads.
        self._lock = threading.Lock()
        self._embeddings = embeddings[:0]
        self._extend(embeddings)

    def search(self, probes: npt.NDArray[Any], count: int) -> Neighbors:
        """Returns the nearest enrolled photos of each probe, at most ``count``."""
        import faiss

        coarse = count + (_SIGN_CANDIDATES if self._signs else _BYTE_CANDIDATES)
        rows = np.full((len(probes), count), -1, dtype=np.int64)
        threads = faiss.omp_get_max_threads()
        with self._lock:
            embeddings = self._embeddings
            try:
                # Further threads cost a single probe more than they save.
                faiss.omp_set_num_threads(threads if len(probes) >= _PROBES_A_THREAD else 1)
                _, coarse_rows = self._codes.search(
                    self._coded(probes), min(coarse, max(1, len(embeddings)))
                )
            finally:
                faiss.omp_set_num_threads(threads)
        for index, (probe, candidates) in enumerate(zip(probes, coarse_rows, strict=True)):
            candidates = candidates[candidates >= 0]
            vectors = embeddings[candidates]
            similarity = vectors @ probe.astype(vectors.dtype)
            # An erased row, zeros, is like none; _ordered leaves it out.
            nearest = np.argsort(-similarity, kind="stable")[:count]
            rows[index, : len(nearest)] = candidates[nearest]
        return _ordered(probes, embeddings, rows, LEAST_NORM)

    def updated(self, embeddings: npt.NDArray[Any], erased: IntArray | None) -> FaissIndex:
        """Returns an index of all rows, the new ones among them: itself."""
        self._extend(embeddings)
        if erased is not None and len(erased):
            self._erase(erased)
        return self

    def _extend(self, embeddings: npt.NDArray[Any]) -> None:
        with self._lock:
            for start in range(len(self._embeddings), len(embeddings), EXACT_LIMIT):
                self._codes.add(self._coded(embeddings[start : start + EXACT_LIMIT]))
            self._embeddings = embeddings

    def _erase(self, rows: IntArray) -> None:
        # A code of zeros is that of no face, and never near.
        import faiss

        held = self._codes.xb if self._signs else self._codes.codes
        with self._lock:
            codes = faiss.rev_swig_ptr(held.data(), held.size()).reshape(len(self._embeddings), -1)
            codes[rows] = 0 if self._signs else 128

    def _coded(self, vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._signs:
            return np.packbits(np.asarray(vectors) > 0, axis=1)
        scaled = np.asarray(vectors, dtype=np.float32) * np.float32(self._scale)
        return np.clip(np.rint(scaled, out=scaled), -127, 127, out=scaled)


def build_index(
    embeddings: npt.NDArray[Any], erased: IntArray = _NONE, least_norm: float = 0.0
) -> Index:
    """Returns an exact index up to :data:`EXACT_LIMIT` photos or without FAISS, else one of it."""
    # FAISS compares directions; without a least norm the rows may have any length.
    if len(embeddings) > EXACT_LIMIT and least_norm and faiss_is_installed():
        return FaissIndex(embeddings)
    return ExactIndex(embeddings, erased, least_norm)


def faiss_is_installed() -> bool:
    """Returns whether the package ``faiss-cpu`` is there."""
    return importlib.util.find_spec("faiss") is not None


def is_erased(vectors: npt.NDArray[Any], least_norm: float) -> npt.NDArray[np.bool_]:
    """Returns which rows are no embeddings any more, because their photos were removed."""
    erased: npt.NDArray[np.bool_] = np.linalg.norm(vectors, axis=1) < least_norm
    return erased


def _ordered(
    probes: npt.NDArray[Any], embeddings: npt.NDArray[Any], rows: IntArray, least_norm: float
) -> Neighbors:
    # A product of vectors cancels where two embeddings nearly coincide, so that the distances of
    # those found are computed from the differences.
    distances = np.full(rows.shape, np.inf)
    for index, (probe, found) in enumerate(zip(probes, rows, strict=True)):
        there = found >= 0
        enrolled = embeddings[found[there]].astype(np.float64)
        distance = np.linalg.norm(enrolled - probe, axis=1)
        distance[is_erased(enrolled, least_norm)] = np.inf
        distances[index, there] = distance
    order = np.argsort(distances, axis=1, kind="stable")
    rows = np.take_along_axis(np.where(np.isinf(distances), -1, rows), order, axis=1)
    return Neighbors(rows, np.take_along_axis(distances, order, axis=1))
