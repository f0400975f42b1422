"""The backbones by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from facekit.embedding.networks.inception_resnet_v1 import inception_resnet_v1
from facekit.embedding.networks.inception_resnet_v2 import inception_resnet_v2

BACKBONES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"inception_resnet_v1": inception_resnet_v1, "inception_resnet_v2": inception_resnet_v2}
)
"""Functions from a graph builder and pictures to features."""
