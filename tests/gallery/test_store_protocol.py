"""A gallery of any store, such as one of a few lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from facekit import EnrollmentError, Gallery, InvalidArgumentError
from facekit.gallery.protocol import Batch, Erasure, GalleryStore
from facekit.gallery.records import EnrolledImage, FaceSource, Match
from facekit.gallery.store import FileStore


class ListStore:
    weights, embedding_size = "example@1", 4
    erasure: Erasure = "logical"

    def __init__(self) -> None:
        self.rows: dict[int, tuple[EnrolledImage, Any]] = {}

    def add(self, names: Sequence[str], embeddings: Any, images: Sequence[FaceSource]) -> list[int]:
        numbers = [len(self.rows) + place for place in range(10, 10 + len(names))]
        for number, name, row, image in zip(numbers, names, embeddings, images, strict=True):
            self.rows[number] = EnrolledImage(image.source, id=number, person=name), row
        return numbers

    def remove(self, numbers: Sequence[int]) -> None:
        self.rows = {number: row for number, row in self.rows.items() if number not in numbers}

    def search(self, probes: Any, count: int) -> list[list[Match]]:
        def nearest(probe: Any) -> list[Match]:
            found = [
                Match(image.person, float(np.linalg.norm(row - probe)), image.id)
                for image, row in self.rows.values()
            ]
            return sorted(found, key=lambda match: match.distance)[:count]

        return [nearest(probe) for probe in probes]

    def snapshot(self) -> Iterator[Batch]:
        for image, row in self.rows.values():
            yield [image], row[None]


@pytest.fixture(params=["stand-in", "memory"])
def gallery(request: pytest.FixtureRequest) -> Gallery:
    store: GalleryStore = ListStore()
    if request.param == "memory":
        store = FileStore.in_memory("example@1", 4)
    assert isinstance(store, GalleryStore)
    return Gallery.of(store)


def test_people_are_enrolled_found_and_removed(gallery: Gallery) -> None:
    rows = np.eye(4, dtype=np.float32)
    numbers = gallery.extend(["Ada", "Grace ", "Ada"], rows[:3], ["a", "g", "b"])
    assert gallery.people == {"Ada": 2, "Grace": 1}
    assert (list(gallery), len(gallery), "Ada" in gallery) == (["Ada", "Grace"], 3, True)
    assert gallery.search(rows[1:2], 1) == [[Match("Grace", 0.0, numbers[1])]]
    assert [image.source for image in gallery.images("Ada")] == ["a", "b"]
    assert gallery.image(numbers[2]).source == "b"
    enrolled = gallery.enrolled()
    assert enrolled.classes[enrolled.labels].tolist() == ["Ada", "Grace", "Ada"]
    assert gallery.remove("Ada") == 2
    assert gallery.people == {"Grace": 1}
    assert gallery.clear() == 1
    assert len(gallery) == 0


def test_a_replacement_that_fails_loses_no_one(gallery: Gallery) -> None:
    rows = np.eye(4, dtype=np.float32)
    numbers = gallery.extend(["Ada", "Grace"], rows[:2], ["a", "g"])
    good, bad = ([EnrolledImage("e", person="Eve")], rows[2:3]), ([EnrolledImage("x")], rows[3:])
    with pytest.raises(InvalidArgumentError, match="name"):
        gallery.replace([good, bad])
    assert [image.id for image in gallery.images()] == numbers
    assert gallery.replace([good]) == 1
    assert gallery.people == {"Eve": 1}


def test_images_have_the_rows_of_their_embeddings(gallery: Gallery) -> None:
    # Whatever their numbers are.
    near, far = np.float32([[1, 0, 0, 0]] * 3), np.float32([[0, 1, 0, 0]])
    gallery.extend(["Ada"] * 4, np.concatenate((near, far)), ["1", "2", "3", "other"])
    (outlier,) = gallery.outliers(0.9)
    assert outlier.image.source == "other"
    assert [image.source for image in gallery.images_at([3, 0])] == ["other", "1"]
    with pytest.raises(EnrollmentError):
        gallery.images_at([4])


def test_what_a_store_does_not_keep_is_refused() -> None:
    gallery = Gallery.of(ListStore())
    row = np.eye(4, dtype=np.float32)[:1]
    with pytest.raises(InvalidArgumentError, match="ListStore"):
        gallery.enroll("Ada", row, ["a"], metadata={"born": 1815})
    assert gallery.people == {}
    with pytest.raises(InvalidArgumentError, match="ListStore"):
        gallery.compact()
