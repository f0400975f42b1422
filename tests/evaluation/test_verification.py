"""The figures of verification, against brute force and against laws that they obey."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import InvalidArgumentError
from facekit.evaluation.verification import (
    accuracy_at,
    best_threshold,
    equal_error_rate,
    evaluate_verification,
    roc,
    true_accept_rate,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# From a coarse grid, so that ties are frequent; and any at all, however close.
grid = st.integers(0, 12).map(lambda step: step / 8)
anything = st.floats(0, 1e6) | st.floats(0, 1e-9)


@st.composite
def measurements(
    draw: st.DrawFn, distance: st.SearchStrategy[float] = grid, least: int = 1
) -> tuple[FloatArray, BoolArray]:
    """Draws distances of pairs of both kinds, mixed."""
    same = draw(st.lists(distance, min_size=least, max_size=12))
    different = draw(st.lists(distance, min_size=least, max_size=12))
    pairs = [(value, True) for value in same] + [(value, False) for value in different]
    pairs = draw(st.permutations(pairs))
    values, truth = zip(*pairs, strict=True)
    return np.array(values), np.array(truth)


either = measurements() | measurements(anything)


def with_folds(distances: FloatArray, same: BoolArray) -> npt.NDArray[np.int64]:
    """Returns folds, two of them, with pairs of both kinds in each."""
    folds = np.empty(len(same), dtype=np.int64)
    for kind in (True, False):
        folds[same == kind] = np.arange((same == kind).sum()) % 2
    return folds


def rates(distances: FloatArray, same: BoolArray, threshold: float) -> tuple[float, float]:
    """Returns the false-accept and the false-reject rate, by counting."""
    accepted = distances <= threshold
    return float(accepted[~same].mean()), float(1 - accepted[same].mean())


# The best threshold.


@given(measured=either)
def test_no_threshold_is_better_than_the_best(measured: tuple[FloatArray, BoolArray]) -> None:
    distances, same = measured
    cuts = [distances.min() - 1, *distances]
    best = max(accuracy_at(distances, same, cut) for cut in cuts)
    assert accuracy_at(distances, same, best_threshold(distances, same)) == best


@given(measured=measurements())
def test_the_best_threshold_lies_between_distances(
    measured: tuple[FloatArray, BoolArray],
) -> None:
    distances, same = measured
    assert best_threshold(distances, same) not in distances


def test_the_best_threshold_lies_halfway() -> None:
    assert best_threshold(np.array([0.2, 0.6]), np.array([True, False])) == pytest.approx(0.4)


def test_of_equally_good_thresholds_the_middle_one_is_taken() -> None:
    distances = np.array([0.1, 0.2, 0.4, 0.6, 0.8])
    same = np.array([True, False, True, False, False])
    # 4 of 5 are judged rightly after the first distance as well as after the third.
    assert best_threshold(distances, same) == pytest.approx(0.5)


@pytest.mark.parametrize(("kind", "expected"), [(True, True), (False, False)])
def test_pairs_of_one_kind_are_all_judged_rightly(kind: bool, expected: bool) -> None:
    distances, same = np.array([0.3, 0.5, 0.5]), np.full(3, kind)
    threshold = best_threshold(distances, same)
    assert ((distances <= threshold) == expected).all()


@given(measured=either, threshold=grid)
def test_accuracy_counts_right_judgements(
    measured: tuple[FloatArray, BoolArray], threshold: float
) -> None:
    distances, same = measured
    right = sum((d <= threshold) == s for d, s in zip(distances, same, strict=True))
    assert accuracy_at(distances, same, threshold) == right / len(same)


# Curve and rates.


@given(measured=either)
def test_the_curve_is_what_counting_finds(measured: tuple[FloatArray, BoolArray]) -> None:
    distances, same = measured
    curve = roc(distances, same)
    assert curve.threshold.tolist() == [-np.inf, *sorted(set(distances))]
    for false_accept, true_accept, threshold in zip(*curve, strict=True):
        expected = rates(distances, same, threshold)
        assert (false_accept, 1 - true_accept) == pytest.approx(expected, abs=1e-12)


@given(measured=either)
def test_the_equal_error_rate_lies_between_the_two_errors(
    measured: tuple[FloatArray, BoolArray],
) -> None:
    distances, same = measured
    eer = equal_error_rate(roc(distances, same))
    # One error falls and the other rises: where they meet, no threshold has both smaller, nor
    # both larger.
    for threshold in [-np.inf, *distances]:
        both = rates(distances, same, threshold)
        assert min(both) - 1e-12 <= eer <= max(both) + 1e-12


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], 0.0),
        ([0.3, 0.4, 0.1, 0.2], 1.0),
        ([0.1, 0.3, 0.2, 0.4], 0.5),
        ([0.5, 0.5, 0.5, 0.5], 0.5),
    ],
)
def test_equal_error_rates_worked_out_by_hand(distances: list[float], expected: float) -> None:
    curve = roc(distances, [True, True, False, False])
    assert equal_error_rate(curve) == pytest.approx(expected)


@given(measured=either, limit=st.floats(0.0, 1.0))
def test_the_true_accept_rate_is_what_counting_finds(
    measured: tuple[FloatArray, BoolArray], limit: float
) -> None:
    distances, same = measured
    found = [rates(distances, same, threshold) for threshold in [-np.inf, *distances]]
    expected = max(1 - reject for accept, reject in found if accept <= limit)
    assert true_accept_rate(roc(distances, same), limit) == pytest.approx(expected, abs=1e-12)


# The report.


@given(measured=measurements(least=2))
def test_the_report_agrees_with_its_parts(measured: tuple[FloatArray, BoolArray]) -> None:
    distances, same = measured
    folds = with_folds(distances, same)
    report = evaluate_verification(distances, same, folds)
    for fold in (0, 1):
        others = folds != fold
        threshold = best_threshold(distances[others], same[others])
        assert report.fold_thresholds[fold] == threshold
        assert report.fold_accuracies[fold] == accuracy_at(
            distances[~others], same[~others], threshold
        )
    # The area is the share of pairs of pairs in the right order.
    genuine, impostor = distances[same][:, None], distances[~same]
    ordered = (genuine < impostor) + 0.5 * (genuine == impostor)
    assert report.auc == pytest.approx(ordered.mean(), abs=1e-12)
    assert report.eer == equal_error_rate(roc(distances, same))
    assert report.pairs == len(distances)


@given(measured=measurements(least=2), data=st.data())
def test_the_order_of_the_pairs_does_not_matter(
    measured: tuple[FloatArray, BoolArray], data: st.DataObject
) -> None:
    distances, same = measured
    folds = with_folds(distances, same)
    order = data.draw(st.permutations(range(len(same))), label="order")
    first = evaluate_verification(distances, same, folds)
    assert evaluate_verification(distances[order], same[order], folds[order]) == first


@given(measured=measurements(least=2))
@pytest.mark.parametrize("rising", [np.square, np.sqrt, lambda d: 3 * d - 2, lambda d: -np.exp(-d)])
def test_only_the_order_of_the_distances_counts(
    measured: tuple[FloatArray, BoolArray], rising: Any
) -> None:
    distances, same = measured
    folds = with_folds(distances, same)
    first = evaluate_verification(distances, same, folds)
    second = evaluate_verification(rising(distances), same, folds)
    assert (second.auc, second.eer, second.tar_at_fmr) == (first.auc, first.eer, first.tar_at_fmr)


@given(gap=st.floats(1e-6, 10.0), count=st.integers(2, 8))
def test_separable_pairs_are_all_judged_rightly(gap: float, count: int) -> None:
    same = np.repeat([True, False], count)
    distances = np.where(same, 0.5, 0.5 + gap)
    report = evaluate_verification(distances, same, with_folds(distances, same))
    assert (report.accuracy, report.standard_error) == (1.0, 0.0)
    assert (report.auc, report.eer) == (1.0, 0.0)
    assert report.tar_at_fmr == {0.1: 1.0, 0.01: 1.0, 0.001: 1.0}


@given(distance=st.floats(0.0, 2.0), count=st.integers(1, 8))
def test_a_constant_distance_is_as_good_as_a_coin(distance: float, count: int) -> None:
    same = np.repeat([True, False], 2 * count)
    distances = np.full(len(same), distance)
    report = evaluate_verification(distances, same, with_folds(distances, same))
    assert report.accuracy == 0.5
    assert (report.auc, report.eer) == (0.5, 0.5)
    assert set(report.tar_at_fmr.values()) == {0.0}


def test_the_standard_error_is_that_of_the_mean_of_the_folds() -> None:
    generator = np.random.default_rng(0)
    same = np.tile([True, False], 60)
    distances = generator.normal(np.where(same, 0.8, 1.2), 0.3)
    folds = np.repeat(np.arange(6), 20)
    report = evaluate_verification(distances, same, folds)
    accuracies = np.array(report.fold_accuracies)
    deviation = np.sqrt(((accuracies - accuracies.mean()) ** 2).sum() / 5)
    assert deviation > 0
    assert report.accuracy == pytest.approx(accuracies.mean())
    assert report.standard_error == pytest.approx(deviation / np.sqrt(6))


def test_a_fold_is_judged_by_the_threshold_of_the_others() -> None:
    # The two folds lie at different distances: each threshold is wrong for the other fold.
    report = evaluate_verification(
        distances=[0.1, 0.2, 1.1, 1.2],
        same=[True, False, True, False],
        folds=["first", "first", "second", "second"],
    )
    assert report.fold_thresholds == pytest.approx((1.15, 0.15))
    assert report.fold_accuracies == (0.5, 0.5)


def test_the_rates_to_state_can_be_chosen() -> None:
    report = evaluate_verification(
        [0.1, 0.4, 0.3, 0.2], [True, False, True, False], [0, 0, 1, 1], false_match_rates=[0.5]
    )
    assert report.tar_at_fmr == {0.5: 1.0}


def test_a_report_is_ready_for_json() -> None:
    report = evaluate_verification([0.1, 0.4, 0.3, 0.2], [1, 0, 1, 0], [0, 0, 1, 1])
    values = json.loads(json.dumps(report.to_dict()))
    assert values["accuracy"] == report.accuracy
    assert values["fold_accuracies"] == list(report.fold_accuracies)
    assert values["tar_at_fmr"] == {
        "0.1": report.tar_at_fmr[0.1],
        "0.01": report.tar_at_fmr[0.01],
        "0.001": report.tar_at_fmr[0.001],
    }


@pytest.mark.parametrize(
    ("distances", "same", "folds", "words"),
    [
        ([0.1, 0.2], [True], [0, 1], "equally long"),
        ([[0.1, 0.2]], [[True, False]], [[0, 1]], "one-dimensional"),
        ([], [], [], "pairs of one person and pairs of two"),
        ([0.1, 0.2], [True, True], [0, 1], "pairs of one person and pairs of two"),
        ([0.1, 0.2], [False, False], [0, 1], "pairs of one person and pairs of two"),
        ([0.1, np.nan], [True, False], [0, 1], "finite"),
        ([0.1, np.inf], [True, False], [0, 1], "finite"),
        ([0.1, 0.2], [True, False], [0, 0], "at least two folds"),
        ([0.1, 0.2], [True, False], [0], "at least two folds"),
        ([0.1, 0.2], [True, False], [0, 1], "fold 0 must hold"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [1, 0, 1, 0, 1], [0, 0, 1, 1, 2], "fold 2 must hold"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    distances: Any, same: Any, folds: Any, words: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        evaluate_verification(distances, same, folds)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "0.1", None])
def test_a_rate_that_is_no_share_is_refused(rate: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="false_match_rates must be a number from 0 to"):
        evaluate_verification(
            [0.1, 0.4, 0.3, 0.2], [1, 0, 1, 0], [0, 0, 1, 1], false_match_rates=[rate]
        )
