"""Suggestions: faces of which somebody should say whether they are an enrolled person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from facekit.gallery.records import PhotoSource
from facekit.pipeline import EmbeddedFace
from facekit.recognizer import FaceRecognizer


class Suggestion(NamedTuple):
    """A face that may be an enrolled person.

    Attributes:
        face: Where it is.
        place: Its place among the faces given.
        person: Whom it resembles most, of those who were not ruled out.
        distance: The distance to that person.
        threshold: The largest distance at which it gets the name.
    """

    face: PhotoSource
    place: int
    person: str
    distance: float
    threshold: float

    @property
    def doubt(self) -> float:
        """How near the distance is to the threshold: 1 for equal, 0 for far below or above."""
        return max(0.0, 1.0 - abs(self.distance - self.threshold) / max(self.threshold, 1e-9))


def suggest(
    recognizer: FaceRecognizer, faces: Iterable[tuple[EmbeddedFace, str | None]]
) -> list[Suggestion]:
    """Lists faces by the doubt about their names; the answers that help most come first.

    Faces that somebody decided about, and those too poor to be named, are left out.

    Args:
        recognizer: Names them.
        faces: The faces, each with the SHA-256 of its image's file.

    Returns:
        The faces, the most doubtful first.

    Raises:
        NotFittedError: If nobody is enrolled.

    Example:
        >>> from facekit import FaceRecognizer
        >>> from facekit.suggestions import suggest
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> recognizer = FaceRecognizer("facekit-small").fit({"Grace Hopper": portrait})
        >>> (image,) = recognizer.faces([portrait])
        >>> found = suggest(recognizer, [(face, image.sha256) for face in image.faces])
        >>> found[0].person, round(found[0].distance, 3)
        ('Grace Hopper', 0.0)
    """
    said = recognizer.gallery.decisions()
    asked = [
        (place, face, photo)
        for place, (face, sha256) in enumerate(faces)
        for photo in (face.photo(sha256),)
        if not face.problems and sha256 is not None
        if (decision := said.of(photo)).person is None and not decision.excluded
    ]
    if not asked:
        return []
    photos = [photo for _, _, photo in asked]
    found = recognizer.identify(np.stack([face.unit for _, face, _ in asked]), photos=photos)
    suggestions = [
        Suggestion(photo, place, answer.candidate, answer.distance, answer.threshold)
        for (place, _, photo), answer in zip(asked, found, strict=True)
        if answer.candidate not in said.of(photo).refused
    ]
    return sorted(suggestions, key=lambda one: (-one.doubt, one.place))
