"""Channel pruning: a narrow network that starts with what a wide one has learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from facekit.embedding import Architecture, Embedder, build_network
from facekit.embedding.networks.backbones import BACKBONES
from facekit.embedding.networks.blocks import Convolution, GraphBuilder, Tensor
from facekit.embedding.networks.folding import (
    LayerWeights,
    assign,
    fold,
    layer_weights,
    residual_scales,
)
from facekit.embedding.networks.names import BATCH_NORMALIZATION_SUFFIX, FEATURES_LAYER, HEAD_LAYER
from facekit.errors import InvalidArgumentError
from facekit.utils.progress import track

Matrix = npt.NDArray[np.float64]

# Relative to the mean variance of a layer's channels: some channels are silent, and a few thousand
# faces do not determine a covariance of 1,792 channels to the last digit.
_RIDGE = 1e-3
_PIXELS = "pixels"
_AT_A_TIME = 32


class Layer(NamedTuple):
    """A layer with a kernel, and where its channels come from."""

    name: str
    inputs: tuple[str, ...]  # the layers whose outputs it reads, one after the other
    # The layers whose channels its output has: itself, or those of the features that a residual
    # projection adds to.
    outputs: tuple[str, ...]


class ChannelBuilder(GraphBuilder):
    """Goes through a graph and notes whose channels each layer reads; tensors are layers' names."""

    def __init__(self, width: float) -> None:
        super().__init__(width)
        self.layers: list[Layer] = []
        self.sizes: dict[str, int] = {_PIXELS: 3}

    def convolved(self, x: Tensor, layer: Convolution) -> Tensor:
        """Notes a convolution."""
        self.layers.append(Layer(layer.name, x, (layer.name,)))
        self.sizes[layer.name] = layer.filters
        return (layer.name,)

    def added(self, x: Tensor, mixed: Tensor, scale: float, name: str, *, linear: bool) -> Tensor:
        """Notes the projection, which has the channels that it is added to."""
        self.layers.append(Layer(f"{name}_Conv2d_1x1", mixed, x))
        return x

    def concatenation(self, branches: Sequence[Tensor], name: str) -> Tensor:
        """Puts the channels one after the other."""
        return tuple(layer for branch in branches for layer in branch)


class _Moments(NamedTuple):
    """Mean and covariance of a layer's input channels over all places of all faces."""

    mean: Matrix
    covariance: Matrix


def prune(
    embedder: Embedder,
    architecture: Architecture,
    faces: npt.NDArray[np.uint8],
    *,
    seed: int = 0,
    progress: bool = False,
) -> Any:
    """Makes a narrow network, an approximation to begin with, of an embedder's channels."""
    # Of the channels of every layer those are kept from which the others follow best by linear
    # regression, weighted by what the next layers make of them (Y. He, X. Zhang and J. Sun,
    # "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017). What the next layers
    # computed from a channel that is dropped they compute from its regression on those kept.
    wide = embedder.record.architecture
    check_prunable(wide, architecture)
    teacher, _ = embedder.to_network()
    scales = residual_scales(teacher)
    folded = fold(layer_weights(teacher), scales)
    before, after = channels(wide), channels(architecture)
    moments = _measure(teacher, before.layers, faces, progress=progress)
    kept = _choose(before, after.sizes, folded, moments)
    network = build_network(architecture, seed=seed)
    weights = layer_weights(network)
    for layer in before.layers:
        kernel, bias = folded[layer.name]["kernel"], folded[layer.name]["bias"]
        inputs = _positions(layer.inputs, before.sizes, kept)
        outputs = _positions(layer.outputs, before.sizes, kept)
        regression = _regression(moments[layer.name], inputs)
        mean = moments[layer.name].mean
        kernel, bias = kernel[..., outputs].astype(np.float64), bias[outputs]
        narrow = np.einsum("hwio,ik->hwko", kernel, regression)
        taps = kernel.sum(axis=(0, 1))
        scale = scales.get(layer.name, 1.0)
        weights[layer.name]["kernel"] = (narrow / scale).astype(np.float32)
        normalization = weights.get(layer.name + BATCH_NORMALIZATION_SUFFIX)
        if normalization is not None:
            # The normalization takes the mean away; beta puts the wide network's in its place.
            normalization["beta"] = (bias + mean @ taps).astype(np.float32)
        else:
            rest = bias + (mean - regression @ mean[inputs]) @ taps
            weights[layer.name]["bias"] = (rest / scale).astype(np.float32)
    assign(network, weights)
    return network


