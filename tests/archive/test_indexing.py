"""Every image becomes one row, once, whatever is broken, changed, moved or killed meanwhile."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from facekit import (
    Detector,
    Embedder,
    Face,
    FileFormatError,
    ImageError,
    InvalidArgumentError,
    Keypoints,
)
from facekit.archive import index_archive
from facekit.archive.indexing import ImageIndexer
from facekit.archive.rows import vectors_of
from facekit.archive.table import ArchiveTable
from facekit.errors import ArchiveError
from facekit.io.folders import list_images
from facekit.io.tables import utf8
from tests.forging import forgeries

POINTS = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))


class FixedDetector:
    """Finds as many faces as the image is bright, and counts what it is given."""

    def __init__(self) -> None:
        self.images = 0

    def detect_batch(self, images: Any) -> list[list[Face]]:
        self.images += len(images)
        return [
            [Face((10.5, 20.0, 80.0, 90.0), 0.9, POINTS)] * int(image.mean() // 100)
            for image in images
        ]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Seven images, one of them broken, in two folders."""
    folder = tmp_path / "album"
    (folder / "2024").mkdir(parents=True)
    for number, level in enumerate((0, 150, 250)):
        Image.new("RGB", (120, 100), (level,) * 3).save(folder / f"{number}.png")
        Image.new("RGB", (110, 130), (level,) * 3).save(folder / "2024" / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.iterdir() if path.name != ".lock")
    return {path.name: path.read_bytes() for path in files}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    table = ArchiveTable(folder)
    table.check()
    columns = [name for name in table.schema.names if name != "modified"]
    return table.dataset().to_table(columns=columns).sort_by("path").to_pylist()


def index(source: Any, output: Path, embedder: Embedder, **options: Any) -> tuple[int, int]:
    """Returns how many images were indexed, and how many the detector saw."""
    detector = FixedDetector()
    settings = {"detector": detector, "embedder": embedder, "partition_size": 3, **options}
    return index_archive(source, output, **settings).indexed, detector.images


def test_every_image_has_one_row_with_its_faces_or_its_error(
    album: Path, tmp_path: Path, embedder: Embedder
) -> None:
    report = index_archive(album, tmp_path / "table", detector=FixedDetector(), embedder=embedder)
    assert (report.images, report.indexed, report.errors, report.faces) == (7, 7, 1, 6)
    rows = rows_of(tmp_path / "table")
    assert [row["path"] for row in rows] == sorted(map(str, album.glob("**/*.*")))
    by_name = {Path(row["path"]).relative_to(album).as_posix(): row for row in rows}
    assert [len(by_name[f"2024/{n}.png"]["faces"]) for n in range(3)] == [0, 1, 2]
    broken = by_name["broken.jpg"]
    assert "broken.jpg" in broken["error"]
    assert (broken["width"], broken["faces"], len(broken["sha256"])) == (None, [], 64)
    whole = by_name["2024/2.png"]
    assert (whole["width"], whole["height"], whole["error"]) == (110, 130, None)
    assert whole["bytes"] == (album / "2024" / "2.png").stat().st_size
    assert whole["weights"] == embedder.record.identity
    face = whole["faces"][0]
    assert face["box"] == {"x": 10.5, "y": 20.0, "width": 80.0, "height": 90.0}
    assert face["keypoints"]["nose"] == {"x": 50.0, "y": 60.0}
    assert face["quality"]["problems"]


def test_embeddings_and_measures_are_those_of_the_pipeline(
    hopper: Path, tmp_path: Path, embedder: Embedder, detector: Detector
) -> None:
    from facekit import FacePipeline, QualityGate

    pipeline = FacePipeline(detector, embedder, quality=QualityGate())
    (image,) = pipeline.run([hopper], digests=True)
    for half, tolerance in ((True, 1e-3), (False, 1e-6)):
        folder = tmp_path / f"half-{half}"
        index_archive([hopper], folder, detector=detector, embedder=embedder, half=half)
        table = ArchiveTable(folder)
        faces = table.dataset().to_table()["faces"].combine_chunks().flatten()
        np.testing.assert_allclose(vectors_of(faces)[0], image.faces[0].unit, atol=tolerance)
        assert faces[0].as_py()["quality"]["yaw"] == pytest.approx(image.faces[0].quality.yaw)
        assert rows_of(folder)[0]["sha256"] == image.sha256


