"""Values by epoch and the learning rate by step."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import InvalidArgumentError
from facekit.training.engine.schedules import by_epoch, check_learning_rate, learning_rate, value_at


@given(st.dictionaries(st.integers(1, 50), st.integers()), st.integers(0, 60))
def test_the_value_of_an_epoch_is_the_last_that_began(values: dict[int, int], epoch: int) -> None:
    values[0] = -1
    held = value_at(by_epoch("x", values), epoch)
    assert held == values[max(start for start in values if start <= epoch)]


@pytest.mark.parametrize("value", [{}, {1: "a"}, {"0": "a"}, {0.0: "a"}, {True: "a"}, {-1: "a"}])
def test_what_is_no_mapping_by_epoch_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="miner"):
        by_epoch("miner", value)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize(("steps", "warm_up"), [(40, 0), (40, 7), (3, 9), (1, 0)])
def test_the_rate_rises_then_never_rises_again(steps: int, warm_up: int, schedule: Any) -> None:
    rates = [
        learning_rate(0.01, step, steps, schedule=schedule, warm_up_steps=warm_up)
        for step in range(steps)
    ]
    assert all(0.0 < rate <= 0.01 * (1 + 1e-6) for rate in rates)
    assert rates[:warm_up] == sorted(rates[:warm_up])
    assert rates[warm_up:] == sorted(rates[warm_up:], reverse=True)


@pytest.mark.parametrize(("schedule", "last"), [("cosine", 0.0), ("constant", 0.01)])
def test_the_end_of_a_schedule(schedule: Any, last: float) -> None:
    def rate(step: int) -> float:
        return learning_rate(0.01, step, 100, schedule=schedule, warm_up_steps=20)

    assert rate(20) == pytest.approx(0.01)
    assert rate(60) == pytest.approx((0.01 + last) / 2)
    assert rate(100) == rate(500) == pytest.approx(last, abs=1e-9)


def test_a_schedule_of_keras_counts_the_steps_of_the_training() -> None:
    halves = keras.optimizers.schedules.PiecewiseConstantDecay([10], [0.5, 0.25])
    found = [learning_rate(halves, s, 99, schedule="cosine", warm_up_steps=50) for s in (0, 10, 11)]
    assert found == [0.5, 0.5, 0.25]
    check_learning_rate(halves)


@pytest.mark.parametrize("rate", [0, -1.0, float("nan"), float("inf"), "fast", True])
def test_rates_that_cannot_work_are_named(rate: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="learning_rate must be a number above 0"):
        check_learning_rate(rate)
