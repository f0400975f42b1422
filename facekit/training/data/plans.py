"""Which faces make up the batches of an epoch."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.int64]


def shuffled_plan(number: int, batch_size: int, rng: np.random.Generator) -> list[Rows]:
    """Deals faces into batches, each face once.

    Args:
        number: How many faces there are.
        batch_size: How many go into a batch; the last batch may hold fewer.
        rng: Where the chances come from.

    Returns:
        For each batch the places of its faces, int64.
    """
    order = rng.permutation(number)
    return [order[start : start + batch_size] for start in range(0, number, batch_size)]


def count_groups(counts: npt.NDArray[np.int64], photos: int) -> npt.NDArray[np.int64]:
    """Returns how many groups of K photos people with so many photos make, rounded up."""
    return -(-counts // photos)


def count_batches(groups: npt.NDArray[np.int64], identities: int) -> int:
    """Returns how many batches hold all groups, if none holds two groups of one person.

    Args:
        groups: How many groups each person makes, int64 ``(n,)``.
        identities: How many people a batch holds.
    """
    return max(-(-int(groups.sum()) // identities), int(groups.max()))


def balanced_plan(
    photos_of: list[Rows], identities: int, photos: int, rng: np.random.Generator
) -> Rows:
    """Deals the photos of people into batches of P people with K photos each.

    Args:
        photos_of: For each person the places of the photos, two at least.
        identities: P, at most the number of people.
        photos: K, at least 2.
        rng: Where the chances come from.

    Returns:
        For each batch the places of its faces, K of a person side by side, int64 ``(batches,
        P × K)``.
    """
    groups_of = [_groups(rows, photos, rng) for rows in photos_of]
    number = count_batches(np.array([len(groups) for groups in groups_of]), identities)
    # Groups of one person are dealt one after the other, so to different batches: nobody makes
    # more groups than there are batches.
    people = rng.permutation(len(photos_of))
    dealt = [(person, group) for person in people for group in groups_of[person]]
    seats = rng.permutation(number)
    batches: list[list[Rows]] = [[] for _ in range(number)]
    members: list[list[int]] = [[] for _ in range(number)]
    for turn, (person, group) in enumerate(dealt):
        batches[seats[turn % number]].append(group)
        members[seats[turn % number]].append(person)
    for batch, present in zip(batches, members, strict=True):
        wanted = identities - len(batch)
        if wanted:
            absent = np.setdiff1d(people, present)
            for person in rng.choice(absent, wanted, replace=False):
                batch.append(groups_of[person][rng.integers(len(groups_of[person]))])
    return np.array([np.concatenate(batch) for batch in batches])


def _groups(rows: Rows, photos: int, rng: np.random.Generator) -> list[Rows]:
    """Deals the photos of one person into groups of K, the last one filled up with others."""
    order = rng.permutation(rows)
    missing = -len(order) % photos
    # The photos that are dealt first are not in the last group, unless there are fewer than K.
    filled = np.concatenate([order, np.resize(order, missing)])
    return list(filled.reshape(-1, photos))
