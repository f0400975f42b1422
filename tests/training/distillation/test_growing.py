"""Growing Inception-ResNet-v1 into v2: exact behind the stem, near it before."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest

from facekit import Architecture, Embedder, InvalidArgumentError
from facekit.embedding.networks.names import HEAD_LAYER
from facekit.training.distillation.growing import grow
from tests.small_networks import predict, random_pictures

SIZES: dict[str, Any] = {"width": 0.25, "input_size": 80, "embedding_size": 24}
OLD = Architecture("inception_resnet_v1", blocks=0.35, **SIZES)  # 2, 4 and 2 blocks
NEW = Architecture("inception_resnet_v2", blocks=0.3, **SIZES)  # 3, 6 and 3
FACES = random_pictures(24, side=80)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    with pytest.warns(UserWarning, match="random weights"):
        return Embedder(weights=None, architecture=OLD, seed=3)


@pytest.fixture(scope="module")
def grown(embedder: Embedder) -> Any:
    return grow(embedder, NEW, FACES, seed=1)


def trunk_of(network: Any, start: str) -> Any:
    """Returns the part of a network behind a layer, up to the head."""
    return keras.Model(network.get_layer(start).output, network.get_layer(HEAD_LAYER).output)


def places(embedder: Embedder, grown: Any) -> np.ndarray:
    """Returns where the old stem's channels lie: the projections of the last A block tell."""
    old = embedder.to_network()[0].get_layer("Block35_2_Conv2d_1x1").get_weights()[0][0, 0]
    new = grown.get_layer("Block35_3_Conv2d_1x1").get_weights()[0][0, 0]
    # The rows of the first branch, which stay in their place.
    cost = np.abs(old[:8].T[:, None] - new[:8].T[None]).max(axis=2)
    assert (cost.min(axis=1) < 1e-5).all()
    return cost.argmin(axis=1)


def test_all_but_the_stem_is_exact(embedder: Embedder, grown: Any) -> None:
    chosen = places(embedder, grown)
    assert len(set(chosen)) == len(chosen)
    old = trunk_of(embedder.to_network()[0], "Conv2d_4b_3x3_Relu")
    new = trunk_of(grown, "Mixed_5b")
    shape = (4, *new.input_shape[1:3])
    features = np.random.default_rng(0).exponential(size=(*shape, len(chosen)))
    # What the further channels hold does not matter: nothing reads them.
    wide = np.random.default_rng(1).exponential(size=(*shape, new.input_shape[-1]))
    wide[..., chosen] = features
    expected, found = np.asarray(old(features)), np.asarray(new(wide))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=2e-5)


def test_every_channel_can_learn(grown: Any) -> None:
    for layer in grown.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.name != "Block35_1_Conv2d_1x1":
            kernel = layer.get_weights()[0]
            zero = not np.abs(kernel).sum()
            assert zero == (layer.name in {"Block17_1_Conv2d_1x1", "Block17_2_Conv2d_1x1",
                                           "Block8_1_Conv2d_1x1"})  # fmt: skip
            if not zero:
                assert (np.abs(kernel).sum(axis=(0, 1, 2)) > 0).all()


def test_the_stem_comes_near(embedder: Embedder, grown: Any) -> None:
    cosines = (predict(grown, FACES) * embedder.embed(FACES)).sum(axis=1)
    assert cosines.mean() > 0.9


def test_fewer_components_are_the_principal_ones(embedder: Embedder, grown: Any) -> None:
    fewer = grow(embedder, dataclasses.replace(NEW, embedding_size=12), FACES, seed=1)
    all_of_them, some = predict(grown, FACES), predict(fewer, FACES)
    np.testing.assert_allclose(some @ some.T, all_of_them @ all_of_them.T, atol=0.05)


def test_it_can_be_trained_on(grown: Any) -> None:
    again = Embedder.from_network(grown, NEW, name="grown")
    np.testing.assert_allclose(again.embed(FACES), predict(grown, FACES), atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "inception_resnet_v1"}, "grows to inception_resnet_v2"),
        ({"width": 0.5}, "width must be that of the network grown, 0.25, got 0.5"),
        ({"input_scale": 1.0}, "input_scale must be"),
        ({"blocks": 0.1}, "at least as many blocks"),
        ({"embedding_size": 32}, "embedding_size must be at most"),
    ],
)
def test_what_cannot_be_grown_is_refused(
    embedder: Embedder, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        grow(embedder, dataclasses.replace(NEW, **changes), FACES)
