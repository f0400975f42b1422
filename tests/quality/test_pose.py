"""Laws of the head's pose: the model turned is measured as turned, mirrored as mirrored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import Keypoints
from facekit.quality.pose import FACE_MODEL, head_pose

angles = st.tuples(st.floats(-75, 75), st.floats(-60, 60), st.floats(-170, 170))
coordinates = st.floats(-500, 500).map(lambda value: round(value, 3))
any_keypoints = st.builds(Keypoints, *[st.tuples(coordinates, coordinates)] * 5)


def turned(yaw: float, pitch: float, roll: float, scale: float = 40.0) -> Keypoints:
    """The model's keypoints, turned by so many degrees, as a distant camera sees them."""
    y, p, r = np.radians([yaw, pitch, roll])
    nod = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    turn = [[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]]
    tilt = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    points = np.array(FACE_MODEL) @ (np.array(tilt) @ turn @ nod).T
    return Keypoints(*((float(x), float(y)) for x, y in scale * points[:, :2] + 100.0))


def mirrored(points: Keypoints, width: float = 500.0) -> Keypoints:
    flip = [(width - x, y) for x, y in points]
    return Keypoints(flip[1], flip[0], flip[2], flip[4], flip[3])


@given(angles, st.floats(1, 300))
def test_the_model_turned_is_measured_as_turned(
    turn: tuple[float, float, float], scale: float
) -> None:
    assert head_pose(turned(*turn, scale=scale)) == pytest.approx(turn, abs=1e-6)


@given(angles)
def test_a_mirrored_face_has_the_mirrored_yaw_and_roll(turn: tuple[float, float, float]) -> None:
    pose, mirror = head_pose(turned(*turn)), head_pose(mirrored(turned(*turn)))
    assert (mirror.yaw, mirror.pitch, mirror.roll) == pytest.approx(
        (-pose.yaw, pose.pitch, -pose.roll), abs=1e-6
    )


@given(angles, st.integers(0, 10**6), st.floats(0.1, 10), coordinates, coordinates)
def test_scale_and_place_do_not_matter(
    turn: tuple[float, float, float], seed: int, scale: float, right: float, down: float
) -> None:
    # Points of a face, not exactly found. Of five points anywhere the angles need not be unique.
    face = turned(*turn).to_array()
    spread = float(np.ptp(face, axis=0).max())
    face = face + 0.02 * spread * np.random.default_rng(seed).normal(size=face.shape)
    points, moved = (
        Keypoints(*((float(x), float(y)) for x, y in places))
        for places in (face, scale * face + (right, down))
    )
    assert head_pose(moved) == pytest.approx(head_pose(points), abs=1e-3)


@given(any_keypoints)
def test_every_keypoints_give_finite_angles(points: Keypoints) -> None:
    yaw, pitch, roll = head_pose(points)
    assert -90 <= yaw <= 90
    assert -180 <= pitch <= 180
    assert -180 <= roll <= 180


def test_keypoints_on_one_spot_are_not_turned() -> None:
    assert head_pose(Keypoints(*[(7.0, 7.0)] * 5)) == (0.0, 0.0, 0.0)
