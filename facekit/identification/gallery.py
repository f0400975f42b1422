"""The gallery: the embeddings of the enrolled people and where each came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from facekit.errors import EnrolmentError, InvalidArgumentError


class Gallery:
    """Holds the embeddings of the people who are enrolled, and the photos they came from.

    Args:
        weights: The identity of the weights that make the embeddings
            (:attr:`facekit.embedding.WeightsRecord.identity`). Those of other weights cannot be
            compared.
        embedding_size: The number of components of an embedding.

    Attributes:
        embeddings: float32 ``(n, d)``, in the order of enrolment.
        names: The person of each.
        sources: The photo that each came from, as it was called.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> gallery = Gallery("example@1", embedding_size=2)
        >>> gallery.add("Ada", np.array([[1.0, 0.0]], dtype=np.float32), ["ada.jpg"])
        >>> gallery.people
        {'Ada': 1}
        >>> gallery.remove("Ada"), len(gallery)
        (1, 0)
    """

    def __init__(self, weights: str, embedding_size: int) -> None:
        self.weights = weights
        self.embeddings: npt.NDArray[np.float32] = np.empty((0, embedding_size), dtype=np.float32)
        self.names: tuple[str, ...] = ()
        self.sources: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Gallery({len(self.people)} people, {len(self)} photos, weights={self.weights!r})"

    @property
    def people(self) -> dict[str, int]:
        """The enrolled people, sorted by name, with the number of photos of each."""
        return dict(sorted(Counter(self.names).items()))

    def add(self, name: str, embeddings: npt.NDArray[np.float32], sources: Sequence[str]) -> None:
        """Adds embeddings of one person.

        Args:
            name: Who it is; not empty.
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            sources: What the photo of each is called, n of them.

        Raises:
            InvalidArgumentError: If the name is empty or the embeddings do not fit.
        """
        self.extend([name] * len(embeddings), embeddings, sources)

    def extend(
        self, names: Sequence[str], embeddings: npt.NDArray[np.float32], sources: Sequence[str]
    ) -> None:
        """Adds embeddings of several people.

        Args:
            names: The person of each, n of them.
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            sources: What the photo of each is called, n of them.

        Raises:
            InvalidArgumentError: If a name is empty or the embeddings do not fit.
        """
        for name in names:
            check_name(name)
        embeddings = np.asarray(embeddings, dtype=np.float32)
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embeddings.shape[1]:
            raise InvalidArgumentError(
                f"embeddings must be (n, {self.embeddings.shape[1]}), got {embeddings.shape}"
            )
        if not len(names) == len(sources) == len(embeddings):
            raise InvalidArgumentError(
                f"there must be as many names and sources as embeddings, got {len(names)} names, "
                f"{len(sources)} sources and {len(embeddings)} embeddings"
            )
        self.embeddings = np.concatenate([self.embeddings, embeddings])
        self.names += tuple(names)
        self.sources += tuple(sources)

    def remove(self, name: str) -> int:
        """Removes a person with all embeddings and sources.

        Args:
            name: Who it is.

        Returns:
            How many embeddings were removed.

        Raises:
            EnrolmentError: If nobody of that name is enrolled.
        """
        kept = np.array([other != name for other in self.names], dtype=bool)
        removed = len(self) - int(kept.sum())
        if removed == 0:
            raise EnrolmentError(
                f"nobody is enrolled as {name!r}; enrolled are "
                f"{', '.join(self.people) or 'no people at all'}"
            )
        self.embeddings = self.embeddings[kept]
        self.names = tuple(other for other, keep in zip(self.names, kept, strict=True) if keep)
        self.sources = tuple(text for text, keep in zip(self.sources, kept, strict=True) if keep)
        return removed

    def copy(self) -> Gallery:
        """Returns a gallery with the same content that changes on its own."""
        other = Gallery(self.weights, self.embeddings.shape[1])
        other.embeddings, other.names, other.sources = self.embeddings, self.names, self.sources
        return other


def check_name(name: object) -> None:
    """Checks that a person's name is a text that is not empty.

    Raises:
        InvalidArgumentError: If it is not.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgumentError(
            f"a person's name must be a text that is not empty, got {name!r}"
        )
