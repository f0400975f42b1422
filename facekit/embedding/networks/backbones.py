"""Inception-ResNet-v1, the backbone of the published FaceNet weights, and -v2, by name.

References:
    C. Szegedy, S. Ioffe, V. Vanhoucke and A. Alemi, "Inception-v4, Inception-ResNet and the Impact
    of Residual Connections on Learning", AAAI 2017. Version 1, figures 10 to 14, has the changes of
    David Sandberg's FaceNet implementation (no average pooling branch in the stem). Version 2 has
    the form of ``keras.applications.InceptionResNetV2`` without its top: with both multipliers at 1
    the same layers in the same order, so that its weights fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from facekit.embedding.networks.blocks import GraphBuilder, Tensor, block_counts


class _Version(NamedTuple):
    """The repetitions of blocks and the filters, in which the two versions differ."""

    repeats: tuple[int, int, int]
    a: tuple[int, int]
    reduction_a: tuple[int, int, int]
    b: tuple[int, int, int, int]
    reduction_b: tuple[int, int, int, int]
    c: tuple[int, int, int]


_V1 = _Version(
    repeats=(5, 10, 6),
    a=(32, 32),
    reduction_a=(192, 192, 256),
    b=(128, 128, 128, 128),
    reduction_b=(384, 256, 256, 256),
    c=(192, 192, 192),
)
_V2 = _Version(
    repeats=(10, 20, 10),
    a=(48, 64),
    reduction_a=(256, 256, 384),
    b=(192, 128, 160, 192),
    reduction_b=(384, 288, 288, 320),
    c=(192, 224, 256),
)


def _inception_resnet(
    version: _Version, build: GraphBuilder, x: Tensor, *, blocks: float
) -> Tensor:
    count_a, count_b, count_c = block_counts(version.repeats, blocks)
    x = build.convolution(x, 32, 3, "Conv2d_1a_3x3", strides=2, padding="valid")
    x = build.convolution(x, 32, 3, "Conv2d_2a_3x3", padding="valid")
    x = build.convolution(x, 64, 3, "Conv2d_2b_3x3")
    x = build.max_pooling(x, "MaxPool_3a_3x3")
    x = build.convolution(x, 80, 1, "Conv2d_3b_1x1", padding="valid")
    x = build.convolution(x, 192, 3, "Conv2d_4a_3x3", padding="valid")
    if version is _V1:
        x = build.convolution(x, 256, 3, "Conv2d_4b_3x3", strides=2, padding="valid")
    else:
        x = _mixed_5b(build, build.max_pooling(x, "MaxPool_5a_3x3"))
    for index in range(1, count_a + 1):
        x = _block_a(build, x, f"Block35_{index}", version.a)
    x = _reduction_a(build, x, version.reduction_a)
    for index in range(1, count_b + 1):
        x = _block_b(build, x, f"Block17_{index}", version.b)
    x = _reduction_b(build, x, version.reduction_b)
    for index in range(1, count_c + 1):
        x = _block_c(build, x, f"Block8_{index}", version.c, last=index == count_c)
    return x if version is _V1 else build.convolution(x, 1536, 1, "Conv2d_7b_1x1")


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


def _block_a(build: GraphBuilder, x: Tensor, name: str, filters: tuple[int, int]) -> Tensor:
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_1x1", 32, 1)),
        build.chain(x, f"{name}_Branch_1", ("Conv2d_0a_1x1", 32, 1), ("Conv2d_0b_3x3", 32, 3)),
        build.chain(
            x,
            f"{name}_Branch_2",
            ("Conv2d_0a_1x1", 32, 1),
            ("Conv2d_0b_3x3", filters[0], 3),
            ("Conv2d_0c_3x3", filters[1], 3),
        ),
    ]
    return build.residual(x, branches, 0.17, name, linear=False)


def _reduction_a(build: GraphBuilder, x: Tensor, filters: tuple[int, int, int]) -> Tensor:
    name, (first, second, last) = "Mixed_6a", filters
    large = build.convolution(
        x, 384, 3, f"{name}_Branch_0_Conv2d_1a_3x3", strides=2, padding="valid"
    )
    deep = build.chain(
        x, f"{name}_Branch_1", ("Conv2d_0a_1x1", first, 1), ("Conv2d_0b_3x3", second, 3)
    )
    deep = build.convolution(
        deep, last, 3, f"{name}_Branch_1_Conv2d_1a_3x3", strides=2, padding="valid"
    )
    pooled = build.max_pooling(x, f"{name}_Branch_2_MaxPool_1a_3x3")
    return build.concatenation([large, deep, pooled], name)


def _block_b(build: GraphBuilder, x: Tensor, name: str, filters: tuple[int, ...]) -> Tensor:
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_1x1", filters[0], 1)),
        build.chain(
            x,
            f"{name}_Branch_1",
            ("Conv2d_0a_1x1", filters[1], 1),
            ("Conv2d_0b_1x7", filters[2], (1, 7)),
            ("Conv2d_0c_7x1", filters[3], (7, 1)),
        ),
    ]
    return build.residual(x, branches, 0.10, name, linear=False)


def _reduction_b(build: GraphBuilder, x: Tensor, filters: tuple[int, int, int, int]) -> Tensor:
    name, (first, second, before_last, last) = "Mixed_7a", filters
    reduced = []
    for index, count in enumerate((first, second, last)):
        branch = f"{name}_Branch_{index}"
        y = build.chain(x, branch, ("Conv2d_0a_1x1", 256, 1))
        if index == 2:
            y = build.chain(y, branch, ("Conv2d_0b_3x3", before_last, 3))
        layer = f"{branch}_Conv2d_1a_3x3"
        reduced.append(build.convolution(y, count, 3, layer, strides=2, padding="valid"))
    pooled = build.max_pooling(x, f"{name}_Branch_3_MaxPool_1a_3x3")
    return build.concatenation([*reduced, pooled], name)


def _block_c(
    build: GraphBuilder, x: Tensor, name: str, filters: tuple[int, int, int], *, last: bool
) -> Tensor:
    branches = [
        build.chain(x, f"{name}_Branch_0", ("Conv2d_1x1", 192, 1)),
        build.chain(
            x,
            f"{name}_Branch_1",
            ("Conv2d_0a_1x1", filters[0], 1),
            ("Conv2d_0b_1x3", filters[1], (1, 3)),
            ("Conv2d_0c_3x1", filters[2], (3, 1)),
        ),
    ]
    return build.residual(x, branches, 1.0 if last else 0.20, name, linear=last)


BACKBONES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "inception_resnet_v1": partial(_inception_resnet, _V1),
        "inception_resnet_v2": partial(_inception_resnet, _V2),
    }
)
"""Functions from a graph builder and images to features."""
