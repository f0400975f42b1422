"""The gallery: adding and removing people."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from facekit import EnrollmentError, Gallery, InvalidArgumentError
from facekit.utils.validation import identity

SIZE = 3


def is_name(text: str) -> bool:
    try:
        return identity(text) == text
    except InvalidArgumentError:
        return False


names = st.text(min_size=1, max_size=8).filter(is_name)
entries = st.lists(st.tuples(names, st.integers(1, 4)), max_size=6)


def embeddings_of(count: int, first: int = 0) -> npt.NDArray[np.float32]:
    """Returns unit vectors that can be told apart."""
    rows = np.arange(first, first + count)[:, None] ** np.arange(SIZE) + np.eye(SIZE)[0]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def gallery_of(people: list[tuple[str, int]]) -> Gallery:
    gallery = Gallery("example@1", SIZE)
    for name, count in people:
        sources = [f"{name}-{len(gallery) + index}.jpg" for index in range(count)]
        gallery.enroll(name, embeddings_of(count, len(gallery)), sources)
    return gallery


def content(gallery: Gallery) -> tuple[Any, ...]:
    return gallery.weights, gallery.embeddings.tolist(), gallery.names, gallery.sources


def test_an_empty_gallery() -> None:
    gallery = Gallery("example@1", SIZE)
    assert len(gallery) == 0
    assert gallery.people == {}
    assert gallery.embeddings.shape == (0, SIZE)
    assert gallery.embeddings.dtype == np.float32


@given(people=entries)
def test_people_counts_the_images_of_each(people: list[tuple[str, int]]) -> None:
    gallery = gallery_of(people)
    expected: Counter[str] = Counter()
    for name, count in people:
        expected[name] += count
    assert gallery.people == expected
    assert list(gallery.people) == sorted(expected)
    assert len(gallery) == expected.total()


@given(people=entries)
def test_the_order_of_enrollment_is_kept(people: list[tuple[str, int]]) -> None:
    gallery = gallery_of(people)
    assert gallery.names == tuple(name for name, count in people for _ in range(count))
    assert gallery.sources == tuple(
        f"{name}-{index}.jpg" for index, name in enumerate(gallery.names)
    )


@given(people=entries, name=names, count=st.integers(1, 4))
def test_adding_and_removing_is_as_if_never(
    people: list[tuple[str, int]], name: str, count: int
) -> None:
    gallery = gallery_of([entry for entry in people if entry[0] != name])
    before = content(gallery)
    gallery.enroll(name, embeddings_of(count), ["photo.jpg"] * count)
    assert gallery.remove(name) == count
    assert content(gallery) == before


@given(people=entries.filter(bool))
def test_removing_takes_all_of_one_person_and_nothing_else(people: list[tuple[str, int]]) -> None:
    gallery = gallery_of(people)
    gone = people[0][0]
    kept = [index for index, name in enumerate(gallery.names) if name != gone]
    expected = gallery.embeddings[kept].tolist(), [gallery.sources[index] for index in kept]
    assert gallery.remove(gone) == len(gallery_of(people)) - len(kept)
    assert gone not in gallery.people
    assert (gallery.embeddings.tolist(), list(gallery.sources)) == expected


@given(people=entries)
def test_extend_does_what_adding_one_by_one_does(people: list[tuple[str, int]]) -> None:
    one_by_one = gallery_of(people)
    at_once = Gallery("example@1", SIZE)
    at_once.extend(one_by_one.names, one_by_one.embeddings, one_by_one.sources)
    assert content(at_once) == content(one_by_one)


@given(people=entries)
def test_a_copy_has_the_same_content(people: list[tuple[str, int]]) -> None:
    gallery = gallery_of(people)
    assert content(gallery.copy()) == content(gallery)


def test_a_copy_changes_on_its_own() -> None:
    gallery = gallery_of([("Ada", 2), ("Grace", 1)])
    before = content(gallery)
    other = gallery.copy()
    other.remove("Ada")
    other.enroll("Mary", embeddings_of(1), ["mary.jpg"])
    assert content(gallery) == before
    assert other.people == {"Grace": 1, "Mary": 1}
    gallery.remove("Grace")
    assert other.people == {"Grace": 1, "Mary": 1}


def test_a_gallery_does_not_follow_changes_of_what_was_added() -> None:
    embeddings = embeddings_of(1)
    gallery = Gallery("example@1", SIZE)
    gallery.enroll("Ada", embeddings, ["ada.jpg"])
    embeddings[:] = 99
    assert gallery.embeddings.tolist() == embeddings_of(1).tolist()


def test_other_numbers_become_single_precision() -> None:
    gallery = Gallery("example@1", SIZE)
    gallery.enroll("Ada", np.eye(1, SIZE), ["ada.jpg"])  # type: ignore[arg-type]
    assert gallery.embeddings.dtype == np.float32


def test_a_gallery_says_what_it_holds() -> None:
    assert repr(gallery_of([("Ada", 2), ("Grace", 1)])) == (
        "Gallery(2 people, 3 photos, weights='example@1')"
    )


@pytest.mark.parametrize("name", ["", "  ", "\n", None, 7, b"Ada"])
def test_a_name_must_be_a_text(name: Any) -> None:
    gallery = Gallery("example@1", SIZE)
    with pytest.raises(InvalidArgumentError, match="name must be a"):
        gallery.enroll(name, embeddings_of(1), ["photo.jpg"])
    assert len(gallery) == 0


@pytest.mark.parametrize(
    "embeddings",
    [np.ones((1, SIZE + 1)), np.ones((1, SIZE - 1)), np.ones(SIZE), np.ones((1, 1, SIZE))],
)
def test_embeddings_of_another_size_are_refused(embeddings: Any) -> None:
    gallery = gallery_of([("Ada", 1)])
    before = content(gallery)
    with pytest.raises(InvalidArgumentError, match=r"embeddings must be \(n, 3\)"):
        gallery.enroll("Grace", embeddings, ["photo.jpg"])
    assert content(gallery) == before


@pytest.mark.parametrize(
    ("people", "sources"), [(["Ada"], ["a", "b"]), (["Ada", "Grace"], ["a"]), ([], [])]
)
def test_names_sources_and_embeddings_are_equally_many(
    people: list[str], sources: list[str]
) -> None:
    gallery = Gallery("example@1", SIZE)
    with pytest.raises(InvalidArgumentError, match="one name and one source"):
        gallery.extend(people, embeddings_of(2), sources)
    assert len(gallery) == 0


def test_removing_a_stranger_lists_the_enrolled() -> None:
    gallery = gallery_of([("Grace", 1), ("Ada", 1)])
    with pytest.raises(EnrollmentError, match="'Zoë'; enrolled are Ada, Grace"):
        gallery.remove("Zoë")
    assert len(gallery) == 2


def test_removing_from_an_empty_gallery_says_that_it_is_empty() -> None:
    with pytest.raises(EnrollmentError, match="no people at all"):
        Gallery("example@1", SIZE).remove("Ada")


@given(
    people=st.lists(st.tuples(names, st.integers(1, 3)), min_size=2, max_size=6),
    new=names,
    more=st.booleans(),
)
def test_renaming_is_as_if_enrolled_so(people: list[tuple[str, int]], new: str, more: bool) -> None:
    old = people[0][0]
    gallery = gallery_of(people)
    assume(new not in gallery)
    before = gallery.enrolled()
    told = before.classes[before.labels].tolist()
    gallery.search(embeddings_of(1), 3)
    gallery.rename(old, new)
    renamed = [(new if name == old else name, count) for name, count in people]
    if more:
        gallery.enroll(new, embeddings_of(1, len(gallery)), [f"{new}.jpg"])
        renamed.append((new, 1))
    expected, found = gallery_of(renamed).enrolled(), gallery.enrolled()
    assert found.classes.tolist() == expected.classes.tolist()
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.matches(embeddings_of(2), 9) == expected.matches(embeddings_of(2), 9)
    for person in range(len(found.classes)):
        assert found.images_of(person).tolist() == expected.images_of(person).tolist()
    assert before.classes[before.labels].tolist() == told


def in_memory(_: Path) -> Gallery:
    return Gallery("example@1", SIZE)


def in_a_file(folder: Path) -> Gallery:
    return Gallery.create(folder / "people", "example@1", SIZE)


@pytest.mark.parametrize("make", [in_memory, in_a_file])
def test_a_gallery_iterates_over_its_people_and_says_who_is_in_it(
    make: Any, tmp_path: Path
) -> None:
    with make(tmp_path) as gallery:
        assert (list(gallery), "Ada" in gallery) == ([], False)
        gallery.enroll("Zoe\u0308", embeddings_of(1), ["zoe.jpg"])
        gallery.enroll("Ada", embeddings_of(2, 1), ["a.jpg", "b.jpg"])
        assert list(gallery) == sorted(gallery.people) == ["Ada", "Zo\xeb"]
        for name, there in {"Ada": True, "Zoe\u0308": True, " Ada ": True, "ada": False}.items():
            assert (name in gallery) == there, name
        for other in (None, 1, b"Ada", "", "unknown", "a\nb"):
            assert other not in gallery


@pytest.mark.parametrize("make", [in_memory, in_a_file])
@pytest.mark.parametrize("number", [2**63, 2**64, -1, 0, 3, -(2**70)])
def test_a_number_that_no_image_has_is_said(make: Any, number: int, tmp_path: Path) -> None:
    with make(tmp_path) as gallery:
        gallery.enroll("Ada", embeddings_of(2), ["a.jpg", "b.jpg"])
        for call in (gallery.image, lambda n: gallery.remove_images([n])):
            with pytest.raises(EnrollmentError, match=f"no photo number {number} is enrolled"):
                call(number)
        assert gallery.people == {"Ada": 2}


@pytest.mark.parametrize("make", [in_memory, in_a_file])
@pytest.mark.parametrize("count", [2**29, 2**63, 2**70])
def test_a_search_for_more_than_there_are_costs_nothing(
    make: Any, count: int, tmp_path: Path
) -> None:
    with make(tmp_path) as gallery:
        gallery.enroll("Ada", embeddings_of(2), ["a.jpg", "b.jpg"])
        gallery.search(embeddings_of(1), count=2)
        tracemalloc.start()
        found = gallery.search(embeddings_of(1), count=count)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [match.person for match in found[0]] == ["Ada", "Ada"]
        assert peak < 1_000_000
