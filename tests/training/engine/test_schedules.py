"""Values by epoch and the learning rate by step."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import InvalidArgumentError
from facekit.training.engine.schedules import (
    by_epoch,
    check_schedule,
    learning_rate_factor,
    value_at,
)


@given(st.dictionaries(st.integers(1, 50), st.integers()), st.integers(0, 60))
def test_the_value_of_an_epoch_is_the_last_that_began(values: dict[int, int], epoch: int) -> None:
    values[0] = -1
    held = value_at(by_epoch("x", values), epoch)
    assert held == values[max(start for start in values if start <= epoch)]


@pytest.mark.parametrize("value", [{}, {1: "a"}, {"0": "a"}, {0.0: "a"}, {True: "a"}])
def test_what_is_no_mapping_by_epoch_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="mining by epoch"):
        by_epoch("mining", value)


@given(st.integers(1, 500), st.integers(0, 100), st.sampled_from(["cosine", "constant"]))
def test_the_rate_rises_then_never_rises_again(steps: int, warm_up: int, schedule: Any) -> None:
    factors = [
        learning_rate_factor(step, steps, schedule=schedule, warm_up_steps=warm_up)
        for step in range(steps)
    ]
    assert all(0.0 <= factor <= 1.0 for factor in factors)
    assert factors[:warm_up] == sorted(factors[:warm_up])
    assert factors[warm_up:] == sorted(factors[warm_up:], reverse=True)


def test_cosine_ends_at_zero() -> None:
    assert learning_rate_factor(100, 100) == pytest.approx(0.0)
    assert learning_rate_factor(50, 100) == pytest.approx(0.5)


@pytest.mark.parametrize(("schedule", "warm_up"), [("linear", 0), ("cosine", -1), ("cosine", 1.5)])
def test_bad_schedules_are_refused(schedule: str, warm_up: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"schedule|warm_up_steps"):
        check_schedule(schedule, warm_up)
