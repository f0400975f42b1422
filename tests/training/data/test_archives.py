"""Laws of archives: every image under its name, aligned by the index's points, or reported."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_datasets import face_at, portrait

from facekit import Aligner, Face, InvalidArgumentError
from facekit.errors import TrainingDataError
from facekit.training import FaceDataset
from facekit.training.data.archives import Archive

POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
COLUMNS = [
    *("archive", "name", "label", "box_x1", "box_y1", "box_x2", "box_y2"),
    *(f"{name}_{axis}" for name in POINTS for axis in "xy"),
    "score",
]
# Archive, person, score.
CUTS = [
    *[("a.zip", "set/Ann", 0.99), ("a.zip", "set/Bob", 0.90), ("b.zip", "set/Ann", 0.95)],
    *[("b.zip", "", 1.0), ("b.zip", "set/Bob", 0.98), ("a.zip", "set/Bob", 1.0)],
]


def face_of(number: int) -> Face:
    return face_at(20 + number, 25, 80 - number, CUTS[number][2])


def row(number: int) -> dict[str, Any]:
    archive, person, score = CUTS[number]
    face = face_of(number)
    x, y, width, height = face.box
    values = [archive, f"{number}.webp", person, x, y, x + width, y + height]
    values += [value for point in face.keypoints for value in point]
    return dict(zip(COLUMNS, [*values, score], strict=True))


def write_index(folder: Path, rows: list[dict[str, Any]], columns: list[str] = COLUMNS) -> None:
    with (folder / "index.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def content(number: int) -> bytes:
    stream = io.BytesIO()
    portrait(number, 128).save(stream, "WEBP", quality=80)
    return stream.getvalue()


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A pool of six cuts in two archives."""
    folder = tmp_path / "pool"
    folder.mkdir()
    for archive in ("a.zip", "b.zip"):
        with zipfile.ZipFile(folder / archive, "w") as file:
            for number, cut in enumerate(CUTS):
                if cut[0] == archive:
                    file.writestr(f"{number}.webp", content(number))
    write_index(folder, [row(number) for number in range(len(CUTS))])
    return folder


def from_archives(folder: Path, **arguments: Any) -> FaceDataset:
    arguments = {"input_size": 32, "cache": folder.parent / "cache", **arguments}
    return FaceDataset.from_archives(folder, **arguments)


@pytest.mark.parametrize("aligner", [None, Aligner(32, "crop"), Aligner(32, margin=0.5)])
def test_cut_is_aligned_by_the_points_of_the_index(pool: Path, aligner: Aligner | None) -> None:
    data = from_archives(pool, aligner=aligner, labeled_only=False, min_score=0)
    assert data.keys == tuple(f"{cut[0]}/{number}.webp" for number, cut in enumerate(CUTS))
    assert data.identities == ("set/Ann", "set/Bob")
    assert data.labels.tolist() == [0, 1, 0, -1, 1, 1]
    used = aligner or Aligner(32)
    for number in range(len(CUTS)):
        expected = used.align(content(number), [face_of(number)])
        assert np.array_equal(data.images([number]), expected)


def test_unknown_people_and_uncertain_faces_are_left_out_and_reported(pool: Path) -> None:
    data = from_archives(pool)
    assert data.keys == ("a.zip/0.webp", "b.zip/2.webp", "b.zip/4.webp", "a.zip/5.webp")
    assert data.report.counts == {"used": 4, "uncertain": 1, "unknown person": 1}
    assert data.report.summary() == (
        "4 photos of 2 people used\n"
        "2 photos left out:\n"
        "  a.zip/1.webp (set/Bob): confidence 0.9000\n"
        "  b.zip/3.webp: unknown person"
    )


