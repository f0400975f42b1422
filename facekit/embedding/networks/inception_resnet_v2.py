"""Inception-ResNet-v2, whole or narrowed."""

from __future__ import annotations

from facekit.embedding.networks.blocks import GraphBuilder, Tensor, block_counts

FULL_BLOCKS = (10, 20, 10)
MINIMUM_INPUT_SIZE = 75


def inception_resnet_v2(build: GraphBuilder, x: Tensor, *, blocks: float = 1.0) -> Tensor:
    """Adds Inception-ResNet-v2 to a graph.

    With both multipliers at 1 it is the network of ``keras.applications.InceptionResNetV2``
    without its top: the same layers in the same order, so that its weights fit.

    References:
        C. Szegedy, S. Ioffe, V. Vanhoucke and A. Alemi, "Inception-v4, Inception-ResNet and the
        Impact of Residual Connections on Learning", AAAI 2017, in the form of
        ``keras.applications.InceptionResNetV2``.
    """
    count_a, count_b, count_c = block_counts(FULL_BLOCKS, blocks)
    x = _mixed_5b(build, _stem(build, x))
    for index in range(1, count_a + 1):
        x = _block_a(build, x, f"Block35_{index}")
    x = _reduction_a(build, x)
    for index in range(1, count_b + 1):
        x = _block_b(build, x, f"Block17_{index}")
    x = _reduction_b(build, x)
    for index in range(1, count_c + 1):
        x = _block_c(build, x, f"Block8_{index}", last=index == count_c)
    return build.convolution(x, 1536, 1, "Conv2d_7b_1x1")


def _stem(build: GraphBuilder, x: Tensor) -> Tensor:
    x = build.convolution(x, 32, 3, "Conv2d_1a_3x3", strides=2, padding="valid")
    x = build.convolution(x, 32, 3, "Conv2d_2a_3x3", padding="valid")
    x = build.convolution(x, 64, 3, "Conv2d_2b_3x3")
    x = build.max_pooling(x, "MaxPool_3a_3x3")
    x = build.convolution(x, 80, 1, "Conv2d_3b_1x1", padding="valid")
    x = build.convolution(x, 192, 3, "Conv2d_4a_3x3", padding="valid")
    return build.max_pooling(x, "MaxPool_5a_3x3")


def _mixed_5b(build: GraphBuilder, x: Tensor) -> Tensor:
    name = "Mixed_5b"
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_1x1", 96, 1)),
        build.chain(x, f"{name}_Branch_1", ("Conv2d_0a_1x1", 48, 1), ("Conv2d_0b_5x5", 64, 5)),
        build.chain(
            x,
            f"{name}_Branch_2",
            ("Conv2d_0a_1x1", 64, 1),
            ("Conv2d_0b_3x3", 96, 3),
            ("Conv2d_0c_3x3", 96, 3),
        ),
    ]
    pooled = build.average_pooling(x, f"{name}_Branch_3_AvgPool_0a_3x3")
    branches.append(build.chain(pooled, f"{name}_Branch_3", ("Conv2d_0b_1x1", 64, 1)))
    return build.concatenation(branches, name)


def _block_a(build: GraphBuilder, x: Tensor, name: str) -> Tensor:
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_1x1", 32, 1)),
        build.chain(x, f"{name}_Branch_1", ("Conv2d_0a_1x1", 32, 1), ("Conv2d_0b_3x3", 32, 3)),
        build.chain(
            x,
            f"{name}_Branch_2",
            ("Conv2d_0a_1x1", 32, 1),
            ("Conv2d_0b_3x3", 48, 3),
            ("Conv2d_0c_3x3", 64, 3),
        ),
    ]
    return build.residual(x, branches, 0.17, name)


def _reduction_a(build: GraphBuilder, x: Tensor) -> Tensor:
    name = "Mixed_6a"
    large = build.convolution(
        x, 384, 3, f"{name}_Branch_0_Conv2d_1a_3x3", strides=2, padding="valid"
    )
    deep = build.chain(x, f"{name}_Branch_1", ("Conv2d_0a_1x1", 256, 1), ("Conv2d_0b_3x3", 256, 3))
    deep = build.convolution(
        deep, 384, 3, f"{name}_Branch_1_Conv2d_1a_3x3", strides=2, padding="valid"
    )
    pooled = build.max_pooling(x, f"{name}_Branch_2_MaxPool_1a_3x3")
    return build.concatenation([large, deep, pooled], name)


def _block_b(build: GraphBuilder, x: Tensor, name: str) -> Tensor:
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_1x1", 192, 1)),
        build.chain(
            x,
            f"{name}_Branch_1",
            ("Conv2d_0a_1x1", 128, 1),
            ("Conv2d_0b_1x7", 160, (1, 7)),
            ("Conv2d_0c_7x1", 192, (7, 1)),
        ),
    ]
    return build.residual(x, branches, 0.10, name)


def _reduction_b(build: GraphBuilder, x: Tensor) -> Tensor:
    name = "Mixed_7a"
    reduced = []
    for index, filters in enumerate((384, 288, 320)):
        branch = build.chain(x, f"{name}_Branch_{index}", ("Conv2d_0a_1x1", 256, 1))
        if index == 2:
            branch = build.chain(branch, f"{name}_Branch_{index}", ("Conv2d_0b_3x3", 288, 3))
        reduced.append(
            build.convolution(
                branch,
                filters,
                3,
                f"{name}_Branch_{index}_Conv2d_1a_3x3",
                strides=2,
                padding="valid",
            )
        )
    pooled = build.max_pooling(x, f"{name}_Branch_3_MaxPool_1a_3x3")
    return build.concatenation([*reduced, pooled], name)


def _block_c(build: GraphBuilder, x: Tensor, name: str, *, last: bool) -> Tensor:
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_1x1", 192, 1)),
        build.chain(
            x,
            f"{name}_Branch_1",
            ("Conv2d_0a_1x1", 192, 1),
            ("Conv2d_0b_1x3", 224, (1, 3)),
            ("Conv2d_0c_3x1", 256, (3, 1)),
        ),
    ]
    return build.residual(x, branches, 1.0 if last else 0.20, name, linear=last)
