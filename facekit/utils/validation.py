"""Argument checks: each function returns the plain Python or NumPy value.

Every function takes the value and the argument's name for the message, and raises
:class:`facekit.InvalidArgumentError` that names both.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.utils.terminal import INVISIBLE

UNIT_NORM_TOLERANCE = 1e-3
"""The tolerance for the norm of an embedding; half precision stays well below it."""

STRANGER = "unknown"
"""The label of a face without a name; it cannot be the name of a person."""

# Whole numbers by their class.
_NOT_NUMBERS = (bool, np.timedelta64)

# White space and joiners: at its ends, they would make one name look like two.
_BLANK = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200c\u200d"
# Joiners and variation selectors are meaningful only after symbols and letters of the scripts that
# follow Greek and Cyrillic in Unicode.
_NOTHING = re.compile(
    f"[{INVISIBLE}]|(?<![\u0590-\u1dff\u2190-\ufdff\ufe10-\U000dffff])"
    "[\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
# Control characters, and separators of lines and paragraphs. Lone surrogates are allowed: Python
# reads file names that are not UTF-8 so.
_REFUSED_CATEGORIES = frozenset({"Cc", "Zl", "Zp"})


def whole(value: object, name: str, *, least: int | None = None, most: int | None = None) -> int:
    """Returns a whole number of Python or NumPy within its limits; a bool is refused."""
    if isinstance(value, int | np.integer) and not isinstance(value, _NOT_NUMBERS):
        found = int(value)
        if (least is None or found >= least) and (most is None or found <= most):
            return found
    raise InvalidArgumentError(
        f"{name} must be a whole number{_range(least, most)}, got {_shown(value)}"
    )


def number(
    value: object,
    name: str,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Returns a finite real number within its limits."""
    found = math.nan
    if type(value) is float:  # asking for the abstract class takes ten times as long
        found = value
    elif not isinstance(value, _NOT_NUMBERS) and isinstance(value, Real):
        with contextlib.suppress(OverflowError):  # a whole number beyond all floats
            found = float(value)
    if (
        not math.isfinite(found)
        or (low is not None and found < low)
        or (high is not None and found > high)
        or (above is not None and found <= above)
        or (below is not None and found >= below)
    ):
        wanted = _range(low, high) + ("" if above is None else f" above {above:g}")
        wanted += "" if below is None else f" below {below:g}"
        raise InvalidArgumentError(f"{name} must be a number{wanted}, got {_shown(value)}")
    return found


