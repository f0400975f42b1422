"""The gallery in a folder: it lasts, it erases, and it says what is wrong with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facekit import FileFormatError, Gallery, InvalidArgumentError

SIZE = 8


def vectors(seed: int, count: int = 2) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, SIZE))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Gallery.create(tmp_path / "people", "example@1", SIZE) as gallery:
        gallery.enroll("Ada Lovelace", vectors(1), ["ada-1.jpg", "ada-2.jpg"])
        gallery.enroll("Grace Hopper", vectors(2), ["grace-1.jpg", "grace-2.jpg"])
    return tmp_path / "people"


def test_what_was_enrolled_is_there_after_opening(folder: Path) -> None:
    with Gallery.open(folder, weights="example@1") as gallery:
        assert gallery.people == {"Ada Lovelace": 2, "Grace Hopper": 2}
        assert gallery.search(vectors(2), 1)[0][0].person == "Grace Hopper"
        np.testing.assert_array_equal(gallery.embeddings[:2], vectors(1))


def test_removing_takes_every_byte_out_of_the_files(folder: Path) -> None:
    with Gallery.open(folder) as gallery:
        gallery.remove("Ada Lovelace")
        content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"Ada" not in content
    assert b"ada-1" not in content
    assert vectors(1)[0].tobytes() not in content
    assert vectors(2)[0].tobytes() in content


def test_two_processes_see_what_the_other_does(folder: Path) -> None:
    with Gallery.open(folder) as one, Gallery.open(folder) as other:
        assert len(one) == len(other) == 4
        one.enroll("Mary", vectors(3), ["mary-1.jpg", "mary-2.jpg"])
        other.enroll("Zoë", vectors(4), ["zoë-1.jpg", "zoë-2.jpg"])
        one.remove("Ada Lovelace")
        one.compact()
        for gallery in (one, other):
            assert gallery.people == {"Grace Hopper": 2, "Mary": 2, "Zoë": 2}
            assert gallery.search(vectors(4), 1)[0][0].person == "Zoë"
            gallery.check()


def test_other_weights_are_named(folder: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"example@1.*other@2"):
        Gallery.open(folder, weights="other@2")


@pytest.mark.parametrize("name", ["gallery.sqlite", "vectors"])
def test_a_truncated_file_is_an_error(folder: Path, name: str) -> None:
    (path,) = folder.glob(f"{name}*[!l]") if name == "vectors" else [folder / name]
    path.write_bytes(path.read_bytes()[: path.stat().st_size - 40])
    with pytest.raises(FileFormatError):
        Gallery.open(folder)


def test_a_flipped_bit_is_an_error_or_changes_nothing(folder: Path) -> None:
    for path in (folder / "gallery.sqlite", *folder.glob("vectors*")):
        whole = path.read_bytes()
        for place in np.random.default_rng(0).choice(len(whole), 60, replace=False):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << (place % 8)
            path.write_bytes(damaged)
            try:
                with Gallery.open(folder) as gallery:
                    assert gallery.people == {"Ada Lovelace": 2, "Grace Hopper": 2}
                    np.testing.assert_array_equal(gallery.embeddings[2:], vectors(2))
            except FileFormatError:
                pass
            path.write_bytes(whole)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killing_a_process_a_hundred_times_loses_nothing(tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_gallery.py")
    answer = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "100", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["rounds"] == 100
