"""Possible mistakes in a gallery, against a comparison of all with all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import Gallery, InvalidArgumentError


def gallery_of(people: list[int], seed: int) -> tuple[Gallery, Any, Any]:
    """Returns a gallery, the person of each image, and the distances between all images."""
    rows = np.random.default_rng(seed).normal(size=(len(people), 3)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    gallery = Gallery("example@1", embedding_size=3)
    gallery.extend([f"person {person}" for person in people], rows, [*map(str, range(len(people)))])
    wide = rows.astype(np.float64)
    return gallery, np.array(people), np.linalg.norm(wide[:, None] - wide, axis=2)


PEOPLE = st.lists(st.integers(0, 3), min_size=1, max_size=20)
THRESHOLD, SEED = st.floats(0.0, 2.0), st.integers(0, 99)


@given(people=PEOPLE, threshold=THRESHOLD, seed=SEED)
def test_outliers_are_far_from_their_own_or_nearer_to_others(
    people: list[int], threshold: float, seed: int
) -> None:
    gallery, person, distances = gallery_of(people, seed)
    expected = []
    for image, name in enumerate(people):
        own = np.flatnonzero((person == name) & (np.arange(len(people)) != image))
        if len(own) < 2:
            continue
        near, others = distances[image, own].min(), np.flatnonzero(person != name)
        other = others[distances[image, others].argmin()] if len(others) else None
        far = np.inf if other is None else distances[image, other]
        if near > threshold or far <= min(threshold, near):
            resembles = f"person {people[other]}" if far < near else None
            expected.append((str(image), pytest.approx(near), resembles))
    found = gallery.outliers(threshold)
    assert sorted((one.image.source, one.distance, one.resembles) for one in found) == sorted(
        expected, key=lambda one: one[0]
    )
    assert [-one.distance for one in found] == sorted(-one.distance for one in found)


@given(people=PEOPLE, threshold=THRESHOLD, seed=SEED)
def test_duplicates_are_as_far_apart_as_said(
    people: list[int], threshold: float, seed: int
) -> None:
    gallery, person, distances = gallery_of(people, seed)
    found = gallery.duplicates(threshold)
    for pair in found:
        one, other = (
            np.flatnonzero(person == int(name.split()[1])) for name in (pair.first, pair.second)
        )
        medians = [
            np.median(distances[np.ix_(few, many)].min(axis=1))
            for few, many in ((one, other), (other, one))
            if len(few) <= len(many)
        ]
        assert any(pair.distance == pytest.approx(median, abs=1e-6) for median in medians)
        assert pair.distance <= threshold
        assert pair.first < pair.second
    assert [pair.distance for pair in found] == sorted(pair.distance for pair in found)
    # The two that are nearest to each other are never missed if they have an image each.
    if len(people) == len(set(people)) > 1:
        nearest = distances[~np.eye(len(people), dtype=bool)].min()
        assert bool(found) == (nearest <= threshold)


@pytest.mark.parametrize("norm", [1.0, 0.9992])
def test_equal_faces_have_no_distance(norm: float) -> None:
    gallery = Gallery("example@1", embedding_size=64)
    face = np.random.default_rng(0).normal(size=(1, 64))
    face *= norm / np.linalg.norm(face)
    gallery.enroll("Ada", np.repeat(face, 3, axis=0), ["1.jpg", "2.jpg", "3.jpg"])
    gallery.enroll("A. Lovelace", face, ["4.jpg"])
    assert gallery.duplicates(0.1) == [("A. Lovelace", "Ada", 0.0)]
    assert gallery.outliers(0.1) == []


@pytest.mark.parametrize("threshold", [float("nan"), -1.0, "0.9"])
def test_a_threshold_of_mistakes_is_a_distance(threshold: Any) -> None:
    gallery = Gallery("example@1", embedding_size=2)
    with pytest.raises(InvalidArgumentError, match="threshold must be a number"):
        gallery.duplicates(threshold)
    with pytest.raises(InvalidArgumentError, match="threshold must be a number"):
        gallery.outliers(threshold)
