"""Local centering: moves embeddings apart where those of many strangers lie close together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.utils.validation import number, unit_rows, vectors, whole

FloatArray = npt.NDArray[np.float32]

_LEAST_NORM = 1e-6


@dataclass(frozen=True, eq=False)
class LocalCentering:
    r"""Subtracts from each embedding a share of the mean of the cluster that it lies in.

    Where a network saw few people of a group, strangers of that group lie close together, and most
    false matches are theirs. With the centers :math:`c_i` of clusters of many people's embeddings,
    an embedding :math:`x` becomes :math:`x - s \sum_i w_i c_i`, of unit norm, with the softmax
    :math:`w_i` of :math:`b \cos(x, c_i)`. Neither people nor groups need a label.

    Args:
        centers: float ``(k, d)``, the centers of the clusters, none of them zero.
        sharpness: b, above 0: how much a nearer center counts than a farther one.
        share: s, 0 to 1.

    Raises:
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> import numpy as np
        >>> from facekit.embedding import LocalCentering
        >>> close = np.array([[0.8, 0.6], [0.6, 0.8], [-1, 0]])
        >>> apart = LocalCentering([[0.7, 0.7], [-0.9, 0]], sharpness=10, share=0.5)(close)
        >>> bool(close[0] @ close[1] > apart[0] @ apart[1])
        True

    References:
        K. Hara, I. Suzuki, M. Shimbo, K. Kobayashi, K. Fukumizu and M. Radovanović, "Localized
        Centering: Reducing Hubness in Large-Sample Data", AAAI 2015, subtract from a similarity
        that to the mean of the nearest neighbors.
    """

    centers: FloatArray
    sharpness: float = 20.0
    share: float = 0.6

    def __post_init__(self) -> None:
        centers = vectors(self.centers, None, "centers")
        if not len(centers) or np.linalg.norm(centers, axis=1).min() < _LEAST_NORM:
            raise InvalidArgumentError("centers must be at least one, none of them zero")
        number(self.sharpness, "sharpness", above=0)
        number(self.share, "share", 0, 1)
        object.__setattr__(self, "centers", centers)

    @property
    def directions(self) -> FloatArray:
        """float32 ``(d, k)``, whose product with an embedding is b times its cosines."""
        norms = np.linalg.norm(self.centers, axis=1, keepdims=True)
        found: FloatArray = (self.centers / norms * np.float32(self.sharpness)).T
        return found

    @classmethod
    def fit(
        cls,
        embeddings: npt.ArrayLike,
        *,
        clusters: int = 32,
        sharpness: float = 20.0,
        share: float = 0.6,
        seed: int = 0,
    ) -> LocalCentering:
        """Finds the centers by k-means.

        Args:
            embeddings: float ``(n, d)`` of unit norm, of many people. A group of whom there are few
                has no center, and stays as it is.
            clusters: How many centers.
            sharpness: As for the constructor.
            share: Likewise.
            seed: Seed of k-means.

        Returns:
            The local centering.

        Raises:
            InvalidArgumentError: If there are fewer embeddings than clusters, or an argument lies
                outside its range.
        """
        from sklearn.cluster import KMeans

        rows = unit_rows(embeddings)
        whole(clusters, "clusters", least=1, most=len(rows))
        seed = whole(seed, "seed", least=0, most=2**32 - 1)
        found = KMeans(clusters, n_init=1, random_state=seed).fit(rows.astype(np.float64))
        return cls(found.cluster_centers_.astype(np.float32), sharpness, share)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> LocalCentering:
        """Creates one from the arrays of :meth:`to_arrays`.

        Args:
            arrays: The arrays by name.

        Returns:
            The local centering.

        Raises:
            InvalidArgumentError: If there are others, or they cannot be used.
        """
        if arrays.keys() != {"centers", "sharpness", "share"}:
            raise InvalidArgumentError(f"not the arrays of a local centering: {sorted(arrays)}")
        sharpness, share = (np.asarray(arrays[name]).ravel() for name in ("sharpness", "share"))
        if not len(sharpness) == len(share) == 1:
            raise InvalidArgumentError("sharpness and share must each be one number")
        return cls(arrays["centers"], float(sharpness[0]), float(share[0]))

    def to_arrays(self) -> dict[str, FloatArray]:
        """Returns its arrays by name, as a file stores them."""
        return {
            "centers": self.centers,
            "sharpness": np.array([self.sharpness], dtype=np.float32),
            "share": np.array([self.share], dtype=np.float32),
        }

    def __call__(self, embeddings: FloatArray) -> FloatArray:
        """Returns embeddings of unit norm moved apart, float32 ``(n, d)`` of unit norm."""
        embeddings = unit_rows(embeddings, self.centers.shape[1])
        scores = embeddings @ self.directions
        weights = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
        weights /= weights.sum(axis=1, keepdims=True)
        moved = embeddings - np.float32(self.share) * (weights @ self.centers)
        # An embedding that is a center, of which all is subtracted, has no direction left.
        return unit_or(moved, embeddings)


def unit_or(vectors: FloatArray, otherwise: FloatArray) -> FloatArray:
    """Returns the vectors divided by their norms, and others in place of those of nearly none."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: FloatArray = np.where(
        norms > _LEAST_NORM, vectors / np.maximum(norms, _LEAST_NORM), otherwise
    )
    return unit
