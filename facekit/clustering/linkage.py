"""Splitting groups that are connected only by chains."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facekit.utils.grouping import rows_by_label

# All pairwise distances are in memory: 64 MiB for a group of this size. Larger groups are not
# split.
_MOST_MEMBERS = 4096
_ROUNDING = 1e-6


def split_loose(
    vectors: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], threshold: float
) -> npt.NDArray[np.int64]:
    """Splits groups by average linkage where two parts are further apart than a distance."""
    split = labels.copy()
    following = int(labels.max(initial=-1)) + 1
    for members in rows_by_label(labels):
        if not 2 < len(members) <= _MOST_MEMBERS:
            continue
        own = vectors[members]
        # The order of the faces must not matter, not even through rounding.
        members = members[np.lexsort(own.T)]
        own = vectors[members].astype(np.float64)
        center = own.mean(axis=0)
        if np.square(own - center).sum(axis=1).max() * 4.0 <= threshold**2:
            continue  # no two are further apart
        from scipy.cluster.hierarchy import average, fcluster
        from scipy.spatial.distance import pdist

        tree = average(pdist(own, "sqeuclidean"))
        parts = fcluster(tree, threshold**2 + _ROUNDING, "distance")
        moved = parts != parts[0]
        split[members[moved]] = following + parts[moved]
        following += int(parts.max()) + 1
    return np.unique(split, return_inverse=True)[1].reshape(-1).astype(np.int64)
