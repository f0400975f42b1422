"""The weights come from the installed package, checked, and nothing but arrays is unpickled."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facekit import WeightsError
from facekit.detection import weights
from facekit.detection.weights import read_arrays, read_weights
from facekit.errors import WeightsNotFoundError

array_lists = st.lists(
    hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=4)), min_size=1, max_size=4
)


def dumped(value: object) -> bytes:
    stream = io.BytesIO()
    joblib.dump(value, stream)
    return stream.getvalue()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is taken for that of the mtcnn package."""
    specification = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: specification)
    (tmp_path / "assets" / "weights").mkdir(parents=True)
    return tmp_path / "assets" / "weights"


@pytest.mark.parametrize(("network", "layers"), [("pnet", 13), ("rnet", 16), ("onet", 21)])
def test_published_weights_are_read(network: Any, layers: int) -> None:
    arrays = read_weights(network)
    assert len(arrays) == layers
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays)
    assert arrays[0].shape[:3] == (3, 3, 3)


@given(array_lists, st.booleans())
def test_what_joblib_writes_is_read(arrays: list[np.ndarray], fortran: bool) -> None:
    if fortran:
        arrays = [np.asfortranarray(array) for array in arrays]
    for ours, theirs in zip(read_arrays(dumped(arrays)), arrays, strict=True):
        assert np.array_equal(ours, theirs, equal_nan=True)


@given(array_lists, st.floats(0, 0.999))
def test_truncated_file_is_an_error(arrays: list[np.ndarray], share: float) -> None:
    content = dumped(arrays)
    with pytest.raises(WeightsError, match="not a list of arrays"):
        read_arrays(content[: int(len(content) * share)])


class Evil:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._mark,))


def test_anything_but_arrays_is_refused_before_it_acts(tmp_path: Path) -> None:
    for content in (
        pickle.dumps(Evil(tmp_path / "mark")),
        dumped([np.zeros(3), Evil(tmp_path / "mark")]),
        dumped([np.array([Evil(tmp_path / "mark")], dtype=object)]),
        pickle.dumps(os.getcwd),
    ):
        with pytest.raises(WeightsError, match="not a list of arrays"):
            read_arrays(content)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("value", [{"a": 1}, [1, 2], "text"])
def test_other_values_are_no_weights(value: object) -> None:
    with pytest.raises(WeightsError, match="not a list of arrays"):
        read_arrays(pickle.dumps(value))


def test_altered_file_is_an_error_that_says_how_to_mend_it(package: Path) -> None:
    (package / "pnet.lz4").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"pnet\.lz4.*SHA-256.*pip install"):
        read_weights("pnet")


def test_missing_file_is_an_error(package: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"pnet\.lz4.*pip install"):
        read_weights("pnet")


def test_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsNotFoundError, match="pip install mtcnn"):
        read_weights("pnet")
