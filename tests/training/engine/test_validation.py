"""The figures of a validation, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import InvalidArgumentError
from facekit.training.engine.validation import validate


def random_embeddings(seed: int, count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(6), count // 6)).astype(np.int32)
    embeddings = rng.normal(size=(count, 8)) + 1.5 * rng.normal(size=(6, 8))[labels]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings.astype(np.float32), labels


@given(st.integers(0, 2**32 - 1))
def test_figures_are_what_brute_force_finds(seed: int) -> None:
    embeddings, labels = random_embeddings(seed)
    distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)
    first, second = np.triu_indices(len(labels), k=1)
    same = labels[first] == labels[second]
    one, two = distances[first, second][same], distances[first, second][~same]
    result = validate(embeddings, labels)
    assert result.auc == pytest.approx(np.mean(one[:, None] < two[None]), abs=1e-3)
    np.fill_diagonal(distances, np.inf)
    assert result.recall == np.mean(labels[distances.argmin(axis=1)] == labels)


@given(st.integers(0, 2**32 - 1))
def test_names_order_and_rotation_do_not_matter(seed: int) -> None:
    embeddings, labels = random_embeddings(seed)
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(len(labels)), rng.permutation(6).astype(np.int32)
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    turned = (embeddings @ rotation).astype(np.float32)
    one, other = validate(embeddings, labels), validate(turned[order], names[labels][order])
    assert other.auc == pytest.approx(one.auc, abs=2e-3)
    assert other.recall == pytest.approx(one.recall, abs=0.05)


def test_unknown_faces_do_not_count() -> None:
    embeddings, labels = random_embeddings(0)
    more = np.concatenate([embeddings, embeddings[:5]])
    assert validate(more, np.append(labels, [-1] * 5)) == validate(embeddings, labels)


def test_a_sample_of_the_pairs_is_seeded_and_close() -> None:
    embeddings, labels = random_embeddings(1, count=300)
    sampled = validate(embeddings, labels, pairs=20_000, seed=3)
    assert sampled == validate(embeddings, labels, pairs=20_000, seed=3)
    assert sampled.auc == pytest.approx(validate(embeddings, labels).auc, abs=0.01)


def test_a_threshold_accepts_at_most_its_rate() -> None:
    embeddings, labels = random_embeddings(2, count=300)
    result = validate(embeddings, labels)
    distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)
    strangers = distances[labels[:, None] != labels[None]]
    # 37,500 pairs of strangers are enough for a rate of 0.001, not for 0.0001.
    assert sorted(result.thresholds) == [0.001, 0.01]
    for rate, threshold in result.thresholds.items():
        assert rate * 0.5 < np.mean(strangers <= threshold + 1e-6) <= rate * 1.1


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [-1, -1, -1], [0, 0, -1]])
def test_too_few_people_are_refused(labels: list[int]) -> None:
    embeddings, _ = random_embeddings(0)
    with pytest.raises(InvalidArgumentError, match="two people or more"):
        validate(embeddings[:3], np.array(labels, dtype=np.int32))
