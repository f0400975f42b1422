"""Searching enrolled embeddings: exactly, or with FAISS in large galleries."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.utils.extras import import_extra
from facekit.utils.forking import ForkLock

EXACT_LIMIT = 50_000
"""Up to this many enrolled images, a search compares with every one."""

# How many similarities are held in memory at a time.
_MOST_SIMILARITIES = 1 << 23
LEAST_NORM = 0.98
"""A row with a smaller norm is erased, or is being erased by another thread."""

# FAISS's short code of an embedding has 4 bits per part; a part has two components, or more if
# there would be over _MOST_PARTS parts. It is trained on about _TRAINED_ON embeddings.
_MOST_PARTS, _TRAINED_ON = 128, 16_384

# How many images the coarse search of FAISS passes on to the exact comparison, beyond those asked
# for.
_CANDIDATES = 256

# From this number of probes on, FAISS shares them between threads.
_PROBES_A_THREAD = 16

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

NO_ROWS: IntArray = np.empty(0, dtype=np.int64)


class Neighbors(NamedTuple):
    """The nearest enrolled images of n probes, the nearest first."""

    rows: IntArray  # their rows among the enrolled ones, `(n, c)`; −1 where there is none
    distances: FloatArray  # Euclidean, float64 `(n, c)`; infinite where there is none


class ExactIndex:
    """Compares with every image by matrix products; skips erased rows and those of a small norm."""

    def __init__(
        self, embeddings: npt.NDArray[Any], erased: IntArray = NO_ROWS, least_norm: float = 0.0
    ) -> None:
        self._embeddings, self._erased, self._least_norm = embeddings, erased, least_norm

    def search(self, probes: npt.NDArray[Any], count: int) -> Neighbors:
        """Returns the nearest enrolled images of each probe, at most ``count``."""
        rows = np.full((len(probes), count), -1, dtype=np.int64)
        taken = min(count, len(self._embeddings))
        if taken:
            step = max(1, min(64, _MOST_SIMILARITIES // len(self._embeddings)))
            for start in range(0, len(probes), step):
                block = slice(start, start + step)
                similarity = probes[block].astype(self._embeddings.dtype) @ self._embeddings.T
                similarity[:, self._erased] = -np.inf
                far = self._half_squares - similarity
                rows[block, :taken] = np.argpartition(far, taken - 1, axis=1)[:, :taken]
        return _ordered(probes, self._embeddings, rows, self._least_norm)

    @cached_property
    def _half_squares(self) -> Any:
        # Of unit vectors, the nearest has the largest product; of any others, their lengths count.
        if self._least_norm:
            return 0.0
        return np.einsum("nd,nd->n", self._embeddings, self._embeddings) / 2

    def updated(self, embeddings: npt.NDArray[Any], erased: IntArray = NO_ROWS) -> ExactIndex:
        """Returns an index of all rows, the new ones among them."""
        known = np.concatenate((self._erased, erased)) if len(erased) else self._erased
        return ExactIndex(embeddings, known, self._least_norm)


class FaissIndex:
    """Preselects by short codes with FAISS, and compares the selected images exactly.

    The code is a product quantizer's: an embedding is split into parts of a few components, and for
    each part the nearest of 16 vectors is stored in 4 bits.

    References:
        H. Jégou, M. Douze and C. Schmid, "Product Quantization for Nearest Neighbor Search",
        IEEE TPAMI 33(1), 2011. ``faiss.IndexPQFastScan``.
    """

    def __init__(self, embeddings: npt.NDArray[Any]) -> None:
        faiss = import_extra("faiss")
        self._width, parts = product_code(embeddings.shape[1])
        self._codes: Any = faiss.IndexPQFastScan(self._width, parts, 4, faiss.METRIC_INNER_PRODUCT)
        sample = embeddings[:: max(1, len(embeddings) // _TRAINED_ON)]
        with _one_thread():
            self._codes.train(filled(sample, self._width))
        # Adding moves data that a search in another thread reads.
        self._lock = ForkLock()
        self._embeddings = embeddings[:0]
        self._extend(embeddings)

    def search(self, probes: npt.NDArray[Any], count: int) -> Neighbors:
        """Returns the nearest enrolled images of each probe, at most ``count``."""
        rows = np.full((len(probes), count), -1, dtype=np.int64)
        few = len(probes) < _PROBES_A_THREAD
        with self._lock, _one_thread() if few else contextlib.nullcontext():
            embeddings = self._embeddings
            _, coarse_rows = self._codes.search(
                filled(probes, self._width), min(count + _CANDIDATES, max(1, len(embeddings)))
            )
        for index, (probe, candidates) in enumerate(zip(probes, coarse_rows, strict=True)):
            candidates = candidates[candidates >= 0]
            vectors = embeddings[candidates]
            similarity = vectors @ probe.astype(vectors.dtype)
            # An erased row holds zeros and is far from any probe; _ordered drops it.
            nearest = np.argsort(-similarity, kind="stable")[:count]
            rows[index, : len(nearest)] = candidates[nearest]
        return _ordered(probes, embeddings, rows, LEAST_NORM)

    def updated(self, embeddings: npt.NDArray[Any], erased: IntArray = NO_ROWS) -> FaissIndex:
        """Returns an index of all rows, the new ones among them: itself."""
        self._extend(embeddings)
        if len(erased):
            self._erase(erased)
        return self

    def _extend(self, embeddings: npt.NDArray[Any]) -> None:
        with self._lock:
            for start in range(len(self._embeddings), len(embeddings), EXACT_LIMIT):
                self._codes.add(filled(embeddings[start : start + EXACT_LIMIT], self._width))
            self._embeddings = embeddings

    def _erase(self, rows: IntArray) -> None:
        # The code of a row of zeros is never near a probe.
        import faiss

        with _one_thread():
            zeros = self._codes.sa_encode(np.zeros((1, self._width), dtype=np.float32))[0]
        packer, held = self._codes.get_CodePacker(), self._codes.codes
        with self._lock:
            blocks = faiss.rev_swig_ptr(held.get(), held.size()).reshape(-1, packer.block_size)
            for row in rows.tolist():
                block = row // packer.nvec
                packer.pack_1(zeros, row % packer.nvec, blocks[block : block + 1])


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Switches off FAISS's threads, which would slow down short work."""
    import faiss

    threads = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(1)
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def product_code(size: int) -> tuple[int, int]:
    """Returns the numbers of components and of parts for FAISS's code."""
    part = max(2, -(-size // _MOST_PARTS))
    parts = -(-size // part)
    return parts * part, parts


def filled(vectors: npt.NDArray[Any], size: int) -> npt.NDArray[np.float32]:
    """Returns vectors padded with zeros to a size."""
    single = np.ascontiguousarray(vectors, dtype=np.float32)
    missing = size - vectors.shape[1]
    return np.pad(single, ((0, 0), (0, missing))) if missing else single


def build_index(
    embeddings: npt.NDArray[Any], erased: IntArray = NO_ROWS, least_norm: float = 0.0
) -> ExactIndex | FaissIndex:
    """Returns an exact index, or with FAISS and over :data:`EXACT_LIMIT` images, FAISS's."""
    # FAISS compares directions; without a minimum norm, rows may have any length.
    if len(embeddings) > EXACT_LIMIT and least_norm and faiss_is_installed():
        return FaissIndex(embeddings)
    return ExactIndex(embeddings, erased, least_norm)


def faiss_is_installed() -> bool:
    """Returns whether the package ``faiss-cpu`` is installed."""
    return importlib.util.find_spec("faiss") is not None


def is_erased(vectors: npt.NDArray[Any], least_norm: float) -> npt.NDArray[np.bool_]:
    """Returns which rows are erased, because their images were removed."""
    erased: npt.NDArray[np.bool_] = np.linalg.norm(vectors, axis=1) < least_norm
    return erased


def _ordered(
    probes: npt.NDArray[Any], embeddings: npt.NDArray[Any], rows: IntArray, least_norm: float
) -> Neighbors:
    # Products of vectors lose precision where two embeddings nearly coincide, so the final
    # distances are computed from differences.
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
