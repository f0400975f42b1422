"""Distances that are continued equal those computed from the whole gallery."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit import Gallery
from facekit.embedding.weights.distances import Measure
from facekit.identification.between import DistancesBetweenPeople
from facekit.identification.calibration import distances_between_people

NAMES = ["Ada", "Grace", "Mary", "Rosalind"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enroll", "enroll", "remove", "remove image", "rename", "compact"]),
        st.sampled_from(NAMES),
        st.integers(0, 99),
    ),
    min_size=1,
    max_size=20,
)


def embeddings(count: int, seed: int, size: int = 8) -> Any:
    found = np.random.default_rng(seed).standard_normal((count, size))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def change(gallery: Gallery, what: str, name: str, number: int) -> None:
    if what == "enroll":
        gallery.enroll(name, embeddings(1 + number % 3, number), ["a.jpg"] * (1 + number % 3))
    elif what == "compact":
        gallery.compact()
    elif name not in gallery.people:
        return
    elif what == "remove":
        gallery.remove(name)
    elif what == "remove image":
        images = gallery.images(name)
        gallery.remove_images([images[number % len(images)].id])
    elif f"{name} {number}" not in gallery.people:
        gallery.rename(name, f"{name} {number}")


@pytest.mark.parametrize("measure", get_args(Measure))
@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_after_any_changes_they_are_those_of_the_gallery(measure: Any, steps: list[Any]) -> None:
    gallery, continued = Gallery("a@1", 8), DistancesBetweenPeople()
    for step in steps:
        change(gallery, *step)
        found = continued.of(gallery.searched(), measure)
        np.testing.assert_array_equal(
            found, DistancesBetweenPeople().of(gallery.enrolled(), measure)
        )
        if len(gallery):
            expected = distances_between_people(gallery.enrolled(), measure)
            np.testing.assert_allclose(found, expected, atol=1e-3)


def test_each_measure_is_computed_when_they_take_turns() -> None:
    gallery, continued = Gallery("a@1", 8), DistancesBetweenPeople()
    gallery.extend([*NAMES, *NAMES], embeddings(8, 0), ["a.jpg"] * 8)
    for measure in (*get_args(Measure), *get_args(Measure)):
        expected = distances_between_people(gallery.enrolled(), measure)
        np.testing.assert_allclose(continued.of(gallery.enrolled(), measure), expected, atol=1e-6)


def test_of_many_images_the_same_ones_are_compared() -> None:
    gallery = Gallery("a@1", 8)
    gallery.extend([str(n) for n in range(1500)], embeddings(1500, 0), ["a.jpg"] * 1500)
    expected = distances_between_people(gallery.enrolled(), "centroid")
    found = DistancesBetweenPeople().of(gallery.enrolled(), "centroid")
    assert len(found) == 1000
    np.testing.assert_allclose(found, expected, atol=1e-4)
