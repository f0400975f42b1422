"""Laws of the files that facekit writes: whole and unaltered, or an error that says so."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from facekit import FileFormatError
from facekit.io import safetensors_file

KIND = "facekit.test"
HEADER = {"names": ["Ann", "Zoë"], "n": [1, 2.5, None], "flag": True}
ARRAYS = {
    "embeddings": np.arange(6, dtype=np.float32).reshape(2, 3),
    "labels": np.array([1, 0], dtype=np.int64),
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
headers = st.dictionaries(st.text(max_size=8), json_values, max_size=5)
dtypes = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="?")
    | hnp.unsigned_integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
)
arrays = dtypes.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
)
names = st.text(max_size=8).filter(lambda name: name != "__metadata__")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for a file that every example writes anew."""
    return tmp_path_factory.mktemp("storage") / "file.safetensors"


def write(path: Path, version: int = 2) -> None:
    safetensors_file.write(path, kind=KIND, version=version, header=HEADER, arrays=ARRAYS)


def read(path: Path) -> tuple[dict[str, Any], safetensors_file.Arrays]:
    return safetensors_file.read(path, kind=KIND, newest_version=2)


def same(left: dict[str, npt.NDArray[Any]], right: dict[str, npt.NDArray[Any]]) -> bool:
    return left.keys() == right.keys() and all(
        left[name].shape == right[name].shape
        and left[name].dtype == right[name].dtype.newbyteorder("=")
        and np.array_equal(left[name], right[name], equal_nan=left[name].dtype.kind == "f")
        for name in left
    )


# What is written is what is read


@given(header=headers, arrays=st.dictionaries(names, arrays, max_size=4))
@example(header={"folder": "R\udce9my"}, arrays={})  # a name that is not UTF-8, as os.listdir gives
def test_reading_gives_what_was_written(
    path: Path, header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]
) -> None:
    safetensors_file.write(path, kind=KIND, version=1, header=header, arrays=arrays)
    read_header, read_arrays = safetensors_file.read(path, kind=KIND, newest_version=1)
    assert read_header == header
    assert same(read_arrays, arrays)


@given(arrays)
def test_order_in_memory_does_not_matter(path: Path, array: npt.NDArray[Any]) -> None:
    views = {"fortran": np.asfortranarray(array), "reversed": np.flip(array), "turned": array.T}
    safetensors_file.write(path, kind=KIND, version=1, header={}, arrays=views)
    assert same(safetensors_file.read(path, kind=KIND, newest_version=1)[1], views)


def test_older_version_is_read(path: Path) -> None:
    write(path, version=1)
    assert read(path)[0] == HEADER


def test_file_is_a_plain_safetensors_file(path: Path) -> None:
    from safetensors.numpy import load_file

    write(path)
    assert same(load_file(path), ARRAYS)


# Damage


@pytest.mark.parametrize("mask", [*(1 << bit for bit in range(8)), 0xFF])
def test_damage_to_any_byte_is_noticed(path: Path, mask: int) -> None:
    write(path)
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= mask
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=path.name):
            read(path)


def test_version_cannot_be_lowered_unnoticed(path: Path) -> None:
    write(path, version=2)
    path.write_bytes(path.read_bytes().replace(b'"version":"2"', b'"version":"1"'))
    with pytest.raises(FileFormatError, match="checksum"):
        read(path)


def test_every_truncation_is_noticed(path: Path) -> None:
    write(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError, match=path.name):
            read(path)


@given(data=st.data())
def test_damage_never_gives_other_data(path: Path, data: st.DataObject) -> None:
    write(path)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    piece = data.draw(st.binary(min_size=1, max_size=12))
    content[position : position + data.draw(st.integers(0, 12))] = piece
    path.write_bytes(content)
    try:
        header, arrays = read(path)
    except FileFormatError:
        return
    # Blanks between the header and the arrays may be exchanged without harm.
    assert header == HEADER
    assert same(arrays, ARRAYS)


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=path.name):
        read(path)


