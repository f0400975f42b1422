"""Measures a gallery of very many people: building, opening, searching and enrolling.

    python benchmarks/gallery.py --people 1000000

enrolls random unit vectors of 512 components, one a person, in a gallery in a temporary folder. The
probes are near-duplicates of a thousand of them, at distance 0.5, 0.8 and 1.0. Exact answers come
from a comparison with every vector.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from facekit import Gallery
from facekit.gallery.index import ExactIndex, faiss_is_installed

SIZE, PROBES, AT_A_TIME = 512, 1000, 50_000
DISTANCES = (0.5, 0.8, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder) / "gallery", options.people)


def _measure(folder: Path, people: int) -> None:
    random = np.random.default_rng(0)
    print(f"{people:,} people, FAISS {'installed' if faiss_is_installed() else 'missing'}")
    with Gallery.create(folder, "random@1", SIZE) as gallery:
        building = 0.0
        for start in range(0, people, AT_A_TIME):
            vectors = _unit(random, min(AT_A_TIME, people - start))
            numbers = range(start, start + len(vectors))
            names = [f"person {number}" for number in numbers]
            began = time.perf_counter()
            gallery.extend(names, vectors, names)
            building += time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"build: {building:.1f} s, on disk {size / 1e9:.2f} GB", flush=True)
    began = time.perf_counter()
    gallery = Gallery.open(folder, weights="random@1")
    print(f"open: {time.perf_counter() - began:.3f} s", flush=True)
    enrolled = gallery.enrolled()
    rows = random.choice(people, PROBES, replace=False)
    probes = _near(random, np.asarray(enrolled.embeddings[rows]))
    began = time.perf_counter()
    gallery.search(probes[:1], 1)
    print(f"first search, with building the index: {time.perf_counter() - began:.2f} s", flush=True)
    single = [_timed(gallery, probes[index : index + 1]) for index in range(50)]
    print(f"search, one face: median {np.median(single) * 1000:.1f} ms", flush=True)
    batch = _timed(gallery, probes[:256])
    print(f"search, 256 faces: {batch / 256 * 1000:.2f} ms a face", flush=True)
    found = enrolled.search(probes, 1).rows[:, 0]
    exact = ExactIndex(enrolled.embeddings).search(probes, 1).rows[:, 0]
    for index, distance in enumerate(DISTANCES):
        part = slice(index, None, len(DISTANCES))
        print(f"recall@1 against exact at distance {distance}: {(found == exact)[part].mean():.4f}")
    times = []
    for number in range(20):
        began = time.perf_counter()
        gallery.enroll(f"new {number}", _unit(random, 1), ["new.jpg"])
        times.append(time.perf_counter() - began)
    print(
        f"enroll one more: median {np.median(times) * 1e3:.1f} ms, most {max(times) * 1e3:.1f} ms"
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"most memory, mapped files included: {memory / 1e6:.2f} GB", flush=True)
    gallery.close()


def _timed(gallery: Gallery, probes: np.ndarray) -> float:
    began = time.perf_counter()
    gallery.search(probes, 1)
    return time.perf_counter() - began


def _unit(random: np.random.Generator, count: int) -> np.ndarray:
    vectors = random.standard_normal((count, SIZE), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _near(random: np.random.Generator, vectors: np.ndarray) -> np.ndarray:
    # On the great circle through the vector and a random direction, at the angle of the distance.
    direction = _unit(random, len(vectors))
    direction -= (direction * vectors).sum(axis=1, keepdims=True) * vectors
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    distance = np.resize(DISTANCES, len(vectors))
    angle = (2 * np.arcsin(distance / 2))[:, None]
    return (np.cos(angle) * vectors + np.sin(angle) * direction).astype(np.float32)


if __name__ == "__main__":
    main()
