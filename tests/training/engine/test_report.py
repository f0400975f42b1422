"""Laws of the report: nothing is left out in silence."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from facekit.training import DatasetReport, FaceOutcome
from facekit.training.engine.report import FaceStatus

outcomes = st.builds(
    FaceOutcome,
    person=st.sampled_from(["Ann", "Bob", ""]),
    source=st.uuids().map(str),
    status=st.sampled_from(get_args(FaceStatus)),
    detail=st.uuids().map(str),
)
reports = st.lists(outcomes, max_size=30).map(lambda found: DatasetReport(tuple(found)))


@given(reports)
def test_photo_is_used_or_left_out(report: DatasetReport) -> None:
    used = [outcome for outcome in report.outcomes if outcome.used]
    assert len(used) + len(report.left_out) == len(report.outcomes)
    assert not set(used) & set(report.left_out)


@given(reports)
def test_counts_add_up(report: DatasetReport) -> None:
    assert sum(report.counts.values()) == len(report.outcomes)
    assert all(report.counts.values())


@given(report=reports, most=st.integers(0, 30))
def test_summary_names_what_is_worth_a_look(report: DatasetReport, most: int) -> None:
    summary = report.summary(most)
    for status in get_args(FaceStatus):
        found = [outcome for outcome in report.outcomes if outcome.status == status]
        named = [o for o in found if o.source in summary and o.detail in summary]
        assert len(named) == (0 if status == "used" else min(len(found), most))


@given(reports)
def test_summary_begins_with_the_total(report: DatasetReport) -> None:
    used = [outcome for outcome in report.outcomes if outcome.used]
    people = {outcome.person for outcome in used} - {""}
    assert report.summary().splitlines()[0] == (
        f"{len(used)} of {len(report.outcomes)} faces used, people: {len(people)}"
    )
