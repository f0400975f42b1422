"""The demonstration, with and without photos and weights."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from facekit import Architecture, Embedder, ImageError, InvalidArgumentError, load_image
from facekit.demo import portrait_paths, run_demo
from facekit.embedding import build_network

SMALL = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)


def recording() -> Console:
    return Console(record=True, width=120, file=io.StringIO())


def small_embedder(threshold: float) -> Embedder:
    return Embedder.from_network(
        build_network(SMALL), SMALL, name="small", thresholds={0.001: threshold}
    )


def test_the_portraits_are_there() -> None:
    portraits = portrait_paths()
    assert list(portraits) == ["Grace Hopper", "Eileen Collins"]
    assert all(path.is_file() for path in portraits.values())


def test_as_installed_it_names_two_people_and_rejects_a_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")
    console = recording()
    assert run_demo(tmp_path, console)
    text = console.export_text()
    for name in ("Grace Hopper", "Eileen Collins"):
        for change in ("mirrored", "tilted and dim", "small and gray"):
            assert f"{name}, {change}: {name} (distance" in text
    assert "A photographer: unknown" in text
    assert "--images" in text
    assert load_image(tmp_path / "contact_sheet.png").shape[2] == 3


def test_without_images_it_recognizes_the_portraits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekit.recognizer.Embedder", lambda _: small_embedder(1e-3))
    console = recording()
    # A random embedder does not know a mirrored face again, and the demonstration says so.
    assert not run_demo(tmp_path, console)
    text = console.export_text()
    assert "A photographer: unknown" in text
    assert "--known" in text


def test_with_images_it_counts_the_right_ones(tmp_path: Path) -> None:
    folders = {"known": tmp_path / "train", "images": tmp_path / "val"}
    for part in ("train", "val"):
        for name, image in portrait_paths().items():
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            shutil.copy(image, folder)
    console = recording()
    assert run_demo(tmp_path / "out", console, **folders)
    assert "2 of 2 photos named correctly" in console.export_text()
    extra = tmp_path / "val" / "Eileen Collins"
    shutil.copy(portrait_paths()["Grace Hopper"], extra / "wrong.jpg")
    console = recording()
    assert not run_demo(tmp_path / "out", console, **folders)
    assert "2 of 3 photos named correctly" in console.export_text()


def test_one_folder_without_the_other_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="give both known"):
        run_demo(tmp_path, recording(), known=tmp_path)
    with pytest.raises(InvalidArgumentError, match="nowhere: no such folder"):
        run_demo(tmp_path, recording(), known=tmp_path / "nowhere", images=tmp_path)


def test_where_no_sheet_can_be_written_nothing_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr("facekit.demo.FaceRecognizer", work)
    file = tmp_path / "file"
    file.touch()
    known, images, foreign = (tmp_path / name for name in ("known", "images", "foreign"))
    for folder in (known, images, foreign):
        folder.mkdir()
    (foreign / "contact_sheet.png").touch()
    for output in (file, file / "out"):
        with pytest.raises(InvalidArgumentError, match="is not a folder"):
            run_demo(output, recording())
    with pytest.raises(ImageError, match="already exists"):
        run_demo(foreign, recording())
    for output in (known / "out", images / "out"):  # it would be a person, the next time
        with pytest.raises(InvalidArgumentError, match="use a new folder"):
            run_demo(output, recording(), known=known, images=images)
    assert not known.joinpath("out").exists()


def test_without_images_and_portraits_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekit.demo.portrait_paths", dict)
    with pytest.raises(InvalidArgumentError, match="pip install matplotlib scikit-image"):
        run_demo(tmp_path, Console())
    assert list(tmp_path.iterdir()) == []
