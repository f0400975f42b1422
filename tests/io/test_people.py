"""Laws of listing the images of known people: none is left out in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import EnrollmentError, InvalidArgumentError
from facekit.io.people import PersonImage, people_images

names = st.sampled_from(["Ann", "Bob", "Zoë"])


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder of two people, with much beside the photos."""
    for name in [
        "Bob/b.JPG",
        "Bob/a.png",
        "Bob/notes.txt",
        "Bob/.DS_Store",
        "Bob/.hidden.jpg",
        "Bob/2019/old.jpg",
        "Ann Å/me.webp",
        ".git/object.jpg",
        "group.jpg",
        "readme.txt",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def listed(images: Any) -> list[PersonImage]:
    return list(people_images(images))


def relative(images: list[PersonImage], folder: Path) -> list[tuple[str, str]]:
    return [(c.person, Path(c.name).relative_to(folder).as_posix()) for c in images]


# A folder


@pytest.mark.parametrize("kind", [Path, str])
def test_folder_gives_each_image_with_its_person(album: Path, kind: Callable[[Path], Any]) -> None:
    images = [c for c in listed(kind(album)) if c.source is not None]
    assert relative(images, album) == [
        ("Ann Å", "Ann Å/me.webp"),
        ("Bob", "Bob/a.png"),
        ("Bob", "Bob/b.JPG"),
    ]
    assert [c.source for c in images] == [Path(c.name) for c in images]


def test_everything_else_in_a_folder_is_reported_with_a_reason(album: Path) -> None:
    others = [c for c in listed(album) if c.source is None]
    assert sorted(relative(others, album)) == [
        ("", "group.jpg"),
        ("Bob", "Bob/2019"),
        ("Bob", "Bob/notes.txt"),
    ]
    assert all(image.problem for image in others)


def test_hidden_files_and_folders_are_skipped(album: Path) -> None:
    assert not [c.name for c in listed(album) if "/." in c.name.removeprefix(str(album))]


def test_folder_of_a_person_may_look_like_an_image(tmp_path: Path) -> None:
    (tmp_path / "J.png").mkdir()
    (tmp_path / "J.png" / "a.jpg").touch()
    assert relative(listed(tmp_path), tmp_path) == [("J.png", "J.png/a.jpg")]


def test_person_without_images_is_reported(tmp_path: Path) -> None:
    (tmp_path / "Ann").mkdir()
    (image,) = listed(tmp_path)
    assert (image.person, image.source) == ("Ann", None)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnrollmentError, match="nowhere: no such folder"):
        listed(tmp_path / "nowhere")


def test_file_in_place_of_a_folder_is_named(album: Path) -> None:
    with pytest.raises(EnrollmentError, match=r"group\.jpg.*is a file"):
        listed(album / "group.jpg")


@pytest.mark.parametrize("content", [[], ["a.jpg", "b.jpg"], [".hidden/a.jpg"]])
def test_folder_without_people_is_named(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(EnrollmentError, match=f"{tmp_path.name}.*holds no folders"):
        listed(tmp_path)


# A dictionary


def test_dictionary_gives_each_image_with_its_person() -> None:
    array = np.zeros((4, 4), np.uint8)
    images = listed({"Ann": ["a.jpg", array], "Bob": Path("b.jpg")})
    assert [(c.person, c.name) for c in images] == [
        ("Ann", "a.jpg"),
        ("Ann", "photo 2 of Ann"),
        ("Bob", "b.jpg"),
    ]
    assert images[1].source is array
    assert [images[0].source, images[2].source] == ["a.jpg", Path("b.jpg")]


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda images: (image for image in images)])
def test_images_may_come_in_any_sequence(kind: Callable[[list[str]], Any]) -> None:
    images = listed({"Ann": kind(["a.jpg", "b.jpg"])})
    assert [image.source for image in images] == ["a.jpg", "b.jpg"]


def test_set_of_images_is_read_whole() -> None:
    assert {c.source for c in listed({"Ann": {"a.jpg", "b.jpg"}})} == {"a.jpg", "b.jpg"}


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), b"bytes", bytearray(b"bytes"), "a.jpg"]
)
def test_one_image_needs_no_list(image: Any) -> None:
    (found,) = listed({"Ann": image})
    assert found.source is image


@pytest.mark.parametrize("kind", [Path, str])
def test_dictionary_may_name_a_folder(album: Path, kind: Callable[[Path], Any]) -> None:
    images = listed({"Robert": kind(album / "Bob")})
    assert relative(images, album) == [
        ("Robert", "Bob/2019"),
        ("Robert", "Bob/a.png"),
        ("Robert", "Bob/b.JPG"),
        ("Robert", "Bob/notes.txt"),
    ]


def test_empty_list_beside_images_is_reported() -> None:
    images = listed({"Ann": [], "Bob": ["b.jpg"]})
    assert [(c.person, c.source) for c in images] == [("Ann", None), ("Bob", "b.jpg")]
    assert images[0].problem


# Pairs


@given(st.lists(st.tuples(names, st.uuids().map(str)), min_size=1, max_size=6))
def test_pairs_are_kept_in_order(pairs: list[tuple[str, str]]) -> None:
    for images in (pairs, iter(pairs), [list(pair) for pair in pairs]):
        assert [(c.person, c.source) for c in listed(images)] == pairs


@pytest.mark.parametrize(
    "pair", ["ab", "a.jpg", 3, None, ("Ann",), ("Ann", "a.jpg", "b.jpg"), (3, "a.jpg"), {"a": 1}]
)
def test_malformed_pair_is_named(pair: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="pairs of \\(name, image\\)") as caught:
        listed([("Ann", "a.jpg"), pair])
    assert repr(pair) in str(caught.value)


@pytest.mark.parametrize("images", [3, None, 2.5, object()])
def test_something_else_is_named_by_its_type(images: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=type(images).__name__):
        listed(images)


@pytest.mark.parametrize("images", [{}, [], ()])
def test_nothing_at_all_is_an_error(images: Any) -> None:
    with pytest.raises(EnrollmentError, match="no photos"):
        listed(images)
