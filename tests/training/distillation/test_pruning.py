"""Channel pruning: what must hold for any network that is made narrower."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import Architecture, Embedder
from facekit.embedding import build_network
from facekit.embedding.networks.folding import assign, layer_weights
from facekit.embedding.networks.names import BATCH_NORMALIZATION_SUFFIX, FEATURES_LAYER, HEAD_LAYER
from facekit.errors import InvalidArgumentError
from facekit.training import Distiller, FaceDataset
from facekit.training.distillation.pruning import (
    check_prunable,
    fit_head,
    measure_normalization,
    prune,
    representatives,
)

SIDE = 75
FACES = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), dtype=np.uint8)


def architecture(width: float, backbone: Any = "inception_resnet_v1", **changes: Any) -> Any:
    values = {"blocks": 0.1, "input_size": SIDE, "embedding_size": 8, **changes}
    return Architecture(backbone=backbone, width=width, **values)


def random_embedder(chosen: Architecture) -> Embedder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Embedder(weights=None, architecture=chosen, seed=3)


def features(network: Any) -> np.ndarray:
    pooled = keras.Model(network.input, network.get_layer(FEATURES_LAYER).output)
    return np.asarray(pooled.predict_on_batch(FACES.astype(np.float32)))


def doubled(network: Any, wide: Architecture) -> Any:
    """Returns a network with every channel twice, which computes the same."""
    weights = layer_weights(network)
    for name, arrays in weights.items():
        for key, array in arrays.items():
            if key == "kernel":
                if array.shape[-2] != 3:  # all but the first layer, which reads colors
                    array = np.repeat(array, 2, axis=-2) / 2
                if name != HEAD_LAYER:
                    array = np.repeat(array, 2, axis=-1)
            elif name != HEAD_LAYER:
                array = np.repeat(array, 2)
            arrays[key] = array
    twice = build_network(wide)
    assign(twice, weights)
    return twice


@pytest.mark.parametrize(
    "backbone",
    [pytest.param("inception_resnet_v1", marks=pytest.mark.check), "inception_resnet_v2"],
)
def test_a_network_pruned_to_its_own_width_keeps_its_kernels(backbone: str) -> None:
    whole = architecture(0.25, backbone)
    embedder = random_embedder(whole)
    before = layer_weights(embedder.to_network()[0])
    after = layer_weights(prune(embedder, whole, FACES[:2]))
    for name in before.keys() - {HEAD_LAYER}:
        if "kernel" in before[name]:
            np.testing.assert_allclose(
                after[name]["kernel"], before[name]["kernel"], rtol=1e-4, atol=1e-6, err_msg=name
            )


@pytest.mark.check
def test_channels_that_are_there_twice_are_pruned_without_loss() -> None:
    narrow, wide = architecture(0.5), architecture(1.0)
    network = build_network(narrow, seed=1)
    measure_normalization(network, FACES)
    embedder = Embedder.from_network(doubled(network, wide), wide, name="doubled")
    pruned = prune(embedder, narrow, FACES)
    measure_normalization(pruned, FACES)
    # Channels that are always zero may be pruned in another order.
    expected, found = (np.sort(features(each), axis=1) for each in (network, pruned))
    # The mean before a normalization is computed as if there were no border.
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.99


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12), data=st.data())
def test_representatives_are_distinct_and_explain_what_they_can(
    seed: int, count: int, data: st.DataObject
) -> None:
    generator = np.random.default_rng(seed)
    rank = data.draw(st.integers(1, count))
    factors = generator.normal(size=(count, rank))
    covariance = factors @ factors.T
    size = data.draw(st.integers(1, count))
    chosen = representatives(covariance, size)
    assert len(set(chosen.tolist())) == size
    assert set(chosen.tolist()) <= set(range(count))
    if size >= rank:
        known = covariance[np.ix_(chosen, chosen)]
        explained = covariance[:, chosen] @ np.linalg.pinv(known, rcond=1e-9) @ covariance[chosen]
        np.testing.assert_allclose(explained, covariance, atol=1e-5 * np.trace(covariance))


def test_silent_channels_can_be_chosen_from() -> None:
    assert sorted(representatives(np.zeros((4, 4)), 3).tolist()) == [0, 1, 2]


def test_measured_normalization_is_that_of_training() -> None:
    network = build_network(architecture(0.25), seed=2)
    measure_normalization(network, FACES)
    pictures = FACES.astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(network(pictures, training=False)),
        np.asarray(network(pictures, training=True)),
        atol=2e-3,
    )
    normalization = network.get_layer("Conv2d_1a_3x3" + BATCH_NORMALIZATION_SUFFIX)
    assert normalization.momentum == keras.layers.BatchNormalization().momentum


def test_a_fitted_head_gives_embeddings_that_are_linear_in_the_features() -> None:
    network = build_network(architecture(0.25), seed=2)
    measure_normalization(network, FACES)
    # Scaled so that no direction is so small that the ridge takes it away.
    pooled = features(network)
    kernel = np.random.default_rng(1).normal(size=(pooled.shape[1], 8))
    targets = (pooled - pooled.mean(axis=0)) @ kernel
    targets = (targets / np.linalg.norm(targets, axis=1, keepdims=True)).astype(np.float32)
    fit_head(network, FACES, targets)
    found = np.asarray(network.predict_on_batch(FACES.astype(np.float32)))
    assert np.sum(found * targets, axis=1).mean() > 0.95


@pytest.mark.parametrize(
    ("narrow", "message"),
    [
        (architecture(0.25, blocks=0.2), "same backbone and blocks"),
        (architecture(0.25, "inception_resnet_v2"), "same backbone and blocks"),
        (architecture(0.75), "width must be at most that of the network pruned, 0.5, got 0.75"),
        (architecture(0.25, head_batch_normalization=True), "batch normalization in its head"),
    ],
)
def test_what_is_not_narrower_is_refused(narrow: Architecture, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_prunable(architecture(0.5), narrow)


@pytest.mark.check
@pytest.mark.parametrize("trainable", ["head", "all"])
def test_a_distillation_starts_with_the_teachers_channels(tmp_path: Path, trainable: str) -> None:
    wide, narrow = architecture(0.25), architecture(0.125, input_size=80, embedding_size=4)
    teacher = random_embedder(wide)
    pictures = np.random.default_rng(1).integers(0, 256, (8, 80, 80, 3), dtype=np.uint8)
    faces = FaceDataset.from_arrays(pictures, [None] * 8)

    def kernels(folder: str, *stops: int) -> Any:
        for epochs in stops:
            distiller = Distiller(
                narrow,
                teacher=teacher,
                pruned=True,
                folder=tmp_path / folder,
                trainable=trainable,
                batch_size=4,
                learning_rate=1e-9,
                schedule="constant",
                augmentation=None,
            )
            distiller.fit(faces, epochs=epochs, resume=epochs > 1, progress=False)
        return layer_weights(distiller.network_)

    import cv2

    seen = np.stack([cv2.resize(p, (75, 75), interpolation=cv2.INTER_AREA) for p in pictures])
    expected, resumed = layer_weights(prune(teacher, narrow, seen)), kernels("resumed", 1, 2)
    for name, arrays in expected.items():
        if "kernel" in arrays and name != HEAD_LAYER:
            found = resumed[name]["kernel"]
            np.testing.assert_allclose(found, arrays["kernel"], atol=1e-5, err_msg=name)
    if trainable == "all":
        for name, arrays in kernels("once", 2).items():
            for key, array in arrays.items():
                np.testing.assert_array_equal(resumed[name][key], array, err_msg=name)


def test_pruning_goes_with_no_other_start(tmp_path: Path) -> None:
    teacher = random_embedder(architecture(0.5))
    network = build_network(architecture(0.25))
    for start, given_network in ((teacher, None), (architecture(0.25), network)):
        with pytest.raises(InvalidArgumentError, match="cannot be combined with a network"):
            Distiller(start, teacher=teacher, pruned=True, network=given_network, folder=tmp_path)
    with pytest.raises(InvalidArgumentError, match="same backbone"):
        Distiller(
            architecture(0.25, "inception_resnet_v2"), teacher=teacher, pruned=True, folder=tmp_path
        )
