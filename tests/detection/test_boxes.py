"""Laws of the box arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facekit.detection.boxes import (
    Boxes,
    OverlapMeasure,
    clipped,
    moved,
    overlap,
    squared,
    suppress_non_maxima,
)

measures = st.sampled_from(["union", "min"])
thresholds = st.floats(0.05, 0.95)


@st.composite
def boxes(draw: st.DrawFn, most: int = 20) -> Boxes:
    """Boxes with an area, on a small grid, so that many meet."""
    count = draw(st.integers(0, most))
    corner = draw(hnp.arrays(np.int64, (count, 2), elements=st.integers(-20, 20)))
    size = draw(hnp.arrays(np.int64, (count, 2), elements=st.integers(1, 30)))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float64)


def distinct_scores(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(count) / max(count, 1)


def shared_pixels(first: np.ndarray, second: np.ndarray) -> tuple[int, int, int]:
    """Counts the pixels of two boxes with whole coordinates, and those in both."""
    masks = np.zeros((2, 80, 80), dtype=bool)
    for mask, (x1, y1, x2, y2) in zip(masks, (first, second), strict=True):
        mask[int(y1) + 25 : int(y2) + 25, int(x1) + 25 : int(x2) + 25] = True
    return masks[0].sum(), masks[1].sum(), (masks[0] & masks[1]).sum()


@given(boxes(5), boxes(5), measures)
def test_overlap_counts_pixels(first: Boxes, second: Boxes, measure: OverlapMeasure) -> None:
    answer = overlap(first, second, measure)
    assert answer.shape == (len(first), len(second))
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            a, b, both = shared_pixels(one, other)
            base = a + b - both if measure == "union" else min(a, b)
            assert answer[i, j] == pytest.approx(both / base)


@given(boxes(), measures)
def test_overlap_is_symmetric_and_at_most_one(some: Boxes, measure: OverlapMeasure) -> None:
    answer = overlap(some, some, measure)
    assert np.array_equal(answer, answer.T)
    assert np.allclose(np.diag(answer), 1.0)
    assert ((answer >= 0.0) & (answer <= 1.0)).all()


def test_overlap_of_boxes_without_an_area_is_zero() -> None:
    nothing = np.zeros((1, 4))
    assert overlap(nothing, nothing) == overlap(nothing, nothing, "min") == 0.0


@given(boxes(), st.integers(0, 999), thresholds, measures)
def test_suppression_keeps_the_best_and_every_box_has_a_better_one_or_stays(
    some: Boxes, seed: int, threshold: float, measure: OverlapMeasure
) -> None:
    scores = distinct_scores(len(some), seed)
    kept = suppress_non_maxima(some, scores, threshold, measure)
    shares = overlap(some, some, measure)
    # By definition: a box stays if none that is better overlaps it too much.
    stays = [
        not any(scores[j] > scores[i] and shares[i, j] > threshold for j in range(len(some)))
        for i in range(len(some))
    ]
    # At exactly the threshold, the last digit may fall either way.
    if not np.isclose(shares, threshold).any():
        assert sorted(kept) == np.flatnonzero(stays).tolist()
    if len(some):
        assert kept[0] == scores.argmax()
    assert (np.diff(scores[kept]) < 0).all()


@given(boxes(), st.integers(0, 999), thresholds, measures)
def test_suppression_is_idempotent(
    some: Boxes, seed: int, threshold: float, measure: OverlapMeasure
) -> None:
    scores = distinct_scores(len(some), seed)
    kept = suppress_non_maxima(some, scores, threshold, measure)
    again = suppress_non_maxima(some[kept], scores[kept], threshold, measure)
    assert again.tolist() == list(range(len(kept)))


@given(boxes(), st.integers(0, 999), thresholds, measures, st.randoms())
def test_suppression_does_not_depend_on_the_order(
    some: Boxes, seed: int, threshold: float, measure: OverlapMeasure, random: object
) -> None:
    scores = distinct_scores(len(some), seed)
    order = np.random.default_rng(seed + 1).permutation(len(some))
    kept = suppress_non_maxima(some, scores, threshold, measure)
    shuffled = suppress_non_maxima(some[order], scores[order], threshold, measure)
    assert order[shuffled].tolist() == kept.tolist()


def test_suppression_of_many_boxes_is_that_of_few() -> None:
    random = np.random.default_rng(0)
    corner = random.uniform(0, 300, (900, 2))
    some = np.concatenate([corner, corner + random.uniform(10, 40, (900, 2))], axis=1)
    scores = random.permutation(900) / 900.0
    shares = overlap(some, some)
    better = scores[None, :] > scores[:, None]
    expected = np.flatnonzero(~(better & (shares > 0.4)).any(axis=1))
    assert sorted(suppress_non_maxima(some, scores, 0.4)) == expected.tolist()


@given(boxes())
def test_squares_share_the_middle_and_cover_the_box(some: Boxes) -> None:
    squares = squared(some)
    sides = squares[:, 2:] - squares[:, :2]
    assert np.allclose(sides[:, 0], sides[:, 1])
    assert np.allclose(sides[:, 0], (some[:, 2:] - some[:, :2]).max(axis=1, initial=0))
    assert np.allclose(squares[:, :2] + squares[:, 2:], some[:, :2] + some[:, 2:])
    assert np.allclose(squared(squares), squares)


@given(boxes())
def test_no_offset_moves_nothing(some: Boxes) -> None:
    assert np.array_equal(moved(some, np.zeros((len(some), 4))), some)


def test_offsets_count_in_sizes_of_the_box() -> None:
    box = np.array([[0.0, 0.0, 9.0, 19.0]])
    assert moved(box, np.array([[0.1, 0.1, -0.2, -0.2]])).tolist() == [[1.0, 2.0, 7.0, 15.0]]


@given(boxes(), st.integers(1, 40), st.integers(1, 40))
def test_clipped_boxes_lie_inside_and_clip_to_themselves(
    some: Boxes, height: int, width: int
) -> None:
    inside = clipped(some, height, width)
    assert ((inside >= 0) & (inside <= [width - 1, height - 1] * 2)).all()
    assert np.array_equal(clipped(inside, height, width), inside)


@given(st.integers(0, 99), thresholds, measures)
def test_many_boxes_stay_as_if_all_were_compared(
    seed: int, threshold: float, measure: OverlapMeasure
) -> None:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 300, (700, 2))
    some = np.concatenate([corner, corner + random.uniform(1, 60, (700, 2))], axis=1)
    scores = distinct_scores(700, seed)
    hidden = (overlap(some, some, measure) > threshold) & (scores[None, :] > scores[:, None])
    expected = set(np.flatnonzero(~hidden.any(axis=1)).tolist())
    assert set(suppress_non_maxima(some, scores, threshold, measure).tolist()) == expected
