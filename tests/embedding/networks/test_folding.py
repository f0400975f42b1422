"""Folding a trained network, and filling a network with weights."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import (
    SMALL_V1,
    SMALL_V2,
    predict,
    random_pictures,
    randomize_normalizations,
)

from facekit import WeightsError
from facekit.embedding import Architecture, build_network
from facekit.embedding.networks.folding import (
    LayerWeights,
    assign,
    fold,
    layer_weights,
    residual_scales,
)

PICTURES = random_pictures(3)
ARCHITECTURES = {architecture.backbone: architecture for architecture in (SMALL_V1, SMALL_V2)}
BACKBONES = pytest.mark.parametrize("backbone", sorted(ARCHITECTURES))


@cache
def networks(backbone: str) -> tuple[Any, Any]:
    """Returns a network and the one that it folds into."""
    architecture = ARCHITECTURES[backbone]
    return build_network(architecture), build_network(architecture, folded=True)


@BACKBONES
@settings(max_examples=tries(2, 6))
@given(seed=st.integers(0, 2**32 - 1))
def test_folding_keeps_the_embeddings(backbone: str, seed: int) -> None:
    network, folded = networks(backbone)
    randomize_normalizations(network, seed)
    assign(folded, fold(layer_weights(network), residual_scales(network)))
    expected = predict(network, PICTURES)
    assert np.linalg.norm(expected[0] - expected[1]) > 1e-3, "the statistics left nothing to see"
    np.testing.assert_allclose(predict(folded, PICTURES), expected, atol=1e-4)


def test_folding_drops_dropout() -> None:
    architecture = Architecture.from_dict({**SMALL_V1.to_dict(), "dropout": 0.4})
    network = build_network(architecture)
    folded = build_network(architecture, folded=True)
    assign(folded, fold(layer_weights(network), residual_scales(network)))
    np.testing.assert_allclose(predict(folded, PICTURES), predict(network, PICTURES), atol=1e-4)


@BACKBONES
def test_folding_a_folded_network_changes_nothing(backbone: str) -> None:
    network, folded = networks(backbone)
    weights = fold(layer_weights(network), residual_scales(network))
    again = fold(weights, residual_scales(folded))
    for layer, arrays in weights.items():
        np.testing.assert_array_equal(again[layer]["kernel"], arrays["kernel"])
        np.testing.assert_array_equal(again[layer]["bias"], arrays["bias"])


def test_the_residual_scales_are_those_of_the_paper() -> None:
    network = build_network(Architecture(width=0.1, blocks=0.2, input_size=75))
    assert residual_scales(network) == {
        "Block35_1_Conv2d_1x1": 0.17,
        "Block35_2_Conv2d_1x1": 0.17,
        "Block17_1_Conv2d_1x1": 0.10,
        "Block17_2_Conv2d_1x1": 0.10,
        "Block17_3_Conv2d_1x1": 0.10,
        "Block17_4_Conv2d_1x1": 0.10,
        "Block8_1_Conv2d_1x1": 0.20,
        "Block8_2_Conv2d_1x1": 1.0,
    }


def test_folding_one_layer_by_hand() -> None:
    weights: LayerWeights = {
        "a": {"kernel": np.full((1, 1, 1, 1), 6.0, dtype=np.float32)},
        "a_BatchNorm": {
            "beta": np.array([0.5], dtype=np.float32),
            "moving_mean": np.array([4.0], dtype=np.float32),
            "moving_variance": np.array([4.0 - 1e-3], dtype=np.float32),
        },
    }
    folded = fold(weights, {"a": 0.1})
    assert folded.keys() == {"a"}
    np.testing.assert_allclose(folded["a"]["kernel"], [[[[0.3]]]], rtol=1e-6)
    np.testing.assert_allclose(folded["a"]["bias"], [-0.15], rtol=1e-6)


def test_folding_weights_of_another_kind_of_network_is_refused() -> None:
    with pytest.raises(WeightsError, match="words"):
        fold({"words": {"embeddings": np.zeros((3, 2), dtype=np.float32)}}, {})


@BACKBONES
def test_assign_undoes_layer_weights(backbone: str) -> None:
    network, _ = networks(backbone)
    randomize_normalizations(network, seed=0)
    weights = layer_weights(network)
    expected = predict(network, PICTURES)
    randomize_normalizations(network, seed=1)
    assert not np.allclose(predict(network, PICTURES), expected, atol=1e-3)
    assign(network, weights)
    np.testing.assert_array_equal(predict(network, PICTURES), expected)


@pytest.fixture
def weights() -> LayerWeights:
    network, _ = networks("inception_resnet_v2")
    return layer_weights(network)


def test_assign_refuses_a_missing_layer(weights: LayerWeights) -> None:
    del weights["Block35_1_Conv2d_1x1"]
    with pytest.raises(WeightsError, match="Block35_1_Conv2d_1x1/kernel is missing"):
        assign(networks("inception_resnet_v2")[0], weights)


def test_assign_refuses_a_missing_weight(weights: LayerWeights) -> None:
    del weights["Bottleneck"]["bias"]
    with pytest.raises(WeightsError, match="Bottleneck/bias is missing"):
        assign(networks("inception_resnet_v2")[0], weights)


def test_assign_refuses_a_layer_too_many(weights: LayerWeights) -> None:
    weights["Block35_99"] = {"kernel": np.zeros(1, dtype=np.float32)}
    with pytest.raises(WeightsError, match="Block35_99/kernel has no place"):
        assign(networks("inception_resnet_v2")[0], weights)


def test_assign_refuses_another_shape(weights: LayerWeights) -> None:
    weights["Bottleneck"]["kernel"] = weights["Bottleneck"]["kernel"].T
    with pytest.raises(WeightsError, match=r"Bottleneck/kernel has shape \(64, 384\)"):
        assign(networks("inception_resnet_v2")[0], weights)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_assign_refuses_numbers_that_are_not_finite(weights: LayerWeights, value: float) -> None:
    weights["Conv2d_2a_3x3"]["kernel"][0, 0, 0, 0] = value
    with pytest.raises(WeightsError, match="Conv2d_2a_3x3/kernel"):
        assign(networks("inception_resnet_v2")[0], weights)


def test_assign_counts_the_problems_that_it_does_not_list() -> None:
    network, _ = networks("inception_resnet_v2")
    with pytest.raises(WeightsError, match=f"and {len(network.weights) - 3} more"):
        assign(network, {})
