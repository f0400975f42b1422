"""Writing groups: all or nothing, with any file name, and whatever became of the photos."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facekit import Face, InvalidArgumentError, Keypoints
from facekit.clustering import export
from facekit.clustering.albums import ArchiveClustering, PersonGroup
from facekit.clustering.export import check_output, write_groups
from facekit.pipeline import EmbeddedFace

FACE = Face(
    box=(178.0, 110.0, 173.0, 220.0),
    confidence=0.99,
    keypoints=Keypoints((223, 190), (307, 188), (265, 240), (230, 275), (300, 273)),
)


def clustering(*images: Path) -> ArchiveClustering:
    embedding = np.eye(1, 8, dtype=np.float32)[0]
    faces = tuple(EmbeddedFace(str(image), FACE, None, embedding) for image in images)
    return ArchiveClustering(
        groups=(PersonGroup(faces, 0.0, "small"),),
        ungrouped=(),
        poor=(),
        images=len(images),
        errors=(),
        threshold=0.5,
        weights="small",
    )


@pytest.fixture
def images(tmp_path: Path, hopper: Path) -> list[Path]:
    copies = [tmp_path / name for name in ("a.jpg", "b.jpg")]
    for copy in copies:
        shutil.copy(hopper, copy)
    return copies


def content(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
def test_any_file_name_will_do(tmp_path: Path, images: list[Path]) -> None:
    bad = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))
    long = tmp_path / f"{'x' * 247}.jpg"
    hostile = tmp_path / "a\n\x1b[2J.jpg"
    for path in (bad, long, hostile):
        shutil.copy(images[0], path)
    folder = tmp_path / "groups"
    assert write_groups(clustering(bad, long, hostile), folder) == []
    names = [path.name for path in (folder / "people" / "group-001").iterdir()]
    assert sorted(names) == [
        "0001-caf_.png",
        f"0002-{'x' * 95}.png",
        "0003-a__[2J.png",
    ]
    listed = json.loads((folder / "groups.json").read_text("utf-8"))
    text = json.dumps(listed)
    assert json.dumps(str(bad)) in text, "the list keeps the name whole"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (Path.unlink, "no such file"),
        (lambda path: Image.new("RGB", (9, 9)).save(path), "has changed: a face is outside"),
    ],
    ids=["vanished", "smaller"],
)
def test_an_image_that_changed_costs_only_its_cuts(
    tmp_path: Path, images: list[Path], change: Callable[[Path], None], problem: str
) -> None:
    found = clustering(*images)
    change(images[0])
    (error,) = write_groups(found, tmp_path / "groups")
    assert f"a.jpg: {problem}" in str(error)
    assert content(tmp_path / "groups") == [
        "groups.json",
        "people",
        "people/group-001",
        "people/group-001/0002-b.png",
        "sheets",
        "sheets/group-001.png",
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
@pytest.mark.parametrize("place", ["contact_sheet", "_move_parts"])
def test_a_failure_leaves_nothing_and_the_next_run_succeeds(
    tmp_path: Path,
    images: list[Path],
    error: type[BaseException],
    place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    folder = tmp_path / "groups"
    with monkeypatch.context() as broken:
        broken.setattr(export, place, fail)
        with pytest.raises((error, export.FileFormatError)):
            write_groups(clustering(*images), folder)
    assert content(folder) == []
    check_output(folder)
    write_groups(clustering(*images), folder)
    assert "groups.json" in content(folder)


def test_parts_are_moved_back_if_one_cannot_be_moved(
    tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "groups.json":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(export.FileFormatError, match="No space left"):
        write_groups(clustering(*images), tmp_path / "groups")
    assert content(tmp_path / "groups") == []


def test_what_a_killed_run_left_is_removed(tmp_path: Path, images: list[Path]) -> None:
    folder = tmp_path / "groups"
    (folder / ".facekit-unfinished-abc" / "people").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    write_groups(clustering(*images), folder)
    assert not list(folder.glob(".facekit*"))
    assert (folder / "notes.txt").read_text() == "mine"


def test_groups_that_are_there_are_not_touched(tmp_path: Path, images: list[Path]) -> None:
    folder = tmp_path / "groups"
    write_groups(clustering(*images), folder)
    before = content(folder)
    with pytest.raises(InvalidArgumentError, match="already holds groups"):
        write_groups(clustering(*images), folder)
    assert content(folder) == before


@pytest.mark.parametrize("place", [".", "groups", "2024/groups"])
def test_groups_are_not_written_where_a_search_would_find_them(
    tmp_path: Path, images: list[Path], place: str
) -> None:
    before = content(tmp_path)
    found = replace(clustering(*images), folder=str(tmp_path))
    with pytest.raises(InvalidArgumentError, match="use a new folder"):
        write_groups(found, tmp_path / place)
    assert content(tmp_path) == before


def test_groups_of_single_images_may_be_beside_them_but_not_among_them(
    tmp_path: Path, images: list[Path]
) -> None:
    with pytest.raises(InvalidArgumentError, match="use a new folder"):
        write_groups(clustering(*images), tmp_path)
    write_groups(clustering(*images), tmp_path / "groups")
