"""Laws of the report of enrolling: every image is accounted for."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import EnrollmentReport
from facekit.report import OutcomeStatus, PhotoOutcome

names = st.sampled_from(["Ann", "Bob", "Zoë"])
outcomes = st.builds(
    PhotoOutcome,
    person=names,
    source=st.uuids().map(lambda number: f"{number}.jpg"),
    status=st.sampled_from(get_args(OutcomeStatus)),
    detail=st.uuids().map(str),
)
reports = st.lists(outcomes, max_size=8).map(lambda found: EnrollmentReport(tuple(found)))


@given(reports)
def test_photo_is_enrolled_now_or_before_or_left_out(report: EnrollmentReport) -> None:
    kinds = (report.enrolled, report.already_enrolled, report.left_out)
    assert sorted(outcome for kind in kinds for outcome in map(repr, kind)) == sorted(
        map(repr, report.outcomes)
    )


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
    assert sum(report.people.values()) == len(report.enrolled) + len(report.already_enrolled)


@given(reports)
def test_summary_names_every_photo_worth_a_look(report: EnrollmentReport) -> None:
    summary = report.summary()
    for outcome in report.outcomes:
        named = outcome.source in summary and outcome.detail in summary
        assert named == (outcome.status not in ("enrolled", "already enrolled"))


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
