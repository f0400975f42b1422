"""Labels: whatever tells people apart becomes numbers, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from facekit import InvalidArgumentError
from facekit.training.losses.labels import integer_labels
from facekit.training.losses.statistics import triplet_statistics

PEOPLE = np.array(["Ann", "Bob", "Cleo", "Dora", "Eve"])
KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "strings of NumPy": lambda labels: PEOPLE[labels],
    "a list of strings": lambda labels: PEOPLE[labels].tolist(),
    "a list of numpy.str_": lambda labels: list(PEOPLE[labels]),
    "objects": lambda labels: PEOPLE[labels].astype(object),
    "mixed objects": lambda labels: np.array(["Ann", 7, 2.5, (1, 2), b"x"], object)[labels],
    "bytes": lambda labels: PEOPLE.astype(bytes)[labels],
    "a column of strings": lambda labels: PEOPLE[labels][:, None],
    "floats": lambda labels: labels.astype("float32"),
    "unsigned": lambda labels: labels.astype("uint8"),
    "large integers": lambda labels: labels + 2**53,
    "a tensor": ops.convert_to_tensor,
}


def numbered(labels: Any, count: int) -> np.ndarray:
    return ops.convert_to_numpy(integer_labels(labels, ops.zeros((count, 2))))


@pytest.mark.parametrize("kind", KINDS)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=12).map(np.array))
def test_equal_labels_get_equal_numbers_and_others_others(kind: str, labels: np.ndarray) -> None:
    found = numbered(KINDS[kind](labels), len(labels))
    assert found.shape == labels.shape
    assert np.array_equal(found[:, None] == found, labels[:, None] == labels)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["Ann", None, "Bob"], "None or NaN"),
        ([0.0, np.nan, 1.0], "None or NaN"),
        ([["a"], ["b", "c"], ["d"]], "hashable|shape"),
        ([{}, {}, {}], "hashable"),
        (["Ann", "Bob"], "one for each"),
        (np.zeros((3, 3)), "not one-hot"),
        (0, "one for each"),
        ([[[0]], [[1]], [[2]]], "one for each"),
    ],
)
def test_labels_that_tell_nobody_apart_are_named(labels: Any, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"labels must.*({words})"):
        numbered(labels, 3)
    with pytest.raises(InvalidArgumentError, match="labels must"):
        triplet_statistics(labels, np.zeros((3, 2), "float32"))
