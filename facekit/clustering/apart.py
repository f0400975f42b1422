"""Separates faces of one image, which are never the same person."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def apart(
    vectors: npt.NDArray[np.float32],
    groups: npt.NDArray[np.int64],
    images: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Keeps only the most typical face of each image in a group, and moves the others out."""
    while True:  # the faces moved out form another group, which is split in the same way
        groups = np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)
        order = np.lexsort((images, groups))
        twice = (np.diff(groups[order]) == 0) & (np.diff(images[order]) == 0)
        if not twice.any():
            return groups
        count = int(groups.max()) + 1
        affected = np.zeros(count, bool)
        affected[groups[order[1:][twice]]] = True
        members = np.flatnonzero(affected[groups])
        members = members[np.argsort(groups[members], kind="stable")]
        own = groups[members]
        starts = np.flatnonzero(np.concatenate([[True], np.diff(own) != 0]))
        lengths = np.diff(np.append(starts, len(own)))
        means = np.add.reduceat(vectors[members].astype(np.float64), starts) / lengths[:, None]
        alike = np.einsum("nd,nd->n", vectors[members], np.repeat(means, lengths, axis=0))
        by_image = np.lexsort((members, -alike, images[members], own))
        same = np.diff(own[by_image]) == 0
        later = np.concatenate([[False], same & (np.diff(images[members[by_image]]) == 0)])
        moved = members[by_image[later]]
        groups[moved] += count
