"""One step: at once and in parts it does the same."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from facekit import InvalidArgumentError
from facekit.training import TripletLoss
from facekit.training.engine.step import TrainingStep, parts_of
from facekit.training.losses.miners import MINERS
from facekit.training.losses.statistics import spread, triplet_statistics

LABELS = np.repeat(np.arange(4), 3).astype(np.int32)


def small_network(*, dropout: float = 0.0, normalization: bool = False) -> Any:
    x = inputs = keras.Input((6,))
    x = keras.layers.Dense(8, activation="tanh", kernel_initializer=_initializer(1))(x)
    if normalization:
        x = keras.layers.BatchNormalization()(x)
    if dropout:
        x = keras.layers.Dropout(dropout, seed=7)(x)
    x = keras.layers.Dense(5, kernel_initializer=_initializer(2))(x)
    return keras.Model(inputs, keras.layers.UnitNormalization()(x))


def _initializer(seed: int) -> Any:
    return keras.initializers.GlorotUniform(seed)


def trained(
    network: Any, *, micro_batch: int | None, miner: str = "semihard", steps: int = 3
) -> tuple[list[dict[str, float]], list[Any]]:
    parts = parts_of(len(LABELS), micro_batch)
    optimizer = keras.optimizers.Adam(
        0.01, gradient_accumulation_steps=parts if parts > 1 else None
    )
    optimizer.build(network.trainable_variables)
    step = TrainingStep(
        network,
        TripletLoss(miner, margin=0.3),
        # Those of triplets take long to compile; once is enough.
        triplet_statistics if miner == "semihard" else lambda _, x: {"spread": spread(x)},
        optimizer,
        micro_batch=micro_batch,
    )
    rng = np.random.default_rng(0)
    measured = [step(rng.normal(size=(12, 6)).astype(np.float32), LABELS) for _ in range(steps)]
    return measured, [np.asarray(variable) for variable in network.variables]


@pytest.mark.parametrize(
    "miner",
    [pytest.param(each, marks=[pytest.mark.check] * (each != "semihard")) for each in MINERS],
)
def test_parts_train_as_the_whole_batch_does(miner: str) -> None:
    whole, weights = trained(small_network(), micro_batch=None, miner=miner)
    parts, weights_of_parts = trained(small_network(), micro_batch=4, miner=miner)
    for one, other in zip(whole, parts, strict=True):
        assert other == pytest.approx(one, rel=1e-4, abs=1e-5)
    for one, other in zip(weights, weights_of_parts, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


def test_a_part_that_is_the_whole_batch_drops_and_normalizes_alike() -> None:
    # The first pass must leave no trace: random state and moving averages move once, not twice.
    networks = [small_network(dropout=0.4, normalization=True) for _ in range(2)]
    whole, weights = trained(networks[0], micro_batch=None)
    parts, weights_of_parts = trained(networks[1], micro_batch=12)
    assert parts[-1]["loss"] == pytest.approx(whole[-1]["loss"], rel=1e-4)
    for one, other in zip(weights, weights_of_parts, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)


def test_a_step_reports_itself_and_not_the_steps_before() -> None:
    measured, _ = trained(small_network(), micro_batch=None, steps=2)
    network = small_network()
    trained(network, micro_batch=None, steps=1)
    rng = np.random.default_rng(0)
    _, second = (rng.normal(size=(12, 6)).astype(np.float32) for _ in range(2))
    assert measured[1]["loss"] == pytest.approx(
        float(TripletLoss("semihard", 0.3)(LABELS, network(second))), rel=1e-4
    )


@pytest.mark.parametrize("micro_batch", [0, -1, 5, 1.5, True])
def test_parts_must_be_of_one_size(micro_batch: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="micro_batch"):
        parts_of(12, micro_batch)
