"""The terms of the distillation loss, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facekit.training.distillation.distiller import DistillationObjective


def embeddings(seed: int, count: int = 7, size: int = 5) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, size))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def loss(teacher: np.ndarray, student: np.ndarray, **weights: float) -> float:
    chosen = {"cosine_weight": 0.0, "distance_weight": 0.0, "angle_weight": 0.0, **weights}
    return float(DistillationObjective(**chosen).loss(teacher, student))


@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_a_perfect_student_has_no_loss(seed: int) -> None:
    teacher = embeddings(seed)
    weights = {"cosine_weight": 1.0, "distance_weight": 1.0, "angle_weight": 1.0}
    assert loss(teacher, teacher, **weights) == pytest.approx(0.0, abs=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_relations_do_not_change_with_a_rotation(seed: int) -> None:
    teacher, student = embeddings(seed), embeddings(seed + 1)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(5, 5)))
    turned = (student @ rotation).astype(np.float32)
    for term in ("distance_weight", "angle_weight"):
        one, other = (loss(teacher, s, **{term: 1.0}) for s in (student, turned))
        assert other == pytest.approx(one, abs=1e-4)


def test_terms_are_what_the_paper_defines() -> None:
    teacher, student = embeddings(0), embeddings(1)

    def huber(x: np.ndarray) -> np.ndarray:
        return np.where(np.abs(x) <= 1, x**2 / 2, np.abs(x) - 0.5)

    def relative(e: np.ndarray) -> np.ndarray:
        distances = np.linalg.norm(e[:, None] - e[None], axis=2)
        return distances / distances[~np.eye(len(e), dtype=bool)].mean()

    def angles(e: np.ndarray) -> np.ndarray:
        found = np.zeros((len(e),) * 3)
        for i, j, k in np.ndindex(found.shape):
            if i not in (j, k):
                a, b = e[j] - e[i], e[k] - e[i]
                found[i, j, k] = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
        return found

    expected = {
        "cosine_weight": 1 - np.mean(np.sum(teacher * student, axis=1)),
        "distance_weight": huber(relative(student) - relative(teacher)).mean(),
        "angle_weight": huber(angles(student) - angles(teacher)).mean(),
    }
    for term, value in expected.items():
        assert loss(teacher, student, **{term: 1.0}) == pytest.approx(value, rel=1e-3)


def test_impostors_are_the_hardest_pairs_that_the_teacher_keeps_apart() -> None:
    teacher, student = embeddings(0, count=9), embeddings(1, count=9)
    given, found = teacher @ teacher.T, student @ student.T
    terms = []
    for row in range(9):
        others = np.where(given[row] < 0.4, found[row], -2.0)
        for other in np.argsort(others)[-4:]:
            excess = max(0.0, found[row, other] - given[row, other])
            terms.append(excess**2 if given[row, other] < 0.4 else 0.0)
    assert loss(teacher, student, impostor_weight=1.0) == pytest.approx(np.mean(terms), rel=1e-4)
    assert loss(teacher, teacher, impostor_weight=1.0) == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(loss(teacher[:2], student[:2], impostor_weight=1.0))
