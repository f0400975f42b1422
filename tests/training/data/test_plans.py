"""Laws of who comes when: every photo in every epoch, and never a person without a pair."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from facekit.training.data.plans import balanced_plan, shuffled_plan

counts = st.lists(st.integers(2, 30), min_size=2, max_size=12)
seeds = st.integers(0, 2**32)
Rows = npt.NDArray[np.int64]


@st.composite
def balanced(draw: st.DrawFn) -> tuple[list[Rows], int, int, Rows]:
    """Draws the photos of some people, P, K and the plan of an epoch."""
    of_each = draw(counts)
    identities = draw(st.integers(2, len(of_each)))
    photos = draw(st.integers(2, 7))
    places = np.random.default_rng(1).permutation(sum(of_each))
    photos_of = np.split(places, np.cumsum(of_each)[:-1])
    rng = np.random.default_rng(draw(seeds))
    return photos_of, identities, photos, balanced_plan(photos_of, identities, photos, rng)


@given(balanced())
def test_every_batch_has_p_people_with_k_photos(
    drawn: tuple[list[Rows], int, int, Rows],
) -> None:
    photos_of, identities, photos, plan = drawn
    person_of = {row: person for person, rows in enumerate(photos_of) for row in rows.tolist()}
    for batch in plan:
        groups = [[person_of[row] for row in group] for group in batch.reshape(-1, photos).tolist()]
        assert all(len(set(group)) == 1 for group in groups)
        assert len({group[0] for group in groups}) == len(groups) == identities


@given(balanced())
def test_every_person_of_a_batch_has_two_different_photos(
    drawn: tuple[list[Rows], int, int, Rows],
) -> None:
    photos_of, _, photos, plan = drawn
    size_of = {row: len(rows) for rows in photos_of for row in rows.tolist()}
    for group in plan.reshape(-1, photos).tolist():
        assert len(set(group)) == min(photos, size_of[group[0]])


@given(balanced())
def test_every_epoch_shows_every_photo(drawn: tuple[list[Rows], int, int, Rows]) -> None:
    photos_of, _, _, plan = drawn
    assert np.array_equal(np.unique(plan), np.sort(np.concatenate(photos_of)))


@given(balanced())
def test_there_are_no_more_batches_than_needed(drawn: tuple[list[Rows], int, int, Rows]) -> None:
    photos_of, identities, photos, plan = drawn
    groups = [-(-len(rows) // photos) for rows in photos_of]
    assert len(plan) == max(*groups, -(-sum(groups) // identities))


@given(number=st.integers(1, 200), size=st.integers(1, 50), seed=seeds)
def test_shuffled_batches_hold_every_face_once(number: int, size: int, seed: int) -> None:
    plan = shuffled_plan(number, size, np.random.default_rng(seed))
    assert sorted(np.concatenate(plan).tolist()) == list(range(number))
    assert all(len(batch) == size for batch in plan[:-1])
    assert 1 <= len(plan[-1]) <= size
