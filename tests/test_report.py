"""Laws of the report of enrolling and of data sets: every image is accounted for."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.report import ImageOutcome, ImageReport, OutcomeStatus

names = st.sampled_from(["Ann", "Bob", "Zoë"])
outcomes = st.builds(
    ImageOutcome,
    person=names,
    source=st.uuids().map(lambda number: f"{number}.jpg"),
    status=st.sampled_from(get_args(OutcomeStatus)),
    detail=st.uuids().map(str),
)
reports = st.lists(outcomes, max_size=30).map(lambda found: ImageReport(tuple(found)))


@given(reports)
def test_image_is_enrolled_now_or_before_or_left_out(report: ImageReport) -> None:
    kinds = (report.used, report.already_enrolled, report.left_out)
    assert sorted(outcome for kind in kinds for outcome in map(repr, kind)) == sorted(
        map(repr, report.outcomes)
    )


@given(reports)
def test_image_with_several_faces_is_used(report: ImageReport) -> None:
    assert set(report.several_faces) <= set(report.used)


@pytest.mark.parametrize(
    ("status", "used"),
    [
        ("enrolled", True),
        ("used", True),
        ("several faces", True),
        ("no face", False),
        ("unreadable", False),
        ("not an image", False),
    ],
)
def test_status_tells_whether_an_image_is_used(status: OutcomeStatus, used: bool) -> None:
    assert ImageOutcome("Ann", "a.jpg", status).used is used


@given(reports)
def test_people_are_sorted_and_counted(report: ImageReport) -> None:
    assert list(report.people) == sorted({outcome.person for outcome in report.outcomes})
    assert sum(report.people.values()) == len(report.used) + len(report.already_enrolled)


@given(report=reports, most=st.integers(0, 30))
def test_summary_names_what_is_worth_a_look(report: ImageReport, most: int) -> None:
    summary = report.summary(most)
    for status, count in report.counts.items():
        named = [o for o in report.outcomes if o.status == status and o.line() in summary]
        quiet = status in ("enrolled", "used", "already enrolled")
        assert len(named) == (0 if quiet else min(count, most))
        assert (f"  and {count - most} more: {status}" in summary) == (not quiet and count > most)


@given(reports)
def test_counts_add_up(report: ImageReport) -> None:
    assert sum(report.counts.values()) == len(report.outcomes)
    assert all(report.counts.values())


@given(reports)
def test_summary_names_every_person_without_an_image(report: ImageReport) -> None:
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
    report = ImageReport(tuple(ImageOutcome(name, "a.jpg", "enrolled") for name in people))
    assert report.summary() == line
