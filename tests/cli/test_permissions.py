"""Commands where files and folders cannot be read or written: one sentence, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facekit import Gallery
from facekit.cli.common import FAILED
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY

if os.name != "posix":
    pytest.skip("needs POSIX permissions", allow_module_level=True)

# Root without its capabilities is like any other user.
_PLAIN = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
if _PLAIN and (shutil.which("setpriv") is None or subprocess.run([*_PLAIN, "true"]).returncode):
    pytest.skip("privileges cannot be dropped here", allow_module_level=True)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Galleries that cannot be read or changed, a closed and a read-only folder, and an image."""
    for folder in ("closed", "fixed", "known/Ada"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "known" / "Ada" / "a.png")
    weights = REGISTRY[DEFAULT_WEIGHTS]
    size = weights.architecture.embedding_size
    for name in ("secret", "kept", "closed/people", "fixed/people"):
        with Gallery.create(tmp_path / name, weights.identity, size) as gallery:
            gallery.enroll("Ada", np.eye(1, size, dtype=np.float32), ["ada.jpg"])
    modes = {"secret": 0, "kept": 0o400, "closed": 0, "fixed": 0o555}
    for name, mode in modes.items():
        (tmp_path / name).chmod(mode)
    yield tmp_path
    for name in modes:
        (tmp_path / name).chmod(0o700)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("people secret", "secret: cannot be read (permission denied)"),
        ("people closed/people", "closed/people: cannot be read (Permission denied)"),
        ("enroll closed/people Ada known/Ada/a.png", "closed/people: Permission denied"),
        ("enroll kept Eve known/Ada/a.png", "kept: cannot be changed: the file"),
        ("rename kept Ada Eve", "kept: cannot be changed: the file"),
        ("fit known kept", "kept: cannot be changed: the file"),
        ("fit known fixed/people", "fixed/people: cannot be changed: the file"),
        ("fit known fixed/new", "fixed/new: the gallery cannot be created (Permission denied)"),
        ("detect known/Ada --output fixed/out", "fixed/out: cannot be written; "),
        ("demo --output fixed/out", "fixed/out: cannot be written; "),
        ("index known fixed/table", "cannot be created"),
    ],
)
def test_what_is_not_permitted_is_one_sentence(place: Path, command: str, said: str) -> None:
    before = sorted(place.rglob("*"))
    answer = subprocess.run(
        [*_PLAIN, sys.executable, "-m", "facekit", *command.split()],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == FAILED
    (line,) = answer.stderr.splitlines()
    assert line.startswith("facekit: error: ")
    assert said in line
    assert sorted(place.rglob("*")) == before
