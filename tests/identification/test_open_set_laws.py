"""What must hold of identification whoever is enrolled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit import Gallery, IdentityClassifier
from facekit.embedding.weights.registry import REGISTRY

SIZE = 512
TABLE = REGISTRY["facenet-20180402-vggface2"].distances
STRATEGIES = pytest.mark.parametrize("strategy", ["svm", "nearest", "centroid"])
SEEDS = st.integers(0, 2**32 - 1)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def people(seed: int, count: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns enrolled embeddings with their names, and probes: of these people, and strangers."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), rng.integers(1, 5, count))
    middles = unit(rng.normal(size=(count, SIZE)))

    def near(chosen: np.ndarray) -> np.ndarray:
        return unit(middles[chosen] + 0.03 * rng.normal(size=(len(chosen), SIZE)))

    probes = np.concatenate([near(np.arange(count)), unit(rng.normal(size=(4, SIZE)))])
    return near(labels), np.array([f"person {label}" for label in labels], dtype=object), probes


def classifier(strategy: Any, fpir: float = 0.001) -> IdentityClassifier:
    return IdentityClassifier(strategy, fpir=fpir, distances=TABLE)


@STRATEGIES
@settings(max_examples=4, deadline=None)
@given(seed=SEEDS)
def test_the_order_of_enrollment_and_the_names_do_not_matter(strategy: Any, seed: int) -> None:
    X, names, probes = people(seed)
    found = classifier(strategy).fit(X, names).predict(probes)
    order = np.random.default_rng(seed).permutation(len(X))
    # Names that sort the other way round.
    other = {name: f"somebody {9 - int(name.split()[1])}" for name in set(names)}
    renamed = np.array([other[name] for name in names], dtype=object)
    again = classifier(strategy).fit(X[order], renamed[order]).predict(probes)
    assert list(again) == [None if name is None else other[name] for name in found]


@STRATEGIES
@settings(max_examples=tries(2, 4), deadline=None)
@given(seed=SEEDS)
def test_turning_the_space_changes_nothing(strategy: Any, seed: int) -> None:
    X, names, probes = people(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(SIZE, SIZE)))
    before = classifier(strategy).fit(X, names)
    after = classifier(strategy).fit(unit(X @ turn), names)
    assert list(after.predict(unit(probes @ turn))) == list(before.predict(probes))
    assert after.threshold_ == pytest.approx(before.threshold_, abs=1e-4)


@settings(max_examples=4, deadline=None)
@given(seed=SEEDS)
def test_enrolled_and_removed_is_as_if_never(seed: int) -> None:
    X, names, probes = people(seed)
    galleries = [Gallery("example@1", SIZE) for _ in range(2)]
    for gallery in galleries:
        gallery.extend(list(names[:-1]), X[:-1], ["photo"] * (len(X) - 1))
    galleries[0].enroll("somebody else", X[-1:], ["photo"])
    galleries[0].remove("somebody else")
    first, second = (classifier("centroid").fit_enrolled(g.enrolled()) for g in galleries)
    assert list(first.predict(probes)) == list(second.predict(probes))
    assert first.threshold_ == second.threshold_
    assert galleries[0].people == galleries[1].people