def test_a_second_run_writes_nothing(album: Path, tmp_path: Path, embedder: Embedder) -> None:
    assert index(album, tmp_path / "table", embedder) == (7, 6)
    before = content(tmp_path / "table")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "table").iterdir()}
    for options in ({}, {"changed": "content"}, {"prune": True}):
        assert index(album, tmp_path / "table", embedder, **options) == (0, 0)
    assert content(tmp_path / "table") == before
    assert all(path.stat().st_mtime_ns == times[path] for path in times if path.name != ".lock")


def test_what_is_new_or_changed_is_indexed_and_nothing_else(
    album: Path, tmp_path: Path, embedder: Embedder
) -> None:
    index(album, tmp_path / "table", embedder)
    shutil.copy(album / "1.png", album / "new.png")
    shutil.copy(album / "2.png", album / "0.png")
    (album / "2024" / "1.png").unlink()
    assert index(album, tmp_path / "table", embedder) == (2, 2)
    rows = {
        Path(row["path"]).name: row
        for row in rows_of(tmp_path / "table")
        if "2024" not in row["path"]
    }
    assert len(rows["0.png"]["faces"]) == 2
    assert len(rows["new.png"]["faces"]) == 1
    assert len(rows_of(tmp_path / "table")) == 8
    assert index(album, tmp_path / "table", embedder, prune=True) == (0, 0)
    fresh = tmp_path / "fresh"
    index(album, fresh, embedder)
    assert rows_of(tmp_path / "table") == rows_of(fresh)


def test_the_content_decides_if_it_is_asked(
    album: Path, tmp_path: Path, embedder: Embedder
) -> None:
    index(album, tmp_path / "table", embedder)
    for path in album.glob("**/*.png"):
        os.utime(path, ns=(1, 1))
    stat = (album / "1.png").stat()
    # The same size and time: only the content tells.
    (album / "1.png").write_bytes(bytes(stat.st_size))
    os.utime(album / "1.png", ns=(1, 1))
    assert index(album, tmp_path / "table", embedder, changed="content") == (1, 0)
    assert sum(row["error"] is not None for row in rows_of(tmp_path / "table")) == 2


def test_errors_can_be_tried_again(album: Path, tmp_path: Path, embedder: Embedder) -> None:
    assert index(album, tmp_path / "table", embedder) == (7, 6)
    assert index(album, tmp_path / "table", embedder, retry_errors=True) == (1, 0)


@pytest.mark.parametrize("source", ["folder", "files", "address", "memory"])
def test_sources_of_all_kinds(source: str, album: Path, tmp_path: Path, embedder: Embedder) -> None:
    pngs = sorted(album.glob("**/*.png"))
    (album / "broken.jpg").unlink()
    given: Any = {"folder": album, "files": [*pngs, *pngs[:2]], "address": album.as_uri()}.get(
        source
    )
    if source == "memory":
        fsspec = pytest.importorskip("fsspec")
        system = fsspec.filesystem("memory")
        system.put(str(album), "/album", recursive=True)
        given = "memory://album"
    assert index(given, tmp_path / "table", embedder) == (6, 6)
    assert index(given, tmp_path / "table", embedder) == (0, 0)
    assert sorted(len(row["faces"]) for row in rows_of(tmp_path / "table")) == [0, 0, 1, 1, 2, 2]