def flag(value: object, name: str) -> bool:
    """Returns a bool of Python or NumPy; other values are refused, whatever their truth value."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidArgumentError(f"{name} must be True or False, got {_shown(value)}")
    return bool(value)


def instance(value: object, name: str, kind: Any, *, optional: bool = False) -> Any:
    """Returns an object of a class or protocol, or ``None`` if optional; a class is refused."""
    if optional and value is None:
        return None
    if isinstance(value, type) or not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOUaeiou" else "a"
        raise InvalidArgumentError(f"{name} must be {article} {kind.__name__}, got {_shown(value)}")
    return value


def several(values: object, name: str, kind: Any = object) -> list[Any]:
    """Returns the items of a list or an iterator, of one class; a string is not a list here."""
    one = isinstance(values, str | bytes | bytearray | Mapping)
    if one or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise InvalidArgumentError(f"{name} must be a list, got {_shown(values)}")
    found = list(values)
    for place, value in enumerate(found if kind is not object else ()):
        instance(value, f"{name}[{place}]", kind)
    return found


def numbers(values: object, name: str, count: int, wanted: str) -> Any:
    """Returns a tuple of that many finite numbers."""
    found: tuple[float, ...] = ()
    with contextlib.suppress(InvalidArgumentError):
        found = tuple(number(value, name) for value in several(values, name))
    if len(found) != count:
        raise InvalidArgumentError(f"{name} must be {wanted}, got {_shown(values)}")
    return found


def choice(value: object, name: str, choices: Iterable[str]) -> str:
    """Returns one of several strings."""
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        shown = ", ".join(f'"{word}"' for word in known[:-1])
        last = f'"{known[-1]}"'
        wanted = f"{shown} or {last}" if shown else last
        raise InvalidArgumentError(f"{name} must be {wanted}, got {_shown(value)}")
    return known[known.index(value)]


def text(value: object, name: str, *, empty: bool = True) -> str:
    """Returns a plain ``str`` without NUL."""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{name} must be a string, got {_shown(value)}")
    # Not str(value), which a subclass may override.
    plain = str.__str__(value)
    if "\0" in plain:
        raise InvalidArgumentError(f"{name} must not hold a NUL, got {_shown(plain)}")
    if not (plain or empty):
        raise InvalidArgumentError(f"{name} must be a non-empty string")
    return plain


def identity(name: object, what: str = "a person's name") -> str:
    """Returns the name of a person in normalized form."""
    plain = unicodedata.normalize("NFC", _NOTHING.sub("", text(name, what))).strip(_BLANK)
    if not plain:
        raise InvalidArgumentError(f"{what} must be a non-empty string, got {_shown(name)}")
    if any(unicodedata.category(letter) in _REFUSED_CATEGORIES for letter in plain):
        raise InvalidArgumentError(
            f"{what} must not hold control characters or line breaks, got {_shown(plain)}"
        )
    if unicodedata.normalize("NFKC", plain).casefold() == STRANGER:
        raise InvalidArgumentError(
            f"{what} cannot be {_shown(plain)}, the label of a face without a name"
        )
    return plain


def same_weights(found: str, own: str, what: str, holder: str = "the embedder has") -> None:
    """Checks that embeddings made with two weights can be compared."""
    if found != own:
        raise InvalidArgumentError(
            f"{what} with the weights {found}, {holder} {own}; their embeddings cannot be compared"
        )


def json_values(values: object, name: str = "metadata") -> dict[str, Any]:
    """Returns a mapping as it comes back from JSON."""
    if not isinstance(values, Mapping):
        raise InvalidArgumentError(f"{name} must be a mapping, got {_shown(values)}")
    try:
        checked: dict[str, Any] = json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(
            f"{name} must hold values that JSON can write, got {_shown(values)} ({error})"
        ) from error
    return checked


def array(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Returns values as an array of their own type; lists of unequal lengths are refused."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{name} must be an array ({error})") from error


def reals(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Returns real numbers as an array of their own type, without any conversion."""
    found = array(values, name)
    if found.dtype.kind not in "fiu":
        raise InvalidArgumentError(
            f"{name} must hold real numbers, got an array of type {found.dtype}"
        )
    return found


def vectors(values: npt.ArrayLike, size: int | None, name: str) -> npt.NDArray[np.float32]:
    """Returns finite real numbers as float32 ``(n, size)``; any number of columns for ``None``."""
    rows = reals(values, name)
    if rows.ndim != 2 or rows.shape[1] != (size or rows.shape[1]):
        wanted = "d" if size is None else size
        raise InvalidArgumentError(f"{name} must be (n, {wanted}), got {rows.shape}")
    with np.errstate(over="ignore"):
        found: npt.NDArray[np.float32] = rows.astype(np.float32, copy=False)
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise InvalidArgumentError(f"{name} must hold finite numbers, row {row} does not")
    return found


def unit_rows(
    embeddings: npt.ArrayLike, size: int | None = None, name: str = "embeddings"
) -> npt.NDArray[np.float32]:
    """Returns embeddings of unit L2 norm as float32 ``(n, size)``."""
    rows = vectors(embeddings, size, name)
    norms = np.linalg.norm(rows, axis=1)
    wrong = np.flatnonzero(np.abs(norms - 1.0) > UNIT_NORM_TOLERANCE)
    if len(wrong):
        raise InvalidArgumentError(
            f"{name} must be of unit L2 norm, row {wrong[0]} has {norms[wrong[0]]:.4g}; divide "
            "each by its norm"
        )
    return rows


def aligned_faces(images: npt.ArrayLike, name: str) -> npt.NDArray[np.uint8]:
    """Returns aligned faces, uint8 ``(n, S, S, 3)``, without any conversion."""
    found = array(images, name)
    if found.dtype != np.uint8 or found.ndim != 4 or found.shape[2:] != (found.shape[1], 3):
        raise InvalidArgumentError(
            f"{name} must be uint8 (n, S, S, 3), got {found.dtype} {found.shape}"
        )
    return found


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return "" if high is None else f" up to {high:g}"
    return f" of at least {low:g}" if high is None else f" from {low:g} to {high:g}"


def _shown(value: object) -> str:
    try:
        shown = repr(value)
    except Exception as error:  # noqa: BLE001 - nested too deep, a number too long, a repr that fails
        shown = f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"
    return shown if len(shown) <= 200 else f"{shown[:200]}…"