def test_cuts_are_aligned_once(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = from_archives(pool)

    def fail(*_: object) -> None:
        raise AssertionError("aligned again")

    monkeypatch.setattr(Aligner, "align", fail)
    second = from_archives(pool)
    assert np.array_equal(first.images(range(4)), second.images(range(4)))
    with pytest.raises(AssertionError):
        from_archives(pool, labeled_only=False)


def test_changed_archive_or_index_is_aligned_again(pool: Path) -> None:
    first = from_archives(pool).images([0, 1])
    rows = [row(number) for number in range(len(CUTS))]
    rows[2]["nose_x"] += 9
    write_index(pool, rows)
    second = from_archives(pool).images([0, 1])
    assert [np.array_equal(*pair) for pair in zip(first, second, strict=True)] == [True, False]
    with zipfile.ZipFile(pool / "a.zip", "w") as file:
        for number in (0, 1, 5):
            file.writestr(f"{number}.webp", content(number + 50))
    third = from_archives(pool).images([0, 1])
    assert [np.array_equal(*pair) for pair in zip(second, third, strict=True)] == [False, True]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_many_threads_read_one_archive(tmp_path: Path, compression: int) -> None:
    rng = np.random.default_rng(0)
    contents = {str(n): rng.bytes(int(rng.integers(1, 9000))) for n in range(60)}
    with zipfile.ZipFile(tmp_path / "a.zip", "w", compression) as file:
        for name, value in contents.items():
            file.writestr(name, value)
    archive = Archive(tmp_path / "a.zip")
    names = [str(n) for n in rng.integers(0, 60, 3000)]
    with ThreadPoolExecutor(16) as executor:
        read = list(executor.map(archive.read, names))
    archive.close()
    assert read == [contents[name] for name in names]


# Damage


def test_damaged_and_missing_cuts_are_reported(pool: Path) -> None:
    with zipfile.ZipFile(pool / "b.zip", "w") as file:
        file.writestr("2.webp", content(2)[:60])
        file.writestr("4.webp", b"")
    data = from_archives(pool, labeled_only=False)
    assert data.keys == ("a.zip/0.webp", "a.zip/5.webp")
    assert [(o.source, o.status) for o in data.report.left_out] == [
        ("a.zip/1.webp", "uncertain"),
        ("b.zip/2.webp", "unreadable"),
        ("b.zip/3.webp", "unreadable"),
        ("b.zip/4.webp", "unreadable"),
    ]
    assert all(outcome.detail for outcome in data.report.left_out)


def test_cut_with_a_wrong_checksum_is_reported(pool: Path) -> None:
    stored = bytearray((pool / "a.zip").read_bytes())
    stored[stored.index(content(0)) + 200] ^= 1
    (pool / "a.zip").write_bytes(stored)
    (outcome,) = [o for o in from_archives(pool).report.left_out if o.status == "unreadable"]
    assert outcome.source == "a.zip/0.webp"
    assert "CRC" in outcome.detail


def remove_index(pool: Path) -> None:
    (pool / "index.csv").unlink()


def remove_archive(pool: Path) -> None:
    (pool / "b.zip").unlink()


def cut_archive_short(pool: Path) -> None:
    (pool / "a.zip").write_bytes((pool / "a.zip").read_bytes()[:-30])


def drop_columns(pool: Path) -> None:
    write_index(pool, [row(0)], [name for name in COLUMNS if name not in ("nose_x", "score")])


def write_letters(pool: Path) -> None:
    write_index(pool, [row(0), {**row(1), "nose_x": "left"}])


def write_box_without_area(pool: Path) -> None:
    write_index(pool, [row(0), {**row(2), "box_x2": 0}])


def cut_line_short(pool: Path) -> None:
    text = (pool / "index.csv").read_text()
    (pool / "index.csv").write_text(text[:-40])


def empty_index(pool: Path) -> None:
    write_index(pool, [])


def binary_index(pool: Path) -> None:
    (pool / "index.csv").write_bytes(b"\xff\xfe\x00" * 50)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (remove_index, r"index\.csv: no such file; give the index"),
        (remove_archive, r"b\.zip: cannot be read as a zip archive .*fetch it again"),
        (cut_archive_short, r"a\.zip: cannot be read as a zip archive .*fetch it again"),
        (drop_columns, r"index\.csv: has no column nose_x, score"),
        (write_letters, r"index\.csv, line 3: is malformed .*'left'"),
        (write_box_without_area, r"index\.csv, line 3: is malformed .*positive width"),
        (cut_line_short, r"index\.csv, line 7: is malformed"),
        (empty_index, "no face can be used"),
        (binary_index, r"index\.csv: cannot be read as CSV in UTF-8"),
    ],
)
def test_damaged_pool_is_named(pool: Path, harm: Callable[[Path], None], words: str) -> None:
    harm(pool)
    with pytest.raises(TrainingDataError, match=words):
        from_archives(pool)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_score_out_of_range_is_named(pool: Path, score: float) -> None:
    with pytest.raises(InvalidArgumentError, match="min_score must be"):
        from_archives(pool, min_score=score)


# Real faces


def test_real_pool_gives_upright_faces(data_folder: Path, tmp_path: Path) -> None:
    real = data_folder / "pool"
    if not (real / "index.csv").is_file():
        pytest.skip("FACEKIT_DATA holds no pool")
    with (real / "index.csv").open(encoding="utf-8", newline="") as stream:
        lines = stream.readlines()
    part = tmp_path / "pool"
    part.mkdir()
    (part / "index.csv").write_text("".join(lines[:60]), encoding="utf-8")
    for archive in {line.split(",")[0] for line in lines[1:60]}:
        (part / archive).symlink_to(real / archive)
    data = from_archives(part, input_size=64)
    assert 50 <= len(data) <= 59
    faces = data.images(range(len(data))).mean(axis=(0, 3))
    # Eyes are darker than the cheeks below them, in the mean over many faces.
    assert faces[24:28, 18:26].mean() < faces[32:40, 14:22].mean()
