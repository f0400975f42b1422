"""Mining finds what looking at every triplet finds."""

from __future__ import annotations

import numpy as np
import pytest
import triplet_reference
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from facekit.training.losses.miners import active_triplets, semihard_negatives
from facekit.training.losses.statistics import triplet_statistics


@st.composite
def batches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Labels and embeddings on a grid, whose squared distances are exact and often equal."""
    size = draw(st.integers(1, 14))
    coordinates = st.lists(st.integers(-2, 2), min_size=2, max_size=2)
    embeddings = draw(st.lists(coordinates, min_size=size, max_size=size))
    labels = draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    return np.array(labels), np.array(embeddings, "float32") / 2


MARGINS = st.sampled_from([0.0, 0.25, 0.5, 2.0])


def rows(embeddings: np.ndarray) -> np.ndarray:
    return triplet_reference.distances(embeddings, squared=True).astype("float32")


@given(batches())
def test_semihard_negative_is_what_the_definition_says(batch: tuple) -> None:
    labels, distances = batch[0], rows(batch[1])
    mined = semihard_negatives(ops.convert_to_tensor(labels), ops.convert_to_tensor(distances))
    found, given_distance = (ops.convert_to_numpy(x) for x in (mined.found, mined.distance))
    for a, p in np.argwhere(labels[:, None] == labels):
        negatives = distances[a][labels != labels[a]]
        farther = negatives[negatives > distances[a, p]]
        assert found[a, p] == bool(len(farther))
        expected = min(farther) if len(farther) else max(negatives, default=distances[a].min())
        assert given_distance[a, p] == expected


@given(batches())
def test_negatives_share_all_that_pairs_give(batch: tuple) -> None:
    labels, distances = batch[0], rows(batch[1])
    mined = semihard_negatives(ops.convert_to_tensor(labels), ops.convert_to_tensor(distances))
    own = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    shared = ops.convert_to_numpy(mined.share(ops.convert_to_tensor(own.astype("float32"))))
    np.testing.assert_allclose(shared.sum(axis=1), own.sum(axis=1), rtol=1e-5)


@given(batches(), MARGINS)
def test_active_triplets_are_what_the_definition_says(batch: tuple, margin: float) -> None:
    labels, distances = batch[0], rows(batch[1])
    found = active_triplets(ops.convert_to_tensor(labels), ops.convert_to_tensor(distances), margin)
    mean, weights = triplet_reference.batch_all(labels, distances.astype("float64"), margin)
    count = triplet_reference.kinds(labels, distances, margin)["active"]
    assert float(found.count) == count
    np.testing.assert_allclose(float(found.loss), mean * count, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found.weights), weights * max(count, 1), atol=1e-4
    )


@given(batches(), MARGINS)
def test_statistics_are_what_counting_gives(batch: tuple, margin: float) -> None:
    labels, embeddings = batch
    found = {k: float(v) for k, v in triplet_statistics(labels, embeddings, margin).items()}
    counts = triplet_reference.kinds(labels, rows(embeddings), margin)
    triplets = counts["hard"] + counts["semihard"] + counts["easy"]
    assert found["triplets"] == triplets
    for name, count in counts.items():
        assert found[name] == pytest.approx(count / max(triplets, 1), abs=1e-6)
    same = labels[:, None] == labels
    for name, mask in (("negative", ~same), ("positive", same & ~np.eye(len(labels), dtype=bool))):
        mean = rows(embeddings)[mask].mean() if mask.any() else 0.0
        assert found[f"{name}_distance"] == pytest.approx(mean, rel=1e-5)
    spread = np.linalg.norm(embeddings - embeddings.mean(axis=0), axis=1).mean()
    assert found["spread"] == pytest.approx(spread, rel=1e-5, abs=1e-6)


def test_collapsed_embeddings_have_no_spread_and_only_hard_triplets() -> None:
    found = triplet_statistics([0, 0, 1, 1], np.ones((4, 8), "float32"))
    assert float(found["spread"]) == pytest.approx(0.0, abs=1e-6)
    assert float(found["hard"]) == float(found["active"]) == 1.0
