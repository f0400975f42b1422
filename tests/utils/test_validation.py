"""Checks of arguments: what is taken comes back plain, what is refused is named."""

from __future__ import annotations

import unicodedata
from contextlib import nullcontext
from enum import Enum
from fractions import Fraction
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from facekit import InvalidArgumentError
from facekit.utils.validation import (
    STRANGER,
    UNIT_NORM_TOLERANCE,
    aligned_faces,
    choice,
    flag,
    identity,
    instance,
    json_values,
    number,
    numbers,
    several,
    text,
    unit_rows,
    vectors,
    whole,
)

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.integers(), max_size=3),
    hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(max_dims=3, max_side=3)),
)


class Person(str, Enum):
    ADA = "Ada"


@pytest.mark.parametrize(
    "check",
    [
        lambda value: whole(value, "x", least=1, most=9),
        lambda value: number(value, "x", 0, 1),
        lambda value: number(value, "x", above=0, below=1),
        lambda value: flag(value, "x"),
        lambda value: choice(value, "x", ("one", "two")),
        lambda value: text(value, "x", empty=False),
        lambda value: identity(value, "x"),
        lambda value: json_values(value, "x"),
        lambda value: vectors(value, None, "x"),
        lambda value: unit_rows(value, 2, "x"),
        lambda value: aligned_faces(value, "x"),
    ],
)
@given(value=ANYTHING)
def test_anything_is_taken_or_refused_by_name(check: Any, value: Any) -> None:
    try:
        check(value)
    except InvalidArgumentError as error:
        message = str(error)
    else:
        return
    assert message.startswith("x ")
    assert len(message) < 1000


@given(st.integers(-5, 5), st.sampled_from([int, np.int64, np.int8]))
def test_a_whole_number_comes_back_as_an_int(value: int, kind: Any) -> None:
    assert type(whole(kind(value), "n")) is int
    assert whole(kind(value), "n", least=value, most=value) == value
    with pytest.raises(InvalidArgumentError, match="of at least"):
        whole(kind(value), "n", least=value + 1)
    with pytest.raises(InvalidArgumentError, match="up to"):
        whole(kind(value), "n", most=value - 1)


@pytest.mark.parametrize("value", [True, np.True_, 1.0, "1", None, np.array([1])])
def test_what_is_not_a_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^n must be a whole number from 0 to 2, got"):
        whole(value, "n", least=0, most=2)


@given(st.floats(0, 1), st.sampled_from([float, np.float32, np.float64, Fraction]))
def test_a_number_comes_back_as_a_float(value: float, kind: Any) -> None:
    assert type(number(kind(value), "p", 0, 1)) is float


@pytest.mark.parametrize(
    "value", [True, np.True_, np.nan, np.inf, 10**400, 1j, "0.5", None, -0.1, 1.1, np.array([0.5])]
)
def test_what_is_not_a_number_in_range_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^p must be a number from 0 to 1, got"):
        number(value, "p", 0, 1)


@pytest.mark.parametrize("value", [0, 1, -1, 2])
def test_open_limits_are_not_allowed_themselves(value: float) -> None:
    with pytest.raises(InvalidArgumentError, match="number above 0 below 1"):
        number(value, "p", above=0, below=1)


def test_a_flag_is_no_other_truth() -> None:
    assert flag(np.True_, "f") is True
    for value in (1, 0, None, "yes", []):
        with pytest.raises(InvalidArgumentError, match="f must be True or False"):
            flag(value, "f")


def test_a_choice_comes_back_plain_and_a_wrong_one_lists_all() -> None:
    assert type(choice(np.str_("two"), "c", ["one", "two"])) is str
    with pytest.raises(InvalidArgumentError, match=r'c must be "one", "two" or "three", got'):
        choice("four", "c", ["one", "two", "three"])


@given(st.text())
def test_an_identity_is_plain_normal_and_stripped_and_stays_so(name: str) -> None:
    try:
        found = identity(name)
    except InvalidArgumentError:
        return
    assert type(found) is str
    assert found == found.strip() == unicodedata.normalize("NFC", found) == identity(found)
    assert found.casefold() != STRANGER
    assert found.isprintable() or not any(unicodedata.category(c) == "Cc" for c in found)
    assert found == identity(f"  {unicodedata.normalize('NFD', name)} ")


@pytest.mark.parametrize("name", [np.str_("Ada"), Person.ADA, np.array(["Ada"])[0]])
def test_a_subclass_of_str_becomes_plain_by_its_value(name: str) -> None:
    assert type(identity(name)) is str
    assert identity(name) == "Ada"


@pytest.mark.parametrize(
    "name",
    [
        *("", "  ", "\u200b", "\ufeff \u2060", "A\0", "A\x1b[2J", "A\nB", "A\u2028B"),
        *(
            "unknown",
            " Unknown ",
            "UNKNOWN",
            "unknown\u200b",
            "\uff55\uff4e\uff4b\uff4e\uff4f\uff57\uff4e",
        ),
    ],
)
def test_a_name_that_cannot_be_a_persons_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="a person's name"):
        identity(name)


