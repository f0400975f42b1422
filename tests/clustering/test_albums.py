"""Grouping the faces of photos, writing the groups, and the command, with a small embedder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facekit import (
    Architecture,
    Detector,
    Embedder,
    InvalidArgumentError,
    QualityGate,
    cluster_images,
    load_image,
)
from facekit.cli import main
from facekit.cli.common import DONE, FAILED
from facekit.clustering.albums import ArchiveClustering
from facekit.clustering.export import write_groups
from facekit.embedding import build_network

SMALL = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    # Random embeddings crowd together, so the threshold is tight: equal pictures or nobody's.
    return Embedder.from_network(
        build_network(SMALL), SMALL, name="small", thresholds={0.001: 1e-3}
    )


@pytest.fixture
def album(tmp_path: Path, hopper: Path, astronaut: Path) -> Path:
    """Two people in folders inside folders, three photos of one and two of the other, and more."""
    folder = tmp_path / "album"
    for name in ("1999/a.jpg", "1999/summer/b.jpg", "c.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(hopper, folder / name)
    for name in ("1999/d.png", "2001/e.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(astronaut, folder / name)
    (folder / ".hidden").mkdir()
    shutil.copy(hopper, folder / ".hidden" / "h.jpg")
    (folder / "notes.txt").write_text("no photo")
    with Image.open(astronaut) as image:
        image.convert("RGB").filter(ImageFilter.GaussianBlur(6)).save(folder / "blurred.png")
    return folder


def names(found: ArchiveClustering) -> list[list[str]]:
    return [sorted(Path(source).name for source in group.sources) for group in found.groups]


def test_faces_of_one_person_come_together_the_largest_group_first(
    album: Path, embedder: Embedder, detector: Detector
) -> None:
    found = cluster_images(album, embedder=embedder, detector=detector, progress=False)
    assert names(found) == [["a.jpg", "b.jpg", "c.jpg"], ["d.png", "e.png"]]
    assert found.images == 6
    assert found.weights == embedder.record.identity
    assert found.threshold == pytest.approx(0.95e-3)
    (poor,) = found.poor
    assert Path(poor.source).name == "blurred.png"
    assert poor.quality is not None
    assert poor.quality.problems[0].startswith("blurred: ")
    group = found.groups[0]
    assert group.embeddings.shape == (3, 64)
    assert np.linalg.norm(group.embeddings, axis=1) == pytest.approx(1.0, abs=1e-4)
    assert group.representative == group.faces[0]


def test_without_a_gate_poor_faces_are_grouped_as_well(
    album: Path, embedder: Embedder, detector: Detector
) -> None:
    found = cluster_images(
        album, embedder=embedder, detector=detector, quality=None, min_faces=1, progress=False
    )
    assert found.poor == ()
    assert sum(map(len, found.groups)) == 6
    assert all(face.quality is None for group in found.groups for face in group.faces)


def test_faces_beyond_one_batch_are_all_there(
    hopper: Path, embedder: Embedder, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekit.pipeline._FACES_TOGETHER", 2)
    images = (path for path in [hopper] * 5)
    found = cluster_images(images, embedder=embedder, detector=detector, progress=False)
    assert list(map(len, found.groups)) == [5]


def test_images_that_cannot_be_read_are_reported_and_the_rest_goes_on(
    tmp_path: Path, hopper: Path, embedder: Embedder, detector: Detector
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    images = [hopper, tmp_path / "broken.jpg", load_image(hopper)]
    found = cluster_images(images, embedder=embedder, detector=detector, progress=False)
    assert found.images == 2
    assert list(map(len, found.groups)) == [2]
    (error,) = found.errors
    assert "broken.jpg" in str(error)


def test_images_without_faces_give_no_groups(embedder: Embedder, detector: Detector) -> None:
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    found = cluster_images([black], embedder=embedder, detector=detector, progress=False)
    assert (found.images, found.groups, found.ungrouped, found.poor) == (1, (), (), ())


def test_arguments_are_checked_before_the_images_are_read(embedder: Embedder) -> None:
    with pytest.raises(InvalidArgumentError, match="min_faces"):
        cluster_images("nowhere", embedder=embedder, min_faces=0)


def test_the_cuts_of_a_group_can_be_enrolled(
    album: Path, tmp_path: Path, embedder: Embedder, detector: Detector
) -> None:
    found = cluster_images(album, embedder=embedder, detector=detector, progress=False)
    output = tmp_path / "output"
    write_groups(found, output)
    for number, group in enumerate(found.groups, start=1):
        cuts = sorted((output / "people" / f"group-{number:03}").iterdir())
        assert len(cuts) == len(group)
        for cut, face in zip(cuts, group.faces, strict=True):
            assert Path(face.source).stem in cut.name
            (again,) = detector.detect(cut)
            assert again.area == pytest.approx(face.face.area, rel=0.25)
        sheet = load_image(output / "sheets" / f"group-{number:03}.png")
        assert sheet.shape[1] > 120 * len(group)
    listed = json.loads((output / "groups.json").read_text(encoding="utf-8"))
    assert listed == found.to_dict()


def test_groups_are_not_written_over_others(
    album: Path, tmp_path: Path, embedder: Embedder, detector: Detector
) -> None:
    found = cluster_images(album, embedder=embedder, detector=detector, progress=False)
    (tmp_path / "output" / "people" / "Grace").mkdir(parents=True)
    with pytest.raises(InvalidArgumentError, match="already holds groups"):
        write_groups(found, tmp_path / "output")
    assert [path.name for path in (tmp_path / "output").rglob("*")] == ["people", "Grace"]


def test_a_large_group_is_shown_in_part(
    hopper: Path,
    tmp_path: Path,
    embedder: Embedder,
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = cluster_images([hopper] * 4, embedder=embedder, detector=detector, progress=False)
    write_groups(found, tmp_path / "all")
    monkeypatch.setattr("facekit.clustering.export._MOST_TILES", 2)
    write_groups(found, tmp_path / "part")
    widths = [load_image(tmp_path / n / "sheets/group-001.png").shape[1] for n in ("all", "part")]
    assert widths[1] < widths[0]
    assert len(list((tmp_path / "part/people/group-001").iterdir())) == 4


@pytest.fixture
def weights(tmp_path: Path, embedder: Embedder) -> str:
    embedder.save(tmp_path / "small.safetensors")
    return str(tmp_path / "small.safetensors")


def test_the_command_prints_and_writes_the_groups(
    album: Path, tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "output"
    command = ["cluster", str(album), "--weights", weights, "--output", str(output)]
    assert main(command) == DONE
    printed = capsys.readouterr().out
    assert "6 photos: 2 groups of 5 faces, 0 not grouped, 1 of poor quality" in printed
    assert "group-001: 3 faces, such as" in printed
    assert f"facekit fit {output / 'people'} GALLERY" in printed
    assert main(command) == FAILED
    assert "already holds groups" in capsys.readouterr().err
    assert main(["fit", str(output / "people"), str(tmp_path / "model"),
                 "--weights", weights]) == DONE  # fmt: skip
    assert "2 photos of 2 people enrolled\n3 photos already enrolled" in capsys.readouterr().out


def test_the_command_prints_json_and_reports_what_it_could_not_read(
    album: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "broken.jpg").write_bytes(b"nothing")
    options = ["--weights", weights, "--json", "--any-quality", "--min-faces", "3"]
    assert main(["cluster", str(album), str(album / "c.jpg"), *options]) == FAILED
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert "broken.jpg" in printed.err
    assert [len(group["faces"]) for group in answer["groups"]] == [3]
    assert len(answer["ungrouped"]) == 3
    assert answer["groups"][0]["faces"][0]["box"]


def test_celebrities_are_told_apart(data_folder: Path, detector: Detector) -> None:
    images = sorted((data_folder / "five_celebrities" / "val").glob("*/*"))
    found = cluster_images(
        images, embedder=Embedder(), detector=detector, quality=QualityGate(), progress=False
    )
    assert len(found.groups) >= 4
    for group in found.groups:
        assert len({Path(source).parent.name for source in group.sources}) == 1
