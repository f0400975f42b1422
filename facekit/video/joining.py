"""Joining the pieces of one person by agglomerative clustering, never two seen together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from facekit.clustering.groups import linking_threshold
from facekit.embedding.weights.registry import WeightsRecord

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# A squared distance that SciPy accepts, unlike infinity.
_NEVER = 1e12


def seen_together(frames: Sequence[Iterable[int]]) -> npt.NDArray[np.bool_]:
    """Returns which pieces were seen in the same frames, and so are different people."""
    by_frame: dict[int, list[int]] = {}
    for piece, numbers in enumerate(frames):
        for frame in numbers:
            by_frame.setdefault(frame, []).append(piece)
    together = np.zeros((len(frames), len(frames)), dtype=bool)
    for pieces in by_frame.values():
        together[np.ix_(pieces, pieces)] = True
    np.fill_diagonal(together, False)
    return together


def distances_of_means(
    means: npt.NDArray[np.float32], images: FloatArray, record: WeightsRecord, rate: float
) -> FloatArray:
    """Returns distances between means, adjusted as if each were a single image."""
    vectors = means.astype(np.float64)
    distances: FloatArray = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * vectors @ vectors.T))
    table = record.distances
    if table is None:
        return distances
    logs = np.log(table.rates)

    def reached(number: float) -> float:
        rows = table.quantiles("impostors", "centroid", number)
        return float(np.interp(np.log(rate), logs, rows))

    nearer = np.array([reached(float(number)) - reached(1.0) for number in images])
    distances -= nearer[:, None] + nearer[None, :]
    return distances


def join(
    means: npt.NDArray[np.float32],
    images: FloatArray,
    together: npt.NDArray[np.bool_],
    record: WeightsRecord,
) -> IntArray:
    """Joins pieces by average linkage, with the constraint that some may not be joined."""
    number = len(means)
    if number < 2:
        return np.arange(number)
    from scipy.cluster.hierarchy import average, fcluster

    threshold = linking_threshold(record, number)
    rate = 1e-4
    if record.distances is not None:
        rate = float(record.distances.false_match_rate("nearest", 1, threshold))
    gaps = np.square(np.maximum(distances_of_means(means, images, record, rate), 0.0))
    # What may not be joined with a part may not be joined with the whole: an average with such a
    # gap stays far above the threshold.
    gaps[together] = _NEVER
    pairs = gaps[np.triu_indices(number, 1)]
    labels: IntArray = fcluster(average(pairs), threshold**2, "distance").astype(np.int64)
    return labels
