"""Distances: right, exact where embeddings are equal, with a gradient everywhere."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import triplet_reference
from gradients import loss_and_gradient
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from facekit import InvalidArgumentError
from facekit.training.losses.distances import pairwise_distances

METRICS = ("L2", "squared-L2", "angular")


def matrix(embeddings: np.ndarray, metric: str = "L2") -> np.ndarray:
    return ops.convert_to_numpy(pairwise_distances(embeddings, metric))


def drawn(seed: int, size: int = 12, dimension: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, dimension)).astype("float32")


@given(st.integers(0, 2**32 - 1))
def test_distances_are_those_of_the_definitions(seed: int) -> None:
    x = drawn(seed)
    for metric in ("L2", "squared-L2"):
        expected = triplet_reference.distances(x, squared=metric == "squared-L2")
        np.testing.assert_allclose(matrix(x, metric), expected, rtol=1e-3, atol=1e-4)
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(matrix(x, "angular"), 1 - units @ units.T, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_same_dtype_in_and_out_but_half_precision_becomes_float32(metric: str) -> None:
    for dtype, expected in (
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("float32", "float32"),
    ):
        found = pairwise_distances(ops.cast(drawn(0), dtype), metric)
        assert keras.backend.standardize_dtype(found.dtype) == expected


@pytest.mark.parametrize("metric", METRICS)
def test_gradient_is_zero_and_finite_between_equal_embeddings(metric: str) -> None:
    for x in (np.ones((4, 4), "float32"), np.zeros((4, 4), "float32")):
        value, gradient = loss_and_gradient(
            lambda _, x: ops.sum(pairwise_distances(x, metric)), np.zeros(4), x
        )
        assert np.isfinite(value)
        np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_nan_stays_nan(metric: str) -> None:
    x = drawn(1)
    x[3, 2] = np.nan
    found = matrix(x, metric)
    assert np.isnan(np.delete(found[3], 3)).all()
    assert np.isfinite(np.delete(np.delete(found, 3, 0), 3, 1)).all()


def test_function_makes_the_matrix() -> None:
    found = matrix(drawn(2), lambda x: ops.matmul(x, ops.transpose(x)))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, drawn(2) @ drawn(2).T, rtol=1e-5, atol=1e-5)


def test_unknown_metric_and_wrong_shape_raise_errors() -> None:
    with pytest.raises(InvalidArgumentError, match="'L1'"):
        matrix(drawn(0), "L1")
    with pytest.raises(InvalidArgumentError, match=r"\(n, d\), got \(12,\)"):
        matrix(np.zeros(12, "float32"))
