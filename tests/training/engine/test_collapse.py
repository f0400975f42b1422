"""NaN and collapse are noticed, and nothing else is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.errors import TrainingError
from facekit.training.engine.collapse import CollapseGuard

HEALTHY = {"loss": 0.12, "spread": 0.7, "positive_distance": 0.5, "negative_distance": 1.6}
ONE_POINT = {"loss": 0.2, "spread": 0.0, "positive_distance": 0.0, "negative_distance": 0.0}
STUCK = {"loss": 0.2, "spread": 0.3, "positive_distance": 0.4, "negative_distance": 0.4}


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 8))
def test_collapse_is_so_many_suspicious_steps_in_a_row(
    suspicious: list[bool], patience: int
) -> None:
    guard = CollapseGuard(0.2, patience=patience)
    run = 0
    for index, bad in enumerate(suspicious):
        run = run + 1 if bad else 0
        if run == patience:
            with pytest.raises(TrainingError, match=f"for {patience} steps up to step {index}"):
                guard.check(ONE_POINT, f"step {index}")
            return
        guard.check(ONE_POINT if bad else HEALTHY, f"step {index}")
        assert guard.suspicious == bad


@pytest.mark.parametrize(
    ("step", "words"), [(ONE_POINT, "spread was below 0.01"), (STUCK, "equaled the margin of 0.2")]
)
def test_the_message_says_what_was_seen_and_what_to_change(
    step: dict[str, float], words: str
) -> None:
    with pytest.raises(TrainingError, match=words) as caught:
        CollapseGuard(0.2, patience=1).check(step, "step 7")
    assert "lower learning rate" in str(caught.value)
    assert "batch-all" in str(caught.value)


@pytest.mark.parametrize("name", ["loss", "spread"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_stops_at_once(name: str, value: float) -> None:
    with pytest.raises(TrainingError, match="NaN or infinite at step 3"):
        CollapseGuard(0.2).check({**HEALTHY, name: value}, "step 3")


def test_a_loss_near_the_margin_alone_is_healthy() -> None:
    # Semi-hard negatives of a large batch lie just behind the positives.
    guard = CollapseGuard(0.2, patience=1)
    guard.check({**HEALTHY, "loss": 0.2}, "step 1")
    assert not guard.suspicious
    guard.check({**STUCK, "loss": 0.19}, "step 2")
    assert not guard.suspicious


def test_without_a_margin_only_the_spread_counts() -> None:
    guard = CollapseGuard(None, patience=1)
    guard.check({"loss": 0.2, "spread": 0.5}, "step 1")
    with pytest.raises(TrainingError, match="spread"):
        guard.check({"loss": 0.0, "spread": 1e-6}, "step 2")
