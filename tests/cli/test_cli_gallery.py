"""The commands about a gallery in a folder, with a small embedder in a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facekit import Architecture, Embedder, FaceRecognizer, Gallery
from facekit.cli import main
from facekit.cli.common import DONE, FAILED
from facekit.embedding import build_network
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY

SMALL = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)
CASIA = REGISTRY["facenet-20180408-casia-webface"]

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    # The threshold is tight, because random embeddings crowd together.
    embedder = Embedder.from_network(
        build_network(SMALL), SMALL, name="small", thresholds={0.001: 1e-3}
    )
    embedder.record = replace(embedder.record, distances=REGISTRY[DEFAULT_WEIGHTS].distances)
    embedder.save(path)
    return str(path)


@pytest.fixture
def gallery(tmp_path: Path, known: Path, weights: str, capsys: Output) -> Path:
    path = tmp_path / "people"
    assert main(["enroll", str(path), "--from", str(known), "--weights", weights]) == DONE
    capsys.readouterr()
    return path


def people_of(gallery: Path) -> dict[str, int]:
    with Gallery.open(gallery) as opened:
        return opened.people


def fails_with(capsys: Output, *arguments: str) -> str:
    assert main(list(arguments)) == FAILED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("facekit: error: ")
    assert "Traceback" not in printed.err
    return printed.err


def test_people_are_enrolled_image_by_image(
    tmp_path: Path, hopper: Path, astronaut: Path, weights: str, capsys: Output
) -> None:
    path = tmp_path / "people"
    grace = ["enroll", str(path), "Grace", str(hopper), "--weights", weights]
    assert main(grace) == DONE
    assert capsys.readouterr().out.splitlines() == [
        f"{hopper} (Grace): enrolled",
        f"1 photo of 1 person enrolled; {path} holds 1 photo of 1 person",
    ]
    eileen = ["enroll", str(path), "Eileen", str(astronaut), "--weights", weights, "--json"]
    assert main(eileen) == DONE
    answer = json.loads(capsys.readouterr().out)
    assert answer["people"] == {"Eileen": 1}
    assert [image["status"] for image in answer["images"]] == ["enrolled"]
    assert people_of(path) == {"Eileen": 1, "Grace": 1}
    with Gallery.open(path) as opened:
        assert opened.sources == (str(hopper), str(astronaut))
        assert opened.images("Grace")[0].box is not None


def test_images_are_enrolled_from_folders_and_lists(
    tmp_path: Path, hopper: Path, astronaut: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, names = tmp_path / "people.facekit", tmp_path / "names"
    (tmp_path / "album" / "inner").mkdir(parents=True)
    shutil.copy(hopper, tmp_path / "album" / "inner")
    enroll = ["enroll", str(path), "--weights", weights]
    assert main([*enroll, "Grace", "-r", str(tmp_path / "album")]) == DONE
    names.write_text(f"{astronaut}\n")
    assert main([*enroll, "Eileen", "--files-from", str(names)]) == DONE
    with Gallery.open(path) as gallery:
        assert gallery.people == {"Eileen": 1, "Grace": 1}
    capsys.readouterr()
    assert main([*enroll, "--files-from", str(names)]) == FAILED
    assert "name the person" in capsys.readouterr().err


def test_a_folder_of_folders_is_enrolled(
    tmp_path: Path, known: Path, weights: str, capsys: Output
) -> None:
    (known / "Grace" / "notes.txt").write_text("no picture")
    path = tmp_path / "people"
    assert main(["enroll", str(path), "--from", str(known), "--weights", weights]) == DONE
    printed = capsys.readouterr().out
    assert "notes.txt (Grace): not an image; is not an image" in printed
    assert people_of(path) == {"Eileen": 1, "Grace": 1}


def test_an_unreadable_image_is_said_and_the_others_are_enrolled(
    gallery: Path, tmp_path: Path, hopper: Path, weights: str, capsys: Output
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    arguments = ["enroll", str(gallery), "Ada", str(bad), str(hopper), "--weights", weights]
    assert main(arguments) == FAILED
    printed = capsys.readouterr()
    assert f"{bad} (Ada): unreadable; " in printed.out
    assert "1 of 2 photos could not be read" in printed.err
    assert people_of(gallery) == {"Ada": 1, "Eileen": 1, "Grace": 1}


def test_poor_faces_are_left_out_unless_asked_for(
    tmp_path: Path, astronaut: Path, weights: str, capsys: Output
) -> None:
    blurred, path = tmp_path / "blurred.png", tmp_path / "people"
    with Image.open(astronaut) as image:
        image.convert("RGB").filter(ImageFilter.GaussianBlur(6)).save(blurred)
    arguments = ["enroll", str(path), "Eileen", str(blurred), "--weights", weights]
    assert "blurred: " in fails_with(capsys, *arguments)
    assert not path.exists(), "no one is enrolled: no gallery is made"
    assert main([*arguments, "--any-quality"]) == DONE
    assert people_of(path) == {"Eileen": 1}
    capsys.readouterr()
    recognize = ["recognize", str(path), str(blurred), "--weights", weights]
    assert main(recognize) == DONE
    assert "unknown" in capsys.readouterr().out
    assert main([*recognize, "--any-quality"]) == DONE
    assert "Eileen, distance 0.00" in capsys.readouterr().out


def test_a_gallery_and_a_model_recognize_alike(
    gallery: Path, tmp_path: Path, known: Path, hopper: Path, weights: str, capsys: Output
) -> None:
    model = str(tmp_path / "people.facekit")
    assert main(["fit", str(known), model, "--weights", weights]) == DONE
    answers = []
    for people in (str(gallery), model):
        for extra in ([], ["--json"]):
            capsys.readouterr()
            assert main(["recognize", people, str(hopper), "--weights", weights, *extra]) == DONE
            answers.append(capsys.readouterr().out)
    assert answers[:2] == answers[2:]
    assert "Grace, distance 0.00" in answers[0]


def test_people_are_listed(gallery: Path, capsys: Output) -> None:
    assert main(["people", str(gallery)]) == DONE
    assert capsys.readouterr().out.split() == ["person", "photos", "Eileen", "1", "Grace", "1"]
    assert main(["people", str(gallery), "--json"]) == DONE
    answer = json.loads(capsys.readouterr().out)
    assert answer["people"] == {"Eileen": 1, "Grace": 1}
    assert answer["weights"].startswith("small@")


def test_check_finds_one_person_under_two_names_and_a_wrong_image(
    gallery: Path, tmp_path: Path, hopper: Path, astronaut: Path, weights: str, capsys: Output
) -> None:
    check = ["people", str(gallery), "--check", "--weights", weights]
    copy = tmp_path / "copy.jpg"  # another file: the same one is not enrolled twice
    copy.write_bytes(astronaut.read_bytes() + b"0")
    assert main(check) == DONE
    assert "No suspicious names or photos." in capsys.readouterr().out
    for name, images in (("Amazing Grace", [hopper]), ("Eileen", [copy, hopper])):
        arguments = ["enroll", str(gallery), name, *map(str, images), "--weights", weights]
        assert main(arguments) == DONE
    capsys.readouterr()
    assert main(check) == DONE
    printed = capsys.readouterr().out
    assert "one person? Amazing Grace and Grace, distance 0.00" in printed
    assert f"someone else? {hopper} (Eileen), distance " in printed
    assert main([*check, "--json"]) == DONE
    answer = json.loads(capsys.readouterr().out)
    assert answer["duplicates"][0]["first"] == "Amazing Grace"
    assert answer["outliers"][0]["resembles"] in ("Amazing Grace", "Grace")


def test_people_are_removed_renamed_and_merged(gallery: Path, capsys: Output) -> None:
    assert main(["rename", str(gallery), "Grace", "Grace Hopper"]) == DONE
    assert capsys.readouterr().out == "Grace is now Grace Hopper\n"
    assert main(["merge", str(gallery), "Eileen", "Grace Hopper", "--json"]) == DONE
    assert json.loads(capsys.readouterr().out) == {"name": "Eileen", "images": 1}
    assert people_of(gallery) == {"Grace Hopper": 2}
    assert main(["remove", str(gallery), "Grace Hopper"]) == DONE
    assert capsys.readouterr().out == "Erased Grace Hopper: 2 photos\n"
    assert people_of(gallery) == {}
    assert b"Grace" not in gallery.read_bytes()
    assert main(["people", str(gallery)]) == DONE


def test_a_calibration_is_kept_and_used(
    gallery: Path, hopper: Path, weights: str, capsys: Output
) -> None:
    with Gallery.open(gallery) as opened:
        opened.set_settings({"other": 1})
    calibrate = ["calibrate", str(gallery), "--weights", weights]
    assert main([*calibrate, "--json"]) == DONE
    first = json.loads(capsys.readouterr().out)
    assert (first["people"], first["images"], first["probes"]) == (2, 2, 0)
    assert main([*calibrate, "--fpir", "0.02"]) == DONE
    printed = capsys.readouterr().out
    assert "about 2.00% of strangers get a name" in printed
    assert "based on the weights' table of distances; there are too few people" in printed
    with Gallery.open(gallery) as opened:
        kept = {"strategy": "centroid", "fpir": 0.02, "cohort": None}
        assert opened.settings == {"other": 1, "calibration": kept}
    assert main(["recognize", str(gallery), str(hopper), "--weights", weights, "--json"]) == DONE
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert face["name"] == "Grace"
    assert face["threshold"] > first["threshold"]


def test_a_cohort_is_kept_with_the_calibration(
    gallery: Path, tmp_path: Path, astronaut: Path, weights: str, capsys: Output
) -> None:
    (tmp_path / "cohort").mkdir()
    with Image.open(astronaut) as image:  # another face, for this network
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "cohort" / "a.png")
    cohort = ["--cohort", str(tmp_path / "cohort")]
    assert main(["calibrate", str(gallery), "--weights", weights, *cohort]) == DONE
    assert "and 1 faces of the cohort, which shift it by" in capsys.readouterr().out
    with Gallery.open(gallery) as opened:
        assert opened.settings["calibration"]["cohort"][1] == 1


def test_a_calibration_takes_the_place_of_the_one_that_was_saved(
    tmp_path: Path, capsys: Output
) -> None:
    path, generator = tmp_path / "people", np.random.default_rng(0)
    recognizer = FaceRecognizer(DEFAULT_WEIGHTS, gallery=path)
    faces = generator.normal(size=(540, recognizer.embedder.embedding_size))
    faces[40:, 0] += 6.0  # the cohort resembles each other
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    names = [f"person {number}" for number in range(40)]
    recognizer.gallery.extend(names, faces[:40], names)
    recognizer.calibrate(faces[40:])
    recognizer.save(path)
    assert FaceRecognizer.load(path).threshold == recognizer.threshold
    assert main(["calibrate", str(path), "--json"]) == DONE
    said = json.loads(capsys.readouterr().out)["threshold"]
    assert said != recognizer.threshold
    assert FaceRecognizer.load(path).threshold == said


def test_many_people_refine_the_calibration(tmp_path: Path, capsys: Output) -> None:
    path, record = tmp_path / "people", REGISTRY[DEFAULT_WEIGHTS]
    size = record.architecture.embedding_size
    embeddings = np.random.default_rng(0).normal(size=(40, size))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    names = [f"person {number}" for number in range(40)]
    with Gallery.create(path, record.identity, size) as opened:
        opened.extend(names, embeddings, names)
    assert main(["calibrate", str(path)]) == DONE
    printed = capsys.readouterr().out
    assert "for 40 photos of 40 people, strategy centroid" in printed
    assert "table of distances and 40 of the gallery's own photos, which shift it by +" in printed


def test_a_damaged_calibration_is_said(
    gallery: Path, hopper: Path, weights: str, capsys: Output
) -> None:
    with Gallery.open(gallery) as opened:
        opened.set_settings({"calibration": {"strategy": "svm"}})
    error = fails_with(capsys, "recognize", str(gallery), str(hopper), "--weights", weights)
    assert "calibration cannot be read" in error


def test_the_gallery_says_which_weights_it_needs(
    tmp_path: Path, hopper: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    path = str(tmp_path / "people")
    size = CASIA.architecture.embedding_size
    with Gallery.create(path, CASIA.identity, size) as opened:
        opened.enroll("Ada", [[1.0] + [0.0] * (size - 1)], ["ada.jpg"])
    used: list[str] = []

    def embedder(weights: str, **_: object) -> Embedder:
        used.append(weights)
        raise KeyboardInterrupt

    monkeypatch.setattr("facekit.embedding.Embedder", embedder)
    for arguments in (["recognize", path], ["enroll", path, "Grace"]):
        main([*arguments, str(hopper)])
        main([*arguments, str(hopper), "--weights", CASIA.name])
        capsys.readouterr()
        error = fails_with(capsys, *arguments, str(hopper), "--weights", DEFAULT_WEIGHTS)
        assert CASIA.identity in error
        assert REGISTRY[DEFAULT_WEIGHTS].identity in error
    assert used == [CASIA.name] * 4
    assert people_of(tmp_path / "people") == {"Ada": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["enroll", "people", "Ada"], "give either NAME and at least one IMAGE, or --from"),
        (["enroll", "people", "Ada", "--from", "known"], "the folders give the names"),
        (["enroll", "people", "Ada", "{hopper}"], "not known by name; give their file"),
        (["enroll", "people", " ", "{hopper}", "--weights", "{weights}"], "name"),
        (["enroll", "people", "Ada", "x.jpg", "--weights", "{weights}"], "x.jpg (Ada): no such"),
        (["enroll", "people", "--from", "nowhere", "--weights", "{weights}"], "no such folder"),
        (["enroll", "no/folder/people", "Ada", "{hopper}"], "its folder does not exist"),
        (["fit", "known", "no/folder/people"], "its folder does not exist"),
        (["web", "--gallery", "no/folder/people"], "its folder does not exist"),
        (["enroll", "known", "Ada", "{hopper}"], "known: is not a gallery"),
        (["enroll", "people", "Ada", "{hopper}", "--weights", DEFAULT_WEIGHTS], "small@"),
        (["people", "nowhere"], "nowhere: no such gallery"),
        (["people", "people", "--check"], "not known by name"),
        (["remove", "people", "Ada"], "enrolled are Eileen, Grace"),
        (["rename", "people", "Eileen", "Grace"], "use merge"),
        (["merge", "people", "Grace", "Grace"], "must differ"),
        (["calibrate", "people", "--fpir", "2", "--weights", "{weights}"], "fpir"),
        (["recognize", "known", "{hopper}"], "known: is not a gallery"),
        (["recognize", "people", "{hopper}"], "not known by name"),
    ],
)
def test_mistakes_end_in_one_message_and_lose_nothing(
    arguments: list[str],
    message: str,
    gallery: Path,
    hopper: Path,
    weights: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Output,
) -> None:
    monkeypatch.chdir(gallery.parent)
    given = [argument.format(hopper=hopper, weights=weights) for argument in arguments]
    assert message in fails_with(capsys, *given)
    assert people_of(gallery) == {"Eileen": 1, "Grace": 1}


@pytest.mark.parametrize("command", ["recognize", "calibrate"])
def test_an_empty_gallery_says_so_once(
    command: str, gallery: Path, hopper: Path, weights: str, capsys: Output
) -> None:
    with Gallery.open(gallery) as opened:
        opened.clear()
    images = [str(hopper)] if command == "recognize" else []
    error = fails_with(capsys, command, str(gallery), *images, "--weights", weights)
    assert "no one is enrolled; facekit enroll adds people" in error


def test_a_name_that_the_terminal_cannot_show_is_shown_escaped(gallery: Path) -> None:
    with Gallery.open(gallery) as opened:
        opened.rename("Grace", "Ren\udcff")
    answer = subprocess.run(
        [sys.executable, "-m", "facekit", "people", str(gallery)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert answer.returncode == DONE
    assert "Ren\\xff" in answer.stdout
    assert answer.stderr == ""


def test_a_command_that_fails_deletes_no_gallery_of_another(
    tmp_path: Path, hopper: Path, weights: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several commands enroll people in a new gallery at once, and one has no usable image."""
    path, blank = tmp_path / "people", tmp_path / "blank.png"
    Image.new("RGB", (80, 80)).save(blank)
    meanwhile = ["enroll", str(path), "Grace", str(hopper), "--weights", weights]
    enroll = FaceRecognizer.enroll_people

    def enroll_late(self: FaceRecognizer, *arguments: Any, **options: Any) -> Any:
        monkeypatch.undo()
        assert main(meanwhile) == DONE
        capsys.readouterr()
        return enroll(self, *arguments, **options)

    monkeypatch.setattr(FaceRecognizer, "enroll_people", enroll_late)
    error = fails_with(capsys, "enroll", str(path), "Ann", str(blank), "--weights", weights)
    assert "no face" in error
    assert people_of(path) == {"Grace": 1}
