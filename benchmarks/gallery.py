"""Measures a gallery of very many people: building, opening, searching and enrolling.

    python benchmarks/gallery.py --people 1000000 --size 128

enrolls random unit vectors, one a person, in a gallery in a temporary folder. The probes are
near-duplicates of a thousand of them, at distance 0.5, 0.8 and 1.0. Exact answers come from a
comparison with every vector.

``--peers faiss.IndexFlatIP faiss.IndexHNSWFlat`` instead searches the same vectors, one probe after
the other on one thread, with facekit's index and these of FAISS. They take turns, and the time is
the processor's, which other programs change little. To build the graph of a million takes long.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from results import add_record, record_if_asked

from facekit import Gallery
from facekit.gallery.index import ExactIndex, FaissIndex, faiss_is_installed

PROBES, AT_A_TIME = 999, 50_000
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
        _use(options.opened, options.people, options.size)
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
        _build(path, options.people, options.size)
        # In a process of its own, whose memory is that of a program that only uses a gallery.
        command = [sys.executable, __file__, "--opened", str(path)]
        numbers = ["--people", str(options.people), "--size", str(options.size)]
        subprocess.run([*command, *numbers], check=True)


def _build(path: Path, people: int, size: int) -> None:
    random = np.random.default_rng(0)
    building = 0.0
    with Gallery.create(path, "random@1", size) as gallery:
        for start in range(0, people, AT_A_TIME):
            vectors = _unit(random, min(AT_A_TIME, people - start), size)
            names = [f"person {number}" for number in range(start, start + len(vectors))]
            began = time.perf_counter()
            gallery.extend(names, vectors, names)
            building += time.perf_counter() - began
    print(f"build: {building:.1f} s, on disk {path.stat().st_size / 1e9:.2f} GB", flush=True)


def _use(path: Path, people: int, size: int) -> None:
    random = np.random.default_rng(1)
    opening, gallery = _timed(lambda: Gallery.open(path, weights="random@1"))
    reading, enrolled = _timed(gallery.enrolled)
    print(f"open: {opening:.3f} s; read and check everything: {reading:.2f} s", flush=True)
    rows = random.choice(people, PROBES, replace=False)
    probes = _near(random, np.asarray(enrolled.embeddings[rows]))
    first, _ = _timed(lambda: gallery.search(probes[:1], 1))
    print(f"first search, with building the index: {first:.2f} s", flush=True)
    single = [_timed(lambda at=at: gallery.search(probes[at : at + 1], 1))[0] for at in range(50)]
    print(f"search, one face: median {np.median(single) * 1000:.1f} ms", flush=True)
    batch, _ = _timed(lambda: gallery.search(probes[:256], 1))
    print(f"search, 256 faces: {batch / 256 * 1000:.2f} ms a face", flush=True)
    found = enrolled.search(probes, 1).rows[:, 0]
    exact = ExactIndex(enrolled.embeddings).search(probes, 1).rows[:, 0]
    for index, distance in enumerate(DISTANCES):
        part = slice(index, None, len(DISTANCES))
        print(
            f"recall@1 at distance {distance}: {(found == rows)[part].mean():.4f}, "
            f"of the exact search {(exact == rows)[part].mean():.4f}"
        )
    new = _unit(random, 40, size)
    times = [
        _timed(lambda at=at: gallery.enroll(f"new {at}", new[at : at + 1], ["new.jpg"]))[0] * 1e3
        for at in range(40)
    ]
    print(f"enroll one more: median {np.median(times):.1f} ms, most {max(times):.1f} ms")
    times = [_timed(lambda at=at: gallery.search(new[at : at + 1], 1))[0] * 1e3 for at in range(20)]
    print(f"search after it: median {np.median(times):.1f} ms")
    times = [_timed(lambda at=at: gallery.remove(f"new {at}"))[0] * 1e3 for at in range(20)]
    print(f"remove one: median {np.median(times):.1f} ms, most {max(times):.1f} ms")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"most memory: {memory / 1e6:.2f} GB", flush=True)
    gallery.close()


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
