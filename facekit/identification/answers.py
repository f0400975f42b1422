"""The results of identification, with explanations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt

from facekit.gallery.index import FloatArray


class Identification(NamedTuple):
    """The candidates of n embeddings, before the threshold is applied.

    Attributes:
        candidate: The person chosen for each, an array of n classes.
        distance: Euclidean distance to that person, float64 ``(n,)``: to the nearest enrolled
            embedding, or for the strategy ``"centroid"`` to the mean of all.
        probability: The probability of that person, float64 ``(n,)``; see
            :meth:`facekit.IdentityClassifier.predict_proba`.

    Example:
        >>> import numpy as np
        >>> from facekit import IdentityClassifier
        >>> classifier = IdentityClassifier("nearest", threshold=1.0)
        >>> _ = classifier.fit(np.eye(2), ["Ada", "Grace"])
        >>> found = classifier.identify([[0.8, 0.6]])
        >>> found.candidate.tolist(), found.distance.round(3).tolist()
        (['Ada'], [0.632])
    """

    candidate: npt.NDArray[Any]
    distance: FloatArray
    probability: FloatArray


@dataclass(frozen=True)
class Neighbor:
    """An enrolled embedding near a face.

    Args:
        person: Who it shows.
        distance: Euclidean distance between the unit embeddings.
        row: Its row among those given to ``fit``, from 0.
        source: The name of its image, if known.

    Example:
        >>> import numpy as np
        >>> from facekit import IdentityClassifier
        >>> classifier = IdentityClassifier("nearest", threshold=1.0)
        >>> _ = classifier.fit(np.eye(2), ["Ada", "Grace"])
        >>> nearest = classifier.explain([[0.6, 0.8]])[0].nearest
        >>> [(str(neighbor.person), neighbor.row) for neighbor in nearest]
        [('Grace', 1), ('Ada', 0)]
    """

    person: Any
    distance: float
    row: int
    source: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why a face was named, or not.

    Args:
        name: The result, ``None`` for a stranger.
        candidate: The enrolled person that the face resembles most.
        distance: The distance to the candidate, which is compared with the threshold.
        threshold: The largest distance at which a name is given, or ``None`` without one.
        probability: The probability that it is the candidate.
        nearest: The nearest enrolled embeddings of any person, the nearest first.
        box: The face in its image, ``(x, y, width, height)`` in pixels; ``None`` for an embedding.
        problems: Why the image of the face is too poor to be named, in words; empty if it is good
            enough.

    Example:
        >>> import numpy as np
        >>> from facekit import IdentityClassifier
        >>> classifier = IdentityClassifier("nearest", threshold=0.5)
        >>> _ = classifier.fit(np.eye(2), ["Ada", "Grace"])
        >>> why = classifier.explain([[0.8, 0.6]])[0]
        >>> why.name, str(why.candidate), round(why.distance, 3), why.threshold
        (None, 'Ada', 0.632, 0.5)
    """

    name: Any
    candidate: Any
    distance: float
    threshold: float | None
    probability: float
    nearest: tuple[Neighbor, ...]
    box: tuple[float, float, float, float] | None = None
    problems: tuple[str, ...] = ()
