"""A damaged gallery opens with all its content right, or says which file is wrong."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import FileFormatError, Gallery, InvalidArgumentError
from facekit.gallery import store
from facekit.gallery.records import PhotoSource

SIZE = 8
CATALOGUE = "gallery.sqlite"
FLIPS = 120


def vectors(seed: int, count: int = 3) -> npt.NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, SIZE))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def content(gallery: Gallery) -> tuple[Any, ...]:
    """Returns everything that a gallery says about itself."""
    photos, embeddings = gallery.content()
    about = {name: gallery.metadata(name) for name in gallery.people}
    return (
        gallery.weights,
        gallery.embedding_size,
        gallery.people,
        photos,
        embeddings.tolist(),
        about,
        gallery.settings,
    )


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A gallery in which people were removed as well."""
    folder = tmp_path / "sound"
    with Gallery.create(folder, "example@1", SIZE) as gallery:
        for number, name in enumerate(["Ada Lovelace", "Grace Hopper", "Zoë", "Mary"]):
            photos = [
                PhotoSource(f"{name}-{index}.jpg", f"{number}{index}" * 32, (1.0, 2.5, 40.0, 50.0))
                for index in range(3)
            ]
            gallery.enroll(name, vectors(number), photos, metadata={"number": number})
        gallery.set_settings({"threshold": 0.75})
        gallery.remove("Grace Hopper")
    return folder


@pytest.fixture
def truth(sound: Path) -> tuple[Any, ...]:
    with Gallery.open(sound) as gallery:
        return content(gallery)


@pytest.fixture
def damaged(sound: Path, tmp_path: Path) -> Callable[[], Path]:
    """Returns a function that makes a fresh copy of the gallery, to be damaged."""

    def copy() -> Path:
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound, folder)
        return folder

    return copy


def vectors_of(folder: Path) -> Path:
    (path,) = folder.glob("vectors-*.safetensors")
    return path


def is_refused(folder: Path, truth: tuple[Any, ...]) -> bool:
    """Opens a gallery and says whether that failed; any content must be the right one."""
    try:
        with Gallery.open(folder) as gallery:
            gallery.check()
            found = content(gallery)
    except (FileFormatError, InvalidArgumentError) as error:
        complaint = str(error)
    else:
        assert found == truth
        return False
    assert str(folder) in complaint
    return True


