"""The commands about a gallery's file."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from facekit import Embedder, FaceRecognizer, Gallery
from facekit.cli import main
from facekit.cli.common import DONE, FAILED

Output = pytest.CaptureFixture[str]


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    with Gallery.create(tmp_path / "people", "example@1", 4) as opened:
        for name, row in zip(("Ada", "Grace", "Mary"), np.eye(4), strict=False):
            opened.enroll(name, row[None], [f"{name}.jpg"])
        opened.remove("Mary")
    return tmp_path / "people"


def test_a_sound_gallery(gallery: Path, capsys: Output) -> None:
    assert main(["gallery", "info", str(gallery), "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["weights"], found["people"], found["images"]) == ("example@1", 2, 2)
    assert main(["gallery", "check", str(gallery)]) == DONE
    assert capsys.readouterr().out == "2 photos: everything is intact\n"
    assert main(["gallery", "compact", str(gallery)]) == DONE
    with Gallery.open(gallery) as opened:
        assert [image.id for image in opened.images()] == [1, 2]


def test_a_damaged_gallery_is_repaired(gallery: Path, tmp_path: Path, capsys: Output) -> None:
    with sqlite3.connect(gallery) as database:
        (data,) = database.execute("SELECT data FROM vectors").fetchone()
        database.execute("UPDATE vectors SET data = ?", (bytes([data[0] ^ 1]) + data[1:],))
    database.close()
    assert main(["gallery", "check", str(gallery)]) == FAILED
    assert "facekit gallery repair" in capsys.readouterr().err
    new = tmp_path / "saved"
    assert main(["gallery", "repair", str(gallery), "--output", str(new)]) == FAILED
    assert capsys.readouterr().out.splitlines() == [
        "lost: the vector of photo 1",
        f"1 photo of 1 person saved to {new}",
    ]
    with Gallery.open(new) as opened:
        assert opened.people == {"Grace": 1}


def test_a_gallery_is_embedded_again_from_its_images(
    tmp_path: Path, hopper: Path, astronaut: Path, capsys: Output
) -> None:
    path, new = tmp_path / "people", tmp_path / "new"
    recognizer = FaceRecognizer("facekit-small", gallery=path)
    recognizer.enroll("Grace", hopper)
    recognizer.enroll("Eileen", astronaut)
    before = recognizer.gallery.embeddings
    recognizer.gallery.enroll("Ghost", before[:1], [str(tmp_path / "gone.jpg")])
    recognizer.gallery.set_metadata("Grace", {"born": 1906})
    (image,) = recognizer.faces([hopper])
    face, review = image.faces[0].to_source(image.sha256), recognizer.gallery.review
    review.reject(face, "Eileen")
    review.reject(face, "Ghost")
    review.once_per_image()
    recognizer.gallery.close()
    migrate = ["gallery", "migrate", str(path), "--weights", "facekit-small"]
    assert main([*migrate, "--output", str(new), "--json"]) == FAILED
    answer = json.loads(capsys.readouterr().out)
    assert answer["weights"] == Embedder("facekit-small").record.identity
    assert answer["people"] == {"Eileen": 1, "Grace": 1}
    (lost,) = answer["lost"]
    assert lost.startswith("Ghost: ")
    assert "gone.jpg" in lost
    with Gallery.open(new) as opened:
        np.testing.assert_allclose(opened.embeddings, before, atol=1e-5)
        assert opened.metadata("Grace") == {"born": 1906}
        kept = [(correction.kind, correction.person) for correction in opened.review.corrections]
        assert kept == [("is_not", "Eileen"), ("once_per_image", None)], "nobody is Ghost there"
        assert opened.decisions().of(face).refused == {"Eileen"}
    assert main([*migrate, "--output", str(new)]) == FAILED
