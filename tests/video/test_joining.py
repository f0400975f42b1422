"""Laws of joining the pieces of people."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import average, fcluster
from scipy.spatial.distance import squareform

from facekit.clustering.groups import linking_threshold
from facekit.embedding.weights.registry import record_for
from facekit.video.joining import distances_of_means, join

RECORD = record_for("facekit-small")


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.floats(0.01, 0.2))
def test_pieces_that_were_never_together_are_joined_as_scipy_does(
    count: int, seed: int, spread: float
) -> None:
    generator = np.random.default_rng(seed)
    people = generator.normal(size=(5, 16))[generator.integers(5, size=count)]
    means = people + spread * np.linalg.norm(people, axis=1)[:, None] * generator.normal(
        size=people.shape
    )
    means = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    images = generator.integers(1, 20, size=count).astype(float)
    threshold = linking_threshold(RECORD, count)
    assert RECORD.distances is not None
    rate = float(RECORD.distances.false_match_rate("nearest", 1, threshold))
    gaps = np.square(np.maximum(distances_of_means(means, images, RECORD, rate), 0.0))
    np.fill_diagonal(gaps, 0.0)
    expected = fcluster(average(squareform(gaps, checks=False)), threshold**2, "distance")
    labels = join(means, images, np.zeros((count, count), bool), RECORD)
    assert len({*zip(labels.tolist(), expected.tolist(), strict=True)}) == len({*labels.tolist()})
    assert len({*labels.tolist()}) == len({*expected.tolist()})


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
