"""Covered faces: laws of the measure, and bars, glasses and masks drawn over portraits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import Aligner, Detector, Face, Keypoints, QualityGate, load_image
from facekit.alignment import DEFAULT_TEMPLATE
from facekit.parts import parts_from_dict, parts_to_dict
from facekit.quality import measure_quality
from facekit.quality.occlusion import covered, network_input

Pixels = npt.NDArray[np.uint8]

EYES, MOUTH = 0.404 * 64, 0.734 * 64

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module", params=["hopper", "astronaut"])
def aligned(request: pytest.FixtureRequest, detector: Detector) -> Pixels:
    pixels = load_image(request.getfixturevalue(request.param))
    return Aligner(64).align(pixels, detector.detect(pixels))[0]


def some_face(seed: int) -> Pixels:
    """Returns smooth or noisy pixels of any contrast."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (2 ** rng.integers(0, 7),) * 2 + (3,))
    times = 64 // len(coarse)
    return (coarse.repeat(times, 0).repeat(times, 1) * rng.random()).astype(np.uint8)


def bar(aligned: Pixels, middle: float, share: float, color: int = 200) -> Pixels:
    """Draws a bar across a face, up to 0.3 times as high as the image."""
    drawn = aligned.copy()
    half = 0.15 * 64 * share
    drawn[round(middle - half) : round(middle + half)] = color
    return drawn


@given(seeds)
def test_the_shares_lie_between_0_and_1_and_do_not_depend_on_the_side(seed: int) -> None:
    face = some_face(seed)
    found = covered(face)
    assert all(0.0 <= share <= 1.0 for share in found)
    assert covered(np.ascontiguousarray(face[:, ::-1])) == pytest.approx(found, abs=1e-5)


@given(st.lists(seeds, min_size=1, max_size=5))
def test_faces_of_a_batch_are_read_like_each_alone(chosen: list[int]) -> None:
    faces = np.stack([some_face(seed) for seed in chosen])
    alone = np.concatenate([network_input(face[None]) for face in faces])
    np.testing.assert_array_equal(network_input(faces), alone)


def test_the_more_a_bar_covers_the_larger_the_share(aligned: Pixels) -> None:
    degrees = np.linspace(0, 1, 5)
    eyes = [covered(bar(aligned, EYES, degree)).eyes for degree in degrees]
    mouth = [covered(bar(aligned, MOUTH, degree)).mouth for degree in degrees]
    for shares in (eyes, mouth):
        assert np.all(np.diff(shares) > -0.05)


@pytest.mark.parametrize("color", [20, 90, 200])
def test_a_bar_of_any_brightness_covers(aligned: Pixels, color: int) -> None:
    assert max(covered(aligned)) < 0.3
    assert covered(bar(aligned, EYES, 1.0, color)).eyes > 0.7
    assert covered(bar(aligned, MOUTH, 1.0, color)).mouth > 0.7


def test_a_covered_face_is_flagged_with_the_reason(aligned: Pixels) -> None:
    points = Keypoints(*((64 * x, 64 * y) for x, y in DEFAULT_TEMPLATE))
    face = Face((0.0, 0.0, 64.0, 64.0), 1.0, points)
    gate = QualityGate(max_occlusion=0.7)
    assert measure_quality(aligned, face).occlusion == pytest.approx(max(covered(aligned)))
    for middle in (EYES, MOUTH):
        problems = gate.assess(bar(aligned, middle, 1.0), face).problems
        assert any(line.startswith("covered: ") for line in problems)
    assert not any(line.startswith("covered") for line in gate.assess(aligned, face).problems)


def test_a_hat_covers_neither_eyes_nor_mouth(aligned: Pixels) -> None:
    drawn = aligned.copy()
    drawn[: round(0.24 * 64)] = (150, 40, 40)
    assert max(covered(drawn)) < 0.3


def test_a_gate_that_was_saved_without_the_limit_has_none() -> None:
    from facekit import FaceRecognizer

    recognizer = FaceRecognizer()
    kept = parts_to_dict(
        recognizer.detector,
        recognizer.aligner,
        recognizer.classifier,
        QualityGate(),
        QualityGate.for_naming(),
    )
    for gate in ("quality", "naming_quality"):
        del kept[gate]["max_occlusion"]
    parts = parts_from_dict(kept, "people.facekit", None)
    assert parts["quality"] == QualityGate()
    assert parts["naming_quality"] == QualityGate.for_naming()
