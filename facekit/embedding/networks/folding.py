"""Folding: merges batch normalizations and residual scales into the preceding convolutions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.embedding.networks.names import (
    BATCH_NORMALIZATION_EPSILON,
    BATCH_NORMALIZATION_SUFFIX,
    RESIDUAL_SCALE_SUFFIX,
)
from facekit.errors import WeightsError

LayerWeights = dict[str, dict[str, npt.NDArray[np.float32]]]
"""Weights by layer name, then by weight name (``kernel``, ``bias``, ``beta``, ...)."""


def layer_weights(network: Any) -> LayerWeights:
    """Returns a copy of a network's weights by layer and weight name."""
    return {
        layer.name: {
            weight.name: np.asarray(weight.numpy(), dtype=np.float32) for weight in layer.weights
        }
        for layer in network.layers
        if layer.weights and "seed_generator_state" not in {w.name for w in layer.weights}
    }


def assign(network: Any, weights: LayerWeights) -> None:
    """Fills a network strictly by name and shape: nothing missing, nothing left over."""
    import keras

    targets = {
        (layer.name, weight.name): weight
        for layer in network.layers
        for weight in layer.weights
        if weight.name != "seed_generator_state"
    }
    shapes = {key: tuple(weight.shape) for key, weight in targets.items()}
    check_fit(weights, shapes, network.name)
    for (layer, name), weight in targets.items():
        weight.assign(keras.ops.convert_to_tensor(weights[layer][name], dtype=weight.dtype))


def check_fit(
    weights: LayerWeights,
    shapes: Mapping[tuple[str, str], tuple[int, ...]],
    network: str,
    *,
    source: str = "",
) -> None:
    """Checks that weights fit a network by name and shape: nothing missing, nothing left over."""
    origin = f"{source}: " if source else ""
    sources = {
        (layer, name): array for layer, arrays in weights.items() for name, array in arrays.items()
    }
    problems = [f"{'/'.join(key)} is missing" for key in shapes.keys() - sources.keys()]
    problems += [f"{'/'.join(key)} has no place" for key in sources.keys() - shapes.keys()]
    problems += [
        f"{'/'.join(key)} has shape {sources[key].shape}, the network needs {shape}"
        for key, shape in shapes.items()
        if key in sources and sources[key].shape != shape
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:3])
        raise WeightsError(
            f"{origin}the weights do not fit the network {network}: {shown}"
            + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        )
    for key, array in sources.items():
        if not np.isfinite(array).all():
            raise WeightsError(
                f"{origin}the weights hold NaN or infinite values in {'/'.join(key)}"
            )


def fold(weights: LayerWeights, residual_scales: dict[str, float]) -> LayerWeights:
    """Folds batch normalizations and residual scales, which are linear, into kernels and biases."""
    folded: LayerWeights = {}
    for name, arrays in weights.items():
        if name.endswith(BATCH_NORMALIZATION_SUFFIX):
            continue
        if "kernel" not in arrays:
            raise WeightsError(
                f"the layer {name!r} holds {', '.join(arrays)} and no kernel; it belongs to "
                "another kind of network"
            )
        kernel = arrays["kernel"].astype(np.float64)
        bias = arrays.get("bias", np.zeros(kernel.shape[-1])).astype(np.float64)
        normalization = weights.get(name + BATCH_NORMALIZATION_SUFFIX)
        if normalization is not None:
            factor = 1.0 / np.sqrt(
                normalization["moving_variance"].astype(np.float64) + BATCH_NORMALIZATION_EPSILON
            )
            kernel = kernel * factor
            bias = normalization["beta"] + (bias - normalization["moving_mean"]) * factor
        scale = residual_scales.get(name, 1.0)
        folded[name] = {
            "kernel": (kernel * scale).astype(np.float32),
            "bias": (bias * scale).astype(np.float32),
        }
    return folded


def unfold(folded: LayerWeights, network: Any) -> LayerWeights:
    """Returns weights of a trainable network that in inference compute the same as folded ones."""
    weights = layer_weights(network)
    scales = residual_scales(network)
    for name, arrays in folded.items():
        scale = scales.get(name, 1.0)
        weights[name]["kernel"] = arrays["kernel"] / np.float32(scale)
        bias = arrays["bias"] / np.float32(scale)
        normalization = weights.get(name + BATCH_NORMALIZATION_SUFFIX)
        if normalization is None:
            weights[name]["bias"] = bias
            continue
        # The statistics are lost: these leave the kernel's output as it is, in inference.
        normalization["beta"] = bias
        normalization["moving_mean"] = np.zeros_like(bias)
        normalization["moving_variance"] = np.full_like(bias, 1.0 - BATCH_NORMALIZATION_EPSILON)
    return weights


def weights_digest(weights: LayerWeights) -> str:
    """Returns a digest of names and numbers, in hexadecimal."""
    digest = hashlib.sha256()
    for layer in sorted(weights):
        for name in sorted(weights[layer]):
            digest.update(f"{layer}/{name}".encode())
            digest.update(np.ascontiguousarray(weights[layer][name]).data)
    return digest.hexdigest()


def residual_scales(network: Any) -> dict[str, float]:
    """Returns the scale of each residual projection of a trainable network."""
    return {
        layer.name.removesuffix(RESIDUAL_SCALE_SUFFIX): float(layer.scale)
        for layer in network.layers
        if layer.name.endswith(RESIDUAL_SCALE_SUFFIX)
    }
