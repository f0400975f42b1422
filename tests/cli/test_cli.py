"""The facekit command, mostly in this process, with a small embedder in a file."""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facekit import Architecture, Embedder, FaceRecognizer, __version__, load_image
from facekit.cli import main
from facekit.cli.common import DONE, FAILED, INTERRUPTED, NEGATIVE
from facekit.embedding import build_network
from facekit.io.xmp import read_regions

SMALL = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    # The threshold is tight, because random embeddings crowd together.
    embedder = Embedder.from_network(
        build_network(SMALL), SMALL, name="small", thresholds={0.001: 1e-3}
    )
    embedder.save(path)
    return str(path)


@pytest.fixture
def model(tmp_path: Path, known: Path, weights: str, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "people.facekit"
    assert main(["fit", str(known), str(path), "--weights", weights]) == DONE
    capsys.readouterr()
    return path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "facekit", *arguments], capture_output=True, text=True, check=False
    )


def test_help_and_version_import_no_heavy_package() -> None:
    program = (
        "import sys; from facekit.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'tensorflow', 'keras', 'cv2', 'sklearn', 'rich'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "exit codes" in answer.stdout
    assert answer.stdout.strip().endswith("[]")
    assert run("--version").stdout.strip() == f"facekit {__version__}"


def test_no_command_prints_help_and_fails() -> None:
    answer = run()
    assert (answer.returncode, answer.stderr) == (FAILED, "")
    assert "recognize" in answer.stdout


def test_fit_takes_a_rate_of_strangers_or_a_distance(
    tmp_path: Path, known: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "people.facekit")
    fit = ["fit", str(known), path, "--weights", "facekit-small"]
    assert main([*fit, "--fpir", "0.02", "--strategy", "nearest"]) == DONE
    classifier = FaceRecognizer.load(path).classifier
    assert (classifier.strategy, classifier.fpir) == ("nearest", 0.02)
    assert main([*fit, "--threshold", "0.7"]) == DONE
    assert FaceRecognizer.load(path).threshold == 0.7
    assert main([*fit, "--fpir", "0.02", "--threshold", "0.7"]) == FAILED
    assert "not both" in capsys.readouterr().err


def test_detect_prints_the_faces(hopper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(hopper)]) == DONE
    printed = capsys.readouterr().out
    assert f"{hopper}: 1 face" in printed
    assert "confidence" in printed


def test_detect_json_has_one_object_a_line(
    hopper: Path, astronaut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(hopper), str(astronaut), "--json"]) == DONE
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == [str(hopper), str(astronaut)]
    assert all(set(line["faces"][0]) == {"box", "confidence", "keypoints"} for line in lines)


