"""The full backbone computes what ``keras.applications.InceptionResNetV2`` computes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from small_networks import (
    full_network,
    network_of_keras,
    predict,
    random_pictures,
    randomize_normalizations,
)

from facekit.embedding.networks.folding import layer_weights
from facekit.embedding.networks.imagenet import fill_backbone


@pytest.mark.check
def test_the_feature_maps_equal_those_of_keras() -> None:
    reference, network = network_of_keras(), full_network()
    randomize_normalizations(reference)
    fill_backbone(network, layer_weights(reference), source="Keras")
    backbone = keras.Model(network.input, network.get_layer("Conv2d_7b_1x1_Relu").output)
    pictures = random_pictures(2, side=160)
    # Keras' model reads values from -1 to 1; ours standardizes by itself.
    expected = np.asarray(reference(pictures.astype(np.float32) / 127.5 - 1.0, training=False))
    found = predict(backbone, pictures)
    assert found.shape == expected.shape == (2, 3, 3, 1536)
    assert expected.std() > 0.1, "the statistics left nothing to compare"
    assert np.abs(expected[0] - expected[1]).max() > 0.01, "the pictures made no difference"
    np.testing.assert_allclose(found, expected, atol=1e-4)