@pytest.mark.parametrize("file", ["catalogue", "vectors"])
def test_a_truncated_file_is_refused(
    damaged: Callable[[], Path], truth: tuple[Any, ...], file: str
) -> None:
    whole = (damaged() / CATALOGUE if file == "catalogue" else vectors_of(damaged())).read_bytes()
    places = {0, 1, 7, 8, 15, 16, 99, 100, 4095, 4096, 4097, len(whole) // 2, len(whole) - 1}
    places |= {4096 * page for page in range(len(whole) // 4096)}
    places |= {len(whole) - 4 * SIZE * rows for rows in range(1, 4)}
    for place in sorted(place for place in places if 0 <= place < len(whole)):
        folder = damaged()
        path = folder / CATALOGUE if file == "catalogue" else vectors_of(folder)
        path.write_bytes(whole[:place])
        assert is_refused(folder, truth), f"{path.name} of {place} bytes was taken as whole"


@pytest.mark.parametrize("file", ["catalogue", "vectors"])
@pytest.mark.parametrize("checked", [True, False])
def test_a_flipped_bit_is_refused_or_changes_nothing(
    damaged: Callable[[], Path],
    truth: tuple[Any, ...],
    file: str,
    checked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the gallery is too large to be checked when it is opened."""
    if not checked:
        monkeypatch.setattr(store, "CHECKED_AT_OPENING", -1)
    folder = damaged()
    path = folder / CATALOGUE if file == "catalogue" else vectors_of(folder)
    whole = path.read_bytes()
    generator = np.random.default_rng([len(file), checked])
    # Half of them where the format is described, which is a small part of the file.
    head = 100 if file == "catalogue" else 200
    bits = [*generator.choice(8 * head, FLIPS // 2, replace=False)]
    bits += [*generator.choice(8 * len(whole), FLIPS // 2, replace=False)]
    refused = 0
    for bit in bits:
        folder = damaged()
        spoilt = bytearray(whole)
        spoilt[bit // 8] ^= 1 << (bit % 8)
        (folder / path.name).write_bytes(spoilt)
        refused += is_refused(folder, truth)
    assert refused > 0


def test_a_flipped_bit_of_a_vector_is_always_refused(
    damaged: Callable[[], Path], truth: tuple[Any, ...]
) -> None:
    for row in (0, 6, 11):  # photos 1, 7 and 12, whose people are still enrolled
        for component in (0, SIZE - 1):
            folder = damaged()
            path = vectors_of(folder)
            spoilt = bytearray(path.read_bytes())
            spoilt[4096 + 4 * (SIZE * row + component)] ^= 1
            path.write_bytes(spoilt)
            assert is_refused(folder, truth)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE people SET name = 'Eve' WHERE name = 'Mary'",
        "UPDATE people SET metadata = '{}'",
        "UPDATE photos SET person = (SELECT MIN(id) FROM people)",
        "UPDATE photos SET source = 'other.jpg' WHERE id = 1",
        "UPDATE photos SET box = NULL WHERE id = 1",
        "UPDATE photos SET id = 100 WHERE id = 1",
        "UPDATE meta SET value = '\"other@2\"' WHERE key = 'weights'",
        "UPDATE meta SET value = '4' WHERE key = 'embedding_size'",
        "DELETE FROM meta WHERE key = 'vectors'",
        "INSERT INTO erasures VALUES (1)",
        "INSERT INTO erasures VALUES (1000)",
    ],
)
def test_an_altered_catalogue_is_refused(
    damaged: Callable[[], Path], truth: tuple[Any, ...], statement: str
) -> None:
    folder = damaged()
    with sqlite3.connect(folder / CATALOGUE) as database:
        assert database.execute(statement).rowcount > 0
    database.close()
    assert is_refused(folder, truth)


def test_a_newer_version_is_named(damaged: Callable[[], Path]) -> None:
    folder = damaged()
    with sqlite3.connect(folder / CATALOGUE) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(FileFormatError, match=r"format version 2.*upgrade") as caught:
        Gallery.open(folder)
    assert str(folder / CATALOGUE) in str(caught.value)


def test_other_weights_are_named_with_the_file(damaged: Callable[[], Path]) -> None:
    folder = damaged()
    with pytest.raises(InvalidArgumentError, match=r"example@1.*other@2") as caught:
        Gallery.open(folder, weights="other@2")
    assert str(folder) in str(caught.value)


def test_a_missing_file_is_named(damaged: Callable[[], Path]) -> None:
    folder = damaged()
    path = vectors_of(folder)
    path.unlink()
    with pytest.raises(FileFormatError) as caught:
        Gallery.open(folder)
    assert str(path) in str(caught.value)
    folder = damaged()
    (folder / CATALOGUE).unlink()
    with pytest.raises(FileFormatError, match="is no gallery") as caught:
        Gallery.open(folder)
    assert str(folder) in str(caught.value)


def test_the_vectors_of_another_gallery_are_refused(
    damaged: Callable[[], Path], truth: tuple[Any, ...], tmp_path: Path
) -> None:
    with Gallery.create(tmp_path / "other", "example@1", SIZE) as gallery:
        gallery.enroll("Eve", vectors(9, 12), [str(number) for number in range(12)])
    folder = damaged()
    shutil.copyfile(vectors_of(tmp_path / "other"), vectors_of(folder))
    assert is_refused(folder, truth)


def test_what_is_no_gallery_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"no folder")
    (tmp_path / "folder" / CATALOGUE).mkdir(parents=True)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / CATALOGUE).write_bytes(b"no database " * 1000)
    (tmp_path / "foreign").mkdir()
    with sqlite3.connect(tmp_path / "foreign" / CATALOGUE) as database:
        database.execute("CREATE TABLE meta (key TEXT)")
    database.close()
    for name in ("missing", "empty", "file", "folder", "text", "foreign"):
        with pytest.raises(FileFormatError) as caught:
            Gallery.open(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_rubbish_in_the_journal_changes_nothing(
    damaged: Callable[[], Path], truth: tuple[Any, ...]
) -> None:
    folder = damaged()
    (folder / f"{CATALOGUE}-journal").write_bytes(bytes(range(256)) * 64)
    assert not is_refused(folder, truth)
