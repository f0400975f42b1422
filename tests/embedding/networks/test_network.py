"""The network's graph: shapes, size, random weights; and the description it is built from."""

from __future__ import annotations

import json
import random
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import (
    SMALL_V1,
    SMALL_V2,
    full_network,
    network_of_keras,
    predict,
    random_pictures,
)

from facekit import InvalidArgumentError
from facekit.embedding import Architecture, build_network
from facekit.embedding.networks.blocks import block_counts
from facekit.embedding.networks.keras_graph import KerasBuilder

ARCHITECTURES = pytest.mark.parametrize(
    "architecture", [SMALL_V1, SMALL_V2], ids=lambda architecture: architecture.backbone
)
BACKBONES = pytest.mark.parametrize("backbone", ["inception_resnet_v1", "inception_resnet_v2"])


def kernels(network: Any) -> list[np.ndarray]:
    return [w.numpy() for layer in network.layers for w in layer.weights if w.name == "kernel"]


def same_kernels(first: Any, second: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(kernels(first), kernels(second), strict=True))


@ARCHITECTURES
def test_embeddings_have_the_stated_size_and_unit_norm(architecture: Architecture) -> None:
    embeddings = predict(build_network(architecture), random_pictures(3))
    assert embeddings.shape == (3, 64)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)


@ARCHITECTURES
def test_different_pictures_get_different_embeddings(architecture: Architecture) -> None:
    first, second = predict(build_network(architecture), random_pictures(2))
    assert np.linalg.norm(first - second) > 1e-3


@BACKBONES
def test_the_smallest_input_is_large_enough(backbone: Any) -> None:
    architecture = Architecture(backbone=backbone, width=0.1, blocks=0.1, input_size=75)
    assert build_network(architecture).output_shape == (None, 128)


@BACKBONES
def test_width_changes_the_number_of_filters(backbone: Any) -> None:
    network = build_network(Architecture(backbone=backbone, width=0.5, blocks=0.1, input_size=80))
    assert network.get_layer("Conv2d_1a_3x3").filters == 16
    assert network.get_layer("Conv2d_2b_3x3").filters == 32
    assert network.get_layer("Mixed_6a_Branch_0_Conv2d_1a_3x3").filters == 192


@given(full=st.integers(1, 256).map(lambda eighth: 8 * eighth), width=st.floats(0.01, 4.0))
def test_filters_are_the_nearest_multiple_of_eight(full: int, width: float) -> None:
    filters = KerasBuilder(width, folded=False).filters(full)
    assert filters % 8 == 0
    assert filters >= 8
    assert abs(filters - full * width) <= 4 + 1e-6 or (filters == 8 and full * width < 8)


@given(full=st.integers(1, 256).map(lambda eighth: 8 * eighth))
def test_width_one_keeps_the_filters(full: int) -> None:
    assert KerasBuilder(1.0, folded=False).filters(full) == full


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [("inception_resnet_v1", (2, 3, 2)), ("inception_resnet_v2", (3, 6, 3))],
)
def test_blocks_changes_the_number_of_blocks(backbone: Any, expected: tuple[int, ...]) -> None:
    network = build_network(
        Architecture(backbone=backbone, width=0.1, blocks=0.3, input_size=75), folded=True
    )
    names = [layer.name for layer in network.layers]
    found = tuple(
        sum(name.startswith(kind) and name.endswith("_Add") for name in names)
        for kind in ("Block35_", "Block17_", "Block8_")
    )
    assert found == expected


@given(multiplier=st.floats(0.001, 10.0))
def test_every_kind_of_block_appears_at_least_once(multiplier: float) -> None:
    counts = block_counts((10, 20, 10), multiplier)
    assert counts == tuple(max(1, round(count * multiplier)) for count in (10, 20, 10))
    assert min(counts) >= 1


@pytest.mark.check
def test_the_full_network_has_the_parameters_of_keras_and_of_the_head() -> None:
    head = 1536 * 128 + 128
    assert full_network().count_params() == network_of_keras().count_params() + head


@ARCHITECTURES
def test_one_seed_gives_one_set_of_weights(architecture: Architecture) -> None:
    first = build_network(architecture, seed=3)
    keras.utils.set_random_seed(99)
    assert same_kernels(first, build_network(architecture, seed=3))


def test_another_seed_gives_other_weights() -> None:
    first, second = (build_network(SMALL_V2, seed=seed) for seed in (0, 1))
    for one, other in zip(kernels(first), kernels(second), strict=True):
        assert not np.array_equal(one, other)


