"""Naming faces by a fitted classifier and the corrections of a gallery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.errors import EnrollmentError, InvalidArgumentError
from facekit.faces import Identity, RecognizedFace
from facekit.gallery import Gallery
from facekit.gallery.decisions import Decision
from facekit.gallery.records import FaceSource
from facekit.identification.answers import Explanation, Neighbor
from facekit.identification.fitting import Fitted
from facekit.identification.means import MeanIdentifier
from facekit.pipeline import EmbeddedFace, EmbeddedImage
from facekit.quality import QualityGate
from facekit.report import RecognizedImage

_Rows: TypeAlias = npt.NDArray[Any]
_Judged: TypeAlias = tuple[EmbeddedFace, Decision]


class Namer:
    """Names faces as a gallery was at one moment."""

    def __init__(self, fitted: Fitted) -> None:
        self._classifier, self._enrolled, self._decisions = fitted
        self.needs_digests = bool(self._decisions)

    @property
    def threshold(self) -> float:
        """The largest distance at which a face is named."""
        return float(self._classifier.threshold_ or 0.0)

    def means(self) -> MeanIdentifier:
        """Returns the classifier for means of several images, such as those of a video."""
        return MeanIdentifier(self._classifier, self._enrolled)

    def identify(
        self,
        rows: _Rows,
        images: Sequence[float] | None = None,
        sources: Sequence[FaceSource] | None = None,
    ) -> list[Identity]:
        """Identifies embeddings; see :meth:`facekit.FaceRecognizer.identify`."""
        if sources is not None and len(sources) != len(rows):
            raise InvalidArgumentError(
                f"sources must be one for each embedding, got {len(sources)} for {len(rows)}"
            )
        found = self._nearest(rows) if images is None else self.means().identify(rows, images)
        if sources is None:
            return found
        return [
            self._decide(answer, row, self._decisions.of(source))
            for answer, row, source in zip(found, rows, sources, strict=True)
        ]

    def stream(
        self, groups: Iterator[list[EmbeddedImage]], wanted: QualityGate | None
    ) -> Iterator[RecognizedImage]:
        """Names the faces of images, group by group."""
        with closing(groups):  # type: ignore[type-var]
            for group in groups:
                judged = [self._judged(image) for image in group]
                for image, faces in zip(group, self._faces(judged, wanted), strict=True):
                    yield RecognizedImage(image.source, image.index, faces, image.error)

    def explain(self, image: EmbeddedImage, count: int, gallery: Gallery) -> list[Explanation]:
        """Explains why each face of an image is named, or not."""
        judged = self._judged(image)
        rows = self._rows(judged)
        answers = next(self._faces([judged], None))
        return [
            replace(
                why,
                nearest=tuple(_with_source(neighbor, gallery) for neighbor in why.nearest),
                box=answer.face.box,
                problems=answer.problems,
                **{name: getattr(answer, name) for name in Identity.__dataclass_fields__},
            )
            for answer, why in zip(answers, self._classifier.explain(rows, count), strict=True)
        ]

    def _judged(self, image: EmbeddedImage) -> list[_Judged]:
        # The faces with what was decided about them, without those excluded.
        if not self._decisions:
            return [(face, Decision()) for face in image.faces]
        found = [(face, self._decisions.of(face.to_source(image.sha256))) for face in image.faces]
        return [(face, decision) for face, decision in found if not decision.excluded]

    def _faces(
        self, images: Sequence[Sequence[_Judged]], wanted: QualityGate | None
    ) -> Iterator[tuple[RecognizedFace, ...]]:
        every = list(chain.from_iterable(images))
        rows = self._rows(every)
        answers = zip(self._nearest(rows), rows, strict=True)
        for judged in images:
            faces = tuple(
                _answer(face, self._decide(*next(answers), decision), decision, wanted)
                for face, decision in judged
            )
            yield _once_each(faces, judged) if self._decisions.once_per_image else faces

    def _rows(self, judged: Sequence[_Judged]) -> _Rows:
        units = np.array([face.unit for face, _ in judged])
        return np.reshape(units, (-1, self._enrolled.embeddings.shape[1]))

    def _nearest(self, rows: _Rows) -> list[Identity]:
        threshold = self.threshold
        return [
            Identity(
                name=str(candidate) if distance <= threshold else None,
                candidate=str(candidate),
                distance=float(distance),
                threshold=threshold,
                probability=float(probability),
            )
            for candidate, distance, probability in zip(
                *self._classifier.identify(rows), strict=True
            )
        ]

    def _decide(self, identity: Identity, row: _Rows, decision: Decision) -> Identity:
        """Returns the identity of an embedding, given the decision about its face."""
        if decision.person is not None:
            found = self._classifier.among(row, decision.person)
            if found is not None:
                return Identity(found[0], found[0], found[1], identity.threshold, 1.0)
        if identity.candidate not in decision.refused:
            return identity
        found = self._classifier.among(row, refused=decision.refused)
        if found is None:  # everyone enrolled was refused
            return replace(identity, name=None, probability=0.0)
        name, distance, probability = found
        near = name if distance <= identity.threshold else None
        return Identity(near, name, distance, identity.threshold, probability)


def _answer(
    face: EmbeddedFace, identity: Identity, decision: Decision, wanted: QualityGate | None
) -> RecognizedFace:
    """Returns a face with its name; an accepted face is named however poor its image."""
    remarks = wanted.problems(face.quality) if wanted and face.quality else ()
    if decision.person is not None:
        return RecognizedFace.of(face.face, identity, (), face.problems or remarks)
    return RecognizedFace.of(face.face, identity, face.problems, remarks)


def _once_each(
    faces: Sequence[RecognizedFace], judged: Sequence[_Judged]
) -> tuple[RecognizedFace, ...]:
    """Keeps each name for one face of an image: an accepted one, or else the nearest."""
    accepted = [decision.person is not None for _, decision in judged]
    order = sorted(range(len(faces)), key=lambda at: (not accepted[at], faces[at].distance))
    first: dict[str | None, int] = {}
    for place in order:
        first.setdefault(faces[place].name, place)
    return tuple(
        face if first[face.name] == place else replace(face, name=None)
        for place, face in enumerate(faces)
    )


def _with_source(neighbor: Neighbor, gallery: Gallery) -> Neighbor:
    try:
        return replace(neighbor, source=gallery.images_at([neighbor.row])[0].source)
    except EnrollmentError:  # removed meanwhile
        return neighbor
