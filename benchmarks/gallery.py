"""Measures a gallery of very many people: building, opening, searching and enrolling.

    python benchmarks/gallery.py --people 1000000 --size 128

enrolls random unit vectors, one a person, in a gallery in a temporary folder. The probes are
near-duplicates of some of them, at distance 0.5, 0.8 and 1.0. Exact answers come from a
comparison with every vector.

``--peers faiss.IndexFlatIP hnswlib usearch`` instead searches the same vectors, one probe after the
other on one thread, with facekit's index and these. They take turns, and the time is the
processor's, which other programs change little. To build the graph of a million takes long.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from results import add_record, record_if_asked

from facekit import Gallery
from facekit.gallery.index import ExactIndex, FaissIndex, faiss_is_installed

PROBES, AT_A_TIME = 300, 50_000
DISTANCES = (0.5, 0.8, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=128, help="the components of an embedding")
    parser.add_argument("--folder", type=Path, help="where to make the file; default: temporary")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS)[1:], help="beside these")
    add_record(parser)
    parser.add_argument("--opened", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.opened is not None:
        print(json.dumps(_use(options.opened, options.people, options.size)))
        return
    print(
        f"{options.people:,} people, {options.size} components, FAISS "
        f"{'installed' if faiss_is_installed() else 'missing'}"
    )
    if options.peers:
        rows = _beside_peers(options.people, options.size, options.peers)
        record_if_asked(options, f"{options.people} of {options.size}", {"rows": rows})
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "people.facekit"
        figures = _build(path, options.people, options.size)
        # In a process of its own, whose memory is that of a program that only uses a gallery.
        command = [sys.executable, __file__, "--opened", str(path)]
        numbers = ["--people", str(options.people), "--size", str(options.size)]
        used = subprocess.run([*command, *numbers], check=True, stdout=subprocess.PIPE, text=True)
    figures |= json.loads(used.stdout)
    for name, value in figures.items():
        print(f"{name}: {value:.4g}")
    record_if_asked(options, f"gallery of {options.people} of {options.size}", figures)


def _build(path: Path, people: int, size: int) -> dict[str, float]:
    random = np.random.default_rng(0)
    building, used = 0.0, time.process_time()
    with Gallery.create(path, "random@1", size) as gallery:
        for start in range(0, people, AT_A_TIME):
            vectors = _unit(random, min(AT_A_TIME, people - start), size)
            names = [f"person {number}" for number in range(start, start + len(vectors))]
            began = time.perf_counter()
            gallery.extend(names, vectors, names)
            building += time.perf_counter() - began
    used = time.process_time() - used
    disk = path.stat().st_size / 1e9
    return {"build s": building, "build processor s": used, "disk GB": disk}


def _use(path: Path, people: int, size: int) -> dict[str, float]:
    random = np.random.default_rng(1)
    figures: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        used = time.process_time()
        figures[f"{name} s"], answer = _timed(work)
        figures[f"{name} processor s"] = time.process_time() - used
        return answer

    def median_ms(name: str, works: list[Callable[[], Any]]) -> None:
        used = time.process_time()
        figures[f"{name} ms"] = float(np.median([_timed(work)[0] for work in works]) * 1e3)
        figures[f"{name} processor ms"] = (time.process_time() - used) / len(works) * 1e3

    gallery = timed("open", lambda: Gallery.open(path, weights="random@1"))
    enrolled = timed("read and check", gallery.enrolled)
    rows = random.choice(people, PROBES, replace=False)
    probes = _near(random, np.asarray(enrolled.embeddings[rows]))
    timed("first search", lambda: gallery.search(probes[:1], 1))

    def searches(faces: np.ndarray) -> list[Callable[[], Any]]:
        return [lambda at=at: gallery.search(faces[at : at + 1], 1) for at in range(len(faces))]

    median_ms("search", searches(probes[:50]))
    batch, _ = _timed(lambda: gallery.search(probes[:256], 1))
    figures["search of 256 ms a face"] = batch / 256 * 1e3
    found = enrolled.search(probes, 1).rows[:, 0]
    exact = ExactIndex(enrolled.embeddings).search(probes, 1).rows[:, 0]
    for index, distance in enumerate(DISTANCES):
        part = slice(index, None, len(DISTANCES))
        figures[f"recall {distance}"] = float((found == rows)[part].mean())
        figures[f"recall {distance} of the exact search"] = float((exact == rows)[part].mean())
    new = _unit(random, 40, size)
    median_ms(
        "enroll",
        [
            lambda at=at: gallery.enroll(f"new {at}", new[at : at + 1], ["new.jpg"])
            for at in range(40)
        ],
    )
    median_ms("search after enrolling", searches(new[:20]))
    median_ms("remove", [lambda at=at: gallery.remove(f"new {at}") for at in range(20)])
    tracemalloc.start()
    gallery.remove("new 20")
    figures["memory of a removal MB"] = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    figures["most memory GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    gallery.close()
    return figures


def _beside_peers(people: int, size: int, peers: list[str]) -> dict[str, dict[str, float]]:
    random = np.random.default_rng(0)
    vectors = _unit(random, people, size)
    rows = random.choice(people, PROBES, replace=False)
    probes = _near(random, vectors[rows])
    indexes = {}
    for name in ["facekit", *peers]:
        began = time.process_time()
        search = PEERS[name](vectors)
        indexes[name] = (search, time.process_time() - began)
    times: dict[str, list[float]] = {name: [] for name in indexes}
    found: dict[str, list[int]] = {name: [] for name in indexes}
    for at in range(len(probes)):
        for name, (search, _) in indexes.items():
            began = time.thread_time()
            found[name].append(search(probes[at : at + 1]))
            times[name].append(time.thread_time() - began)
    own = statistics.median(times["facekit"])
    table = {}
    for name, (_, building) in indexes.items():
        right = np.array(found[name]) == rows
        table[name] = {
            "build": building / indexes["facekit"][1],
            "search": statistics.median(times[name]) / own,
            "milliseconds": statistics.median(times[name]) * 1e3,
            **{
                f"recall {distance}": float(right[index :: len(DISTANCES)].mean())
                for index, distance in enumerate(DISTANCES)
            },
        }
        figures = ", ".join(f"{key} {value:.4g}" for key, value in table[name].items())
        print(f"{name}: {figures}", flush=True)
    return table


def _facekit(vectors: np.ndarray) -> Callable[[np.ndarray], int]:
    index = FaissIndex(vectors)
    return lambda probe: int(index.search(probe, 1).rows[0, 0])


def _flat(vectors: np.ndarray) -> Callable[[np.ndarray], int]:
    import faiss

    # For every index of this process; facekit's takes one for a single probe in any case.
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda probe: int(index.search(probe, 1)[1][0, 0])


def _hnswlib(vectors: np.ndarray) -> Callable[[np.ndarray], int]:
    import hnswlib

    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), M=16, ef_construction=200)
    index.add_items(vectors)
    index.set_ef(128)
    return lambda probe: int(index.knn_query(probe, 1, num_threads=1)[0][0, 0])


def _usearch(vectors: np.ndarray) -> Callable[[np.ndarray], int]:
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", expansion_search=128)
    index.add(np.arange(len(vectors)), vectors)
    return lambda probe: int(index.search(probe[0], 1, threads=1).keys[0])


def _hnsw(vectors: np.ndarray) -> Callable[[np.ndarray], int]:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = 128
    index.add(vectors)
    return lambda probe: int(index.search(probe, 1)[1][0, 0])


PEERS: dict[str, Callable[[np.ndarray], Callable[[np.ndarray], int]]] = {
    "facekit": _facekit,
    "faiss.IndexFlatIP": _flat,
    "faiss.IndexHNSWFlat": _hnsw,
    "hnswlib": _hnswlib,
    "usearch": _usearch,
}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    answer = work()
    return time.perf_counter() - began, answer


def _unit(random: np.random.Generator, count: int, size: int) -> np.ndarray:
    vectors = random.standard_normal((count, size), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _near(random: np.random.Generator, vectors: np.ndarray) -> np.ndarray:
    # On the great circle through the vector and a random direction, at the angle of the distance.
    direction = _unit(random, *vectors.shape)
    direction -= (direction * vectors).sum(axis=1, keepdims=True) * vectors
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    angle = 2 * np.arcsin(np.resize(DISTANCES, len(vectors)) / 2)[:, None]
    return (np.cos(angle) * vectors + np.sin(angle) * direction).astype(np.float32)


if __name__ == "__main__":
    main()
