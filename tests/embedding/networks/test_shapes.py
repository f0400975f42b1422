"""The shapes of weights without a network: those that Keras' network has."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_networks import SMALL_V1, SMALL_V2

from facekit.embedding import Architecture, build_network
from facekit.embedding.networks.folding import layer_weights, residual_scales
from facekit.embedding.networks.shapes import weight_shapes

ARCHITECTURES = {
    "v1": SMALL_V1,
    "v2": SMALL_V2,
    "v1 with a plain head": replace(SMALL_V1, head_batch_normalization=False),
    "v2 with a normalized head, wider and deeper": replace(
        SMALL_V2, head_batch_normalization=True, width=0.4, blocks=0.25, embedding_size=7
    ),
}


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_shapes_and_scales_are_those_of_the_network(
    architecture: Architecture, folded: bool
) -> None:
    network = build_network(architecture, folded=folded)
    shapes, scales = weight_shapes(architecture, folded=folded)
    expected = {
        (layer, name): array.shape
        for layer, arrays in layer_weights(network).items()
        for name, array in arrays.items()
    }
    assert shapes == expected
    if not folded:
        assert scales == residual_scales(network)
