"""Growing: Inception-ResNet-v1 turned into Inception-ResNet-v2 with what it has learned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.embedding import Architecture, Embedder, build_network
from facekit.embedding.networks.folding import (
    LayerWeights,
    assign,
    fold,
    layer_weights,
    residual_scales,
    unfold,
)
from facekit.embedding.networks.names import HEAD_LAYER
from facekit.errors import InvalidArgumentError
from facekit.training.distillation.pruning import (
    ChannelBuilder,
    Matrix,
    channels,
    in_parts,
    representatives,
    starts_of,
    with_ridge,
)
from facekit.training.distillation.teachers import principal_axes

_OLD, _BEFORE, _LAST = "Conv2d_4b_3x3", "Conv2d_4a_3x3", "Conv2d_7b_1x1"
# Of Mixed_5b, in the order in which the old layer's channels are dealt out: the first get those
# that a 1×1 kernel explains best.
_BRANCHES = (
    "Mixed_5b_Branch_0_Conv2d_1x1",
    "Mixed_5b_Branch_2_Conv2d_0c_3x3",
    "Mixed_5b_Branch_1_Conv2d_0b_5x5",
    "Mixed_5b_Branch_3_Conv2d_0b_1x1",
)
_BLOCK = re.compile(r"(Block\d+)_(\d+)_")
_AT_A_TIME = 32


def grow(
    embedder: Embedder,
    architecture: Architecture,
    faces: npt.NDArray[np.uint8],
    *,
    seed: int = 0,
    progress: bool = False,
) -> Any:
    """Turns a network of Inception-ResNet-v1 into one of Inception-ResNet-v2 that does the same.

    Every block of v2 contains v1's: its further channels are random, and nothing reads them.
    Blocks that v1 does not have come first and begin as zero residuals. The last convolution of v2,
    which has a ReLU, holds the linear head W as [W, −W], and v2's head takes the difference. From
    the output of the stem on the two networks are equal up to rounding.

    The stems differ: v1 ends with a convolution of 3 × 3 and stride 2, v2 with a max-pooling and
    ``Mixed_5b``. The branches of ``Mixed_5b`` are fitted to what that convolution gave, by least
    squares before the ReLU. That is an approximation, and the network has to be distilled
    (:class:`facekit.training.Distiller`), ``Mixed_5b`` and its neighbors first.

    Args:
        embedder: The network to grow, of the backbone ``inception_resnet_v1``.
        architecture: What it becomes: ``inception_resnet_v2`` of the same ``width`` and the same
            scaling of pixels, with at least as many blocks of each kind (``blocks`` of 0.55 for the
            whole network) and at most as many components. With fewer it gets the principal
            components of the embeddings of ``faces``.
        faces: Aligned faces of the embedder's size, uint8 ``(n, S, S, 3)``, some hundred, to fit
            the stem with.
        seed: Draws the kernels of channels that nothing reads yet.
        progress: Whether to show a progress bar, if standard error is a terminal.

    Returns:
        A ``keras.Model`` of :func:`facekit.embedding.build_network`. Its batch normalizations have
        no statistics and must stay in inference mode, as after :meth:`facekit.Embedder.to_network`.

    Raises:
        InvalidArgumentError: If the embedder cannot be grown to the architecture.

    Example:
        >>> import warnings
        >>> import numpy as np
        >>> from facekit import Architecture, Embedder
        >>> from facekit.training import grow
        >>> sizes = {"width": 0.25, "input_size": 80, "embedding_size": 16}
        >>> old = Architecture("inception_resnet_v1", blocks=0.2, **sizes)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     embedder = Embedder(weights=None, architecture=old)
        >>> faces = np.random.default_rng(0).integers(0, 256, (8, 80, 80, 3), dtype=np.uint8)
        >>> grow(embedder, Architecture(blocks=0.15, **sizes), faces).output_shape
        (None, 16)

    References:
        T. Chen, I. Goodfellow and J. Shlens, "Net2Net: Accelerating Learning via Knowledge
        Transfer", ICLR 2016.
    """
    small = embedder.record.architecture
    old, new = channels(small), channels(architecture)
    extra = _extra_blocks(old, new)
    _check_growable(small, architecture, extra)
    teacher, _ = embedder.to_network()

    def renamed(name: str) -> str:
        """Returns the name that a layer of the old network has in the new one."""
        return _BLOCK.sub(lambda found: f"{found[1]}_{int(found[2]) + extra[found[1]]}_", name)

    folded = fold(layer_weights(teacher), residual_scales(teacher))
    known = {renamed(name): arrays for name, arrays in folded.items()}
    sizes = {renamed(name): size for name, size in old.sizes.items()}
    sources = {renamed(layer.name): layer for layer in old.layers}
    network = build_network(architecture, seed=seed)
    grown = fold(layer_weights(network), residual_scales(network))
    stem = _fit_stem(teacher, faces, grown, new.sizes, progress=progress)

    def places(before: Sequence[str], after: Sequence[str]) -> npt.NDArray[np.intp]:
        """Returns where the channels of old layers lie among those of new layers."""
        starts = starts_of(after, new.sizes)
        first = next((starts[name] for name in after if name.startswith("Mixed_5b")), 0)
        return np.concatenate(
            [
                first + stem if name == _OLD else starts[name] + np.arange(sizes[name])
                for name in map(renamed, before)
            ]
        )

    for layer in new.layers:
        source = sources.get(layer.name)
        if source is None:
            if layer.outputs != (layer.name,):  # the projection of a block that v1 does not have
                grown[layer.name]["kernel"][:] = 0.0
            continue
        rows, columns = places(source.inputs, layer.inputs), places(source.outputs, layer.outputs)
        kernel, bias = grown[layer.name]["kernel"], grown[layer.name]["bias"]
        # Nothing reads the further channels yet. They stay random: if both sides were zero, neither
        # would ever get a gradient.
        kernel[..., columns] = 0.0
        taps = map(np.arange, kernel.shape[:2])
        kernel[np.ix_(*taps, rows, columns)] = known[layer.name]["kernel"]
        bias[columns] = known[layer.name]["bias"]
    last = next(layer for layer in new.layers if layer.name == _LAST)
    trunk = places(old.layers[-1].outputs, last.inputs)
    _carry_head(grown, known[HEAD_LAYER], trunk, _axes(embedder, architecture, faces))
    assign(network, unfold(grown, network))
    return network


def _check_growable(small: Architecture, large: Architecture, extra: dict[str, int]) -> None:
    backbones = (small.backbone, large.backbone)
    if backbones != ("inception_resnet_v1", "inception_resnet_v2"):
        raise InvalidArgumentError(
            f"inception_resnet_v1 grows to inception_resnet_v2, got {' and '.join(backbones)}"
        )
    for name in ("width", "input_mean", "input_scale"):
        if getattr(small, name) != getattr(large, name):
            raise InvalidArgumentError(
                f"{name} must be that of the network grown, {getattr(small, name):g}, got "
                f"{getattr(large, name):g}"
            )
    if min(extra.values()) < 0:
        raise InvalidArgumentError(
            f"blocks must leave at least as many blocks of each kind, got {large.blocks:g}"
        )
    if large.embedding_size > small.embedding_size or large.head_batch_normalization:
        raise InvalidArgumentError(
            f"embedding_size must be at most that of the network grown, {small.embedding_size}, "
            "and the head without batch normalization"
        )


def _extra_blocks(old: ChannelBuilder, new: ChannelBuilder) -> dict[str, int]:
    """Returns how many blocks of each kind the new network has more."""
    counts: list[dict[str, int]] = [{}, {}]
    for count, build in zip(counts, (old, new), strict=True):
        for layer in build.layers:
            if found := _BLOCK.match(layer.name):
                count[found[1]] = max(count.get(found[1], 0), int(found[2]))
    return {kind: number - counts[0][kind] for kind, number in counts[1].items()}


def _axes(embedder: Embedder, architecture: Architecture, faces: npt.NDArray[np.uint8]) -> Matrix:
    """Returns the matrix that turns the old embeddings to the new number of components."""
    if architecture.embedding_size == embedder.embedding_size:
        return np.eye(embedder.embedding_size)
    embeddings = embedder.without_centering().embed(faces)
    return principal_axes(embeddings, architecture.embedding_size)


def _carry_head(
    grown: LayerWeights, head: dict[str, Any], trunk: npt.NDArray[np.intp], axes: Matrix
) -> None:
    """Puts the linear head into the last convolution as [W, −W], and the difference behind it."""
    size = axes.shape[1]
    kernel = grown[_LAST]["kernel"]
    if kernel.shape[-1] < 2 * size:
        raise InvalidArgumentError(
            f"embedding_size must be at most {kernel.shape[-1] // 2} for this width, got {size}"
        )
    kernel[..., : 2 * size] = 0.0
    turned = head["kernel"] @ axes
    kernel[0, 0, trunk, : 2 * size] = np.concatenate([turned, -turned], axis=1)
    grown[HEAD_LAYER]["kernel"][:] = 0.0
    grown[HEAD_LAYER]["kernel"][: 2 * size] = np.concatenate([np.eye(size), -np.eye(size)])
    grown[HEAD_LAYER]["bias"][:] = head["bias"] @ axes


def _fit_stem(
    teacher: Any,
    faces: npt.NDArray[np.uint8],
    grown: LayerWeights,
    sizes: dict[str, int],
    *,
    progress: bool,
) -> npt.NDArray[np.intp]:
    """Fits Mixed_5b to the old layer, and returns where in it each old channel lies."""
    import keras

    probe = keras.Model(
        teacher.input,
        [
            keras.layers.MaxPooling2D(3, strides=2)(teacher.get_layer(f"{_BEFORE}_Relu").output),
            teacher.get_layer(f"{_OLD}_Relu").input,
        ],
    )
    parts = map(probe.predict_on_batch, in_parts(faces, "Fitting the stem", progress))
    pooled, target = map(np.concatenate, zip(*parts, strict=True))
    order = _by_explained(pooled, target)
    start, places = 0, np.empty(len(order), dtype=np.intp)
    # Mixed_5b's branches lie one after the other by their numbers.
    offsets = starts_of(sorted(_BRANCHES), sizes)
    for name in _BRANCHES:
        chosen = order[start : start + sizes[name]]
        start += len(chosen)
        places[chosen] = offsets[name] + np.arange(len(chosen))
        _fit_branch(grown, name, pooled, target[..., chosen])
    return places


def _by_explained(
    pooled: npt.NDArray[np.float32], target: npt.NDArray[np.float32]
) -> npt.NDArray[np.intp]:
    """Returns the channels of the target, first those that a 1×1 kernel explains best."""
    kernel, bias = _least_squares(pooled, target, 1)
    error = np.square(pooled @ kernel[0, 0] + bias - target).mean(axis=(0, 1, 2))
    return np.argsort(error / np.maximum(target.var(axis=(0, 1, 2)), 1e-12))


def _fit_branch(
    grown: LayerWeights,
    name: str,
    pooled: npt.NDArray[np.float32],
    target: npt.NDArray[np.float32],
) -> None:
    """Lets the layers of a branch pass channels on, and fits the last one to the target."""
    import keras

    stem = name.rsplit("_Conv2d", 1)[0]
    chain = [layer for layer in grown if layer.startswith(f"{stem}_Conv2d")]
    x = pooled
    if stem.endswith("Branch_3"):
        x = keras.ops.convert_to_numpy(keras.ops.average_pool(x, 3, 1, "same"))
    for layer in chain[:-1]:
        kernel = grown[layer]["kernel"]
        middle, (inputs, outputs) = kernel.shape[0] // 2, kernel.shape[2:]
        passed = min(inputs, outputs)
        flat = x.reshape(-1, inputs)
        kept = np.sort(representatives(np.cov(flat.T.astype(np.float64)), passed))
        kernel[..., :passed] = 0.0
        # The channels are positive already, so that the ReLU leaves them as they are.
        kernel[middle, middle, kept, np.arange(passed)] = 1.0
        x = np.maximum(keras.ops.convert_to_numpy(keras.ops.conv(x, kernel, 1, "same")), 0.0)
    last, count = grown[chain[-1]], target.shape[-1]
    if count:
        fitted, bias = _least_squares(x, target, last["kernel"].shape[0])
        last["kernel"][..., :count], last["bias"][:count] = fitted, bias


def _least_squares(
    x: npt.NDArray[np.float32], target: npt.NDArray[np.float32], side: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns kernel and bias of the convolution of x that comes nearest to the target."""
    margin = side // 2
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    height, width = x.shape[1:3]
    inputs, outputs = x.shape[-1], target.shape[-1]
    count = inputs * side * side
    product, cross = np.zeros((count + 1, count + 1)), np.zeros((count + 1, outputs))
    for start in range(0, len(x), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        shifted = [
            padded[part, dy : dy + height, dx : dx + width].reshape(-1, inputs)
            for dy in range(side)
            for dx in range(side)
        ]
        rows = np.concatenate([*shifted, np.ones((len(shifted[0]), 1), np.float32)], axis=1)
        product += rows.T @ rows
        cross += rows.T @ target[part].reshape(-1, outputs)
    solution = np.linalg.solve(with_ridge(product), cross).astype(np.float32)
    return solution[:-1].reshape(side, side, inputs, outputs), solution[-1]
