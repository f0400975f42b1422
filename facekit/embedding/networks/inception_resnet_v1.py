"""Inception-ResNet-v1, the backbone of the published FaceNet weights."""

from __future__ import annotations

from facekit.embedding.networks.blocks import GraphBuilder, Tensor, block_counts

FULL_BLOCKS = (5, 10, 6)
MINIMUM_INPUT_SIZE = 75


def inception_resnet_v1(build: GraphBuilder, x: Tensor, *, blocks: float = 1.0) -> Tensor:
    """Adds Inception-ResNet-v1 to a graph.

    References:
        C. Szegedy, S. Ioffe, V. Vanhoucke and A. Alemi, "Inception-v4, Inception-ResNet and the
        Impact of Residual Connections on Learning", AAAI 2017, figures 10 to 14, with the changes
        of David Sandberg's FaceNet implementation (no average pooling branch in the stem).
    """
    count_a, count_b, count_c = block_counts(FULL_BLOCKS, blocks)
    x = _stem(build, x)
    for index in range(1, count_a + 1):
        x = _block_a(build, x, f"Block35_{index}")
    x = _reduction_a(build, x)
    for index in range(1, count_b + 1):
        x = _block_b(build, x, f"Block17_{index}")
    x = _reduction_b(build, x)
    for index in range(1, count_c + 1):
        x = _block_c(build, x, f"Block8_{index}", last=index == count_c)
    return x


def _stem(build: GraphBuilder, x: Tensor) -> Tensor:
    x = build.convolution(x, 32, 3, "Conv2d_1a_3x3", strides=2, padding="valid")
    x = build.convolution(x, 32, 3, "Conv2d_2a_3x3", padding="valid")
    x = build.convolution(x, 64, 3, "Conv2d_2b_3x3")
    x = build.max_pooling(x, "MaxPool_3a_3x3")
    x = build.convolution(x, 80, 1, "Conv2d_3b_1x1", padding="valid")
    x = build.convolution(x, 192, 3, "Conv2d_4a_3x3", padding="valid")
    return build.convolution(x, 256, 3, "Conv2d_4b_3x3", strides=2, padding="valid")


def _block_a(build: GraphBuilder, x: Tensor, name: str) -> Tensor:
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_1x1", 32, 1)),
        build.chain(x, f"{name}_Branch_1", ("Conv2d_0a_1x1", 32, 1), ("Conv2d_0b_3x3", 32, 3)),
        build.chain(
            x,
            f"{name}_Branch_2",
            ("Conv2d_0a_1x1", 32, 1),
            ("Conv2d_0b_3x3", 32, 3),
            ("Conv2d_0c_3x3", 32, 3),
        ),
    ]
    return build.residual(x, branches, 0.17, name)


def _reduction_a(build: GraphBuilder, x: Tensor) -> Tensor:
    name = "Mixed_6a"
    large = build.convolution(
        x, 384, 3, f"{name}_Branch_0_Conv2d_1a_3x3", strides=2, padding="valid"
    )
    deep = build.chain(x, f"{name}_Branch_1", ("Conv2d_0a_1x1", 192, 1), ("Conv2d_0b_3x3", 192, 3))
    deep = build.convolution(
        deep, 256, 3, f"{name}_Branch_1_Conv2d_1a_3x3", strides=2, padding="valid"
    )
    pooled = build.max_pooling(x, f"{name}_Branch_2_MaxPool_1a_3x3")
    return build.concatenation([large, deep, pooled], name)


def _block_b(build: GraphBuilder, x: Tensor, name: str) -> Tensor:
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_1x1", 128, 1)),
        build.chain(
            x,
            f"{name}_Branch_1",
            ("Conv2d_0a_1x1", 128, 1),
            ("Conv2d_0b_1x7", 128, (1, 7)),
            ("Conv2d_0c_7x1", 128, (7, 1)),
        ),
    ]
    return build.residual(x, branches, 0.10, name)


def _reduction_b(build: GraphBuilder, x: Tensor) -> Tensor:
    name = "Mixed_7a"
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_0a_1x1", 256, 1)),
        build.chain(x, f"{name}_Branch_1", ("Conv2d_0a_1x1", 256, 1)),
        build.chain(x, f"{name}_Branch_2", ("Conv2d_0a_1x1", 256, 1), ("Conv2d_0b_3x3", 256, 3)),
    ]
    reduced = [
        build.convolution(
            branch,
            filters,
            3,
            f"{name}_Branch_{index}_Conv2d_1a_3x3",
            strides=2,
            padding="valid",
        )
        for index, (branch, filters) in enumerate(zip(branches, (384, 256, 256), strict=True))
    ]
    pooled = build.max_pooling(x, f"{name}_Branch_3_MaxPool_1a_3x3")
    return build.concatenation([*reduced, pooled], name)


def _block_c(build: GraphBuilder, x: Tensor, name: str, *, last: bool) -> Tensor:
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_1x1", 192, 1)),
        build.chain(
            x,
            f"{name}_Branch_1",
            ("Conv2d_0a_1x1", 192, 1),
            ("Conv2d_0b_1x3", 192, (1, 3)),
            ("Conv2d_0c_3x1", 192, (3, 1)),
        ),
    ]
    return build.residual(x, branches, 1.0 if last else 0.20, name, linear=last)
