"""Possible mistakes in a gallery: a person under two names, an image under a wrong name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import ExactIndex
from facekit.gallery.records import EnrolledImage

# How many nearest images, beyond a person's own, are examined to find those of other people.
_OTHERS = 16
_MOST_LOOKED_AT = 1024


class Duplicate(NamedTuple):
    """Two names that may be the same person.

    Attributes:
        first: One name.
        second: The other.
        distance: The median distance from the images of the one with fewer to the nearest image of
            the other.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> gallery = Gallery("example@1", embedding_size=2)
        >>> names, images = ["Ada", "A. Lovelace"], ["1.jpg", "2.jpg"]
        >>> _ = gallery.extend(names, np.array([[1, 0], [1, 0]]), images)
        >>> gallery.duplicates(threshold=0.9)
        [Duplicate(first='A. Lovelace', second='Ada', distance=0.0)]
    """

    first: str
    second: str
    distance: float


class Outlier(NamedTuple):
    """An image that may be enrolled under the wrong name.

    Attributes:
        image: The image.
        distance: The distance to the nearest other image of its name.
        resembles: The person of the nearest image under another name, if that is nearer.

    Example:
        >>> import numpy as np
        >>> from facekit import Gallery
        >>> gallery = Gallery("example@1", embedding_size=2)
        >>> images = ["1.jpg", "2.jpg", "other.jpg"]
        >>> _ = gallery.enroll("Ada", np.array([[1, 0], [1, 0], [0, 1]]), images)
        >>> outlier = gallery.outliers(threshold=0.9)[0]
        >>> outlier.image.source, round(outlier.distance, 3), outlier.resembles
        ('other.jpg', 1.414, None)
    """

    image: EnrolledImage
    distance: float
    resembles: str | None


def near_people(enrolled: Enrolled, threshold: float) -> list[Duplicate]:
    """Returns pairs of people up to that distance apart, the nearest first."""
    pairs = {
        (min(own, other), max(own, other))
        for _, own, other, distance in _nearest_others(enrolled)
        if distance <= threshold
    }
    found = []
    for first, second in pairs:
        fewer, more = sorted((enrolled.images_of(first), enrolled.images_of(second)), key=len)
        nearest = ExactIndex(enrolled.embeddings[more]).search(enrolled.embeddings[fewer], 1)
        apart = float(np.median(nearest.distances))
        if apart <= threshold:
            one, other = sorted(str(enrolled.classes[person]) for person in (first, second))
            found.append(Duplicate(one, other, apart))
    return sorted(found, key=lambda pair: (pair.distance, pair.first, pair.second))


def odd_images(enrolled: Enrolled, threshold: float) -> list[tuple[int, float, str | None]]:
    """Returns row, distance to its own person and nearer person of images that stand out."""
    nearest_other = {row: (other, far) for row, _, other, far in _nearest_others(enrolled)}
    found: list[tuple[int, float, str | None]] = []
    for person in range(len(enrolled.classes)):
        rows = enrolled.images_of(person)
        if len(rows) < 3:
            continue
        own_images = enrolled.embeddings[rows]
        # The nearest one of all is the image itself.
        nearest = ExactIndex(own_images).search(own_images, 2).distances[:, 1]
        for row, own in zip(rows, nearest, strict=True):
            other, far = nearest_other.get(int(row), (-1, np.inf))
            if own > threshold or (far <= threshold and far < own):
                resembles = str(enrolled.classes[other]) if far < own else None
                found.append((int(row), float(own), resembles))
    return sorted(found, key=lambda image: (-image[1], image[0]))


def _nearest_others(enrolled: Enrolled) -> Iterator[tuple[int, int, int, float]]:
    # Row, person, the person of the nearest image of someone else, and its distance.
    rows = enrolled.rows
    if len(rows) == 0:
        return
    most = int(np.bincount(enrolled.labels[rows]).max())
    found = enrolled.search(enrolled.embeddings[rows], min(most + _OTHERS, _MOST_LOOKED_AT))
    for row, neighbors, distances in zip(rows, found.rows, found.distances, strict=True):
        own = int(enrolled.labels[row])
        people = np.where(neighbors >= 0, enrolled.labels[neighbors], own)
        others = np.flatnonzero(people != own)
        if len(others):
            yield int(row), own, int(people[others[0]]), float(distances[others[0]])