def test_bytes_at_the_end_are_refused(path: Path) -> None:
    write(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(FileFormatError):
        read(path)


# Other files


def test_other_kind_is_named(path: Path) -> None:
    safetensors_file.write(path, kind="facekit.embedder", version=1, header={}, arrays={})
    with pytest.raises(FileFormatError, match=r"is a facekit\.embedder file, expected facekit\.te"):
        read(path)


def test_safetensors_file_of_others_is_refused(path: Path) -> None:
    save_file(ARRAYS, path)
    with pytest.raises(FileFormatError, match="foreign"):
        read(path)


@pytest.mark.parametrize("metadata", [{}, {"version": "1"}, {"version": "one"}, {"header": "{}"}])
def test_file_without_all_fields_is_refused(path: Path, metadata: dict[str, str]) -> None:
    save_file(ARRAYS, path, metadata={"format": KIND, **metadata})
    with pytest.raises(FileFormatError, match=path.name):
        read(path)


def test_newer_version_asks_for_an_upgrade(path: Path) -> None:
    write(path, version=3)
    with pytest.raises(FileFormatError, match="version 3, this facekit reads up to 2; upgrade"):
        read(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"ghost\.safetensors: no such file"):
        read(tmp_path / "ghost.safetensors")


def test_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=tmp_path.name):
        read(tmp_path)


# Writing


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="nowhere"):
        write(tmp_path / "nowhere" / "file.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_folder_in_the_way_is_named_and_stays(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileFormatError, match="taken"):
        write(tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def fail_to_sync(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(handle: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)


def fail_to_replace(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(path: Path, target: Path) -> None:
        raise error

    monkeypatch.setattr(Path, "replace", fail)


@pytest.mark.parametrize("fail", [fail_to_sync, fail_to_replace])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), FileFormatError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (MemoryError(), MemoryError),
    ],
    ids=["disk full", "interrupted", "out of memory"],
)
def test_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fail: Callable[[pytest.MonkeyPatch, BaseException], None],
    error: BaseException,
    raised: type[BaseException],
) -> None:
    path = tmp_path / "file.safetensors"
    safetensors_file.write(path, kind=KIND, version=1, header={"old": True}, arrays={})
    before = path.read_bytes()
    fail(monkeypatch, error)
    with pytest.raises(raised):
        write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fail", [fail_to_sync, fail_to_replace])
def test_failed_first_write_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fail: Callable[[pytest.MonkeyPatch, BaseException], None],
) -> None:
    fail(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "file.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_write_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    safetensors_file.write(path, kind=KIND, version=1, header={"old": True}, arrays={})
    write(path)
    assert read(path)[0] == HEADER
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write(tmp_path / "file.safetensors")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    write(path)
    path.chmod(0o600)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("header", [None, 5, "header", [1, "a"], True])
def test_a_header_that_is_no_object_is_refused(path: Path, header: Any) -> None:
    safetensors_file.write(path, kind=KIND, version=1, header=header, arrays={})
    with pytest.raises(FileFormatError, match=r"header is damaged.*Restore it from a copy"):
        safetensors_file.read(path, kind=KIND, newest_version=1)


def test_a_giant_header_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors

    def never(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    path = tmp_path / "giant.facekit"
    with path.open("wb") as stream:
        stream.write((99_000_000).to_bytes(8, "little") + b"{")
        stream.truncate(99_000_008)
    monkeypatch.setattr(safetensors, "safe_open", never)
    with pytest.raises(FileFormatError, match=r"giant\.facekit: .*a header of 99,000,000 bytes"):
        safetensors_file.read(path, kind="facekit.test", newest_version=1)


def test_json_nested_too_deep_is_our_error(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "nested.facekit"
    nested = "[" * 100_000 + "]" * 100_000
    metadata = {"format": "facekit.test", "version": "1", "header": nested, "sha256": ""}
    save_file({"a": np.zeros(1)}, path, metadata=metadata)
    with pytest.raises(FileFormatError, match=r"header is damaged.*Restore it from a copy"):
        safetensors_file.read(path, kind="facekit.test", newest_version=1)
