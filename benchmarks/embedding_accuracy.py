"""Measures how well weights tell people apart: over all pairs, open set, and by group.

    python benchmarks/embedding_accuracy.py data/ --weights facekit-small --cache cache/

``data/`` holds ``lfw/`` (with its ``pairs*.txt``), ``groups/`` and ``pool/``, each of the last two
with an ``index.csv`` and archives of cut faces. Printed, and written with ``--json``, are

- on LFW: the accuracy of View 2; the true-match rate over all pairs of its photos at three
  false-match rates; and of the photos of people of whom one other photo is enrolled, the share
  named correctly at a threshold that names 1 % and 0.1 % of the photos of people not enrolled;
- by group: the false-match rate among people of one group and sex, at the threshold that accepts
  0.1 % of all pairs of White adults, and at the weights' own threshold for 0.1 %;
- on the pool: the true-match rate among people whom a training with ``validation = 0.05`` leaves
  out.

A cut face of each photo is kept in ``--cache``, so that other weights with the same alignment need
not find it again.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
from embedding_cache import pool_face
from results import add_record, record_if_asked

from facekit import Aligner, Detector, Embedder, load_image
from facekit.embedding.engines import Engine
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.evaluation import read_pairs
from facekit.evaluation.verification import evaluate_verification
from facekit.utils.progress import track

RATES = (1e-3, 1e-4, 1e-5)
SET_RATE = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("FACEKIT_DATA"))
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME")
    parser.add_argument("--engine", default="openvino", choices=get_args(Engine))
    parser.add_argument("--cache", type=Path, help="a folder for the cut faces")
    parser.add_argument("--json", type=Path, help="where to write the figures, too")
    parser.add_argument("--no-pool", action="store_true", help="leave out the pool's people")
    add_record(parser)
    options = parser.parse_args()
    if options.data is None:
        parser.error("give the folder of the data, or set FACEKIT_DATA")
    embedder, data = Embedder(options.weights, engine=options.engine), Path(options.data)
    figures = {
        "weights": embedder.record.identity,
        "engine": options.engine,
        "lfw": measure_lfw(data / "lfw", embedder, options.cache),
        "groups": measure_groups(data / "groups", embedder, options.cache),
    }
    if not options.no_pool:
        figures["held_out"] = measure_pool(data / "pool", embedder)
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    record_if_asked(options, embedder.record.name, figures, str(figures.pop("weights")))


def measure_lfw(folder: Path, embedder: Embedder, cache: Path | None) -> dict[str, float]:
    """Returns View 2, the rates over all pairs, and the rates of an open set."""
    pairs = read_pairs(next(folder.glob("pairs*.txt")))
    images = sorted({image for pair in pairs for image in (pair.first, pair.second)})

    def cut(aligner: Aligner) -> np.ndarray:
        detector, faces = Detector(), np.zeros((len(images), aligner.size, aligner.size, 3), "u1")
        for place, image in enumerate(track(images, "LFW", total=len(images), shown=True)):
            pixels = load_image(folder / image)
            found = detector.detect(pixels)
            middle = np.array(pixels.shape[1::-1]) / 2
            found.sort(key=lambda face: float(np.linalg.norm(np.array(face.center) - middle)))
            if found:
                faces[place] = aligner.align(pixels, found[:1])[0]
        return faces

    embeddings = embedder.embed(kept(cut, "lfw", embedder, cache))
    row = {image: place for place, image in enumerate(images)}
    chosen = np.array([(row[pair.first], row[pair.second]) for pair in pairs])
    report = evaluate_verification(
        np.linalg.norm(embeddings[chosen[:, 0]] - embeddings[chosen[:, 1]], axis=1),
        np.array([pair.same for pair in pairs]),
        np.array([pair.fold for pair in pairs]),
    )
    people = np.array([image.split("/")[0] for image in images])
    return {
        "view 2": report.accuracy,
        **true_match_rates(embeddings, people, RATES),
        **open_set(embeddings, people),
    }


def group_embeddings(
    folder: Path, embedder: Embedder, cache: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the embeddings of faces with a group for each, and the groups."""
    with (folder / "index.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    def cut(aligner: Aligner) -> np.ndarray:
        files = {row["archive"]: zipfile.ZipFile(folder / row["archive"]) for row in rows}
        return np.concatenate(
            [aligner.align(files[r["archive"]].read(r["name"]), [pool_face(r)]) for r in rows]
        )

    embeddings = embedder.embed(kept(cut, "groups", embedder, cache))
    return embeddings, np.array([row["group"] for row in rows])


def measure_groups(folder: Path, embedder: Embedder, cache: Path | None) -> dict[str, float]:
    """Returns the false-match rate of each group, at two thresholds."""
    embeddings, groups = group_embeddings(folder, embedder, cache)
    white = all_distances(embeddings[np.char.startswith(groups, "White")])
    threshold = np.quantile(white, SET_RATE)
    own = embedder.record.thresholds.get(SET_RATE)
    within = {name: all_distances(embeddings[groups == name]) for name in sorted(set(groups))}
    rates = {name: float(np.mean(each <= threshold)) for name, each in within.items()}
    adults = [rate for name, rate in rates.items() if name[-2:] in (" F", " M")]
    figures = {
        "threshold": float(threshold),
        **rates,
        "worst adult group": max(adults),
        # A group without any false match counts as half of one.
        "worst / best": max(adults) / max(min(adults), 0.5 / len(within["White F"])),
    }
    if own is not None:
        figures |= {f"{n}, own threshold": float(np.mean(d <= own)) for n, d in within.items()}
    return figures


def measure_pool(pool: Path, embedder: Embedder) -> dict[str, float]:
    """Returns the true-match rates of the people that were held out, relatives among them."""
    from thresholds import embed, held_out_faces  # which imports from here, too

    faces = held_out_faces(pool, embedder.aligner(), 0.05, ("",))
    return true_match_rates(embed(embedder, faces), faces.labels, (1e-2, *RATES[:2]))


def true_match_rates(
    embeddings: np.ndarray, people: np.ndarray, rates: tuple[float, ...]
) -> dict[str, float]:
    """Returns the share of all genuine pairs accepted where that many impostor pairs are."""
    upper = np.triu_indices(len(embeddings), 1)
    between = (embeddings @ embeddings.T)[upper]
    same = (people[:, None] == people)[upper]
    cuts = np.quantile(between[~same], [1 - rate for rate in rates])
    return {
        f"TAR at FMR {rate:g}": float(np.mean(between[same] > cut))
        for rate, cut in zip(rates, cuts, strict=True)
    }


def open_set(embeddings: np.ndarray, people: np.ndarray) -> dict[str, float]:
    """Returns how many photos are named correctly where that many strangers get a name."""
    _, first, place, counts = np.unique(
        people, return_index=True, return_inverse=True, return_counts=True
    )
    known = np.flatnonzero(counts > 1)
    gallery = embeddings[first[known]]
    probes = np.setdiff1d(np.flatnonzero(counts[place] > 1), first)
    strangers = (embeddings[counts[place] == 1] @ gallery.T).max(axis=1)
    scores = embeddings[probes] @ gallery.T
    right = known[scores.argmax(axis=1)] == place[probes]
    return {
        f"DIR at FPIR {rate:g}": float(
            np.mean(right & (scores.max(axis=1) > np.quantile(strangers, 1 - rate)))
        )
        for rate in (1e-2, 1e-3)
    }


def all_distances(embeddings: np.ndarray) -> np.ndarray:
    """Returns the distances of all pairs."""
    cosines = (embeddings @ embeddings.T)[np.triu_indices(len(embeddings), 1)]
    return np.sqrt(np.maximum(0.0, 2.0 - 2.0 * cosines))


def kept(
    cut: Callable[[Aligner], np.ndarray], name: str, embedder: Embedder, cache: Path | None
) -> np.ndarray:
    """Returns cut faces from the cache, or cuts and keeps them."""
    aligner = embedder.aligner()
    if cache is None:
        return cut(aligner)
    settings = json.dumps(aligner.to_dict(), sort_keys=True).encode()
    path = cache / f"{name}-{hashlib.sha256(settings).hexdigest()[:12]}.npy"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, cut(aligner))
    return np.load(path)


def table(figures: dict[str, object]) -> str:
    """Returns the figures as lines."""
    lines = [str(figures["weights"])]
    for part, values in figures.items():
        if isinstance(values, dict):
            lines += [f"{part}:", *(f"  {name:32} {value:8.4f}" for name, value in values.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