def test_random_kernels_have_the_spread_of_glorot() -> None:
    kernel = build_network(SMALL_V2).get_layer("Bottleneck").weights[0].numpy()
    limit = np.sqrt(6.0 / sum(kernel.shape))
    assert np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


@ARCHITECTURES
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("folded", [False, True])
def test_building_leaves_the_global_random_state_alone(
    architecture: Architecture, dropout: float, folded: bool
) -> None:
    values = {**architecture.to_dict(), "dropout": dropout}
    python_state, numpy_state = random.getstate(), str(np.random.get_state(legacy=False))  # noqa: NPY002
    build_network(Architecture.from_dict(values), folded=folded)
    # Not compared inside the assertion: pytest would show all 624 words of the state.
    python_untouched = random.getstate() == python_state
    numpy_untouched = str(np.random.get_state(legacy=False)) == numpy_state  # noqa: NPY002
    assert (python_untouched, numpy_untouched) == (True, True)


def test_dropout_acts_in_training_only() -> None:
    values = {**SMALL_V2.to_dict(), "dropout": 0.5}
    network = build_network(Architecture.from_dict(values))
    pictures = random_pictures(2)
    np.testing.assert_array_equal(predict(network, pictures), predict(network, pictures))
    kept = np.asarray(network.get_layer("Dropout")(np.ones((1, 1000)), training=True)) > 0
    assert 0.4 < kept.mean() < 0.6


def test_the_standardization_is_part_of_the_network() -> None:
    plain = {**SMALL_V2.to_dict(), "input_mean": 0.0, "input_scale": 1.0}
    shifted = {**SMALL_V2.to_dict(), "input_mean": 100.0, "input_scale": 50.0}
    pictures = random_pictures(2).astype(np.float32)
    expected = build_network(Architecture.from_dict(plain))((pictures - 100.0) / 50.0)
    found = build_network(Architecture.from_dict(shifted))(pictures)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-5)


@ARCHITECTURES
def test_a_folded_network_waits_to_be_filled(architecture: Architecture) -> None:
    network = build_network(architecture, folded=True)
    kinds = {type(layer).__name__ for layer in network.layers}
    assert kinds.isdisjoint({"BatchNormalization", "Dropout"})
    assert not any(weight.numpy().any() for weight in network.weights)


INVALID = [
    ("backbone", "resnet50"),
    ("backbone", None),
    ("width", 0.0),
    ("width", -1.0),
    ("width", float("nan")),
    ("width", float("inf")),
    ("width", "1"),
    ("blocks", 0),
    ("blocks", -0.5),
    ("blocks", float("nan")),
    ("blocks", None),
    ("input_size", 74),
    ("input_size", 160.0),
    ("input_size", True),
    ("input_size", "160"),
    ("embedding_size", 0),
    ("embedding_size", -128),
    ("embedding_size", 128.5),
    ("embedding_size", True),
    ("dropout", 1.0),
    ("dropout", -0.1),
    ("dropout", float("nan")),
    ("dropout", "0.5"),
    ("input_mean", float("inf")),
    ("input_mean", "127.5"),
    ("input_scale", 0.0),
    ("input_scale", -1.0),
    ("input_scale", float("nan")),
]


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_an_invalid_argument_is_named_with_its_value(name: str, value: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Architecture(**{name: value})  # type: ignore[arg-type]
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


positive = st.floats(1e-3, 1e3)
architectures = st.builds(
    Architecture,
    backbone=st.sampled_from(["inception_resnet_v1", "inception_resnet_v2"]),
    width=st.floats(1e-3, 16.0),
    blocks=st.floats(1e-3, 16.0),
    input_size=st.integers(75, 1000),
    embedding_size=st.integers(1, 4096),
    dropout=st.floats(0.0, 1.0, exclude_max=True),
    head_batch_normalization=st.booleans(),
    input_mean=st.floats(-1e3, 1e3),
    input_scale=positive,
)


@given(architecture=architectures)
def test_a_description_survives_json(architecture: Architecture) -> None:
    text = json.dumps(architecture.to_dict())
    assert Architecture.from_dict(json.loads(text)) == architecture


def test_a_description_with_an_unknown_part_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="depth"):
        Architecture.from_dict({"width": 0.5, "depth": 3})


def test_a_description_is_checked_when_it_is_read() -> None:
    with pytest.raises(InvalidArgumentError, match="width"):
        Architecture.from_dict({"width": -1})
