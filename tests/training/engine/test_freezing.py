"""Which layers learn."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from facekit import Architecture, InvalidArgumentError
from facekit.embedding import build_network
from facekit.training.engine.freezing import set_trainable
from tests.small_networks import SMALL_V1, SMALL_V2, random_pictures


@lru_cache(maxsize=2)
def network(architecture: Architecture) -> Any:
    return build_network(architecture)


def learning(model: Any) -> set[str]:
    return {variable.path.split("/")[0] for variable in model.trainable_variables}


@pytest.mark.parametrize("architecture", [SMALL_V1, SMALL_V2])
def test_the_network_thaws_from_its_end(architecture: Architecture) -> None:
    model = network(architecture)
    before: set[str] = set()
    for what in ("head", "last-blocks", "Mixed_7a", "Block17_1", "Mixed_6a", "all"):
        set_trainable(model, what)
        now = learning(model)
        assert before < now
        before = now
    assert "Conv2d_1a_3x3" in before


def test_the_last_blocks_are_those_after_the_last_reduction() -> None:
    model = network(SMALL_V2)
    set_trainable(model, "last-blocks")
    assert "Block8_1_Branch_0_Conv2d_1x1" in learning(model)
    assert not any(name.startswith(("Mixed_7a", "Block17")) for name in learning(model))


def test_a_frozen_normalization_stays_in_inference_mode() -> None:
    model = build_network(SMALL_V2)
    set_trainable(model, "head")
    pictures = random_pictures(4).astype(np.float32)
    statistics = [np.asarray(variable) for variable in model.non_trainable_variables]
    inference = np.asarray(model(pictures, training=False))
    np.testing.assert_array_equal(np.asarray(model(pictures, training=True)), inference)
    for before, after in zip(statistics, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(before, np.asarray(after))


def test_normalizations_can_stay_frozen_everywhere() -> None:
    model = network(SMALL_V2)
    set_trainable(model, "all", freeze_batch_normalization=True)
    assert not any("BatchNorm" in name for name in learning(model))
    assert "Conv2d_1a_3x3" in learning(model)


def test_an_unknown_block_is_refused_and_the_blocks_are_named() -> None:
    with pytest.raises(InvalidArgumentError, match=r"got 'Block99'.*Block35_1, Block17_1"):
        set_trainable(network(SMALL_V2), "Block99")
