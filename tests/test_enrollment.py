"""Laws of reading what to enroll, and of the report: no photo is left out in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import EnrollmentError, EnrollmentReport, InvalidArgumentError
from facekit.enrollment import Candidate, OutcomeStatus, PhotoOutcome, read_candidates

names = st.sampled_from(["Ann", "Bob", "Zoë"])
outcomes = st.builds(
    PhotoOutcome,
    person=names,
    source=st.uuids().map(lambda number: f"{number}.jpg"),
    status=st.sampled_from(get_args(OutcomeStatus)),
    detail=st.uuids().map(str),
)
reports = st.lists(outcomes, max_size=8).map(lambda found: EnrollmentReport(tuple(found)))


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


def relative(candidates: list[Candidate], folder: Path) -> list[tuple[str, str]]:
    return [(c.person, Path(c.label).relative_to(folder).as_posix()) for c in candidates]


# A folder


@pytest.mark.parametrize("kind", [Path, str])
def test_folder_gives_each_photo_with_its_person(album: Path, kind: Callable[[Path], Any]) -> None:
    photos = [c for c in read_candidates(kind(album)) if c.source is not None]
    assert relative(photos, album) == [
        ("Ann Å", "Ann Å/me.webp"),
        ("Bob", "Bob/a.png"),
        ("Bob", "Bob/b.JPG"),
    ]
    assert [c.source for c in photos] == [Path(c.label) for c in photos]


def test_everything_else_in_a_folder_is_reported_with_a_reason(album: Path) -> None:
    others = [c for c in read_candidates(album) if c.source is None]
    assert sorted(relative(others, album)) == [
        ("", "group.jpg"),
        ("Bob", "Bob/2019"),
        ("Bob", "Bob/notes.txt"),
    ]
    assert all(candidate.problem for candidate in others)


def test_hidden_files_and_folders_are_skipped(album: Path) -> None:
    assert not [c.label for c in read_candidates(album) if "/." in c.label.removeprefix(str(album))]


def test_folder_of_a_person_may_look_like_a_photo(tmp_path: Path) -> None:
    (tmp_path / "J.png").mkdir()
    (tmp_path / "J.png" / "a.jpg").touch()
    assert relative(read_candidates(tmp_path), tmp_path) == [("J.png", "J.png/a.jpg")]


def test_person_without_photos_is_reported(tmp_path: Path) -> None:
    (tmp_path / "Ann").mkdir()
    (candidate,) = read_candidates(tmp_path)
    assert (candidate.person, candidate.source) == ("Ann", None)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnrollmentError, match="nowhere: no such folder"):
        read_candidates(tmp_path / "nowhere")


def test_file_in_place_of_a_folder_is_named(album: Path) -> None:
    with pytest.raises(EnrollmentError, match=r"group\.jpg.*is a file"):
        read_candidates(album / "group.jpg")


@pytest.mark.parametrize("content", [[], ["a.jpg", "b.jpg"], [".hidden/a.jpg"]])
def test_folder_without_people_is_named(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(EnrollmentError, match=f"{tmp_path.name}.*holds no folders"):
        read_candidates(tmp_path)


# A dictionary


def test_dictionary_gives_each_image_with_its_person() -> None:
    array = np.zeros((4, 4), np.uint8)
    candidates = read_candidates({"Ann": ["a.jpg", array], "Bob": Path("b.jpg")})
    assert [(c.person, c.label) for c in candidates] == [
        ("Ann", "a.jpg"),
        ("Ann", "photo 2 of Ann"),
        ("Bob", "b.jpg"),
    ]
    assert candidates[1].source is array
    assert [candidates[0].source, candidates[2].source] == ["a.jpg", Path("b.jpg")]


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda photos: (photo for photo in photos)])
def test_images_may_come_in_any_sequence(kind: Callable[[list[str]], Any]) -> None:
    candidates = read_candidates({"Ann": kind(["a.jpg", "b.jpg"])})
    assert [candidate.source for candidate in candidates] == ["a.jpg", "b.jpg"]


def test_set_of_images_is_read_whole() -> None:
    assert {c.source for c in read_candidates({"Ann": {"a.jpg", "b.jpg"}})} == {"a.jpg", "b.jpg"}


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), b"bytes", bytearray(b"bytes"), "a.jpg"]
)
def test_one_image_needs_no_list(image: Any) -> None:
    (candidate,) = read_candidates({"Ann": image})
    assert candidate.source is image


@pytest.mark.parametrize("kind", [Path, str])
def test_dictionary_may_name_a_folder(album: Path, kind: Callable[[Path], Any]) -> None:
    candidates = read_candidates({"Robert": kind(album / "Bob")})
    assert relative(candidates, album) == [
        ("Robert", "Bob/2019"),
        ("Robert", "Bob/a.png"),
        ("Robert", "Bob/b.JPG"),
        ("Robert", "Bob/notes.txt"),
    ]


def test_empty_list_beside_photos_is_reported() -> None:
    candidates = read_candidates({"Ann": [], "Bob": ["b.jpg"]})
    assert [(c.person, c.source) for c in candidates] == [("Ann", None), ("Bob", "b.jpg")]
    assert candidates[0].problem


# Pairs


@given(st.lists(st.tuples(names, st.uuids().map(str)), min_size=1, max_size=6))
def test_pairs_are_kept_in_order(pairs: list[tuple[str, str]]) -> None:
    for photos in (pairs, iter(pairs), [list(pair) for pair in pairs]):
        assert [(c.person, c.source) for c in read_candidates(photos)] == pairs


@pytest.mark.parametrize(
    "pair", ["ab", "a.jpg", 3, None, ("Ann",), ("Ann", "a.jpg", "b.jpg"), (3, "a.jpg"), {"a": 1}]
)
def test_malformed_pair_is_named(pair: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="pairs of \\(name, image\\)") as caught:
        read_candidates([("Ann", "a.jpg"), pair])
    assert repr(pair) in str(caught.value)


@pytest.mark.parametrize("photos", [3, None, 2.5, object()])
def test_something_else_is_named_by_its_type(photos: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=type(photos).__name__):
        read_candidates(photos)


@pytest.mark.parametrize("photos", [{}, [], (), iter([])])
def test_nothing_at_all_is_an_error(photos: Any) -> None:
    with pytest.raises(EnrollmentError, match="no photos"):
        read_candidates(photos)


# The report


@given(reports)
def test_photo_is_either_enrolled_or_left_out(report: EnrollmentReport) -> None:
    both = set(report.enrolled) & set(report.left_out)
    assert not both
    assert len(report.enrolled) + len(report.left_out) == len(report.outcomes)


@given(reports)
def test_photo_with_several_faces_is_enrolled(report: EnrollmentReport) -> None:
    assert set(report.several_faces) <= set(report.enrolled)


@pytest.mark.parametrize(
    ("status", "enrolled"),
    [
        ("enrolled", True),
        ("several faces", True),
        ("no face", False),
        ("unreadable", False),
        ("not a photo", False),
    ],
)
def test_status_tells_whether_a_photo_is_enrolled(status: OutcomeStatus, enrolled: bool) -> None:
    assert PhotoOutcome("Ann", "a.jpg", status).enrolled is enrolled


@given(reports)
def test_people_are_sorted_and_counted(report: EnrollmentReport) -> None:
    assert list(report.people) == sorted({outcome.person for outcome in report.outcomes})
    assert sum(report.people.values()) == len(report.enrolled)


@given(reports)
def test_summary_names_every_photo_worth_a_look(report: EnrollmentReport) -> None:
    summary = report.summary()
    for outcome in report.outcomes:
        named = outcome.source in summary and outcome.detail in summary
        assert named == (outcome.status != "enrolled")


@given(reports)
def test_summary_names_every_person_without_a_photo(report: EnrollmentReport) -> None:
    last_line = report.summary().splitlines()[-1]
    missing = [name for name, count in report.people.items() if not count]
    if missing:
        assert all(name in last_line for name in missing)
    else:
        assert "not enrolled" not in last_line


@pytest.mark.parametrize(
    ("people", "line"),
    [
        ([], "0 photos of 0 people enrolled"),
        (["Ann"], "1 photo of 1 person enrolled"),
        (["Ann", "Ann", "Bob"], "3 photos of 2 people enrolled"),
    ],
)
def test_summary_starts_with_the_total(people: list[str], line: str) -> None:
    report = EnrollmentReport(tuple(PhotoOutcome(name, "a.jpg", "enrolled") for name in people))
    assert report.summary() == line
