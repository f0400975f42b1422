"""Every example script runs as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


@pytest.mark.parametrize("script", ["detect_faces.py", "detect_and_draw.py"])
def test_detection_examples(script: str, tmp_path: Path) -> None:
    answer = run(script, folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "left_eye" in answer.stdout


@pytest.mark.parametrize("script", ["name_people.py", "train_triplet_head.py", "verify.py"])
def test_usage_is_printed_without_arguments(script: str, tmp_path: Path) -> None:
    answer = run(script, folder=tmp_path)
    assert answer.returncode == 1
    assert f"python {script}" in answer.stderr


def test_recognition_examples(data_folder: Path, tmp_path: Path) -> None:
    if not (data_folder / "weights" / "facenet-20180402-vggface2").is_dir():
        pytest.skip("the FaceNet weights are not in FACEKIT_DATA")
    photos = sorted((data_folder / "five_celebrities" / "val" / "mindy_kaling").iterdir())[1:3]
    known = tmp_path / "known" / "Mindy"
    known.mkdir(parents=True)
    (known / "one.jpg").write_bytes(photos[0].read_bytes())
    answer = run("name_people.py", str(known.parent), str(photos[1]), folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert f"{photos[1]}: Mindy" in answer.stdout
    assert (tmp_path / "named-1.png").is_file()
    answer = run("verify.py", str(photos[0]), str(photos[1]), folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "the same person" in answer.stdout
