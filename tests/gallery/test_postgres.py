"""A gallery on a PostgreSQL server: errors in words, changes as a whole, erasure as it is said."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from facekit import (
    EnrollmentError,
    FaceRecognizer,
    FileFormatError,
    Gallery,
    IdentityClassifier,
    InvalidArgumentError,
)
from facekit.errors import GalleryBusyError, GalleryServerError
from facekit.gallery import PostgresStore
from facekit.gallery.records import FaceSource

WEIGHTS, SIZE = "example@1", 8
NAMES = (f"postgres {number}" for number in itertools.count())


def unit(count: int, size: int = SIZE, seed: int = 0) -> Any:
    rows = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def images(count: int) -> list[FaceSource]:
    return [FaceSource(f"{number}.jpg") for number in range(count)]


@pytest.fixture
def store(server: str) -> PostgresStore:
    return PostgresStore.create(server, WEIGHTS, SIZE, next(NAMES))


def another(store: PostgresStore) -> PostgresStore:
    copied: PostgresStore = pickle.loads(pickle.dumps(store))
    return copied


def test_what_cannot_be_opened_is_said(server: str, store: PostgresStore) -> None:
    name = store._name
    with pytest.raises(FileFormatError, match="no gallery of that name"):
        PostgresStore(server, "missing")
    with pytest.raises(FileFormatError, match="already"):
        PostgresStore.create(server, WEIGHTS, SIZE, name)
    with pytest.raises(InvalidArgumentError, match="other@2"):
        PostgresStore(server, name, weights="other@2")
    with pytest.raises(GalleryServerError, match="the server says"):
        PostgresStore("postgresql://localhost:1/none", name)
    with pytest.raises(GalleryServerError):
        PostgresStore("no conninfo at all", name)
    for arguments in ({"name": ""}, {"name": "x" * 64}, {"name": "a\nb"}, {"search": "fast"},
                      {"timeout": -1}, {"conninfo": 3}):  # fmt: skip
        with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
            PostgresStore(**{"conninfo": server, **arguments})
    with pytest.raises(InvalidArgumentError, match="embedding_size"):
        PostgresStore.create(server, WEIGHTS, 20_000, next(NAMES))
    with pytest.raises(InvalidArgumentError, match="hnsw"):
        PostgresStore.create(server, WEIGHTS, 3_000, next(NAMES), search="hnsw")


def test_a_change_that_fails_changes_nothing(store: PostgresStore) -> None:
    store.add(["Ada"] * 3, unit(3), images(3))
    with pytest.raises(ValueError, match="zip"):
        store.add(["Ada"] * 3, unit(2), images(3))
    with pytest.raises(EnrollmentError, match="99"):
        store.remove([1, 99])
    assert len(Gallery.of(store)) == 3


def test_a_change_waits_for_another_and_then_gives_up(store: PostgresStore, server: str) -> None:
    store.add(["Ada"], unit(1), images(1))
    waiting = PostgresStore(server, store._name, timeout=0.2)
    with store._server.session() as session:
        session.run("LOCK TABLE {}.photos")
        with pytest.raises(GalleryBusyError, match="under way"):
            waiting.add(["Grace"], unit(1), images(1))
    waiting.add(["Grace"], unit(1), images(1))
    assert Gallery.of(store).people == {"Ada": 1, "Grace": 1}


def test_threads_and_processes_use_one_at_once(store: PostgresStore) -> None:
    def enroll(number: int) -> None:
        store.add([f"thread {number}"] * 5, unit(5), images(5))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enroll, range(8)))
    context = multiprocessing.get_context("fork" if hasattr(multiprocessing, "fork") else "spawn")
    with context.Pool(2) as processes:
        assert processes.map(count, [store] * 4) == [40] * 4
    assert len(Gallery.of(store)) == 40
    assert threading.active_count() < 20


def count(store: PostgresStore) -> int:
    return len(Gallery.of(store))


def test_a_restarted_connection_is_made_again(store: PostgresStore) -> None:
    killer = another(store)
    store.search(unit(1), 1)
    with killer._server.session() as session:
        session.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    assert store.search(unit(1), 1) == [[]]


def test_a_snapshot_is_of_one_moment(store: PostgresStore) -> None:
    numbers = store.add(["Ada"] * 4500, unit(4500), images(4500))
    batches = store.snapshot()
    seen = [image.id for image in next(batches)[0]]
    store.remove(numbers[4000:])
    store.add(["Grace"], unit(1), images(1))
    for more, rows in batches:
        seen += [image.id for image in more]
        assert len(rows) == len(more)
    assert seen == numbers
    assert len(Gallery.of(store)) == 4001


def test_the_graph_finds_nearly_all(server: str, store: PostgresStore) -> None:
    store.add([f"person {n}" for n in range(3000)], unit(3000), images(3000))
    store.build_index()
    store.build_index()
    near = PostgresStore(server, store._name, search="hnsw")
    probes = unit(30, seed=1)
    pairs = zip(store.search(probes, 5), near.search(probes, 5), strict=True)
    shares = [len(set(exact) & set(found)) / 5 for exact, found in pairs]
    assert np.mean(shares) > 0.95
    near.remove([match.image for match in near.search(probes[:1], 5)[0]])
    assert len(near.search(probes[:1], 5)[0]) == 5


def test_what_is_removed_leaves_the_table_with_a_compaction(store: PostgresStore) -> None:
    (number,) = store.add(["Erased-Person-4711"], unit(1), images(1))
    store.add(["Grace"], unit(1, seed=1), images(1))

    def table() -> bytes:
        with store._server.session() as session:
            (found,) = session.one(
                "SELECT pg_read_binary_file(pg_relation_filepath(%s::regclass))",
                f'"{store._name}".photos',
            )
            return bytes(found)

    store.remove([number])
    assert store.erasure == "logical"
    store.compact()
    content = table()
    assert b"Erased-Person-4711" not in content
    assert unit(1).tobytes() not in content
    assert Gallery.of(store).people == {"Grace": 1}


def test_a_recognizer_works_on_it(server: str) -> None:
    from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY

    record = REGISTRY[DEFAULT_WEIGHTS]
    size = record.architecture.embedding_size
    shared = Gallery.of(PostgresStore.create(server, record.identity, size, next(NAMES)))
    own = Gallery(record.identity, size)
    rows = unit(20, size)
    answers = []
    for gallery in (shared, own):
        gallery.extend([f"person {n}" for n in range(20)], rows, [f"{n}" for n in range(20)])
        recognizer = FaceRecognizer(gallery=gallery, classifier=IdentityClassifier("nearest"))
        answers.append(recognizer.identify(np.concatenate([rows[:3], unit(3, size, seed=5)])))
        recognizer.remove("person 3")
    for one, other in zip(*answers, strict=True):
        assert (one.name, one.candidate) == (other.name, other.candidate)
        assert one.distance == pytest.approx(other.distance, abs=1e-6)
        assert one.threshold == pytest.approx(other.threshold, abs=1e-6)
    assert shared.people == own.people
