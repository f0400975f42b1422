"""The same on Ray as on one machine, whatever is killed: a worker, the driver, a whole machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from facekit import FaceRecognizer
from facekit.archive import cluster_archive, identify_archive, index_archive
from facekit.archive.table import ArchiveTable
from facekit.errors import ArchiveError

ray = pytest.importorskip("ray", reason="the extra ray is missing")
pytestmark = [pytest.mark.check, pytest.mark.timeout(280)]
SCRIPT = Path(__file__).with_name("index_on_ray.py")


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, hopper: Path) -> Path:
    """Thirty copies of a portrait and two broken files: eleven partitions of three."""
    folder = tmp_path_factory.mktemp("ray") / "photos"
    folder.mkdir()
    for number in range(30):
        shutil.copy2(hopper, folder / f"{number:02}.jpg")
    for number in range(2):
        (folder / f"broken-{number}.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def expected(images: Path) -> dict[str, bytes]:
    index_archive(images, images.parent / "local", partition_size=3)
    return content(images.parent / "local")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@contextmanager
def driver(images: Path, table: Path, *address: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, str(SCRIPT), str(images), str(table), *address]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(words, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def partitions(table: Path) -> int:
    return len(list(table.glob("part-*.parquet")))


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    found = []
    for one in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may have ended meanwhile
            if "MapWorker" in " ".join(one.cmdline()):
                found.append(one)
    return found


def test_a_killed_worker_changes_nothing(
    images: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    with driver(images, tmp_path / "t") as process:
        wait_for(lambda: partitions(tmp_path / "t") >= 2)
        workers_of(process)[0].kill()
        assert process.wait(200) == 0
    assert content(tmp_path / "t") == expected


def test_a_killed_driver_goes_on_when_it_is_started_again(
    images: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    with driver(images, tmp_path / "t") as process:
        wait_for(lambda: partitions(tmp_path / "t") >= 2)
        process.kill()
        process.wait()
    time.sleep(3)  # its workers end, too
    done = partitions(tmp_path / "t")
    assert 2 <= done < 11
    report = index_archive(images, tmp_path / "t", partition_size=3)
    assert report.unchanged >= 3 * done - 1
    assert content(tmp_path / "t") == expected


def test_a_killed_machine_changes_nothing(
    images: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3})
    try:
        second = cluster.add_node(num_cpus=1)
        with driver(images, tmp_path / "t", cluster.address) as process:
            wait_for(lambda: partitions(tmp_path / "t") >= 2)
            second.kill_raylet()
            assert process.wait(200) == 0
    finally:
        cluster.shutdown()
    assert content(tmp_path / "t") == expected


def test_a_cluster_of_the_caller_is_used_and_left(
    images: Path, hopper: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with pytest.raises(ArchiveError, match="2 workers need 3"):
            index_archive(images, tmp_path / "t", engine="ray", workers=2)
        index_archive(images, tmp_path / "t", engine="ray", workers=1, partition_size=3)
        assert content(tmp_path / "t") == expected
        table = ArchiveTable(tmp_path / "t")
        gallery = FaceRecognizer().fit({"Grace": hopper}).gallery
        on_ray, local = (
            identify_archive(table, gallery, engine=engine, workers=1).read_all()
            for engine in ("ray", "local")
        )
        assert on_ray.equals(local)
        assert set(local["name"].to_pylist()) == {"Grace"}
        groups = [
            cluster_archive(table, engine=engine, workers=1, shard_size=8)
            for engine in ("ray", "local")
        ]
        assert groups[0].equals(groups[1])
        assert ray.is_initialized()
    finally:
        ray.shutdown()
