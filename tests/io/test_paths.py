"""A path that no system takes is an error of facekit wherever a path is given."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit import Embedder, FacekitError, FaceRecognizer, Gallery, cluster_images, load_image
from facekit.clustering.albums import ArchiveClustering
from facekit.clustering.export import write_groups
from facekit.clustering.journal import FaceJournal
from facekit.gallery import repair
from facekit.io.folders import list_images
from facekit.io.tables import write_table
from facekit.io.xmp import read_regions
from facekit.training import FaceDataset, OnnxTeacher, StoredTeacher
from facekit.training.data.face_cache import FaceCache
from facekit.training.engine.history import History
from facekit.visualization import save_image


def recognizer_of_one() -> FaceRecognizer:
    made = FaceRecognizer("facekit-small")
    made.gallery.enroll("Ada", np.eye(1, 128), ["y" * 5000])
    return made


GIVEN: dict[str, Callable[[str, Path], Any]] = {
    "load_image": lambda path, _: load_image(path),
    "list_images": lambda path, _: list_images(path),
    "read_regions": lambda path, _: read_regions(path),
    "fit": lambda path, _: FaceRecognizer().fit(path),
    "enroll": lambda path, _: FaceRecognizer().enroll("Ada", path),
    "weights": lambda path, _: Embedder(f"{path}/a.safetensors"),
    "save": lambda path, _: recognizer_of_one().save(path),
    "copy": lambda path, _: recognizer_of_one().gallery.copy(path, overwrite=True),
    "calibrate": lambda path, _: recognizer_of_one().calibrate(path),
    "recognizer": lambda path, _: FaceRecognizer(gallery=path),
    "load": lambda path, _: FaceRecognizer.load(path),
    "video": lambda path, _: FaceRecognizer().recognize_video(path),
    "cluster": lambda path, _: cluster_images(
        path, embedder=Embedder("facekit-small"), threshold=1.0
    ),
    "embedder": lambda path, _: Embedder("facekit-small").save(f"{path}.safetensors"),
    "onnx": lambda path, _: Embedder("facekit-small").export_onnx(f"{path}.onnx"),
    "gallery": lambda path, _: Gallery.open(path),
    "new gallery": lambda path, _: Gallery.create(path, "example@1", 2),
    "repair": lambda path, folder: repair(Gallery.create(folder / "g", "a@1", 2).path, path),  # type: ignore[arg-type]
    "table": lambda path, _: write_table([], f"{path}.csv"),
    "picture": lambda path, _: save_image(f"{path}.png", np.zeros((9, 9, 3), np.uint8)),
    "groups": lambda path, _: write_groups(ArchiveClustering((), (), (), 0, (), 1.0, "a@1"), path),
    "journal": lambda path, _: FaceJournal(Path(path), {}),
    "cache": lambda path, _: FaceCache(Path(path), size=80, settings={}),
    "folder of faces": lambda path, _: FaceDataset.from_folder(path, input_size=80),
    "table of faces": lambda path, _: FaceDataset.from_csv(path, input_size=80),
    "archives of faces": lambda path, _: FaceDataset.from_archives(path, input_size=80),
    "history": lambda path, _: History([{"epoch": 1.0}]).to_csv(path),
    "embeddings": lambda path, _: StoredTeacher.from_npz(path),
    "teacher": lambda path, _: OnnxTeacher(path),
}
WITH_ARROW: dict[str, Callable[[Any, str, Path], Any]] = {
    "index": lambda archive, path, folder: archive.index_archive([folder], path, progress=False),
    "an archive's table": lambda archive, path, _: archive.table.ArchiveTable(path),
    "names": lambda archive, path, _: archive.write_results(
        importlib.import_module("pyarrow").table({"a": [1]}), f"{path}.csv"
    ),
}


IMPOSSIBLE = pytest.mark.parametrize("path", ["a\0b", "x" * 5000, f"no/{'y' * 300}"])


@IMPOSSIBLE
@pytest.mark.parametrize("name", GIVEN)
def test_an_impossible_path_is_our_error(name: str, path: str, tmp_path: Path) -> None:
    with pytest.raises(FacekitError):
        GIVEN[name](path, tmp_path)


@IMPOSSIBLE
@pytest.mark.parametrize("name", WITH_ARROW)
def test_an_impossible_path_of_a_table_is_our_error(name: str, path: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    importlib.import_module("facekit.archive.table")
    with pytest.raises(FacekitError):
        WITH_ARROW[name](importlib.import_module("facekit.archive"), path, tmp_path)
