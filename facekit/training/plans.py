"""Which faces make up the batches of an epoch."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.int64]

_COMPARED_AT_A_TIME = 512


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


def nearest_faces(embeddings: npt.NDArray[np.float32], count: int) -> Rows:
    """Returns for each face the places of those most like it, ``(n, count)``, nearest first."""
    count = min(count, len(embeddings) - 1)
    nearest = np.empty((len(embeddings), count), dtype=np.int64)
    for start in range(0, len(embeddings), _COMPARED_AT_A_TIME):
        part = slice(start, start + _COMPARED_AT_A_TIME)
        cosines = embeddings[part] @ embeddings.T
        rows = np.arange(len(cosines))
        cosines[rows, rows + start] = -np.inf
        found = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(cosines, found, axis=1), axis=1)
        nearest[part] = np.take_along_axis(found, order, axis=1)
    return nearest


def grouped_plan(nearest: Rows, batch_size: int, size: int, rng: np.random.Generator) -> list[Rows]:
    """Deals faces into batches, each face once, groups of faces that are alike side by side.

    Args:
        nearest: For each face the places of those most like it, of :func:`nearest_faces`.
        batch_size: How many faces go into a batch; the last batch may hold fewer.
        size: How many faces a group has, at most.
        rng: Where the chances come from.

    Returns:
        For each batch the places of its faces, int64.
    """
    free = np.ones(len(nearest), dtype=bool)
    groups = []
    for face in rng.permutation(len(nearest)):
        if not free[face]:
            continue
        free[face] = False
        alike = nearest[face][free[nearest[face]]]
        alike = rng.permutation(alike)[: size - 1]
        free[alike] = False
        groups.append(np.concatenate([[face], alike]))
    order = np.concatenate([groups[place] for place in rng.permutation(len(groups))])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


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
