"""What a process knows of a gallery follows every change, its own and another's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit import Gallery
from facekit.gallery import mirror
from facekit.gallery.enrolled import Enrolled
from facekit.identification import open_set
from facekit.identification.open_set import OpenSet

SIZE = 4
NAMES = ["Ada", "Grace", "Mary", "José", "Émilie"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enroll", "enroll", "remove", "remove_photo", "rename", "merge", "look"]),
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
        st.booleans(),
        st.integers(0, 99),
    ),
    min_size=5,
    max_size=25,
)


def change(gallery: Gallery, what: str, one: str, other: str, number: int) -> None:
    there = gallery.people
    if what == "enroll":
        vector = np.random.default_rng(number).standard_normal((1, SIZE))
        gallery.enroll(one, vector / np.linalg.norm(vector), ["a.jpg"])
    elif one not in there:
        return
    elif what == "remove":
        gallery.remove(one)
    elif what == "remove_photo":
        images = gallery.images(one)
        gallery.remove_images([images[number % len(images)].id])
    elif what == "rename" and other not in there:
        gallery.rename(one, other)
    elif what == "merge" and other in there and other != one:
        gallery.merge(one, other)


def content(gallery: Gallery) -> Any:
    enrolled = gallery.enrolled()
    people = [str(enrolled.classes[label]) for label in enrolled.labels[enrolled.rows]]
    own = {
        str(name): enrolled.rows[np.isin(enrolled.rows, enrolled.images_of(place))].tolist()
        for place, name in enumerate(enrolled.classes)
    }
    assert all(own.values()), "each of the people has a photo"
    counted = Enrolled(enrolled.embeddings, enrolled.labels, enrolled.classes)
    assert (enrolled.sizes, len(enrolled)) == (counted.sizes, len(counted.rows))
    return people, own, enrolled.embeddings[enrolled.rows].tolist()


def answers(gallery: Gallery) -> list[float]:
    return [match.distance for found in gallery.search(np.eye(SIZE), 3) for match in found]


@pytest.mark.parametrize("most_left", [2, 4096])
@settings(max_examples=10, deadline=None)
@given(steps=STEPS)
def test_what_is_known_is_what_another_reads_anew(most_left: int, steps: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(mirror, "_MOST_LEFT", most_left)
        path = Path(folder) / "people.facekit"
        with Gallery.create(path, "a@1", SIZE) as first, Gallery.open(path) as second:
            for what, one, other, by_second, number in steps:
                change(second if by_second else first, what, one, other, number)
                if what == "look":
                    first.search(np.eye(SIZE), 1)  # builds the index, which must follow
                elif what == "remove":
                    with Gallery.open(path) as fresh:
                        assert answers(first) == pytest.approx(answers(fresh))
            with Gallery.open(path) as fresh:
                assert answers(first) == pytest.approx(answers(fresh))
                assert content(first) == content(second) == content(fresh)


def test_what_a_state_has_seen_stays_while_others_are_removed() -> None:
    gallery = Gallery("a@1", SIZE)
    gallery.extend(NAMES[:4], np.eye(4), ["a.jpg"] * 4)
    seen = gallery.enrolled()
    gallery.search(np.eye(4), 1)
    gallery.remove("Grace")
    assert seen.classes.tolist() == NAMES[:4]
    assert seen.labels.tolist() == [0, 1, 2, 3]
    found = gallery.search(np.eye(4), 4)
    assert {match.person for matches in found for match in matches} == {"Ada", "Mary", "José"}
    assert gallery.enrolled().classes.tolist() == ["Ada", "Mary", "José"]
    assert gallery.enrolled().labels.tolist() == [0, -1, 1, 2]


@pytest.mark.parametrize("strategy", ["centroid", "nearest", "svm"])
@settings(max_examples=15, deadline=None)
@given(steps=STEPS)
def test_people_are_named_as_if_all_were_labeled_anew(strategy: Any, steps: list[Any]) -> None:
    gallery, probes = Gallery("a@1", SIZE), np.eye(SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_set, "SHORTLIST", 0)  # so that few people are searched like many
        for what, one, other, _, number in steps:
            change(gallery, what, one, other, number)
            if not gallery.people:
                continue
            now, whole = (
                OpenSet(enrolled, strategy, 1.0, None)
                for enrolled in (gallery.searched(), gallery.enrolled())
            )
            for found, expected in zip(now.identify(probes), whole.identify(probes), strict=True):
                assert found.tolist() == expected.tolist()
            for wanted, refused in ((one, ()), (None, (one,))):
                answer = now.among(probes[0], wanted, refused)
                assert answer == whole.among(probes[0], wanted, refused)
