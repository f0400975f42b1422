"""Names as the corrections of a gallery decide them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.faces import Identity, RecognizedFace
from facekit.gallery import Gallery
from facekit.gallery.decisions import Decision, Decisions
from facekit.gallery.enrolled import Enrolled
from facekit.identification.classifier import IdentityClassifier


def usable(gallery: Gallery, enrolled: Enrolled, decisions: Decisions) -> Enrolled:
    """Returns what is enrolled, without photos that are no faces, to be ignored, or of others.

    Args:
        gallery: The gallery.
        enrolled: What it holds.
        decisions: What follows from its corrections.

    Returns:
        The same rows; those left out count as erased.
    """
    doubted = []
    for photo in gallery.photos_of_images(decisions.images()) if decisions else ():
        said = decisions.of(photo)
        other = said.person not in (None, photo.person) or photo.person in said.refused
        if (other or said.excluded) and photo.id <= len(enrolled.labels):
            doubted.append(photo.id - 1)
    if not doubted:
        return enrolled
    labels = enrolled.labels.copy()
    labels[doubted] = -1
    there = np.bincount(labels[labels >= 0], minlength=len(enrolled.classes)) > 0
    labels = np.where(labels >= 0, (np.cumsum(there) - 1)[labels], -1)
    return Enrolled(
        enrolled.embeddings, labels, enrolled.classes[there], least_norm=enrolled.least_norm
    )


def decide(
    identity: Identity,
    embedding: npt.NDArray[Any],
    decision: Decision,
    classifier: IdentityClassifier,
) -> Identity:
    """Returns whose an embedding is, given what was decided about its face.

    Args:
        identity: Whose it is by distance alone.
        embedding: The embedding, ``(d,)``.
        decision: What was decided.
        classifier: What named it.
    """
    if decision.person is not None:
        found = classifier.among(embedding, decision.person)
        if found is not None:
            return Identity(found[0], found[0], found[1], identity.threshold, 1.0)
    if identity.candidate not in decision.refused:
        return identity
    found = classifier.among(embedding, refused=decision.refused)
    if found is None:  # everybody enrolled was refused
        return replace(identity, name=None, probability=0.0)
    name, distance, probability = found
    near = name if distance <= identity.threshold else None
    return Identity(near, name, distance, identity.threshold, probability)


def once_each(
    faces: Sequence[RecognizedFace], certain: Collection[int]
) -> tuple[RecognizedFace, ...]:
    """Leaves each name to one face of an image: to one that was accepted, or to the nearest.

    Args:
        faces: The faces of the image.
        certain: The places of those that were accepted.
    """
    order = sorted(range(len(faces)), key=lambda at: (at not in certain, faces[at].distance))
    first: dict[str | None, int] = {}
    for place in order:
        first.setdefault(faces[place].name, place)
    return tuple(
        face if first[face.name] == place else replace(face, name=None)
        for place, face in enumerate(faces)
    )
