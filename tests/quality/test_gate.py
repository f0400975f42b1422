"""Laws of the quality gate: limits are monotone, and there is a problem just when one is broken."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import InvalidArgumentError, QualityGate
from facekit.quality.gate import limits_broken
from facekit.quality.measures import FaceQuality

NUMBERS = [field.name for field in fields(FaceQuality) if field.name != "problems"]
LIMITS = [field.name for field in fields(QualityGate)]
GOOD = FaceQuality(
    interocular=60.0,
    side=120.0,
    sharpness=0.4,
    brightness=0.5,
    contrast=0.2,
    overexposed=0.0,
    yaw=5.0,
    pitch=-4.0,
    roll=2.0,
    outside=0.0,
    confidence=0.999,
    occlusion=0.1,
)

shares = st.floats(0, 1)
qualities = st.builds(
    FaceQuality,
    interocular=st.floats(0, 100),
    side=st.floats(0, 300),
    sharpness=shares,
    brightness=shares,
    contrast=st.floats(0, 0.5),
    overexposed=shares,
    yaw=st.floats(-90, 90),
    pitch=st.floats(-180, 180),
    roll=st.floats(-180, 180),
    outside=shares,
    confidence=shares,
    occlusion=shares,
)
limits = {
    "min_interocular": st.floats(0, 100),
    "min_side": st.floats(0, 300),
    "min_sharpness": shares,
    "min_brightness": shares,
    "min_contrast": st.floats(0, 0.5),
    "max_overexposed": shares,
    "max_yaw": st.floats(0, 90),
    "max_pitch": st.floats(0, 180),
    "max_roll": st.floats(0, 180),
    "max_outside": shares,
    "min_confidence": shares,
    "max_occlusion": shares,
}
gates = st.builds(QualityGate, **{name: st.none() | limit for name, limit in limits.items()})


def test_every_number_has_a_limit() -> None:
    assert [name.removeprefix("min_").removeprefix("max_") for name in LIMITS] == NUMBERS
    assert list(limits) == LIMITS


@given(gates, qualities)
def test_there_are_problems_just_when_a_number_lies_beyond_its_limit(
    gate: QualityGate, quality: FaceQuality
) -> None:
    broken = [
        name
        for name, limit in asdict(gate).items()
        if limit is not None
        and (
            getattr(quality, name[4:]) < limit
            if name.startswith("min_")
            else abs(getattr(quality, name[4:])) > limit
        )
    ]
    assert len(gate.problems(quality)) == len(broken)


@given(gates, qualities, st.sampled_from(LIMITS), st.data())
def test_a_stricter_limit_finds_no_fewer_problems(
    gate: QualityGate, quality: FaceQuality, name: str, data: st.DataObject
) -> None:
    one, other = sorted(data.draw(st.tuples(limits[name], limits[name])))
    lax, strict = (one, other) if name.startswith("min_") else (other, one)
    kinds = [
        [line.split(":")[0] for line in replace(gate, **{name: limit}).problems(quality)]
        for limit in (None, lax, strict)
    ]
    assert len(kinds[0]) <= len(kinds[1]) <= len(kinds[2])
    assert set(kinds[0]) <= set(kinds[1]) <= set(kinds[2])


@given(qualities)
def test_a_gate_that_is_off_finds_no_problem(quality: FaceQuality) -> None:
    assert QualityGate.off().problems(quality) == ()


@given(gates, qualities)
def test_the_number_shown_is_not_the_limit_shown(gate: QualityGate, quality: FaceQuality) -> None:
    for line in gate.problems(quality):
        measured, wanted = line.split(": ")[1].rsplit(", at ", 1)
        assert float(measured.split()[0]) != float(wanted.split()[1])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"interocular": 9.2}, "too small: 9.2 pixels between the eyes, at least 14 wanted"),
        ({"sharpness": 0.071}, "blurred: 0.071 sharpness, at least 0.12 wanted"),
        ({"brightness": 0.05}, "too dark: 5 % brightness, at least 8 % wanted"),
        ({"contrast": 0.021}, "too little contrast: 2.1 % contrast, at least 3 % wanted"),
        ({"overexposed": 0.6}, "overexposed: 60 % of the face white, at most 50 % wanted"),
        ({"yaw": -58.0}, "turned to the side: 58 degrees, at most 45 degrees wanted"),
        ({"pitch": 33.0}, "raised or lowered: 33 degrees, at most 30 degrees wanted"),
        ({"roll": -51.0}, "tilted: 51 degrees, at most 50 degrees wanted"),
        ({"outside": 0.4}, "cut by the border: 40 % of the face outside, at most 30 % wanted"),
        ({"confidence": 0.71}, "hardly a face: 0.71 confidence, at least 0.8 wanted"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_default_limit_is_put_into_words(change: dict[str, float], line: str) -> None:
    gate = QualityGate()
    assert gate.problems(GOOD) == ()
    assert gate.problems(replace(GOOD, **change)) == (line,)


@given(qualities)
def test_what_is_good_enough_to_be_enrolled_is_good_enough_to_be_named(
    quality: FaceQuality,
) -> None:
    kinds = [
        {line.split(":")[0] for line in gate.problems(quality)}
        for gate in (QualityGate(), QualityGate.for_naming())
    ]
    assert kinds[1] <= kinds[0]


@given(gates, qualities)
def test_without_the_limits_that_were_broken_there_is_no_problem(
    gate: QualityGate, quality: FaceQuality
) -> None:
    limits = limits_broken(gate.problems(quality))
    assert replace(gate, **dict.fromkeys(limits)).problems(quality) == ()
    assert all(getattr(gate, name) is not None for name in limits)


@given(gates, qualities)
def test_at_the_border_of_a_cut_image_nothing_is_missing(
    gate: QualityGate, quality: FaceQuality
) -> None:
    inside = replace(quality, outside=0.0)
    assert gate.without_border().problems(quality) == gate.without_border().problems(inside)


def test_the_side_of_the_box_and_what_covers_the_face_are_limited_on_demand() -> None:
    assert QualityGate().problems(replace(GOOD, occlusion=0.93)) == ()
    assert QualityGate(max_occlusion=0.7).problems(replace(GOOD, occlusion=0.93)) == (
        "covered: 93 % of the eyes or the mouth, at most 70 % wanted",
    )
    assert QualityGate(min_side=130).problems(GOOD) == (
        "too small: 120 pixels from side to side, at least 130 wanted",
    )


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "20", True, 1e6 + 0.5j])
def test_a_limit_that_cannot_work_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name}, if not None, must be a number"):
        QualityGate(**{name: value})


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(
        InvalidArgumentError, match="max_outside, if not None, must be a number from 0"
    ):
        QualityGate(max_outside=15)