def test_an_object_store_gives_names_with_spaces_and_the_options_of_its_address(
    album: Path, tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto = pytest.importorskip("moto.server", reason="moto, a stand-in for S3, is not installed")
    boto3 = pytest.importorskip("boto3")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "none")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    try:
        store = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        store.create_bucket(Bucket="bucket")
        for number, png in enumerate(sorted(album.glob("**/*.png"))):
            store.upload_file(str(png), "bucket", f"my photos/é 100% #{number}?.png")
        options = f"scheme=http&endpoint_override={host}:{port}&region=us-east-1"
        address = f"s3://bucket/my photos?{options}"
        assert index(address, tmp_path / "table", embedder) == (6, 6)
        assert index(address, tmp_path / "table", embedder) == (0, 0)
        paths = sorted(row["path"] for row in rows_of(tmp_path / "table"))
        assert paths[0] == "s3://bucket/my photos/é 100% #0?.png"
        with pytest.raises(ImageError, match="does not exist"):
            index(f"s3://bucket/none?{options}", tmp_path / "other", embedder)
    finally:
        server.stop()
    with pytest.raises(ImageError, match="cannot be listed"):
        index(address, tmp_path / "other", embedder)


def test_a_file_that_is_not_there_has_a_row(tmp_path: Path, embedder: Embedder) -> None:
    missing = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert index(missing, tmp_path / "table", embedder) == (2, 0)
    assert index(missing, tmp_path / "table", embedder) == (0, 0)
    assert all("no such file" in row["error"] for row in rows_of(tmp_path / "table"))


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
def test_names_that_are_not_utf8_are_read(tmp_path: Path, embedder: Embedder) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Image.new("RGB", (120, 100), "white").save(os.fsdecode(path), "PNG")
    assert index([os.fsdecode(path)], tmp_path / "table", embedder) == (1, 1)
    (row,) = rows_of(tmp_path / "table")
    assert row["path"].endswith(r"caf\xe9.png")
    assert row["error"] is None
    assert utf8("plain é") == "plain é"


def test_the_time_of_the_image_is_its_exif_time(tmp_path: Path, embedder: Embedder) -> None:
    for name, time in (("a.jpg", "2024:05:06 07:08:09"), ("b.jpg", "soon"), ("c.jpg", None)):
        exif = Image.Exif()
        if time is not None:
            exif.get_ifd(0x8769)[0x9003] = time
        Image.new("RGB", (120, 100)).save(tmp_path / name, exif=exif)
    index([tmp_path / name for name in ("a.jpg", "b.jpg", "c.jpg")], tmp_path / "table", embedder)
    taken = [row["taken"] for row in rows_of(tmp_path / "table")]
    assert taken == [datetime(2024, 5, 6, 7, 8, 9), None, None]


def test_other_settings_are_refused(album: Path, tmp_path: Path, embedder: Embedder) -> None:
    index(album, tmp_path / "table", embedder)
    for name, options in (
        ("embedding", {"half": False}),
        ("quality", {"quality": None}),
        ("detector", {"detector": "yunet"}),
        ("max_pixels", {"max_pixels": 10}),
    ):
        with pytest.raises(InvalidArgumentError, match=name):
            index(album, tmp_path / "table", embedder, **options)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(InvalidArgumentError, match=r"notes\.txt"):
        index(album, tmp_path / "other", embedder)


@pytest.mark.parametrize(
    ("source", "error"),
    [("no_such_folder/", ImageError), (b"bytes", InvalidArgumentError), (3, InvalidArgumentError),
     ([b"bytes"], InvalidArgumentError), ("nothing://x/y", InvalidArgumentError)],
)  # fmt: skip
def test_bad_sources_are_refused(
    source: Any, error: Any, tmp_path: Path, embedder: Embedder
) -> None:
    with pytest.raises(error):
        index(source, tmp_path / "table", embedder)


def test_an_empty_folder_and_bad_options_are_refused(tmp_path: Path, embedder: Embedder) -> None:
    with pytest.raises(ImageError):
        index(tmp_path, tmp_path.parent / "nothing", embedder)
    wrong = {"engine": "spark", "changed": "x", "partition_size": 0, "prune": 1, "workers": 0}
    for name, value in wrong.items():
        with pytest.raises(InvalidArgumentError, match=name):
            index([tmp_path / "a.jpg"], tmp_path / "table", embedder, **{name: value})


