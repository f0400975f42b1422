"""The protocol of a store, in which a gallery keeps its people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from facekit.gallery.records import EnrolledImage, FaceSource, Match

Erasure: TypeAlias = Literal["immediate", "after_compaction", "logical"]
"""When the bytes of a removed image are gone from the store: when ``remove`` returns, after a
compaction that the store's administrator runs, or never for certain (the rows are only hidden, or a
log or a backup keeps them)."""

Batch: TypeAlias = tuple[list[EnrolledImage], npt.NDArray[np.float32]]
"""Some enrolled images and their embeddings, float32 ``(n, d)``."""


@runtime_checkable
class GalleryStore(Protocol):
    """Stores enrolled images, and finds those that resemble a probe.

    :meth:`facekit.Gallery.of` creates a gallery from any store. :meth:`facekit.Gallery.open` uses a
    file; a database server is another kind. A store never returns all vectors at once.

    Attributes:
        weights: The identity of the weights that make the embeddings.
        embedding_size: The number of components of an embedding.
        erasure: When the bytes of a removed image are gone.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> from facekit.gallery.protocol import GalleryStore
        >>> from facekit.gallery.records import EnrolledImage, Match
        >>> class ListStore:
        ...     weights, embedding_size, erasure = "example@1", 2, "logical"
        ...     def __init__(self):
        ...         self.kept = {}
        ...     def add(self, names, embeddings, sources):
        ...         numbers = [len(self.kept) + 1 + place for place in range(len(names))]
        ...         self.kept.update(zip(numbers, zip(names, embeddings, sources)))
        ...         return numbers
        ...     def remove(self, numbers):
        ...         for number in numbers:
        ...             del self.kept[number]
        ...     def search(self, probes, count):
        ...         return [sorted((Match(name, float(np.linalg.norm(row - probe)), number)
        ...                         for number, (name, row, _) in self.kept.items()),
        ...                        key=lambda match: match.distance)[:count] for probe in probes]
        ...     def snapshot(self):
        ...         for number, (name, row, image) in self.kept.items():
        ...             yield [EnrolledImage(image.source, id=number, person=name)], row[None]
        >>> isinstance(ListStore(), GalleryStore)
        True
        >>> gallery = Gallery.of(ListStore())
        >>> gallery.enroll("Ada", np.array([[1.0, 0.0]]), ["ada.jpg"])
        [1]
        >>> gallery.search(np.array([[0.8, 0.6]]))[0][0].person
        'Ada'
    """

    weights: str
    embedding_size: int
    erasure: Erasure

    def add(
        self,
        names: Sequence[str],
        embeddings: npt.NDArray[np.float32],
        sources: Sequence[FaceSource],
    ) -> list[int]:
        """Adds images, all of them or none.

        Args:
            names: The person of each, n of them; checked and normalized.
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            sources: The source of each, n of them.

        Returns:
            A number for each image, which identifies it.
        """

    def remove(self, numbers: Sequence[int]) -> None:
        """Removes images, all of them or none.

        Args:
            numbers: What :meth:`add` returned for them.
        """

    def search(self, probes: npt.NDArray[Any], count: int) -> list[list[Match]]:
        """Finds the enrolled images that are nearest to each probe.

        Args:
            probes: Embeddings, ``(n, d)``.
            count: How many images to return for each, at most.

        Returns:
            For each probe the images, the nearest first.
        """

    def snapshot(self) -> Iterator[Batch]:
        """Yields a consistent snapshot of everything enrolled, batch by batch.

        Yields:
            Images and their embeddings, in the order of enrollment.
        """
