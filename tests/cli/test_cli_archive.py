"""The commands about archives."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from facekit import FaceRecognizer
from facekit.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, hopper: Path) -> Path:
    """Two copies of a portrait, a broken file, and a gallery of who is on them."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(hopper, folder / "photos" / name)
    (folder / "photos" / "broken.jpg").write_bytes(b"no image")
    FaceRecognizer().fit({"Grace": hopper}).save(folder / "people.facekit")
    return folder


def test_from_a_folder_to_names_and_groups(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = str(tmp_path / "faces.parquet")
    index = ["index", str(folder / "photos"), table]
    assert main(index) == 2
    printed = capsys.readouterr()
    assert "3 photos: 3 indexed, 0 unchanged" in printed.out
    assert "1 photo could not be read" in printed.err
    assert main([*index, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["unchanged"] == 3
    assert main([*index, "--float32"]) == 2
    assert "float16" in capsys.readouterr().err
    assert main(["archive", "info", table, "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faces"] == 2
    gallery = str(folder / "people.facekit")
    output = tmp_path / "names.csv"
    assert main(["archive", "identify", table, gallery, "--output", str(output)]) == 0
    assert output.read_text().count("Grace") == 4  # name and candidate
    before = output.stat().st_ino
    again = ["archive", "identify", table, gallery, "--output", str(output)]
    assert main(again) == 2
    assert "already exists; use --overwrite" in capsys.readouterr().err
    assert output.stat().st_ino == before
    assert main([*again, "--overwrite"]) == 0
    assert main(["archive", "identify", table, gallery, "--output", "x.txt"]) == 2
    assert "x.txt" in capsys.readouterr().err
    forging = tmp_path / "a\nfacekit says.csv"
    assert main(["archive", "identify", table, gallery, "--output", str(forging)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"2 faces written to {tmp_path}/a\\nfacekit says.csv"
    ]
    if importlib.util.find_spec("networkit") and importlib.util.find_spec("faiss"):
        output = tmp_path / "people.parquet"
        assert main(["archive", "cluster", table, "--output", str(output), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["people"] == 1
        assert output.is_file()


def test_what_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["archive", "info", str(tmp_path)]) == 2
    assert "create one with facekit index" in capsys.readouterr().err
    assert main(["index", str(tmp_path), str(tmp_path / "t")]) == 2
    assert "holds no images" in capsys.readouterr().err