@pytest.mark.parametrize(
    "unseen", [*"\u200b\xad\u2060\ufeff\u200d\u200c\ufe0f\u202e\U000e0041", "\u200d\u200d"]
)
def test_what_cannot_be_seen_makes_no_second_person(unseen: str) -> None:
    assert identity(f"{unseen} A{unseen}nn{unseen}\u00a0") == identity("Ann") == "Ann"
    with pytest.raises(InvalidArgumentError, match="cannot be 'unknown'"):
        identity(f"un{unseen}known")


@pytest.mark.parametrize(
    "name",
    [
        "\u0645\u0647\u200c\u062f\u062e\u062a",
        "\u9089\U000e0101",
        "\u2764\ufe0f",
        "\U0001f469\u200d\U0001f680",
    ],
)
def test_what_is_part_of_the_spelling_stays(name: str) -> None:
    assert identity(name) == name


@pytest.mark.parametrize("name", [None, 3, b"Ada", ["Ada"], np.array("Ada")])
def test_what_is_not_a_string_is_no_name(name: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="must be a string"):
        identity(name)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers()))
def test_json_values_come_back_as_json_has_them(values: dict[str, int]) -> None:
    assert json_values(values) == values


def deep() -> list[Any]:
    inner: list[Any] = []
    for _ in range(100_000):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "values",
    [None, [1], {"a": np.nan}, {"a": b"x"}, {"a": {1}}, {(1, 2): 3}, {"a": 10**5000}],
)
def test_values_that_json_cannot_write_are_refused(values: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="about must"):
        json_values(values, "about")


def test_values_nested_too_deep_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="about must"):
        json_values({"a": deep()}, "about")


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(-1, 1, width=32)), st.floats(-0.1, 0.1))
def test_embeddings_are_unit_within_one_tolerance(rows: Any, change: float) -> None:
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    assume((norms > 0.1).all() and abs(abs(change) - UNIT_NORM_TOLERANCE) > 1e-5)
    scaled = rows / norms * (1 + change)
    if abs(change) < UNIT_NORM_TOLERANCE:
        assert unit_rows(scaled).dtype == np.float32
    else:
        with pytest.raises(InvalidArgumentError, match="unit L2 norm, row 0"):
            unit_rows(scaled)


@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 0.0], [1.0]],
        [[1 + 0j, 0]],
        np.array([[1.0, 0.0]], dtype=object),
        [["1", "0"]],
        [[True, False]],
        [[np.nan, 0.0]],
        [[np.inf, 0.0]],
        [[1e300, 0.0]],
        [1.0, 0.0],
        [[1.0, 0.0, 0.0]],
        [],
        None,
    ],
)
def test_what_are_not_embeddings_is_refused(rows: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^probes must"):
        unit_rows(rows, 2, "probes")


def test_no_embeddings_are_embeddings_and_float32_is_not_copied() -> None:
    assert unit_rows(np.empty((0, 2)), 2).shape == (0, 2)
    rows = np.eye(3, dtype=np.float32)
    assert unit_rows(rows) is rows


@given(ANYTHING)
def test_several_gives_a_list_of_what_is_not_refused(value: Any) -> None:
    one = isinstance(value, str | bytes | dict) or np.ndim(value) == 0
    with pytest.raises(InvalidArgumentError, match=r"^x must be a list") if one else nullcontext():
        assert [*map(repr, several(value, "x"))] == [*map(repr, value)]


def test_several_takes_iterators_and_names_the_place_of_another_class() -> None:
    assert several(iter((1, 2)), "x", int) == [1, 2]
    with pytest.raises(InvalidArgumentError, match=r"^x\[1\] must be an int, got 'two'"):
        several([1, "two"], "x", int)
    with pytest.raises(InvalidArgumentError, match=r"^x must be an int, got <class 'int'>"):
        instance(int, "x", int)


@given(st.lists(ANYTHING, max_size=3), st.integers(1, 3))
def test_numbers_are_finite_floats_or_refused(values: list[Any], count: int) -> None:
    real = [
        isinstance(each, int | float | np.floating | np.integer)
        and not isinstance(each, bool | np.timedelta64)
        and np.isfinite(float(each))
        for each in values
    ]
    usable = all(real) and len(values) == count
    with (
        nullcontext()
        if usable
        else pytest.raises(InvalidArgumentError, match=r"^x must be numbers")
    ):
        found = numbers(values, "x", count, "numbers")
        assert found == tuple(map(float, values))
        assert all(type(each) is float for each in found)


@pytest.mark.parametrize("check", [number, whole])
@pytest.mark.parametrize("value", [np.timedelta64(3, "D"), np.timedelta64("NaT"), np.True_])
def test_numpys_times_and_bools_are_not_numbers(check: Any, value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^x must be a"):
        check(value, "x")
