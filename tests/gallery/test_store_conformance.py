"""What every store of a gallery does, in any order of calls."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run

from facekit import EnrollmentError, Gallery
from facekit.gallery import PostgresStore
from facekit.gallery.protocol import GalleryStore
from facekit.gallery.records import EnrolledImage, FaceSource
from facekit.gallery.store import FileStore

SIZE, WEIGHTS = 4, "example@1"
NUMBERS = itertools.count()

# Any letters: those that databases treat in a special way are among them.
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=8) | st.sampled_from(
    ["\\", "\\u0041", "caf\udce9", "'; --", '"', "\t\n", "a" * 500]
)
SHA256 = st.none() | st.integers(0, 2**256 - 1).map("{:064x}".format)
SIDE = st.floats(-1e6, 1e6)
IMAGES = st.builds(FaceSource, TEXTS, SHA256, st.none() | st.tuples(SIDE, SIDE, SIDE, SIDE))


@st.composite
def unit_vectors(draw: Any, count: int) -> Any:
    numbers = st.lists(st.integers(-3, 3), min_size=SIZE, max_size=SIZE).filter(any)
    rows = np.array([draw(numbers) for _ in range(count)], np.float32).reshape(count, SIZE)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class StoreMachine(RuleBasedStateMachine):
    """Calls a store, and a dictionary beside it."""

    make: Callable[[], GalleryStore]

    @initialize()
    def start(self) -> None:
        self.store = type(self).make()
        self.kept: dict[int, tuple[EnrolledImage, Any]] = {}
        self.given: set[int] = set()

    @rule(
        names=st.lists(st.sampled_from(["Ada", "Grace", "José", "\\", "x\udce9"]), max_size=4),
        data=st.data(),
    )
    def add(self, names: list[str], data: st.DataObject) -> None:
        rows = data.draw(unit_vectors(len(names)))
        images = [data.draw(IMAGES) for _ in names]
        numbers = self.store.add(names, rows, images)
        assert len(set(numbers)) == len(names)
        assert not set(numbers) & self.given
        assert numbers == sorted(numbers)
        self.given |= set(numbers)
        for number, name, row, image in zip(numbers, names, rows, images, strict=True):
            enrolled = EnrolledImage(image.source, image.sha256, image.box, number, name)
            self.kept[number] = enrolled, row

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        some = data.draw(
            st.lists(st.sampled_from(sorted(self.kept)), max_size=3) if self.kept else st.just([])
        )
        self.store.remove(some)
        for number in set(some):
            del self.kept[number]

    @rule(data=st.data())
    def remove_what_is_not_there(self, data: st.DataObject) -> None:
        known = data.draw(
            st.lists(st.sampled_from(sorted(self.kept)), max_size=2) if self.kept else st.just([])
        )
        gone = data.draw(st.sampled_from([0, 10**9, *sorted(self.given - set(self.kept))]))
        with pytest.raises(EnrollmentError, match=str(gone)):
            self.store.remove([*known, gone])

    @rule(data=st.data(), count=st.integers(1, 6))
    def search(self, data: st.DataObject, count: int) -> None:
        probes = data.draw(unit_vectors(data.draw(st.integers(0, 3))))
        answers = self.store.search(probes, count)
        assert len(answers) == len(probes)
        for probe, found in zip(probes.astype(np.float64), answers, strict=True):
            distances = {
                number: float(np.linalg.norm((row - probe)[None], axis=1)[0])
                for number, (_, row) in self.kept.items()
            }
            # A float32 vector has unit norm to 1e-7, which near 0 makes 5e-4 of a distance.
            # Of equal ones, any may come.
            nearest = sorted(distances.values())[:count]
            assert [match.distance for match in found] == pytest.approx(nearest, abs=1e-3)
            for match in found:
                assert match.distance == pytest.approx(distances[match.image], abs=1e-3)
                assert match.person == self.kept[match.image][0].person

    @rule()
    def another_process_opens_it(self) -> None:
        if getattr(self.store, "path", None) is not None or isinstance(self.store, PostgresStore):
            gallery = pickle.loads(pickle.dumps(Gallery.of(self.store)))
            self.store = gallery._store

    @invariant()
    def everything_is_there_in_order(self) -> None:
        if not hasattr(self, "store"):
            return
        images: list[EnrolledImage] = []
        rows = []
        for some, vectors in self.store.snapshot():
            images += some
            rows += list(vectors)
            assert vectors.dtype == np.float32
            assert vectors.shape == (len(some), SIZE)
        assert images == [self.kept[number][0] for number in sorted(self.kept)]
        np.testing.assert_array_equal(rows, [self.kept[number][1] for number in sorted(self.kept)])

    def teardown(self) -> None:
        if hasattr(getattr(self, "store", None), "close"):
            self.store.close()  # type: ignore[attr-defined]


@pytest.fixture(params=["memory", "file", "exact", "hnsw"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], GalleryStore]:
    """Makes empty stores of one kind."""
    if request.param == "memory":
        return lambda: FileStore.in_memory(WEIGHTS, SIZE)
    if request.param == "file":

        def in_file() -> GalleryStore:
            path = tmp_path / f"{next(NUMBERS)}.facekit"
            FileStore.create(path, WEIGHTS, SIZE)
            return FileStore.open(path, WEIGHTS, 10.0)

        return in_file
    conninfo = request.getfixturevalue("server")
    return lambda: PostgresStore.create(
        conninfo, WEIGHTS, SIZE, f"gallery {next(NUMBERS)}", search=request.param
    )


def test_a_store_keeps_what_it_is_given(make: Callable[[], GalleryStore]) -> None:
    machine = type("Machine", (StoreMachine,), {"make": staticmethod(make)})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run(
        machine,
        settings=settings(
            max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=checks
        ),
    )


def test_a_store_is_what_the_protocol_says(make: Callable[[], GalleryStore]) -> None:
    store = make()
    assert isinstance(store, GalleryStore)
    assert (store.weights, store.embedding_size) == (WEIGHTS, SIZE)
    assert store.erasure in ("immediate", "after_compaction", "logical")


def test_images_are_found_by_the_digest_of_their_file(make: Callable[[], GalleryStore]) -> None:
    gallery, digest = Gallery.of(make()), "ab" * 32
    gallery.enroll("Ada", np.eye(SIZE)[:2], [FaceSource("a.jpg", digest), "b.jpg"])
    for spelled in (digest, digest.upper()):
        (image,) = gallery.images_with_digests({spelled})
        assert (image.source, image.sha256) == ("a.jpg", digest)


def test_a_gallery_of_a_store_answers_like_one_in_memory(make: Callable[[], GalleryStore]) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(60, SIZE)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    galleries = [Gallery(WEIGHTS, SIZE), Gallery.of(make())]
    for gallery in galleries:
        gallery.extend(
            [f"person {n % 7}" for n in range(60)], rows, [f"{n}.jpg" for n in range(60)]
        )
        gallery.remove("person 3")
    first, second = (
        [match._replace(image=0) for found in gallery.search(rows, 9) for match in found]
        for gallery in galleries
    )
    assert first == second
    assert galleries[0].people == galleries[1].people
    np.testing.assert_array_equal(*(gallery.embeddings for gallery in galleries))
