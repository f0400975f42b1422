"""Grouping unknown faces into people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.clustering.constraints import constrained
from facekit.clustering.linkage import split_loose
from facekit.clustering.whispers import chinese_whispers
from facekit.embedding.weights.registry import WeightsRecord
from facekit.errors import InvalidArgumentError
from facekit.utils.grouping import rows_by_label
from facekit.utils.validation import number, reals, unit_rows, whole

# Measured on LFW and on albums; see the page on clustering.
_FALSE_LINKS_A_FACE = 0.15
_MOST_FALSE_LINKS = 7e-5
_SHARE_OF_STRICTEST = 0.95

_GRID = np.linspace(0.0, 2.0, 2001)


@dataclass(frozen=True)
class Group:
    """Faces that seem to show the same person.

    Args:
        members: The indices of the faces among those clustered, the most typical first: the one
            nearest to the mean of the group.
        spread: The root mean squared Euclidean distance between two of the faces; 0 if all are
            equal. A large value suggests checking the group.

    Example:
        >>> import numpy as np
        >>> from facekit import cluster
        >>> faces = np.array([[1, 0], [0, 1], [0.8, 0.6]], dtype=np.float32)
        >>> group = cluster(faces, threshold=0.7).groups[0]
        >>> group.members, group.representative, round(group.spread, 3)
        ((0, 2), 0, 0.632)
    """

    members: tuple[int, ...]
    spread: float

    def __len__(self) -> int:
        return len(self.members)

    @property
    def representative(self) -> int:
        """The index of the most typical face."""
        return self.members[0]


@dataclass(frozen=True)
class Clustering:
    """Faces grouped into people.

    Args:
        groups: The groups, the largest first; ties are ordered by their first face.
        ungrouped: The indices of the ungrouped faces, in order.
        threshold: The Euclidean distance up to which faces were linked.

    Example:
        >>> import numpy as np
        >>> from facekit import cluster
        >>> faces = np.array([[1, 0], [0, 1], [0.8, 0.6]], dtype=np.float32)
        >>> cluster(faces, threshold=0.7).labels.tolist()
        [0, -1, 0]
    """

    groups: tuple[Group, ...]
    ungrouped: tuple[int, ...]
    threshold: float

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """int64 ``(n,)``, the number of each face's group, −1 for none, as in scikit-learn."""
        number = len(self.ungrouped) + sum(map(len, self.groups))
        labels = np.full(number, -1, dtype=np.int64)
        for label, group in enumerate(self.groups):
            labels[list(group.members)] = label
        return labels


def cluster(
    embeddings: npt.ArrayLike,
    *,
    threshold: float,
    min_faces: int = 2,
    images: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
    same: Sequence[tuple[int, int]] = (),
    different: Sequence[tuple[int, int]] = (),
    seed: int = 0,
) -> Clustering:
    """Groups the embeddings of unknown faces into people.

    Faces within the threshold are linked, each to at most its 64 nearest neighbors, and Chinese
    whispers finds the groups. A group whose parts are further apart on average than the threshold,
    such as a chain of people who resemble each other, is split by average linkage. With the extra
    ``faiss``, a million faces take minutes; without it, time grows quadratically.

    Args:
        embeddings: float32 ``(n, d)`` of unit L2 norm; n may be 0.
        threshold: The Euclidean distance up to which two faces are linked. It belongs to the
            weights and to the number of faces, because each face is compared with all others; see
            :func:`facekit.clustering.groups.linking_threshold`.
        min_faces: Smaller groups are left ungrouped; at least 1.
        images: The number of each face's image, ``(n,)``: two faces of one image are two people,
            unless ``same`` joins their groups. By default unknown.
        same: Pairs of indices of faces known to be the same person.
        different: Pairs of indices of faces known to be different people.
        seed: Seed for the random order in which faces choose their groups.

    Returns:
        The groups. They do not depend on the order of the embeddings.

    Raises:
        InvalidArgumentError: If the embeddings are not finite or not of unit norm, the threshold is
            not between 0 and 2, another argument is invalid, or ``same`` and ``different``
            contradict each other.

    Example:
        >>> import numpy as np
        >>> from facekit import cluster
        >>> faces = np.array([[1, 0], [0, 1], [0.8, 0.6], [0, -1]], dtype=np.float32)
        >>> found = cluster(faces, threshold=0.7)
        >>> [group.members for group in found.groups], found.ungrouped
        ([(0, 2)], (1, 3))
        >>> cluster(faces, threshold=0.7, images=[0, 1, 0, 1]).groups  # 0 and 2 were seen together
        ()

    References:
        C. Biemann, "Chinese Whispers: an Efficient Graph Clustering Algorithm and its Application
        to Natural Language Processing Problems", TextGraphs 2006.
        ``scipy.cluster.hierarchy.average``.
    """
    vectors = unit_rows(embeddings)
    threshold = number(threshold, "threshold", 0, 2)
    min_faces = whole(min_faces, "min_faces", least=1)
    labels = chinese_whispers(
        vectors,
        threshold,
        images=_checked_images(images, len(vectors)),
        seed=whole(seed, "seed", least=0),
    )
    labels = constrained(vectors, split_loose(vectors, labels, threshold), same, different)
    groups: list[Group] = []
    ungrouped: list[int] = []
    for members in rows_by_label(labels):
        if len(members) >= min_faces:
            groups.append(group_of(vectors, members))
        else:
            ungrouped += members.tolist()
    groups.sort(key=lambda group: (-len(group), min(group.members)))
    return Clustering(tuple(groups), tuple(sorted(ungrouped)), threshold)


