"""Every example script runs as it stands, and shows what it promises."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facekit import Detector, FaceRecognizer, load_image
from facekit.demo import stranger_path
from facekit.video import VideoFile

PROJECT = Path(__file__).parent.parent
EXAMPLES = PROJECT / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))


def run(
    script: str, *arguments: str, folder: Path, with_data: bool = True
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    if not with_data:
        environment.pop("FACEKIT_DATA", None)
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )


@pytest.fixture(scope="module")
def outputs(
    astronaut: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, str]]:
    """What each script writes and prints without arguments and photos: by name, as it is asked."""

    class Outputs(dict[str, tuple[Path, str]]):
        def __missing__(self, script: str) -> tuple[Path, str]:
            folder = tmp_path_factory.mktemp(script.removesuffix(".py"))
            answer = run(script, folder=folder, with_data=False)
            assert answer.returncode == 0, answer.stderr
            self[script] = (folder, answer.stdout)
            return self[script]

    return Outputs()


@pytest.mark.check
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_without_arguments_and_data(
    script: str, outputs: dict[str, tuple[Path, str]]
) -> None:
    folder, printed = outputs[script]
    assert list(folder.iterdir())
    for picture in folder.glob("*.png"):
        assert load_image(picture).std() > 10, f"{picture.name} is blank"
    for name in re.findall(r"^Wrote (\S+\.(?:png|avi))", printed, flags=re.MULTILINE):
        assert (folder / name).stat().st_size > 0
    # The pages of the gallery show what is printed.
    assert str(PROJECT) not in printed
    assert "/site-packages/" not in printed


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_a_page_of_the_gallery(script: str) -> None:
    source = (EXAMPLES / script).read_text(encoding="utf-8")
    title, underline, *_ = (ast.get_docstring(ast.parse(source)) or "").splitlines()
    assert underline == "=" * len(title)
    assert "\n# %%\n" in source
    assert f'"{script}"' in (PROJECT / "docs" / "conf.py").read_text(encoding="utf-8")


@pytest.mark.check
def test_detect_faces_prints_what_the_detector_finds(
    outputs: dict[str, tuple[Path, str]], detector: Detector
) -> None:
    faces, corners = map(ast.literal_eval, outputs["detect_faces.py"][1].splitlines()[:2])
    assert faces == detector.detect_faces(str(stranger_path()))
    x, y, width, height = faces[0]["box"]
    assert np.abs(np.subtract(corners[0], (x, y, x + width, y + height))).max() <= 1


@pytest.mark.check
def test_verify_tells_the_two_portraits_apart(outputs: dict[str, tuple[Path, str]]) -> None:
    same, different = outputs["verify.py"][1].splitlines()[:2]
    assert same.startswith("the same person")
    assert different.startswith("different people")


@pytest.mark.check
def test_name_people_keeps_whom_it_learned(outputs: dict[str, tuple[Path, str]]) -> None:
    folder, printed = outputs["name_people.py"]
    party = next(line for line in printed.splitlines() if line.startswith("party.png: "))
    assert sorted(party.removeprefix("party.png: ").split(", ")) == [
        "Eileen Collins",
        "Grace Hopper",
        "unknown",
    ]
    recognizer = FaceRecognizer.load(folder / "people.facekit")
    assert recognizer.people == {"Eileen Collins": 1, "Grace Hopper": 1}


@pytest.mark.check
def test_strangers_become_fewer_as_the_threshold_falls(
    outputs: dict[str, tuple[Path, str]],
) -> None:
    printed = outputs["strangers.py"][1]
    rows = re.findall(r"^ +([\d.]+) +([\d.]+)% +([\d.]+)% +\(one", printed, flags=re.MULTILINE)
    thresholds, right, wrong = np.array(rows, dtype=float).T
    assert len(thresholds) == 3
    assert (np.diff(thresholds) < 0).all()
    assert (np.diff(right) <= 0).all()
    assert (np.diff(wrong) <= 0).all()
    assert right[0] == 100.0
    assert wrong[0] == 0.0


@pytest.mark.check
def test_the_album_falls_into_two_groups(outputs: dict[str, tuple[Path, str]]) -> None:
    printed = outputs["cluster_album.py"][1]
    groups = re.split(r"^group \d+: .*$", printed, flags=re.MULTILINE)[1:]
    assert len(groups) == 2
    for group in groups:
        assert len(set(re.findall(r"^ +([\w ]+), .*\.png$", group, flags=re.MULTILINE))) == 1


@pytest.mark.check
def test_the_video_names_the_enrolled_person_only(outputs: dict[str, tuple[Path, str]]) -> None:
    folder, printed = outputs["name_people_in_video.py"]
    assert len(list(VideoFile(folder / "named.mp4").frames())) == 84
    rows = re.findall(r"^([\d.]+) to ([\d.]+) s: ([\w ]+), \d+ faces$", printed, flags=re.MULTILINE)
    assert {name for _, _, name in rows} == {"Grace Hopper", "unknown"}
    ends = {name: max(float(end) for _, end, each in rows if each == name) for _, _, name in rows}
    # The stranger leaves while the enrolled person stays.
    assert ends["unknown"] < ends["Grace Hopper"] <= 6.9


@pytest.mark.check
def test_the_training_lowers_the_loss_and_helps_with_people_never_seen(
    outputs: dict[str, tuple[Path, str]],
) -> None:
    printed = outputs["train_triplet_head.py"][1]
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", printed)]
    assert len(losses) == 8
    assert losses[-1] < 0.5 * losses[0]
    before, after = map(float, re.findall(r"^(?:before|after) +TAR.* ([\d.]+)%,", printed, re.M))
    assert after > before


@pytest.mark.check
def test_the_evaluation_says_that_lfw_is_missing(outputs: dict[str, tuple[Path, str]]) -> None:
    folder, printed = outputs["evaluate_lfw.py"]
    assert printed.startswith("LFW not found.")
    rates = re.findall(r"^true-accept rate ([\d.]+)%", printed, flags=re.MULTILINE)
    assert len(rates) == 3
    assert sorted(map(float, rates), reverse=True) == list(map(float, rates))
    assert {path.name for path in folder.iterdir()} == {"distances.png", "roc.png"}


@pytest.mark.check
def test_images_of_ones_own(data_folder: Path, tmp_path: Path) -> None:
    images = sorted((data_folder / "five_celebrities" / "val" / "mindy_kaling").iterdir())[1:3]
    known = tmp_path / "known" / "Mindy"
    known.mkdir(parents=True)
    (known / "one.jpg").write_bytes(images[0].read_bytes())
    answer = run("name_people.py", str(known.parent), str(images[1]), folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert f"{images[1].name}: Mindy" in answer.stdout
    assert (tmp_path / "named-1.png").is_file()
    answer = run("verify.py", str(images[0]), str(images[1]), folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "the same person" in answer.stdout
