"""The protocol of an embedder."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from facekit.embedding.weights.registry import WeightsRecord


@runtime_checkable
class FaceEmbedder(Protocol):
    """Maps aligned faces to embeddings: :class:`facekit.Embedder`, or any object like it.

    Example:
        >>> import numpy as np
        >>> from facekit import Architecture, FaceEmbedder
        >>> from facekit.embedding.weights.registry import WeightsRecord
        >>> class Corners:
        ...     input_size, embedding_size = 80, 3
        ...     record = WeightsRecord("corners", "1", Architecture(input_size=80), {"size": 80})
        ...     def embed(self, aligned):
        ...         colors = 1.0 + aligned[:, 0, 0].astype(np.float32)
        ...         return colors / np.linalg.norm(colors, axis=1, keepdims=True)
        >>> isinstance(Corners(), FaceEmbedder)
        True
    """

    @property
    def record(self) -> WeightsRecord:
        """The record of the weights.

        Its identity distinguishes galleries of different embedders, ``alignment`` names the
        aligner, and thresholds and distances calibrate recognition.
        """
        ...

    @property
    def input_size(self) -> int:
        """The side S of the aligned faces that it reads, in pixels."""
        ...

    @property
    def embedding_size(self) -> int:
        """The number of components d of an embedding."""
        ...

    def embed(self, aligned: npt.NDArray[np.uint8], /) -> npt.NDArray[np.float32]:
        """Embeds aligned faces.

        Args:
            aligned: uint8 ``(n, S, S, 3)``, RGB.

        Returns:
            float32 ``(n, d)``, each row of unit L2 norm.
        """
        ...
