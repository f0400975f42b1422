"""Pairs of faces that are one person or two: each changes its own groups alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import InvalidArgumentError
from facekit.clustering.constraints import IntArray, constrained

COUNT = 8
PAIRS = st.lists(st.tuples(*2 * (st.integers(0, COUNT - 1),)), max_size=4)
LABELS = st.lists(st.integers(0, 3), min_size=COUNT, max_size=COUNT)


def outcome(labels: list[int], same: list, different: list, seed: int = 0) -> set[frozenset[int]]:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(COUNT, 3)).astype(np.float32)
    vectors = np.tile(vectors, (len(labels) // COUNT, 1))
    return partition(constrained(vectors, np.array(labels), same, different))


def partition(labels: IntArray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


def contradict(same: list, different: list) -> bool:
    part = list(range(COUNT))
    for one, other in same:
        part = [part[one] if of == part[other] else of for of in part]
    return any(part[one] == part[other] for one, other in different)


def shifted(pairs: list) -> list:
    return [(one + COUNT, other + COUNT) for one, other in pairs]


@given(LABELS, PAIRS, PAIRS, st.integers(0, 99))
def test_pairs_are_followed(labels: list[int], same: list, different: list, seed: int) -> None:
    if contradict(same, different):
        with pytest.raises(InvalidArgumentError, match="contradict"):
            outcome(labels, same, different, seed)
        return
    groups = outcome(labels, same, different, seed)
    assert sorted(face for group in groups for face in group) == list(range(COUNT))
    for one, other in same:
        assert any({one, other} <= group for group in groups)
    for one, other in different:
        assert not any({one, other} <= group for group in groups)
    touched = {labels[face] for pair in (*same, *different) for face in pair}
    for group in partition(np.array(labels)):
        if labels[min(group)] not in touched:
            assert group in groups


@given(LABELS, PAIRS, PAIRS, PAIRS)
def test_groups_that_no_pair_connects_do_not_change_each_other(
    labels: list[int], same: list, different: list, across: list
) -> None:
    if contradict(same, different):
        return
    alone = outcome(labels, same, different)
    # The same faces once more, in groups of their own, said to be other people.
    twice = outcome(
        [*labels, *(label + 4 for label in labels)],
        [*same, *shifted(same)],
        [*shifted(different), *((one, other + COUNT) for one, other in across), *different],
    )
    again = {frozenset(face + COUNT for face in group) for group in alone}
    assert twice == alone | again


@pytest.mark.parametrize(
    ("same", "different", "expected"),
    [
        ([], [], [0, 0, 1, 1]),
        ([(0, 2)], [], [0, 0, 0, 0]),
        ([], [(0, 1)], [0, 1, 2, 2]),
        ([(0, 2)], [(1, 3)], [0, 1, 0, 2]),
        ([(0, 1), (2, 3), (1, 2)], [], [0, 0, 0, 0]),
    ],
)
def test_pairs_change_no_more_than_they_say(
    same: list, different: list, expected: list[int]
) -> None:
    vectors = np.array([[1, 0], [0.96, 0.28], [0, 1], [0.28, 0.96]], np.float32)
    found = constrained(vectors, np.array([0, 0, 1, 1]), same, different)
    assert partition(found) == partition(np.array(expected))
