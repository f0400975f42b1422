"""The triplet losses by their definitions: every triplet is looked at, in float64.

Each function takes labels ``(B,)``, distances ``(B, B)`` and a margin, and returns the loss and its
derivative by each distance.
"""

from __future__ import annotations

import numpy as np

Answer = tuple[float, np.ndarray]


def distances(embeddings: np.ndarray, *, squared: bool = False) -> np.ndarray:
    differences = np.asarray(embeddings, np.float64)
    found = np.square(differences[:, None] - differences[None, :]).sum(axis=2)
    return found if squared else np.sqrt(found)


def semihard(labels: np.ndarray, rows: np.ndarray, margin: float) -> Answer:
    total, pairs, weights = 0.0, 0, np.zeros_like(rows)
    for a, p in _positive_pairs(labels):
        pairs += 1
        row, negative = rows[a], labels != labels[a]
        farther = negative & (row > row[p])
        if farther.any():
            given = row[farther].min()
        elif negative.any():
            given = row[negative].max()
        else:
            given, negative = row.min(), np.ones_like(negative)
        loss = row[p] - given + margin
        if loss >= 0:
            total += loss
            weights[a, p] += 1
            weights[a] -= _shares(negative & (row == given))
    return total / max(pairs, 1), weights / max(pairs, 1)


def facenet(labels: np.ndarray, rows: np.ndarray, margin: float) -> Answer:
    total, weights = 0.0, np.zeros_like(rows)
    for a, p in _positive_pairs(labels):
        row = rows[a]
        semihard = (labels != labels[a]) & (row > row[p]) & (row < row[p] + margin)
        if semihard.any():
            given = row[semihard].min()
            total += row[p] - given + margin
            weights[a, p] += 1
            weights[a] -= _shares(semihard & (row == given))
    return total, weights


def hard(labels: np.ndarray, rows: np.ndarray, margin: float, soft: bool) -> Answer:
    losses, weights = [], np.zeros_like(rows)
    for a, row in enumerate(rows):
        negative = labels != labels[a]
        positive = ~negative & (np.arange(len(labels)) != a)
        positive = positive if positive.any() else row == row.min()
        negative = negative if negative.any() else row == row.max()
        farthest, nearest = row[positive].max(), row[negative].min()
        difference = farthest - nearest
        losses.append(np.logaddexp(0, difference) if soft else max(0.0, difference + margin))
        slope = np.exp(-np.logaddexp(0, -difference)) if soft else difference + margin >= 0
        weights[a] += slope * _shares(positive & (row == farthest))
        weights[a] -= slope * _shares(negative & (row == nearest))
    return float(np.mean(losses)), weights / len(labels)


def batch_all(labels: np.ndarray, rows: np.ndarray, margin: float) -> Answer:
    total, count, weights = 0.0, 0, np.zeros_like(rows)
    for a, p in _positive_pairs(labels):
        active = (labels != labels[a]) & (rows[a] < rows[a, p] + margin)
        total += (rows[a, p] - rows[a][active] + margin).sum()
        count += active.sum()
        weights[a, p] += active.sum()
        weights[a] -= active
    return total / max(count, 1), weights / max(count, 1)


def kinds(labels: np.ndarray, rows: np.ndarray, margin: float) -> dict[str, int]:
    """Counts the hard, semi-hard, easy and active triplets."""
    found = {"hard": 0, "semihard": 0, "easy": 0, "active": 0}
    for a, p in _positive_pairs(labels):
        for n in np.flatnonzero(labels != labels[a]):
            if rows[a, n] <= rows[a, p]:
                found["hard"] += 1
            elif rows[a, n] < rows[a, p] + margin:
                found["semihard"] += 1
            else:
                found["easy"] += 1
            found["active"] += bool(rows[a, n] < rows[a, p] + margin)
    return found


def _positive_pairs(labels: np.ndarray) -> list[tuple[int, int]]:
    size = range(len(labels))
    return [(a, p) for a in size for p in size if a != p and labels[a] == labels[p]]


def _shares(chosen: np.ndarray) -> np.ndarray:
    return chosen / chosen.sum()
