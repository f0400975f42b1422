"""Triplet losses: their laws, the numbers of tensorflow-addons, and their life in a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import triplet_reference
from golden_losses import golden_cases
from gradients import loss_and_gradient
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from facekit import InvalidArgumentError
from facekit.training import (
    TripletHardLoss,
    TripletLoss,
    TripletSemiHardLoss,
    triplet_hard_loss,
    triplet_semihard_loss,
)
from facekit.training.losses.functional import mined_loss
from facekit.training.losses.miners import MINERS, mine_batch_all, mine_facenet
from facekit.training.losses.statistics import triplet_statistics


def batch_all(labels: Any, embeddings: Any, margin: float = 1.0, metric: Any = "L2") -> Any:
    return mined_loss(mine_batch_all, labels, embeddings, margin, metric)


def facenet(labels: Any, embeddings: Any, margin: float = 0.2) -> Any:
    return mined_loss(mine_facenet, labels, embeddings, margin, "squared-L2")


LOSSES: dict[str, Callable[..., Any]] = {
    "semihard": triplet_semihard_loss,
    "hard": triplet_hard_loss,
    "soft hard": partial(triplet_hard_loss, soft=True),
    "batch-all": batch_all,
    "facenet": facenet,
}
REFERENCES: dict[str, Callable[..., triplet_reference.Answer]] = {
    "semihard": triplet_reference.semihard,
    "hard": partial(triplet_reference.hard, soft=False),
    "soft hard": partial(triplet_reference.hard, soft=True),
    "batch-all": triplet_reference.batch_all,
    "facenet": triplet_reference.facenet,
}
CLASSES = (
    TripletSemiHardLoss,
    TripletHardLoss,
    *(partial(TripletLoss, miner) for miner in MINERS),
)
EACH_LOSS = pytest.mark.parametrize("name", LOSSES)
SEEDS = st.integers(0, 2**32 - 1)


def batch(seed: int, size: int = 16, dimension: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    embeddings = random.normal(size=(size, dimension))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return random.integers(0, 5, size=size), embeddings.astype("float32")


def run(name: str, labels: Any, embeddings: Any, margin: float = 0.4) -> tuple[float, np.ndarray]:
    value, gradient = loss_and_gradient(partial(LOSSES[name], margin=margin), labels, embeddings)
    return float(value), gradient


@EACH_LOSS
@settings(max_examples=15)
@given(seed=SEEDS, margin=st.sampled_from([0.0, 0.25, 1.0]), grid=st.booleans())
def test_loss_and_gradient_are_those_of_the_definition(
    name: str, seed: int, margin: float, grid: bool
) -> None:
    labels, embeddings = batch(seed)
    if grid:  # where many distances are exactly equal
        embeddings = np.round(embeddings * 2) / 2
    squared = name == "facenet"
    rows = triplet_reference.distances(embeddings, squared=squared)
    expected, weights = REFERENCES[name](labels, rows.astype("float32").astype("float64"), margin)
    value, gradient = run(name, labels, embeddings, margin)
    assert value == pytest.approx(expected, rel=1e-4, abs=1e-5)
    # d‖x − y‖ = (x − y)/‖x − y‖, and twice x − y for the square.
    factors = 2 * weights if squared else weights / np.where(rows > 0, rows, np.inf)
    factors = factors + factors.T
    by_hand = factors.sum(axis=1, keepdims=True) * embeddings - factors @ embeddings
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-3, atol=2e-4)


def test_golden_values_of_tensorflow_addons() -> None:
    for case, expected, expected_gradient in golden_cases():
        value, gradient = case.ours()
        half = case.dtype in ("float16", "bfloat16")
        np.testing.assert_allclose(value, expected, rtol=1e-2 if half else 1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient, expected_gradient, atol=2e-3 if half else 1e-4)


@EACH_LOSS
@given(seed=SEEDS)
@settings(max_examples=12)
def test_order_of_the_batch_and_names_of_labels_do_not_matter(name: str, seed: int) -> None:
    labels, embeddings = batch(seed)
    value, gradient = run(name, labels, embeddings)
    random = np.random.default_rng(seed)
    order, names = random.permutation(len(labels)), random.permutation(1000)[:5] - 500
    other, other_gradient = run(name, names[labels][order], embeddings[order])
    assert other == pytest.approx(value, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(other_gradient, gradient[order], atol=1e-4)


@EACH_LOSS
@given(seed=SEEDS)
@settings(max_examples=12)
def test_rotating_the_space_rotates_the_gradient(name: str, seed: int) -> None:
    labels, embeddings = batch(seed)
    value, gradient = run(name, labels, embeddings)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(4, 4)))
    other, other_gradient = run(name, labels, (embeddings @ rotation).astype("float32"))
    assert other == pytest.approx(value, rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(other_gradient, gradient @ rotation, atol=2e-3)


@pytest.mark.parametrize("name", ["semihard", "hard", "batch-all", "facenet"])
@given(seed=SEEDS)
@settings(max_examples=12)
def test_zero_when_all_negatives_are_beyond_the_margin(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 3)
    embeddings = np.eye(4)[labels] * 3 + random.uniform(-0.05, 0.05, size=(12, 4))
    value, gradient = run(name, labels, embeddings.astype("float32"))
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("name", ["semihard", "batch-all", "facenet"])
def test_no_pair_of_one_label_costs_nothing(name: str) -> None:
    value, gradient = run(name, np.arange(16), batch(0)[1])
    assert value == 0.0
    assert not gradient.any()


@EACH_LOSS
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 2, 3]])
def test_collapsed_embeddings_give_a_finite_gradient(name: str, labels: list[int]) -> None:
    value, gradient = run(name, labels, np.full((4, 8), 0.35355339, "float32"))
    assert np.isfinite(value)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


@EACH_LOSS
def test_nan_in_one_embedding_is_not_hidden(name: str) -> None:
    labels, embeddings = batch(3)
    embeddings[7, 0] = np.nan
    assert np.isnan(run(name, labels, embeddings)[0])


@EACH_LOSS
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(name: str, dtype: str) -> None:
    labels, embeddings = batch(4)
    half = ops.cast(embeddings, dtype)
    value = LOSSES[name](labels, half)
    assert keras.backend.standardize_dtype(value.dtype) == dtype
    exact = float(LOSSES[name](labels, ops.cast(half, "float32")))
    assert float(ops.cast(value, "float32")) == pytest.approx(exact, rel=2**-8)


@EACH_LOSS
def test_labels_may_be_names(name: str) -> None:
    labels, embeddings = batch(10)
    names = np.array(["Ann", "Bob", "Cleo", "Dora", "Eve"])[labels]
    for others in (names, list(names), names.astype(object), names[:, None]):
        assert run(name, others, embeddings)[0] == run(name, labels, embeddings)[0]
    with pytest.raises(InvalidArgumentError, match=r"labels must .* None or NaN"):
        LOSSES[name](["Ann", None], embeddings[:2])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other tensors hold numbers")
def test_strings_in_a_compiled_model_are_named() -> None:
    import tensorflow as tf

    for loss in LOSSES.values():
        with pytest.raises(InvalidArgumentError, match="return_inverse=True"):
            tf.function(loss, autograph=False)(tf.constant(["a", "b"]), tf.zeros((2, 2)))


@EACH_LOSS
@pytest.mark.parametrize("labels", [[], np.empty(0, int), np.empty((0, 1), str)])
def test_an_empty_batch_costs_nothing(name: str, labels: Any) -> None:
    embeddings = np.empty((0, 4), "float32")
    assert float(LOSSES[name](labels, embeddings)) == 0.0
    value, gradient = run(name, np.empty(0, "int32"), embeddings)
    assert value == 0.0
    assert gradient.shape == (0, 4)
    assert set(map(float, triplet_statistics(labels, embeddings).values())) == {0.0}


@EACH_LOSS
@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_batch_of_one_person_pulls_together_or_not_at_all(name: str, size: int) -> None:
    embeddings = batch(11, size=size)[1]
    value, gradient = run(name, np.zeros(size, int), embeddings, margin=0.25)
    rows = triplet_reference.distances(embeddings, squared=name == "facenet").astype("float32")
    expected, _ = REFERENCES[name](np.zeros(size, int), rows.astype("float64"), 0.25)
    assert value == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert np.isfinite(gradient).all()


def test_a_miner_of_ones_own() -> None:
    def pull(labels: Any, distances: Any, margin: float) -> Any:
        same = ops.cast(labels[:, None] == labels[None, :], distances.dtype)
        return ops.sum(same * distances), same

    labels, embeddings = batch(12)
    value, gradient = loss_and_gradient(TripletLoss(pull), labels, embeddings)
    same = labels[:, None] == labels
    assert value == pytest.approx(
        triplet_reference.distances(embeddings, squared=True)[same].sum(), rel=1e-4
    )
    by_hand = 4 * (same.sum(axis=1, keepdims=True) * embeddings - same @ embeddings)
    np.testing.assert_allclose(gradient, by_hand, atol=1e-4)


def test_labels_as_a_column_and_one_dimension_work() -> None:
    labels, embeddings = batch(5, dimension=1)
    column = TripletSemiHardLoss()(labels[:, None], embeddings)
    assert float(column) == float(triplet_semihard_loss(labels, embeddings))


def test_large_labels_do_not_run_together() -> None:
    embeddings = batch(6, size=4)[1]
    large = np.array([2**24, 2**24 + 1, 2**24, 2**24 + 1])
    expected = float(triplet_semihard_loss([0, 1, 0, 1], embeddings))
    assert float(TripletSemiHardLoss()(large, embeddings)) == expected


@pytest.mark.parametrize("loss", CLASSES)
def test_configuration_makes_the_same_loss(loss: Any) -> None:
    first = loss(margin=0.3, name="mine")
    second = type(first).from_config(first.get_config())
    assert second.get_config() == first.get_config()
    labels, embeddings = batch(7)
    assert float(second(labels, embeddings)) == float(first(labels, embeddings))


@keras.saving.register_keras_serializable(package="tests")
def doubled(embeddings: Any) -> Any:
    return 2 * ops.sum(ops.abs(embeddings[:, None] - embeddings[None, :]), axis=2)


def small_model(loss: Any) -> Any:
    layers = [keras.Input((6,)), keras.layers.Dense(4), keras.layers.UnitNormalization()]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.02), loss)
    return model


def test_model_learns_and_is_saved_with_its_loss(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 8)
    pictures = (random.normal(size=(6, 6))[labels] + random.normal(size=(48, 6)) / 4).astype("f4")
    keras.utils.set_random_seed(0)
    model = small_model(TripletSemiHardLoss(0.5, doubled))
    history = model.fit(pictures, labels, batch_size=48, epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0] / 2
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.loss.distance_metric is doubled
    assert loaded.evaluate(pictures, labels, batch_size=48, verbose=0) == pytest.approx(
        model.evaluate(pictures, labels, batch_size=48, verbose=0)
    )


def test_functions_can_be_compiled() -> None:
    labels, embeddings = batch(8, dimension=6)
    for loss in (triplet_semihard_loss, triplet_hard_loss):
        assert np.isfinite(small_model(loss).evaluate(embeddings, labels, verbose=0))


@pytest.mark.check
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shapes are static elsewhere")
def test_batch_size_may_be_unknown_to_the_graph() -> None:
    import tensorflow as tf

    signature = [tf.TensorSpec((None,), "int32"), tf.TensorSpec((None, 4), "float32")]
    for name, loss in LOSSES.items():
        compiled = tf.function(loss, input_signature=signature)
        for size in (0, 1, 2, 16):
            labels, embeddings = batch(9, size=size)
            found = float(compiled(labels.astype("int32"), embeddings))
            assert found == pytest.approx(float(loss(labels, embeddings)), rel=1e-5), name


@pytest.mark.parametrize("margin", [-0.1, np.float32(-0.1), float("nan"), float("inf"), "1", None])
def test_margin_that_cannot_work_raises_an_error(margin: Any) -> None:
    labels, embeddings = batch(0)
    for loss in LOSSES.values():
        with pytest.raises(InvalidArgumentError, match="margin must be"):
            loss(labels, embeddings, margin=margin)
    for loss in CLASSES:
        with pytest.raises(InvalidArgumentError, match="margin must be"):
            loss(margin=margin)


def test_other_wrong_arguments_raise_errors() -> None:
    labels, embeddings = batch(0)
    with pytest.raises(InvalidArgumentError, match="distance_metric"):
        TripletSemiHardLoss(distance_metric="euclidean")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="miner must be one of"):
        TripletLoss("random")
    with pytest.raises(InvalidArgumentError, match="squared-L2"):
        TripletLoss("facenet", distance_metric="L2")
    with pytest.raises(InvalidArgumentError, match="sample_weight"):
        TripletHardLoss()(labels, embeddings, sample_weight=np.ones(16))
    for loss in (triplet_semihard_loss, TripletSemiHardLoss()):
        with pytest.raises(InvalidArgumentError, match=r"embeddings \(16, 4\).*not one-hot"):
            loss(np.eye(16), embeddings)
        for wrong in (embeddings[:, 0], 1.0):
            with pytest.raises(InvalidArgumentError, match="embeddings must have the shape"):
                loss(labels, wrong)
