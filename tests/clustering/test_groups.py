"""Clustering embeddings: laws, extremes, and faces of people who are known."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from facekit import Architecture, InvalidArgumentError
from facekit.clustering import neighbors
from facekit.clustering.groups import Clustering, cluster, linking_threshold
from facekit.embedding.weights.registry import REGISTRY, WeightsRecord

Vectors = npt.NDArray[np.float32]


def unit(vectors: npt.NDArray[Any]) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def people(seed: int, count: int, faces: int, size: int = 64, noise: float = 0.04) -> Vectors:
    """So many people with so many faces each, one person after the other."""
    random = np.random.default_rng(seed)
    centers = unit(random.normal(size=(count, size)))
    return unit(
        np.repeat(centers, faces, axis=0) + noise * random.normal(size=(count * faces, size))
    )


def random_vectors(seed: int, number: int, size: int) -> Vectors:
    return unit(np.random.default_rng(seed).normal(size=(number, size)))


def together(clustering: Clustering) -> set[frozenset[int]]:
    return {frozenset(group.members) for group in clustering.groups}


some_vectors = st.builds(
    random_vectors, st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 6)
)
thresholds = st.floats(0.0, 2.0)


@given(some_vectors, thresholds, st.randoms(use_true_random=False))
def test_the_order_of_the_faces_does_not_change_the_groups(
    vectors: Vectors, threshold: float, random: Any
) -> None:
    order = list(range(len(vectors)))
    random.shuffle(order)
    straight, shuffled = cluster(vectors, threshold=threshold), None
    shuffled = cluster(vectors[order], threshold=threshold)
    assert {frozenset(order[i] for i in group) for group in together(shuffled)} == together(
        straight
    )
    assert {order[i] for i in shuffled.ungrouped} == set(straight.ungrouped)


@given(some_vectors, thresholds, st.integers(1, 5))
def test_every_face_is_in_one_place(vectors: Vectors, threshold: float, min_faces: int) -> None:
    found = cluster(vectors, threshold=threshold, min_faces=min_faces)
    everywhere = [i for group in found.groups for i in group.members] + list(found.ungrouped)
    assert sorted(everywhere) == list(range(len(vectors)))
    sizes = [len(group) for group in found.groups]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size >= min_faces for size in sizes)
    assert list(found.ungrouped) == sorted(found.ungrouped)
    for label, group in enumerate(found.groups):
        assert (found.labels[list(group.members)] == label).all()
    assert (found.labels[list(found.ungrouped)] == -1).all()


@given(some_vectors, thresholds)
def test_groups_hold_together_by_links(vectors: Vectors, threshold: float) -> None:
    distances = np.linalg.norm(vectors[:, None].astype(float) - vectors[None], axis=2)
    for group in cluster(vectors, threshold=threshold).groups:
        own = distances[np.ix_(group.members, group.members)]
        reached = {0}
        while (
            grown := {int(j) for i in reached for j in np.flatnonzero(own[i] <= threshold + 1e-3)}
            - reached
        ):
            reached |= grown
        assert len(reached) == len(group)


@given(some_vectors, thresholds, st.integers(1, 4))
def test_more_faces_wanted_only_drops_the_small_groups(
    vectors: Vectors, threshold: float, min_faces: int
) -> None:
    every = cluster(vectors, threshold=threshold, min_faces=1)
    kept = cluster(vectors, threshold=threshold, min_faces=min_faces)
    assert every.ungrouped == ()
    assert kept.groups == tuple(group for group in every.groups if len(group) >= min_faces)


@given(some_vectors)
def test_nothing_is_linked_at_distance_zero_but_equal_faces(vectors: Vectors) -> None:
    number = len(vectors)
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2) + 2.0 * np.eye(number)
    # Nearer ones are equal within the rounding of float32.
    assume(apart.min(initial=2.0) > 1e-3)
    twice = np.concatenate([vectors, vectors])
    groups = together(cluster(twice, threshold=0.0))
    assert groups == {frozenset({i, i + number}) for i in range(number)}


@given(st.integers(0, 1000), st.integers(1, 8), st.integers(2, 9))
def test_people_far_apart_are_told_apart(seed: int, count: int, faces: int) -> None:
    found = cluster(people(seed, count, faces, size=128, noise=0.02), threshold=0.6)
    assert together(found) == {
        frozenset(range(faces * person, faces * (person + 1))) for person in range(count)
    }


def test_one_wrong_link_does_not_merge_two_people() -> None:
    first, second = people(3, 2, 12)[:12], people(3, 2, 12)[12:]
    between = unit((first[:1] + second[:1]) / 2)
    found = cluster(np.concatenate([first, second, between]), threshold=0.85)
    assert len(found.groups) == 2
    assert {frozenset(g - {24}) for g in together(found)} == {
        frozenset(range(12)),
        frozenset(range(12, 24)),
    }


def test_the_representative_is_the_face_nearest_to_the_mean() -> None:
    vectors = people(5, 1, 9, noise=0.05)
    (group,) = cluster(vectors, threshold=1.0).groups
    nearness = vectors @ vectors.mean(axis=0)
    assert list(group.members) == np.argsort(-nearness).tolist()
    assert group.representative == nearness.argmax()
    pairs = vectors[:, None] - vectors[None]
    squared = np.square(pairs.astype(float)).sum(axis=2)[np.triu_indices(9, 1)]
    assert group.spread == pytest.approx(np.sqrt(squared.mean()), abs=1e-4)


def test_no_face_gives_no_groups() -> None:
    found = cluster(np.empty((0, 8), dtype=np.float32), threshold=1.0)
    assert (found.groups, found.ungrouped, len(found.labels)) == ((), (), 0)


def test_one_face_is_alone_or_a_group_of_its_own() -> None:
    face = random_vectors(0, 1, 8)
    assert cluster(face, threshold=1.0).ungrouped == (0,)
    (group,) = cluster(face, threshold=1.0, min_faces=1).groups
    assert (group.members, group.spread) == ((0,), pytest.approx(0.0, abs=1e-3))


@pytest.mark.parametrize("norm", [1.0, 0.9991, 1.0009])
def test_equal_faces_are_one_group_in_order_without_spread(norm: float) -> None:
    faces = np.tile(norm * random_vectors(0, 1, 8), (3000, 1))
    (group,) = cluster(faces, threshold=0.5).groups
    assert group.members == tuple(range(3000))
    assert group.spread == pytest.approx(0.0, abs=1e-6)


def test_more_faces_of_a_person_than_links_stay_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "MOST_LINKS", 8)
    vectors = people(1, 3, 60, noise=0.03)
    assert sorted(map(len, cluster(vectors, threshold=0.8).groups)) == [60, 60, 60]


def test_pieces_of_the_similarities_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = people(2, 20, 5, noise=0.07)
    at_once = cluster(vectors, threshold=0.9)
    monkeypatch.setattr(neighbors, "_SIMILARITIES_AT_A_TIME", 700)
    assert together(cluster(vectors, threshold=0.9)) == together(at_once)


def test_memory_does_not_grow_with_the_square_of_the_number() -> None:
    vectors = people(4, 400, 20, size=32)
    tracemalloc.start()
    cluster(vectors, threshold=0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All distances alone would be 8,000 × 8,000 × 4 bytes; the pieces of them are 64 MiB each.
    assert peak < 8000 * 8000 * 4


def test_the_same_faces_give_the_same_groups_again() -> None:
    vectors = random_vectors(9, 300, 6)
    assert cluster(vectors, threshold=0.7) == cluster(vectors, threshold=0.7)


def test_lists_of_numbers_are_embeddings_too() -> None:
    found = cluster([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]], threshold=0.7)  # type: ignore[arg-type]
    assert together(found) == {frozenset({0, 2})}


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((2, 4)), "row 0 has 0"),
        (np.array([[1.0, 0.0], [np.nan, 0.0]]), "finite numbers, row 1"),
        (np.array([1.0, 0.0]), r"must be \(n, d\)"),
    ],
)
def test_what_is_no_embedding_is_named(vectors: Vectors, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        cluster(vectors, threshold=1.0)


@pytest.mark.parametrize("threshold", [-0.1, 2.1, float("nan"), "1", None, True])
def test_a_threshold_that_cannot_work_is_named(threshold: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="threshold must be a number from 0 to 2"):
        cluster(random_vectors(0, 3, 4), threshold=threshold)


@pytest.mark.parametrize("min_faces", [0, -1, 1.5, True, None])
def test_a_smallest_group_that_cannot_work_is_named(min_faces: Any) -> None:
    with pytest.raises(
        InvalidArgumentError, match="min_faces must be a whole number of at least 1"
    ):
        cluster(random_vectors(0, 3, 4), threshold=1.0, min_faces=min_faces)


def test_the_threshold_follows_from_the_strictest_of_the_weights() -> None:
    def record(thresholds: dict[float, float]) -> WeightsRecord:
        return WeightsRecord("mine", "1", Architecture(), {}, thresholds=thresholds)

    assert linking_threshold(record({0.01: 1.1, 0.0001: 0.9, 0.001: 1.0})) == pytest.approx(0.855)
    with pytest.raises(InvalidArgumentError, match="'mine' have no thresholds"):
        linking_threshold(record({}))


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_default_threshold_shrinks_with_the_number_of_faces(few: int, many: int) -> None:
    record = REGISTRY["facekit-small"]
    few, many = sorted((few, many))
    assert linking_threshold(record, many) <= linking_threshold(record, few)
    assert linking_threshold(record, 10_000) < linking_threshold(record, 1_000)


@given(some_vectors, thresholds, st.data())
def test_two_faces_of_one_image_are_never_one_person(
    vectors: Vectors, threshold: float, data: st.DataObject
) -> None:
    faces = len(vectors)
    images = data.draw(st.lists(st.integers(0, 5), min_size=faces, max_size=faces))
    found = cluster(np.tile(vectors, (2, 1)), threshold=threshold, images=images * 2)
    for group in found.groups:
        of_group = [(images * 2)[member] for member in group.members]
        assert len(set(of_group)) == len(of_group)


def test_images_without_two_faces_change_nothing() -> None:
    vectors = people(5, 10, 6)
    alone = cluster(vectors, threshold=0.8, images=np.arange(len(vectors)))
    assert alone == cluster(vectors, threshold=0.8)


@pytest.mark.parametrize(
    "images", [[0], [[0, 1, 2]], ["a", "b", "c"], [0.0, 1.0, 2.0], [[0], [1, 2], 3]]
)
def test_images_that_cannot_work_are_named(images: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="images must"):
        cluster(random_vectors(0, 3, 4), threshold=1.0, images=images)


@pytest.mark.parametrize("pairs", [[(0, 3)], [(-1, 0)], [(0,)], [(0, 1, 2), (1, 2, 0)], [0, 1], 5])
@pytest.mark.parametrize("name", ["same", "different"])
def test_pairs_that_cannot_work_are_named(name: str, pairs: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name} must be pairs of indices from 0 to 2"):
        cluster(random_vectors(0, 3, 4), threshold=1.0, **{name: pairs})


@pytest.mark.parametrize("number", [50, 3000])
def test_with_and_without_faiss_the_same_faces_are_linked(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = people(6, number // 10, 10, noise=0.06)
    quick = neighbors.near_links(vectors, 0.9)
    monkeypatch.setattr(neighbors, "faiss_is_installed", lambda: False)
    plain = neighbors.near_links(vectors, 0.9)
    np.testing.assert_array_equal(quick.start, plain.start)
    np.testing.assert_array_equal(quick.target, plain.target)
    np.testing.assert_allclose(quick.weight, plain.weight, atol=1e-6)


@pytest.mark.check
def test_very_many_faces_are_searched_by_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(neighbors, "_EXACT_LIMIT", 1000)
    vectors = people(7, 200, 10, noise=0.03)
    found = cluster(vectors, threshold=0.8)
    assert sorted(map(len, found.groups)) == [10] * 200
    assert cluster(vectors, threshold=0.8) == found


def test_a_chain_of_groups_is_split() -> None:
    # Each lies within the threshold of the next; the ends are far apart.
    angles = np.linspace(0.0, np.pi / 2, 13)
    chain = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    groups = cluster(chain, threshold=0.4).groups
    assert len(groups) > 1
    assert all(group.spread <= 0.4 for group in groups)