def linking_threshold(record: WeightsRecord, faces: int = 2000) -> float:
    """Returns the default distance up to which faces are linked.

    Each face is compared with all others, so the threshold shrinks as their number grows: whatever
    the number, one face in seven is linked to an impostor by chance. It is derived from the
    weights' table of distances, extrapolated beyond one pair in 30,000; for weights without a table
    it is 0.95 times the threshold of the record's smallest false-match rate.

    Args:
        record: The record of the weights that made the embeddings.
        faces: The number of faces compared with each other.

    Raises:
        InvalidArgumentError: If the record has no thresholds, or ``faces`` is not a whole number of
            at least 0.

    Example:
        >>> from facekit.clustering.groups import linking_threshold
        >>> from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY
        >>> record = REGISTRY[DEFAULT_WEIGHTS]
        >>> linking_threshold(record, 1_000_000) < linking_threshold(record, 1_000)
        True
    """
    faces = whole(faces, "faces", least=0)
    if record.distances is not None:
        rates = record.distances.false_match_rate("nearest", 1, _GRID)
        wanted = min(_MOST_FALSE_LINKS, _FALSE_LINKS_A_FACE / max(1, faces))
        return float(np.interp(math.log(wanted), np.log(rates), _GRID))
    if not record.thresholds:
        raise InvalidArgumentError(
            f"the weights {record.name!r} have no thresholds; pass threshold="
        )
    return _SHARE_OF_STRICTEST * record.thresholds[min(record.thresholds)]


def _checked_images(images: npt.ArrayLike | None, faces: int) -> npt.NDArray[np.int64] | None:
    if images is None:
        return None
    numbers = reals(images, "images")
    if numbers.shape != (faces,) or (faces and numbers.dtype.kind not in "iu"):
        raise InvalidArgumentError(
            f"images must hold the number of the image of each of the {faces} faces, got an array "
            f"of {numbers.dtype} of shape {numbers.shape}"
        )
    return numbers.astype(np.int64)


def group_of(vectors: npt.NDArray[np.float32], members: npt.NDArray[np.int64]) -> Group:
    """Returns the group of some faces, whose indices are given in ascending order."""
    own = vectors[members].astype(np.float64)
    mean = own.mean(axis=0)
    # Rounded, so that equal faces stay in their order.
    order = np.argsort(-(own @ mean).round(6), kind="stable")
    # The mean squared distance between two members follows from that to their mean.
    squared = 2.0 * float(np.square(own - mean).sum()) / max(1, len(members) - 1)
    return Group(tuple(members[order].tolist()), math.sqrt(squared))
