"""Our losses give the numbers and gradients of tensorflow-addons 0.23.0, but where it is said here.

The tests run in ``make parity``, which makes the environment that tensorflow-addons needs. Where an
answer differs, it must be for one of these reasons, and ours must be what the definition of the
loss gives for distances that are right to float32's rounding:

- NO_PAIR: no two embeddings have one label. The semi-hard loss of tensorflow-addons is NaN, ours 0.
- FLOAT64: tensorflow-addons raises an error for float64. Ours is compared with its float32.
- OVERFLOW: the soft hard loss of tensorflow-addons is infinite above a difference of about 88.
- EXTREME: a chosen distance is the largest or smallest of its row, and equal to another that is no
  candidate. tensorflow-addons gives a part of the gradient to that other one.
- NO_DIRECTION: an embedding is zero and the distance angular. Its gradient is up to a million times
  the others' in tensorflow-addons, and 0 in ours; all else is equal.
- ROUNDING: two distances are equal, or zero, but for rounding, which decides otherwise there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import triplet_reference
from addons_session import KINDS, METRICS, AddonsSession, Case, cases, embeddings_of
from golden_losses import golden_cases
from gradients import loss_and_gradient
from hypothesis import HealthCheck, given, settings
from keras import ops

from facekit.training.losses.distances import pairwise_distances

PYTHON = os.environ.get("FACEKIT_ADDONS_PYTHON")
pytestmark = pytest.mark.skipif(not PYTHON, reason="make parity runs these")

# float16 and bfloat16 answers are rounded at the end, by half a unit in the last place each.
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
CASES_A_TEST = 60


@pytest.fixture(scope="module")
def session() -> Iterator[AddonsSession]:
    session = AddonsSession(str(PYTHON))
    yield session
    session.close()


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """Counts the cases, and prints at the end how they came out."""
    counts: Counter[str] = Counter()
    yield counts
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{counts.total()} cases: {dict(counts.most_common())}")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("loss", ["semihard", "hard"])
def test_small_batches(session: AddonsSession, tally: Counter[str], loss: str, metric: str) -> None:
    @settings(max_examples=CASES_A_TEST, suppress_health_check=list(HealthCheck))
    @given(cases(loss, metric))
    def check(case: Case) -> None:
        tally[verdict(session, case)] += 1

    check()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", [128, 256])
@pytest.mark.parametrize("loss", ["semihard", "hard"])
def test_large_batches(
    session: AddonsSession, tally: Counter[str], loss: str, size: int, metric: str
) -> None:
    random = np.random.default_rng(size)
    embeddings = embeddings_of("unit", size, 64, random).astype("float32")
    labels = random.integers(size // 8, size=size)
    tally[verdict(session, Case(loss, labels, embeddings, distance_metric=metric))] += 1


def test_every_dtype_and_kind_is_covered(session: AddonsSession, tally: Counter[str]) -> None:
    random = np.random.default_rng(0)
    for kind in KINDS:
        for dtype in ("float16", "bfloat16", "float32", "float64"):
            embeddings = embeddings_of(kind, 12, 8, random).astype("float16")
            case = Case("semihard", random.integers(3, size=12), embeddings, dtype)
            tally[verdict(session, case)] += 1


def test_golden_values_are_those_of_tensorflow_addons(session: AddonsSession) -> None:
    for case, value, gradient in golden_cases():
        answer = session.ask(case)
        np.testing.assert_allclose(answer["loss"], value, rtol=1e-6)
        np.testing.assert_allclose(answer["gradient"], gradient, atol=1e-6)


def test_enough_cases_agree(tally: Counter[str]) -> None:
    """Runs last: at least 500 cases, and few of them exceptions but for NO_PAIR and FLOAT64."""
    assert tally.total() >= 500
    assert tally["EQUAL"] + tally["FLOAT64"] + tally["NO_PAIR"] >= 0.85 * tally.total()


def verdict(session: AddonsSession, case: Case) -> str:
    """Compares an answer; returns ``"EQUAL"``, or the exception that the case falls under."""
    value, gradient = case.ours()
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    answer = session.ask(case)
    reason = "EQUAL"
    if case.dtype == "float64":
        assert "error" in answer
        reason, answer = "FLOAT64", session.ask(replace(case, dtype="float32"))
    if np.isnan(answer["loss"]):
        assert case.loss == "semihard"
        assert len(set(case.labels.tolist())) == len(case.labels)
        assert value == 0
        assert not gradient.any()
        return "NO_PAIR"
    if case.distance_metric == "angular" and not case.embeddings.any(axis=1).all():
        zero = ~case.embeddings.any(axis=1)
        assert not gradient[zero].any()
        answer["gradient"][zero] = 0
        reason = "NO_DIRECTION"
    if agree(case, (value, gradient), (answer["loss"], answer["gradient"])):
        return reason
    expected, weights, rows, exact = reference(case)
    close = agree(case, (value, gradient), expected)
    assert close, f"{case}\n{value} {answer['loss']} {expected[0]}\n{gradient - expected[1]}"
    if not np.isfinite(answer["loss"]):
        assert case.soft
        return "OVERFLOW"
    if ties_at_an_extreme(weights, rows):
        return "EXTREME"
    assert rounding_decides(case, exact), case
    return "ROUNDING"


def agree(case: Case, ours: tuple, theirs: tuple) -> bool:
    """Tells whether loss and gradient are equal within the tolerances."""
    (value, gradient), (other, other_gradient) = ours, theirs
    epsilon = EPSILON.get(case.dtype, 0.0)
    scale = max(1.0, float(np.abs(other_gradient).max()))
    return bool(
        abs(value - other) <= (1e-5 + epsilon) * abs(other) + 1e-6
        and np.abs(gradient - other_gradient).max() <= (1e-4 + epsilon) * scale
    )


def reference(
    case: Case,
) -> tuple[tuple[float, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Returns what the definition gives for our distances.

    That is: loss and gradient; the weight of each distance; the distances, after it is made sure
    that they are right; and the same in float64.
    """
    precision = "float64" if case.dtype == "float64" else "float32"
    stored = ops.cast(ops.cast(case.embeddings, case.dtype), precision)
    rows = ops.convert_to_numpy(pairwise_distances(stored, case.metric)).astype("float64")
    exact = ops.convert_to_numpy(pairwise_distances(ops.cast(stored, "float64"), case.metric))
    # The square root of a rounded zero is the largest error.
    error = np.abs(rows**2 - exact**2) if case.distance_metric == "L2" else np.abs(rows - exact)
    assert error.max() <= 1e-6 * max(1.0, np.square(stored).sum(axis=1).max())
    if case.loss == "hard":
        value, weights = triplet_reference.hard(case.labels, rows, case.margin, case.soft)
    else:
        value, weights = triplet_reference.semihard(case.labels, rows, case.margin)
    _, gradient = loss_and_gradient(
        lambda _, x: ops.sum(weights.astype(precision) * pairwise_distances(x, case.metric)),
        case.labels,
        stored,
        precision,
    )
    return (value, gradient), weights, rows, exact


def ties_at_an_extreme(weights: np.ndarray, rows: np.ndarray) -> bool:
    """Tells whether a distance with a weight is its row's extreme, and has an equal there."""
    for weight, row in zip(weights, rows, strict=True):
        for extreme in (row.min(), row.max()):
            tied = row == extreme
            if weight[tied].any() and tied.sum() > 1:
                return True
    return False


def rounding_decides(case: Case, exact: np.ndarray) -> bool:
    """Tells whether two distances of a row, with or without the margin, are equal but for rounding.

    That includes the zero that stands for the anchor itself.
    """
    resolution = 1e-6 * max(1.0, float(np.abs(exact).max()))
    for row in exact:
        for shifted in (row, row + case.margin):
            gaps = np.abs(row[:, None] - shifted[None, :])
            np.fill_diagonal(gaps, np.inf)
            if gaps.min() <= resolution:
                return True
    return False