def test_a_damaged_table_is_said_to_be(album: Path, tmp_path: Path, embedder: Embedder) -> None:
    with pytest.raises(FileFormatError, match="no archive table"):
        ArchiveTable(tmp_path)
    index(album, tmp_path / "table", embedder)
    table = ArchiveTable(tmp_path / "table")
    first, second, _ = table.partitions
    kept = first.read_bytes()
    for damaged in (b"", kept[:-10], b"x" * 100):
        first.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=first.name):
            table.check()
    first.write_bytes(kept)
    second.unlink()
    with pytest.raises(FileFormatError, match=second.name):
        table.check()
    assert index(album, tmp_path / "table", embedder)[0] in (1, 3)  # what is missing is made
    ArchiveTable(tmp_path / "table").check()
    manifest = tmp_path / "table" / "_manifest"
    listed = pq.read_table(manifest)
    settings = {**table.settings, "version": 1}
    for forged in ([], "x", None, *forgeries(settings, "embedding", "embedding_size", "version")):
        text = {b"facekit": json.dumps(forged).encode()}
        pq.write_table(listed.replace_schema_metadata(text), manifest)
        with contextlib.suppress(FileFormatError):
            ArchiveTable(tmp_path / "table").dataset()
    pq.write_table(listed.replace_schema_metadata(None), manifest)
    with pytest.raises(FileFormatError, match="index the images again into another folder"):
        ArchiveTable(tmp_path / "table")
    manifest.write_bytes(b"PAR1")
    with pytest.raises(FileFormatError, match=r"_manifest.*index the images again into another"):
        ArchiveTable(tmp_path / "table")


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is locked there")
def test_of_two_processes_one_creates_the_table(tmp_path: Path, embedder: Embedder) -> None:
    """The other would put its own settings beside rows that were made with those of the first."""
    import fcntl

    folder = tmp_path / "table"
    folder.mkdir()
    settings = {"weights": "example@1", "embedding_size": 2, "embedding": "float32"}
    with (folder / ".lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ArchiveError, match="another process is writing"):
            ArchiveTable.create(folder, settings)
        assert [path.name for path in folder.iterdir()] == [".lock"]
    assert ArchiveTable.create(folder, settings).weights == "example@1"


def test_a_row_that_two_processes_wrote_is_one_again(
    album: Path, tmp_path: Path, embedder: Embedder
) -> None:
    index(album, tmp_path / "table", embedder)
    expected = rows_of(tmp_path / "table")
    table = ArchiveTable(tmp_path / "table")
    twice = table.read(table.partitions[0]).slice(0, 2)
    pq.write_table(twice, tmp_path / "table" / "part-zz.parquet")
    with pytest.raises(FileFormatError, match="two rows"):
        table.check()
    index(album, tmp_path / "table", embedder)
    assert rows_of(tmp_path / "table") == expected


@pytest.mark.skipif(os.name != "posix", reason="needs flock")
def test_two_runs_do_not_write_at_once(album: Path, tmp_path: Path, embedder: Embedder) -> None:
    started, go = threading.Event(), threading.Event()

    class Waiting(FixedDetector):
        def detect_batch(self, images: Any) -> list[list[Face]]:
            started.set()
            go.wait(60)
            return super().detect_batch(images)

    options = {"embedder": embedder, "progress": False}
    waiting = Waiting()
    waiting.__class__.__name__ = FixedDetector.__name__
    waiting.__class__.__qualname__ = FixedDetector.__qualname__
    first = threading.Thread(
        target=index_archive, args=(album, tmp_path / "table"),
        kwargs={"detector": waiting, **options},
    )  # fmt: skip
    first.start()
    try:
        assert started.wait(60)
        with pytest.raises(ArchiveError, match="another process"):
            index(album, tmp_path / "table", embedder)
    finally:
        go.set()
        first.join()
    assert len(rows_of(tmp_path / "table")) == 7


def test_the_callable_pickles_and_knows_no_engine(hopper: Path, embedder: Embedder) -> None:
    indexer = ImageIndexer(Detector(), embedder, threads=1)
    files = pa.table(
        {
            "path": ["one", "two"],
            "location": [os.fsencode(hopper), b"/no/such/file"],
            "bytes": pa.array([1, None], pa.int64()),
            "modified": pa.array([0, None], pa.timestamp("ns", "UTC")),
        }
    )
    rows = indexer(files)
    assert rows.schema == indexer.schema
    assert pickle.loads(pickle.dumps(indexer))(files).equals(rows)
    assert copy.deepcopy(indexer)(files).equals(rows)
    assert indexer(files, {"one": rows["sha256"][0].as_py()})["path"].to_pylist() == ["two"]


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small images of which two are broken."""
    folder = tmp_path_factory.mktemp("portraits")
    random = np.random.default_rng(0)
    for number in range(4):
        pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    for number in (4, 5):
        (folder / f"{number}.jpg").write_bytes(b"no image")
    return folder


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_loses_one_partition_at_most(portraits: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_index.py")
    whole = tmp_path / "whole"
    index_archive(portraits, whole, partition_size=2)
    # The manifest is written first, then three partitions, then the manifest again.
    for place in (1, 3, 5):
        folder = tmp_path / f"killed-{place}"
        process = subprocess.Popen(
            [sys.executable, str(script), str(portraits), str(folder), str(place)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.kill()
        process.wait()
        process.stdout.close()
        done = len(list(folder.glob("part-*.parquet")))
        assert done == min(max(place - 2, 0), 3)
        assert index_archive(portraits, folder, partition_size=2).indexed == 6 - 2 * done
        assert content(folder) == content(whole)


@pytest.mark.parametrize("seconds", [-(10**10), 2**32, 10**10])
def test_a_file_of_an_odd_time_is_indexed_like_the_others(
    album: Path, tmp_path: Path, embedder: Embedder, seconds: int
) -> None:
    image = sorted(album.rglob("*.png"))[0]
    try:
        os.utime(image, (seconds, seconds))
    except (OSError, OverflowError):
        pytest.skip("the file system has no such time")
    detector, table = FixedDetector(), tmp_path / "faces.parquet"
    first = index_archive(album, table, detector=detector, embedder=embedder)
    again = index_archive(album, table, detector=detector, embedder=embedder)
    assert (first.unchanged, again.unchanged) == (0, first.images)


def test_several_folders_are_searched(album: Path, tmp_path: Path, embedder: Embedder) -> None:
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy(next(album.glob("*.jpg")), more / "late.jpg")
    index([album, more, more / "late.jpg"], tmp_path / "faces", embedder)
    paths = [Path(row["path"]) for row in rows_of(tmp_path / "faces")]
    assert paths.count(more / "late.jpg") == 1
    assert set(list_images(album, recursive=True).images) < set(paths)


def test_a_folder_that_is_not_there_costs_no_rows(
    album: Path, tmp_path: Path, embedder: Embedder
) -> None:
    index(album, tmp_path / "faces", embedder)
    before = content(tmp_path / "faces")
    with pytest.raises(ImageError, match="unmounted: no such folder or file"):
        index(tmp_path / "unmounted", tmp_path / "faces", embedder, prune=True)
    assert content(tmp_path / "faces") == before


def test_images_below_a_folder_that_cannot_be_read_are_not_pruned(
    album: Path, tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("locked", "locked too"):
        (album / name).mkdir()
        shutil.copy(next(album.glob("*.jpg")), album / name / "a.jpg")
    index(album, tmp_path / "faces", embedder)
    shutil.rmtree(album / "locked too")

    def locked(path: Path) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    scan = os.scandir
    monkeypatch.setattr(os, "scandir", locked)
    index(album, tmp_path / "faces", embedder, prune=True)
    paths = {row["path"] for row in rows_of(tmp_path / "faces")}
    assert str(album / "locked" / "a.jpg") in paths
    assert str(album / "locked too" / "a.jpg") not in paths