def test_a_bad_image_is_named_and_the_others_are_done(
    tmp_path: Path, hopper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    assert main(["detect", str(bad), str(hopper), str(tmp_path / "missing.jpg")]) == FAILED
    printed = capsys.readouterr()
    assert "1 face" in printed.out
    assert "bad.jpg: is not an image" in printed.err
    assert "missing.jpg: no such file" in printed.err
    assert "2 of 3 photos could not be used" in printed.err
    assert "Traceback" not in printed.err
    assert main(["detect", str(bad), "--json"]) == FAILED
    assert "not an image" in json.loads(capsys.readouterr().out)["error"]


def test_annotated_copies_keep_apart_images_of_one_name(
    tmp_path: Path, hopper: Path, astronaut: Path
) -> None:
    for folder, image in (("a", hopper), ("b", astronaut)):
        (tmp_path / folder).mkdir()
        Image.open(image).convert("RGB").resize((200, 200)).save(tmp_path / folder / "x.jpg")
    out = tmp_path / "out"
    assert main(["detect", str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(out)]) == DONE
    assert sorted(path.name for path in out.iterdir()) == ["x-2.png", "x.png"]
    drawn = load_image(out / "x.png")
    assert drawn.shape == (200, 200, 3)
    assert np.any(drawn != load_image(tmp_path / "a" / "x.jpg"))


def test_output_never_overwrites_the_image(
    tmp_path: Path, hopper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "photo.png"
    Image.open(hopper).save(image)
    before = image.read_bytes()
    assert main(["detect", str(image), "--output", str(tmp_path)]) == FAILED
    assert image.read_bytes() == before
    assert "overwrite" in capsys.readouterr().err


def test_output_that_is_a_file_is_refused_before_the_search(
    tmp_path: Path, hopper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    for output in ("file", "file/below"):
        assert main(["detect", str(hopper), "--output", str(tmp_path / output)]) == FAILED
        printed = capsys.readouterr()
        assert (printed.out, "is not a folder" in printed.err) == ("", True)
    assert (tmp_path / "file").read_bytes() == b"kept"


def test_a_fit_that_never_began_leaves_nothing_to_resume(
    known: Path, tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["fit", str(known), str(tmp_path / "people.facekit"), "--weights", weights]
    assert main(arguments) == DONE
    assert main([*arguments, "--max-pixels", "-1"]) == FAILED
    assert "--max-pixels must be" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("people*")] == ["people.facekit"]


def test_fit_then_recognize(
    known: Path, tmp_path: Path, weights: str, hopper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "people.facekit"
    (known / "Grace" / "broken.jpg").write_bytes(b"")
    assert main(["fit", str(known), str(model), "--weights", weights]) == DONE
    printed = capsys.readouterr().out
    assert "2 photos of 2 people enrolled" in printed
    assert "broken.jpg" in printed
    arguments = ["recognize", str(model), str(hopper), "--weights", weights]
    assert main(arguments) == DONE
    assert "Grace, distance 0.00" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == DONE
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert face["name"] == "Grace"


def test_fit_json_reports_everybody(
    known: Path, tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (known / "Grace" / "broken.jpg").write_bytes(b"")
    model = tmp_path / "people.facekit"
    assert main(["fit", str(known), str(model), "--weights", weights, "--json"]) == DONE
    report = json.loads(capsys.readouterr().out)
    assert report["people"] == {"Eileen": 1, "Grace": 1}
    assert [Path(entry["image"]).name for entry in report["left_out"]] == ["broken.jpg"]


def test_a_stranger_is_printed_as_unknown(
    model: Path, tmp_path: Path, weights: str, hopper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirrored = tmp_path / "mirrored.png"
    Image.fromarray(load_image(hopper)[:, ::-1].copy()).save(mirrored)
    assert main(["recognize", str(model), str(mirrored), "--weights", weights]) == DONE
    assert "unknown, distance" in capsys.readouterr().out


def test_verify_says_yes_and_no_by_exit_code(
    hopper: Path, astronaut: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(hopper), str(hopper), "--weights", weights]) == DONE
    assert "the same person: distance 0.000" in capsys.readouterr().out
    assert main(["verify", str(hopper), str(astronaut), "--weights", weights, "--json"]) == NEGATIVE
    assert json.loads(capsys.readouterr().out)["same"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recognize", "missing.facekit", "x.jpg"], "missing.facekit: no such gallery"),
        (["fit", "missing", "m.facekit", "--weights", "{weights}"], "no such folder"),
        (["fit", ".", "no/folder/m", "--weights", "{weights}"], "does not exist"),
        (["verify", "a.jpg", "b.jpg", "--weights", "{weights}"], "a.jpg: no such file"),
        (["verify", "a.jpg", "b.jpg", "--weights", "nobody"], "no weights are named 'nobody'"),
        (["detect", "x.jpg", "--min-face-size", "1"], "--min-face-size"),
        (["evaluate", "lfw", "--data", "missing"], "pairs.txt"),
        (["demo", "--known", "missing", "--images", "missing"], "no such folder"),
    ],
)
def test_mistakes_end_in_one_line(
    arguments: list[str],
    message: str,
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([argument.format(weights=weights) for argument in arguments]) == FAILED
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("facekit: error: ")
    assert "Traceback" not in printed.err


def test_an_empty_folder_of_images_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(tmp_path)]) == FAILED
    assert "is a folder" in capsys.readouterr().err


def test_interruption_is_quiet(
    hopper: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("facekit.detection.Detector.detect_stream", interrupt)
    assert main(["detect", str(hopper)]) == INTERRUPTED
    assert capsys.readouterr().err == "facekit: interrupted\n"


def test_output_of_the_libraries_is_kept_away(hopper: Path) -> None:
    answer = run("detect", str(hopper), "--json")
    assert answer.returncode == DONE
    assert answer.stderr == ""
    assert json.loads(answer.stdout)["faces"]


def test_evaluate_lfw_prints_a_table_and_draws(
    tmp_path: Path,
    weights: str,
    hopper: Path,
    astronaut: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, image in (("Grace", hopper), ("Eileen", astronaut)):
        (tmp_path / name).mkdir()
        for number in (1, 2):
            shutil.copy(image, tmp_path / name / f"{name}_{number:04d}.jpg")
    rows = ["Grace\t1\t2", "Grace\t1\tEileen\t1", "Eileen\t1\t2", "Grace\t2\tEileen\t2"]
    (tmp_path / "pairs.txt").write_text("\n".join(["2\t1", *rows]))
    roc = tmp_path / "roc.png"
    arguments = ["evaluate", "lfw", "--data", str(tmp_path), "--weights", weights]
    assert main([*arguments, "--output", str(roc)]) == DONE
    printed = capsys.readouterr().out
    assert "similarity" in printed
    assert "crop" in printed
    assert "100.00%" in printed
    assert load_image(roc).shape[2] == 3
    assert main([*arguments, "--alignment", "crop", "--json"]) == DONE
    result = json.loads(capsys.readouterr().out)
    assert list(result["results"]) == ["crop"]
    assert result["results"]["crop"]["accuracy"] == 1.0
    (tmp_path / "file").touch()
    for output in ("roc", "roc.pdf", "file/roc.png", "Grace/Grace_0001.jpg"):
        assert main([*arguments, "--output", str(tmp_path / output)]) == FAILED
        assert output.split("/")[0] in capsys.readouterr().err


def test_detector_is_chosen_and_given_what_to_look_for() -> None:
    from argparse import Namespace

    from facekit import Detector, InvalidArgumentError, YuNetDetector
    from facekit.cli.common import detector_for

    def chosen(given: Any = None, **options: Any) -> str:
        none = {"detector": None, "min_face_size": None, "max_image_side": None, "max_faces": None}
        return repr(detector_for(Namespace(**{**none, **options}), given))

    assert chosen() == "Detector()"
    assert chosen(detector="yunet", max_faces=2) == "YuNetDetector(max_faces=2)"
    assert chosen(YuNetDetector(upscale=2), max_faces=2) == "YuNetDetector(upscale=2, max_faces=2)"
    assert chosen(YuNetDetector(), detector="mtcnn", min_face_size=40) == (
        "Detector(min_face_size=40)"
    )
    assert chosen(Detector(padding=0.1)) == "Detector(padding=0.1)"
    with pytest.raises(InvalidArgumentError, match="min_face_size"):
        chosen(detector="yunet", min_face_size=40)


def _commands(parser: argparse.ArgumentParser, *names: str) -> dict[str, argparse.ArgumentParser]:
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    found = {name: command for action in inner for name, command in action.choices.items()}
    deeper = [_commands(command, *names, name) for name, command in found.items()]
    return {" ".join((*names, name)): command for name, command in found.items()} | {
        name: command for commands in deeper for name, command in commands.items()
    }


def test_every_command_that_reads_images_says_how() -> None:
    """A command with an argument for images, or for what leads to some, has both options."""
    from facekit.cli import _parser

    reading = {
        name
        for name, command in _commands(_parser()).items()
        if {"--max-pixels", "--truncated"} <= set(command._option_string_actions)
    }
    assert reading >= {
        *("detect", "fit", "recognize", "verify", "demo", "enroll", "cluster"),
        *("evaluate", "train", "distill", "gallery migrate"),
    }


def test_an_incomplete_image_is_used_if_so_asked(
    tmp_path: Path, hopper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(hopper.read_bytes()[:-2000])
    assert main(["detect", str(cut)]) == FAILED
    assert "--truncated use reads the available part" in capsys.readouterr().err
    command = ["detect", str(cut), "--truncated", "use", "--output", str(tmp_path / "out")]
    assert main(command) == DONE
    printed = capsys.readouterr()
    assert "cut.jpg: 1 face" in printed.out
    assert "the file ends early" in printed.err
    assert (tmp_path / "out" / "cut.png").is_file()


def test_a_larger_image_is_read_and_drawn_upon_with_max_pixels(
    tmp_path: Path, hopper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekit.io.images.MAX_PIXELS", 100_000)
    out = tmp_path / "out"
    assert main(["detect", str(hopper), "--output", str(out)]) == FAILED
    command = ["detect", str(hopper), "--output", str(out), "--max-pixels", "400000"]
    assert main(command) == DONE
    assert len(list(out.iterdir())) == 1


def test_names_go_into_sidecars_and_come_back_as_training_data(
    model: Path, hopper: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    image = Path(shutil.copy(hopper, folder))
    before = image.read_bytes()
    arguments = ["recognize", str(model), str(image), "--weights", weights, "--any-quality"]
    assert main([*arguments, "--xmp"]) == DONE
    assert image.read_bytes() == before
    (region,) = read_regions(image)
    assert region.name == "Grace"
    assert main([*arguments, "--embed"]) == FAILED
    assert "--embed and --replace-regions need --xmp" in capsys.readouterr().err
    again = tmp_path / "again.facekit"
    command = ["fit", "--from-xmp", str(folder), str(again), "--weights", weights, "--json"]
    assert main(command) == DONE
    assert json.loads(capsys.readouterr().out) == {
        "people": {"Grace": 1},
        "left_out": [],
        "several_faces": [],
    }


def test_csv_has_a_line_a_face(
    model: Path, hopper: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["detect"], ["recognize", str(model)], ["cluster", "--min-faces", "1"]):
        options = [] if command == ["detect"] else ["--weights", weights, "--any-quality"]
        assert main([*command, str(hopper), *options, "--csv"]) == DONE
        (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
        assert row["image"] == str(hopper)
        assert float(row["width"]) > 20
        assert command[0] != "recognize" or row["name"] == "Grace"


def test_images_come_from_lists_standard_input_and_folders_in_folders(
    hopper: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    deep = tmp_path / "photos" / "in"
    deep.mkdir(parents=True)
    image = Path(shutil.copy(hopper, deep / "a\u00e9 b.jpg"))

    def detected(*arguments: str) -> list[str]:
        assert main(["detect", *arguments, "--json"]) == DONE
        return [json.loads(line)["image"] for line in capsys.readouterr().out.splitlines()]

    assert detected("--recursive", str(tmp_path / "photos")) == [str(image)]
    listing = tmp_path / "list.txt"
    for separator in ("\n", "\r\n", "\0"):
        listing.write_bytes(f"{image}{separator}{hopper}{separator}".encode())
        assert detected("--files-from", str(listing)) == [str(image), str(hopper)]
        for arguments in (["-"], ["--files-from", "-"], ["--files-from", "-", "-"]):
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(listing.read_bytes())))
            assert detected(*arguments) == [str(image), str(hopper)]
    assert main(["detect"]) == FAILED
    assert "no photos given" in capsys.readouterr().err
    assert main(["detect", "--files-from", "missing.txt"]) == FAILED
    assert "--files-from missing.txt: cannot be read" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(hopper.read_bytes())))
    assert main(["detect", "-"]) == FAILED
    assert "standard input: is an image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["recognise", "people", "a.jpg"], "did you mean recognize?"),
        (["weights", "lst"], "did you mean list?"),
        (["detect", "a.jpg", "--min-face-sise=3"], "did you mean --min-face-size?"),
        (["detect", "a.jpg", "--detector", "mtccn"], "did you mean mtcnn?"),
        (["detect", "a.jpg", "--qqqq"], "unrecognized arguments: --qqqq\n"),
    ],
)
def test_a_misspelled_word_is_answered_with_the_one_that_was_meant(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == FAILED
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_script_completes_commands_options_and_files(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == DONE
    script = capsys.readouterr().out
    assert "recognize" in script
    assert "min-face-size" in script
    if shell == "bash":
        checked = subprocess.run(
            ["bash", "-c", script + "\ncomplete -p facekit"], capture_output=True, text=True
        )
        assert "facekit" in checked.stdout, checked.stderr
        assert "_shtab_compgen_files" in script


def test_embeddings_are_computed_in_eight_bits_if_so_asked(
    hopper: Path, astronaut: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    distances = []
    for asked in ([], ["--int8"]):
        assert main(["verify", str(hopper), str(astronaut), "--json", *asked]) == NEGATIVE
        distances.append(json.loads(capsys.readouterr().out)["distance"])
    assert distances[0] != distances[1] == pytest.approx(distances[0], abs=0.05)
    words = ["verify", str(hopper), str(astronaut), "--weights", weights, "--int8"]
    assert main(words) == FAILED
    assert "have no input ranges" in capsys.readouterr().err


def test_explain_says_how_near_the_nearest_are(
    model: Path, hopper: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["explain", str(model), str(hopper), "--weights", weights, "--count", "1"]
    assert main(arguments) == DONE
    out = capsys.readouterr().out
    assert re.search(r"  Grace at \(\d+, \d+\): distance 0.00 to Grace, ", out)
    assert "    0.00 Grace, " in out
    assert main([*arguments, "--json"]) == DONE
    (face,) = json.loads(capsys.readouterr().out)
    assert (face["candidate"], len(face["nearest"]), len(face["box"])) == ("Grace", 1, 4)
    assert face["problems"] == []


def test_recognize_imports_only_what_it_needs(
    known: Path, hopper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = tmp_path / "people.facekit"
    assert main(["fit", str(known), str(gallery)]) == DONE
    capsys.readouterr()
    program = (
        "import sys; from facekit.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(sorted({'sklearn', 'scipy', 'tensorflow', 'keras', 'mtcnn', 'openvino.tools.ovc', "
        "'facekit.clustering', 'facekit.visualization', 'facekit.video'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, "recognize", str(gallery), str(hopper)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "words",
    [
        ["recognize", "people", "-r", "photos", "--json"],
        ["recognize", "-r", "people", "--json", "photos"],
        ["enroll", "people", "--any-quality", "Ada", "-r", "photos"],
        ["archive", "identify", "table", "--output", "x.csv", "people"],
        ["detect", "-r", "--", "photos", "-odd.jpg"],
    ],
)
def test_arguments_may_come_before_and_after_options(words: list[str]) -> None:
    from facekit.cli import _parser

    options = _parser().parse_args(words)
    given = [Path(word) for word in words if word in ("people", "photos", "-odd.jpg")]
    found = [getattr(options, "gallery", None), *getattr(options, "images", [])]
    assert [path for path in found if path is not None] == given
