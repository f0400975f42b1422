"""The commands about corrections."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from facekit import Detector, FaceRecognizer, Gallery
from facekit.cli import main
from facekit.cli.common import DONE, FAILED

Output = pytest.CaptureFixture[str]


@pytest.fixture
def gallery(tmp_path: Path, hopper: Path, astronaut: Path) -> Path:
    recognizer = FaceRecognizer(gallery=tmp_path / "people.facekit")
    recognizer.enroll("Grace", hopper)
    recognizer.enroll("Eileen", astronaut)
    recognizer.gallery.close()
    return tmp_path / "people.facekit"


def names(gallery: Path, image: Path, capsys: Output) -> list[str]:
    capsys.readouterr()
    assert main(["recognize", str(gallery), str(image), "--json"]) == DONE
    return [face["name"] for face in json.loads(capsys.readouterr().out)["faces"]]


def test_a_face_is_rejected_and_that_is_undone(
    gallery: Path, hopper: Path, tmp_path: Path, capsys: Output
) -> None:
    image = Path(shutil.copy(hopper, tmp_path / "copy.jpg"))
    assert names(gallery, image, capsys) == ["Grace"]
    # The photo itself is enrolled: then it does not count as hers any more, either.
    Gallery.open(gallery).enroll("Grace", Gallery.open(gallery).embeddings[:1], ["other.jpg"])
    assert main(["review", "reject", str(gallery), "Grace", str(image)]) == DONE
    assert capsys.readouterr().out.startswith("1: is not Grace: the face at (")
    assert names(gallery, image, capsys) == [None]
    assert main(["review", "list", str(gallery)]) == DONE
    assert capsys.readouterr().out.endswith("1 correction\n")
    assert main(["review", "undo", str(gallery), "1"]) == DONE
    assert capsys.readouterr().out.startswith("Undone: is not Grace")
    assert names(gallery, image, capsys) == ["Grace"]
    assert main(["review", "undo", str(gallery)]) == FAILED
    assert "no correction is left to undo" in capsys.readouterr().err


def test_each_kind_of_correction(
    gallery: Path, hopper: Path, astronaut: Path, capsys: Output
) -> None:
    one, other, file = str(hopper), str(astronaut), str(gallery)
    for words in (
        ["accept", file, "Eileen", one],
        ["link", file, one, other],
        ["separate", file, one, other, "--other-face", "1"],
        ["exclude", file, one, "--face", "1"],
        ["exclude", file, one, "--ignore"],
        ["once-per-image", file],
    ):
        assert main(["review", *words, "--json"]) == DONE
    assert main(["review", "list", file, "--json"]) == DONE
    *_, listed = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    kinds = ["is", "same", "different", "not_a_face", "ignore", "once_per_image"]
    assert [correction["kind"] for correction in listed["corrections"]] == kinds
    assert names(gallery, hopper, capsys) == []


def test_suggestions(gallery: Path, hopper: Path, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    words = ["review", "suggest", str(gallery), str(hopper), str(tmp_path / "broken.jpg")]
    assert main(words) == FAILED
    printed = capsys.readouterr()
    assert f"{hopper}, face 1: Grace? distance 0.00" in printed.out
    assert "broken.jpg" in printed.err
    assert main(["review", "accept", str(gallery), "Grace", str(hopper)]) == DONE
    capsys.readouterr()
    assert main([*words[:4], "--json"]) == DONE
    assert json.loads(capsys.readouterr().out) == {"suggestions": []}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--face", "2"], "has 1 face, not 2"),
        (["--face", "0"], "has 1 face, not 0"),
    ],
)
def test_a_face_that_is_not_there(
    gallery: Path, hopper: Path, words: list[str], message: str, capsys: Output
) -> None:
    assert main(["review", "exclude", str(gallery), str(hopper), *words]) == FAILED
    assert message in capsys.readouterr().err


def test_groups_follow_the_corrections_of_a_gallery(
    gallery: Path, hopper: Path, tmp_path: Path, capsys: Output
) -> None:
    album = tmp_path / "album"
    album.mkdir()
    for name in ("a.jpg", "b.jpg"):
        # Files that differ, with the same picture.
        (album / name).write_bytes(hopper.read_bytes() + name.encode())
    words = ["cluster", str(album), "--gallery", str(gallery), "--json"]
    assert main(words) == DONE
    assert len(json.loads(capsys.readouterr().out)["groups"]) == 1
    pair = [str(album / "a.jpg"), str(album / "b.jpg")]
    assert main(["review", "separate", str(gallery), *pair]) == DONE
    capsys.readouterr()
    assert main(words) == DONE
    assert json.loads(capsys.readouterr().out)["groups"] == []


def test_faces_are_found_as_the_gallery_says(gallery: Path, hopper: Path, capsys: Output) -> None:
    recognizer = FaceRecognizer(gallery=gallery, detector=Detector(min_face_size=2000))
    recognizer.save(gallery)
    assert main(["review", "exclude", str(gallery), str(hopper)]) == FAILED
    assert "no face found" in capsys.readouterr().err
