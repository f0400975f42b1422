"""Laws of the cache of faces: what was kept is what is read, and nothing kept is ever lost."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_datasets import SIDE, numbered_faces, numbers_of

from facekit import FileFormatError
from facekit.training.data.face_cache import CachedImage, FaceCache

SETTINGS = {"aligner": {"size": SIDE}}
FACES = numbered_faces(40)
# Content that nothing else in a file looks like.
FACES[:, 1] = np.random.default_rng(0).integers(0, 256, FACES[:, 1].shape, dtype=np.uint8)


@pytest.fixture
def cache(tmp_path: Path) -> FaceCache:
    return FaceCache(tmp_path, size=SIDE, settings=SETTINGS)


def fill(cache: FaceCache, number: int = 40) -> np.ndarray:
    """Keeps some faces and returns their numbers in the cache."""
    cache.add({str(n): ("used", "", FACES[n]) for n in range(number)})
    known = cache.find(str(n) for n in range(number))
    return np.array([known[str(n)].face for n in range(number)])


def test_face_read_is_the_face_kept(cache: FaceCache) -> None:
    rows = fill(cache)
    order = np.random.default_rng(0).permutation(len(rows)).repeat(2)
    assert np.array_equal(cache.read(rows[order]), FACES[order])


def test_another_object_reads_what_one_has_kept(cache: FaceCache, tmp_path: Path) -> None:
    rows = fill(cache)
    again = FaceCache(tmp_path, size=SIDE, settings=SETTINGS)
    assert again.find(["3"]) == {"3": CachedImage("used", "", int(rows[3]))}
    assert np.array_equal(again.read(rows), FACES)


def test_image_without_a_face_is_remembered(cache: FaceCache) -> None:
    cache.add({"a": ("no face", "no face found", None)})
    assert cache.find(["a", "b"]) == {"a": CachedImage("no face", "no face found", None)}


def test_image_kept_before_stays_as_it_is(cache: FaceCache) -> None:
    rows = fill(cache)
    cache.add({"3": ("no face", "", None)})
    assert fill(cache).tolist() == rows.tolist()


@given(size=st.integers(1, 64), alignment=st.text(max_size=5))
def test_other_settings_have_a_file_of_their_own(
    tmp_path_factory: pytest.TempPathFactory, size: int, alignment: str
) -> None:
    folder = tmp_path_factory.mktemp("caches")
    caches = [
        FaceCache(folder, size=size, settings={"aligner": alignment}),
        FaceCache(folder, size=size, settings={"aligner": alignment}),
        FaceCache(folder, size=size, settings={"aligner": alignment + "!"}),
    ]
    assert caches[0].path == caches[1].path != caches[2].path


def test_many_threads_read_at_once(cache: FaceCache) -> None:
    rows = fill(cache)
    orders = [np.random.default_rng(n).permutation(len(rows)) for n in range(64)]
    with ThreadPoolExecutor(16) as executor:
        read = list(executor.map(lambda order: numbers_of(cache.read(rows[order])), orders))
    assert read == [order.tolist() for order in orders]


def test_several_writers_share_a_file(tmp_path: Path) -> None:
    def write(start: int) -> None:
        mine = FaceCache(tmp_path, size=SIDE, settings=SETTINGS)
        for n in range(start, start + 20):
            mine.add({str(n): ("used", "", FACES[n])})

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(write, [0, 10, 20, 0]))
    cache = FaceCache(tmp_path, size=SIDE, settings=SETTINGS)
    assert np.array_equal(cache.read(fill(cache)), FACES)


def test_faces_are_readable_by_their_owner_alone(cache: FaceCache) -> None:
    fill(cache)
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600


# Damage


def other_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


def other_settings(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE settings SET json = '{}'")


def text(path: Path) -> None:
    path.write_text("not a cache " * 100)


def another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE letters (text)")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (other_version, "has format version 2, this facekit uses 1; delete it"),
        (other_settings, "is damaged .*other settings.*; delete it"),
        (text, "is damaged .*not a database.*; delete it"),
        (another_program, "another program's file"),
    ],
)
def test_file_that_is_no_cache_of_this_version_is_named(
    cache: FaceCache, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    fill(cache)
    harm(cache.path)
    with pytest.raises(FileFormatError, match=f"{cache.path.name}.*{words}"):
        FaceCache(tmp_path, size=SIDE, settings=SETTINGS)


def test_altered_face_is_noticed_when_it_is_read(cache: FaceCache) -> None:
    rows = fill(cache)
    line = FACES[7, 1].tobytes()
    altered = line[:5] + bytes([line[5] ^ 1]) + line[6:]
    # Everywhere: SQLite may leave a stale copy in the free space of a page.
    cache.path.write_bytes(cache.path.read_bytes().replace(line, altered))
    intact = np.delete(np.arange(40), 7)
    assert np.array_equal(cache.read(rows[intact]), FACES[intact])
    with pytest.raises(FileFormatError, match=f"face {rows[7]} is missing or altered"):
        cache.read(rows[[7]])


def test_file_cut_short_is_noticed(cache: FaceCache) -> None:
    rows = fill(cache)
    with cache.path.open("r+b") as file:
        file.truncate(cache.path.stat().st_size // 2)
    with pytest.raises(FileFormatError, match=r"damaged.*delete it"):
        cache.read(rows)


def test_file_that_is_gone_is_named(cache: FaceCache) -> None:
    rows = fill(cache)
    cache.path.unlink()
    with pytest.raises(FileFormatError, match=r"faces-.*cannot be read"):
        cache.read(rows)
    assert not cache.path.exists()


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileFormatError, match="cannot be written"):
        FaceCache(tmp_path / "file" / "cache", size=SIDE, settings=SETTINGS)


def test_file_left_empty_by_a_kill_is_made_anew(cache: FaceCache, tmp_path: Path) -> None:
    cache.path.write_bytes(b"")
    assert len(fill(FaceCache(tmp_path, size=SIDE, settings=SETTINGS))) == 40


# A limit on the size of files fails a write as a full disk does.
FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from facekit import FileFormatError
from facekit.training.data.face_cache import FaceCache

resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
cache = FaceCache(Path(sys.argv[1]), size=64, settings={})
kept = 0
try:
    for n in range(1000):
        cache.add({str(n): ("used", "", np.full((64, 64, 3), n, dtype=np.uint8))})
        kept += 1
except FileFormatError as error:
    print(kept)
    print(error)
"""


def test_full_disk_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    kept, message = run.stdout.splitlines()
    assert 5 < int(kept) < 40
    assert "cannot be read or written" in message
    assert "Make room" in message
    cache = FaceCache(tmp_path, size=64, settings={})
    known = cache.find(str(n) for n in range(1000))
    assert len(known) == int(kept)
    faces = cache.read(np.array([known[str(n)].face for n in range(int(kept))]))
    assert np.array_equal(faces[:, 0, 0, 0], np.arange(int(kept)))
    cache.add({"more": ("used", "", np.zeros((64, 64, 3), dtype=np.uint8))})
    assert "more" in cache.find(["more"])
