"""Results as rows, frames and files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit import Face, FaceRecognizer, Keypoints, RecognizedFace
from facekit.clustering.albums import ArchiveClustering, PersonGroup
from facekit.errors import FileFormatError, ImageError, InvalidArgumentError
from facekit.gallery.records import EnrolledImage
from facekit.io.tables import RECOGNITION_COLUMNS, Faces, rows, to_frame, write_table
from facekit.pipeline import EmbeddedFace
from facekit.report import ImageOutcome, ImageReport, RecognizedImage
from facekit.video.result import VideoResult

POINTS = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
FACE = Face(box=(10.25, 12, 80, 100), confidence=0.98, keypoints=POINTS)
KNOWN = RecognizedFace(FACE, "Ada", "Ada", 0.5, 0.9, 0.99, remarks=("dark", "small"))
IMAGE = RecognizedImage("party.jpg", 0, (KNOWN, KNOWN))
BAD = RecognizedImage("bad.jpg", 1, error=ImageError("bad.jpg: is empty"))


def clustering() -> ArchiveClustering:
    found = EmbeddedFace("party.jpg", FACE, None, np.array([1, 0], dtype=np.float32))
    group = PersonGroup((found, found), 0.0, "example@1")
    return ArchiveClustering((group,), (found,), (), 1, (), 1.0, "example@1")


def test_a_recognized_image_has_a_row_a_face_with_exact_numbers() -> None:
    first, second, error = rows([IMAGE, BAD])
    assert set(RECOGNITION_COLUMNS) == set(first)
    assert (first["image"], first["face"], second["face"]) == ("party.jpg", 0, 1)
    assert (first["x"], first["nose_y"], first["remarks"]) == (10.25, 60.0, "dark; small")
    assert error == {"image": "bad.jpg", "error": "bad.jpg: is empty"}


@pytest.mark.parametrize(
    ("result", "count", "column"),
    [
        (FACE, 1, "confidence"),
        ([KNOWN], 1, "name"),
        (Faces([KNOWN, KNOWN], "party.jpg"), 2, "image"),
        (IMAGE, 2, "face"),
        (clustering(), 3, "group"),
        (clustering().groups[0], 2, "image"),
        (ImageReport((ImageOutcome("Ada", "a.jpg", "enrolled"),)), 1, "status"),
        ([EnrolledImage("a.jpg", None, None, id=1, person="Ada")], 1, "person"),
        (VideoResult("empty.mp4"), 0, None),
    ],
)
def test_every_result_is_a_frame(result: Any, count: int, column: str | None) -> None:
    frame = result.to_frame() if hasattr(result, "to_frame") else to_frame(result)
    assert len(frame) == count
    assert column is None or column in frame.columns


def test_a_verification_is_a_row_too(hopper: Path) -> None:
    answer = FaceRecognizer("facekit-small").verify(hopper, hopper)
    (row,) = rows(answer)
    assert (row["same"], row["metric"]) == (True, "euclidean")


def test_groups_are_numbered_and_the_rest_has_none() -> None:
    assert [row["group"] for row in rows(clustering())] == [1, 1, None]


def test_files_hold_the_same_rows(tmp_path: Path) -> None:
    import pandas

    name = 'Ada, "Countess"'
    faces = [KNOWN, RecognizedFace(FACE, name, name, 0.5, 0.9, 0.99)]
    for file in ("a.csv", "a.parquet"):
        assert write_table(faces, tmp_path / file) == 2
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        read = list(csv.DictReader(stream))
    assert [row["name"] for row in read] == ["Ada", name]
    back = pandas.read_parquet(tmp_path / "a.parquet")
    assert back["x"].tolist() == [10.25, 10.25]
    assert list(back.columns) == list(read[0])


def test_what_is_no_result_or_no_table_file_is_refused(tmp_path: Path) -> None:
    for wrong in ("party.jpg", 3, {"a": 1}, FaceRecognizer):
        with pytest.raises(InvalidArgumentError, match="results of facekit"):
            rows(wrong)
    with pytest.raises(InvalidArgumentError, match=r"\.csv or \.parquet"):
        write_table([FACE], tmp_path / "a.xlsx")
    with pytest.raises(FileFormatError, match="cannot be written"):
        write_table([FACE], tmp_path / "missing" / "a.csv")
