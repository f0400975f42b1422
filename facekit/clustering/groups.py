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
from facekit.utils.validation import number, unit_rows, whole

# Measured on LFW and on albums: see the page on clustering.
_FALSE_LINKS_A_FACE = 0.15
_MOST_FALSE_LINKS = 7e-5
_SHARE_OF_STRICTEST = 0.95

_GRID = np.linspace(0.0, 2.0, 2001)


@dataclass(frozen=True)
class Group:
    """Faces that seem to show one person.

    Args:
        members: The places of the faces in what was clustered, the most typical first: the one
            nearest to the mean of the group.
        spread: The root of the mean squared Euclidean distance between two of the faces; 0 if all
            are equal. A large one is a reason to look twice.

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
        """The place of the most typical face."""
        return self.members[0]


@dataclass(frozen=True)
class Clustering:
    """Faces, grouped into people.

    Args:
        groups: The groups, the largest first, equal ones by their first face.
        ungrouped: The places of the faces that are in no group, in order.
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
        """int64 ``(n,)``, the number of each face's group, −1 for none, as scikit-learn has it."""
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

    Faces within the threshold are linked, each with its 64 nearest at most, and Chinese whispers
    find the groups. A group whose parts lie further apart on average than the threshold, a chain of
    people who resemble each other, is split by average linkage. With the extra ``faiss`` a million
    faces take minutes; without it time grows with the square of their number.

    Args:
        embeddings: float32 ``(n, d)`` of unit L2 norm; n may be 0.
        threshold: The Euclidean distance up to which two faces are linked. It belongs to the
            weights and to the number of faces, because each face is compared with all others; see
            :func:`facekit.clustering.groups.linking_threshold`.
        min_faces: Smaller groups are left ungrouped; at least 1.
        images: The number of the image that each face was found in, ``(n,)``: two faces of one
            image are never one person. By default nothing is known of that.
        same: Pairs of places of faces that are one person, for certain.
        different: Pairs of places of faces that are not.
        seed: Of the random order in which the faces choose their groups.

    Returns:
        The groups. The order of the embeddings does not change who is grouped with whom.

    Raises:
        InvalidArgumentError: If the embeddings are not finite or not of unit norm, the threshold
            is not a number from 0 to 2, or another argument cannot be used; also if ``same`` and
            ``different`` contradict each other.

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
    by_label = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels))
    groups: list[Group] = []
    ungrouped: list[int] = []
    for members in np.split(by_label, ends[:-1]):
        if len(members) >= min_faces:
            groups.append(group_of(vectors, members))
        else:
            ungrouped += members.tolist()
    groups.sort(key=lambda group: (-len(group), min(group.members)))
    return Clustering(tuple(groups), tuple(sorted(ungrouped)), threshold)


def linking_threshold(record: WeightsRecord, faces: int = 2000) -> float:
    """Returns the distance up to which faces are linked by default.

    Each face is compared with all others, so that the threshold shrinks as they become more: at it,
    one face in seven is linked with an impostor by chance, whatever their number. It follows from
    the weights' table of distances, which is extrapolated beyond one pair in 30,000; for weights
    without one it is 0.95 times the threshold of the record's smallest false-match rate.

    Args:
        record: The record of the weights that made the embeddings.
        faces: How many faces are compared with each other.

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
            f"the weights {record.name!r} have no thresholds; give clustering one: threshold=..."
        )
    return _SHARE_OF_STRICTEST * record.thresholds[min(record.thresholds)]


def _checked_images(images: object, faces: int) -> npt.NDArray[np.int64] | None:
    if images is None:
        return None
    numbers = np.asarray(images)
    if numbers.shape != (faces,) or (faces and numbers.dtype.kind not in "iu"):
        raise InvalidArgumentError(
            f"images must hold the number of the image of each of the {faces} faces, got an array "
            f"of {numbers.dtype} of shape {numbers.shape}"
        )
    return numbers.astype(np.int64)


def group_of(vectors: npt.NDArray[np.float32], members: npt.NDArray[np.int64]) -> Group:
    """Returns the group of some faces, whose places are given in rising order."""
    own = vectors[members].astype(np.float64)
    mean = own.mean(axis=0)
    # Rounded, so that equal faces stay in their order.
    order = np.argsort(-(own @ mean).round(6), kind="stable")
    count = len(members)
    # The mean squared distance between two different members follows from the mean vector.
    within = max(0.0, 2.0 - 2.0 * float(mean @ mean)) * count / max(1, count - 1)
    return Group(tuple(members[order].tolist()), math.sqrt(within))