def check_prunable(wide: Architecture, narrow: Architecture) -> None:
    """Checks that a network can be pruned to another one."""
    if (narrow.backbone, narrow.blocks) != (wide.backbone, wide.blocks):
        raise InvalidArgumentError(
            "a network is pruned to one of the same backbone and blocks, "
            f"{wide.backbone} and {wide.blocks:g}, got {narrow.backbone} and {narrow.blocks:g}"
        )
    if narrow.width > wide.width:
        raise InvalidArgumentError(
            f"width must be at most that of the network pruned, {wide.width:g}, got "
            f"{narrow.width:g}"
        )
    if narrow.head_batch_normalization:
        raise InvalidArgumentError(
            "a network is pruned to one without batch normalization in its head"
        )


def measure_normalization(network: Any, faces: npt.NDArray[np.uint8]) -> None:
    """Sets the mean and variance of every batch normalization to those of the faces."""
    import keras

    normalizations = [
        layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [layer.momentum for layer in normalizations]
    for layer in normalizations:
        layer.momentum = 0.0
    network(keras.ops.convert_to_tensor(faces.astype(np.float32)), training=True)
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum


def fit_head(
    network: Any,
    faces: npt.NDArray[np.uint8],
    embeddings: npt.NDArray[np.float32],
    *,
    progress: bool = False,
) -> None:
    """Sets the head to the linear regression of embeddings on the pooled features."""
    import keras

    pooled = keras.Model(network.input, network.get_layer(FEATURES_LAYER).output)
    parts = in_parts(faces, "The head is fitted", progress)
    features = np.concatenate(list(map(pooled.predict_on_batch, parts))).astype(np.float64)
    mean, target = features.mean(axis=0), embeddings.mean(axis=0, dtype=np.float64)
    centered = features - mean
    covariance = centered.T @ centered
    kernel = np.linalg.solve(with_ridge(covariance), centered.T @ (embeddings - target))
    head = network.get_layer(HEAD_LAYER)
    head.kernel.assign(kernel.astype(np.float32))
    head.bias.assign((target - mean @ kernel).astype(np.float32))


def channels(architecture: Architecture) -> ChannelBuilder:
    """Returns the layers of an architecture's backbone, and whose channels each reads."""
    build = ChannelBuilder(architecture.width)
    BACKBONES[architecture.backbone](build, (_PIXELS,), blocks=architecture.blocks)
    return build


def starts_of(layers: Sequence[str], sizes: dict[str, int]) -> dict[str, int]:
    """Returns where the channels of each of several layers, one after the other, begin."""
    return dict(zip(layers, accumulate((sizes[n] for n in layers), initial=0), strict=False))


def in_parts(
    faces: npt.NDArray[np.uint8], title: str, progress: bool
) -> Iterator[npt.NDArray[np.float32]]:
    """Yields faces in parts that go through the network at once."""
    starts = range(0, len(faces), _AT_A_TIME)
    for start in track(starts, title, total=len(starts), shown=progress):
        yield faces[start : start + _AT_A_TIME].astype(np.float32)


def _measure(
    network: Any, layers: Sequence[Layer], faces: npt.NDArray[np.uint8], *, progress: bool
) -> dict[str, _Moments]:
    """Returns the moments of each layer's input; layers that read the same share them."""
    import keras

    tensors = {layer.name: network.get_layer(layer.name).input for layer in layers}
    unique = {id(tensor): tensor for tensor in tensors.values()}
    probe = keras.Model(network.input, list(unique.values()))
    sums = [np.zeros(tensor.shape[-1]) for tensor in unique.values()]
    products = [np.zeros((tensor.shape[-1],) * 2) for tensor in unique.values()]
    counts = [0] * len(unique)
    for part in in_parts(faces, "The teacher is pruned", progress):
        for index, output in enumerate(probe.predict_on_batch(part)):
            values = output.reshape(-1, output.shape[-1])
            sums[index] += values.sum(axis=0, dtype=np.float64)
            products[index] += values.T @ values
            counts[index] += len(values)
    moments = {}
    for key, total, product, count in zip(unique, sums, products, counts, strict=True):
        mean = total / count
        moments[key] = _Moments(mean, product / count - np.outer(mean, mean))
    return {name: moments[id(tensor)] for name, tensor in tensors.items()}


def _choose(
    before: ChannelBuilder,
    sizes: dict[str, int],
    folded: LayerWeights,
    moments: dict[str, _Moments],
) -> dict[str, npt.NDArray[np.intp]]:
    """Returns the channels of each layer that stay, in ascending order."""
    weighted = {name: np.zeros((size, size)) for name, size in before.sizes.items()}
    for layer in before.layers:
        kernel = folded[layer.name]["kernel"]
        norms = np.sqrt(np.square(kernel).sum(axis=(0, 1, 3)))
        for source, start in starts_of(layer.inputs, before.sizes).items():
            part = slice(start, start + before.sizes[source])
            covariance = moments[layer.name].covariance[part, part]
            weighted[source] += covariance * np.outer(norms[part], norms[part])
    return {name: np.sort(representatives(weighted[name], size)) for name, size in sizes.items()}


def representatives(covariance: Matrix, size: int) -> npt.NDArray[np.intp]:
    """Returns the variables from which the others follow best: pivoted Cholesky decomposition."""
    remaining = covariance.copy()
    # Below this, what is left of a variable is rounding error; dividing by it would magnify it.
    least = _RIDGE * 1e-6 * max(float(np.diag(covariance).max()), 1e-30)
    chosen: list[int] = []
    available = np.ones(len(covariance), dtype=bool)
    for _ in range(size):
        variance = np.diag(remaining)
        open_ones = available & (variance > least)
        # How much of all the others' variance is explained if this one is known.
        gain = np.square(remaining).sum(axis=0) / np.where(open_ones, variance, 1.0)
        best = int(np.where(open_ones, gain, np.where(available, 0.0, -1.0)).argmax())
        chosen.append(best)
        available[best] = False
        if open_ones[best]:
            column = remaining[:, best].copy()
            remaining -= np.outer(column, column) / variance[best]
    return np.array(chosen)


def _positions(
    layers: Sequence[str], sizes: dict[str, int], kept: dict[str, npt.NDArray[np.intp]]
) -> npt.NDArray[np.intp]:
    """Returns where the channels that stay lie among those of several layers."""
    return np.concatenate([kept[name] + start for name, start in starts_of(layers, sizes).items()])


def _regression(moments: _Moments, kept: npt.NDArray[np.intp]) -> Matrix:
    """Returns the coefficients of all channels by those kept, ``(channels, kept)``."""
    covariance = moments.covariance
    known = with_ridge(covariance[np.ix_(kept, kept)])
    coefficients: Matrix = np.linalg.solve(known, covariance[kept]).T.astype(np.float64)
    coefficients[kept] = np.eye(len(kept))
    return coefficients


def with_ridge(covariance: Matrix) -> Matrix:
    """Returns a covariance that can be inverted."""
    ridged: Matrix = covariance.copy()
    ridged[np.diag_indices_from(ridged)] += _RIDGE * max(float(np.diag(covariance).mean()), 1e-30)
    return ridged
