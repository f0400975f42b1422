"""Laws of joining the pieces of people."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from facekit.clustering.groups import linking_threshold
from facekit.embedding.weights.registry import record_for
from facekit.video.joining import distances_of_means, join

RECORD = record_for("facekit-small")


def by_average_linkage(gaps: npt.NDArray[np.float64], limit: float) -> set[frozenset[int]]:
    """Joins the nearest two groups, until none are near; an infinite gap is never closed."""
    groups = [frozenset([place]) for place in range(len(gaps))]
    while True:
        pairs = {
            (one, other): gaps[np.ix_(list(one), list(other))].mean()
            for one, other in itertools.combinations(groups, 2)
        }
        nearest = min(pairs, key=lambda pair: pairs[pair], default=None)
        if nearest is None or pairs[nearest] > limit:
            return set(groups)
        groups = [group for group in groups if group not in nearest]
        groups.append(nearest[0] | nearest[1])


@settings(deadline=None)
@given(
    st.integers(2, 12), st.integers(0, 2**32 - 1), st.floats(0.01, 0.2), st.sampled_from([0.0, 0.3])
)
@example(5, 23, 0.1, 0.3)  # the distances differ in the last bit from their transpose
def test_pieces_are_joined_by_average_linkage_unless_they_were_together(
    count: int, seed: int, spread: float, crowded: float
) -> None:
    generator = np.random.default_rng(seed)
    people = generator.normal(size=(3, 16))[generator.integers(3, size=count)]
    means = people + spread * np.linalg.norm(people, axis=1)[:, None] * generator.normal(
        size=people.shape
    )
    means = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    images = generator.integers(1, 4, size=count).astype(float)
    together = np.triu(generator.random((count, count)) < crowded, 1)
    together |= together.T
    threshold = linking_threshold(RECORD, count)
    assert RECORD.distances is not None
    rate = float(RECORD.distances.false_match_rate("nearest", 1, threshold))
    gaps = np.square(np.maximum(distances_of_means(means, images, RECORD, rate), 0.0))
    # Equally near pairs may be joined in any order.
    assume(len(np.unique(gaps[np.triu_indices(count, 1)])) == count * (count - 1) // 2)
    gaps[together] = np.inf
    labels = join(means, images, together, RECORD)
    found = {frozenset(np.flatnonzero(labels == label).tolist()) for label in labels.tolist()}
    assert found == by_average_linkage(gaps, threshold**2)


@settings(deadline=None)
@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_pieces_that_overlap_in_time_are_never_joined(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    together = generator.random((count, count)) < 0.3
    together |= together.T
    np.fill_diagonal(together, False)
    means = np.tile(np.eye(16, dtype=np.float32)[0], (count, 1))
    labels = join(means, np.ones(count), together, RECORD)
    assert not together[labels[:, None] == labels[None, :]].any()
