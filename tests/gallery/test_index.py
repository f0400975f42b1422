"""The index finds what a comparison with every photo finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.gallery import index
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import ExactIndex, FaissIndex, build_index, faiss_is_installed

needs_faiss = pytest.mark.skipif(not faiss_is_installed(), reason="needs faiss-cpu")


def unit(seed: int, count: int, size: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, size), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def near(rows: np.ndarray, distance: float) -> np.ndarray:
    direction = unit(99, *rows.shape)
    direction -= (direction * rows).sum(axis=1, keepdims=True) * rows
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    angle = 2 * np.arcsin(distance / 2)
    return np.asarray(np.cos(angle) * rows + np.sin(angle) * direction, dtype=np.float32)


@given(seed=st.integers(0, 999), lengths=st.floats(0.0, 3.0), erased=st.integers(0, 30))
def test_vectors_of_any_length_are_found_by_their_distance(
    seed: int, lengths: float, erased: int
) -> None:
    generator = np.random.default_rng(seed)
    rows = unit(seed, 40, 3) * np.exp(generator.uniform(-lengths, lengths, (40, 1)))
    probes = unit(seed + 1, 5, 3)
    gone = np.sort(generator.choice(40, erased, replace=False))
    found = ExactIndex(rows, gone).search(probes, 4)
    distances = np.linalg.norm(rows[None].astype(float) - probes[:, None], axis=2)
    distances[:, gone] = np.inf
    np.testing.assert_allclose(found.distances, np.sort(distances)[:, :4], rtol=1e-4, atol=1e-4)


@needs_faiss
@pytest.mark.parametrize("size", [128, 512])
def test_faiss_finds_images_at_distance_one(size: int) -> None:
    rows = unit(0, 20_000, size)
    found = FaissIndex(rows).search(near(rows[:200], 1.0), 1)
    assert (found.rows[:, 0] == np.arange(200)).mean() >= 0.99
    np.testing.assert_allclose(found.distances[:, 0], 1.0, atol=1e-3)


@needs_faiss
@pytest.mark.parametrize("size", [64, 512])
def test_faiss_follows_what_is_added_and_erased(size: int) -> None:
    rows = unit(1, 3_000, size)
    grown = FaissIndex(rows[:1_000])
    for end in (1_001, 2_000, 3_000):
        grown = grown.updated(rows[:end])
    erased = np.arange(0, 3_000, 3)
    rows[erased] = 0.0
    grown = grown.updated(rows, erased)
    probes = near(rows[1:600:3], 0.5)
    exact = ExactIndex(rows, erased, least_norm=index.LEAST_NORM)
    np.testing.assert_array_equal(grown.search(probes, 1).rows, exact.search(probes, 1).rows)
    assert not np.isin(grown.search(probes, 50).rows, erased).any()


@needs_faiss
def test_a_gallery_that_grows_large_gets_the_other_index(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("index", "enrolled"):
        monkeypatch.setattr(f"facekit.gallery.{module}.EXACT_LIMIT", 100)
    rows, people = unit(2, 101, 16), np.array(["Ada"], dtype=object)
    small = Enrolled(rows[:100], np.zeros(100, int), people, least_norm=index.LEAST_NORM)
    assert isinstance(small.index, ExactIndex)
    large = Enrolled(rows, np.zeros(101, int), people, least_norm=index.LEAST_NORM)
    assert isinstance(small.followed_by(large).index, FaissIndex)
    assert isinstance(build_index(rows), ExactIndex), "rows may have any length"


def test_rows_of_people_are_found_among_old_and_new_rows() -> None:
    labels = np.array([0, 1, -1, 0, 1, 1, 2])
    people = np.array(["Ada", "Grace", "Mary"], dtype=object)
    before = Enrolled(unit(3, 4, 8), labels[:4], people[:2])
    assert before.images_of(0).tolist() == [0, 3]
    after = before.followed_by(Enrolled(unit(3, 7, 8), labels, people))
    assert [after.images_of(person).tolist() for person in range(3)] == [[0, 3], [1, 4, 5], [6]]
