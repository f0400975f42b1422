"""Suggestions: the faces for which a confirmation helps most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy.typing as npt

from facekit.gallery.records import FaceSource
from facekit.recognizer import FaceRecognizer


class Suggestion(NamedTuple):
    """A face that may be an enrolled person.

    Attributes:
        face: Where it is.
        place: Its index among the faces given.
        person: The person that it resembles most, of those not ruled out.
        distance: The distance to that person.
        threshold: The largest distance at which it gets the name.

    Example:
        >>> from facekit.gallery.records import FaceSource
        >>> from facekit.suggestions import Suggestion
        >>> face = FaceSource("party.jpg")
        >>> Suggestion(face, place=0, person="Ada", distance=1.1, threshold=1.1).doubt
        1.0
    """

    face: FaceSource
    place: int
    person: str
    distance: float
    threshold: float

    @property
    def doubt(self) -> float:
        """How close the distance is to the threshold, from 0 if far from it to 1 if equal."""
        return max(0.0, 1.0 - abs(self.distance - self.threshold) / max(self.threshold, 1e-9))


def suggest(
    recognizer: FaceRecognizer, faces: Sequence[FaceSource], embeddings: npt.ArrayLike
) -> list[Suggestion]:
    """Lists faces, the most doubtful first.

    Confirming or rejecting a doubtful face most often changes its name. Where faces are only named
    once accepted, as on the page of ``facekit web``, ask about the nearest first.

    Faces with a decision are left out.

    Args:
        recognizer: Names them.
        faces: Where the faces are, n of them, with ``sha256`` and ``box``.
        embeddings: ``(n, d)``, of unit L2 norm.

    Returns:
        The faces, the most doubtful first.

    Raises:
        NotFittedError: If no one is enrolled.
        InvalidArgumentError: If there is not one face for each embedding.

    Example:
        >>> from facekit import FaceRecognizer
        >>> from facekit.suggestions import suggest
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> recognizer = FaceRecognizer("facekit-small").fit({"Grace Hopper": portrait})
        >>> (image,) = recognizer.faces([portrait])
        >>> sources = [face.to_source(image.sha256) for face in image.faces]
        >>> found = suggest(recognizer, sources, [face.unit for face in image.faces])
        >>> found[0].person, round(found[0].distance, 3)
        ('Grace Hopper', 0.0)
    """
    if not len(faces):
        return []
    said = [recognizer.gallery.decisions().of(face) for face in faces]
    answers = recognizer.identify(embeddings, sources=faces)
    found = [
        Suggestion(face, place, answer.candidate, answer.distance, answer.threshold)
        for place, (face, decision, answer) in enumerate(zip(faces, said, answers, strict=True))
        if decision.person is None and not decision.excluded
        if answer.candidate not in decision.refused
    ]
    return sorted(found, key=lambda one: (-one.doubt, one.place))
