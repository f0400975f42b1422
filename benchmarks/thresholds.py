"""Measures the distances between strangers, from which the thresholds of a set of weights follow.

    python benchmarks/thresholds.py pool/

reads the folder of a face pool: ``index.csv`` (with the columns ``archive, name, label``, the box,
the keypoints and ``score``) and the archives of pictures that it names. Two faces of each of many
people are aligned and embedded, and every pair of faces of different people is compared. Printed
are the quantiles of these distances (the thresholds) and the share of pairs of one person within
them.
"""

from __future__ import annotations

import argparse
import csv
import random
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from facekit import Embedder, Face, Keypoints

RATES = (0.01, 0.001, 0.0001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--people", type=int, default=1500)
    parser.add_argument("--archives", default="celeba", help="only archives of this beginning")
    parser.add_argument("--weights", default=None)
    options = parser.parse_args()
    embedder = Embedder(options.weights) if options.weights else Embedder()
    rows = _two_of_each(options.pool, options.archives, options.people)
    aligner = embedder.aligner()
    archives = {name: zipfile.ZipFile(options.pool / name) for name in {r["archive"] for r in rows}}
    pictures = [
        aligner.align(archives[row["archive"]].read(row["name"]), [_face(row)])[0] for row in rows
    ]
    embeddings = embedder.embed(pictures, progress=True).astype(np.float64)
    labels = np.array([row["label"] for row in rows])
    upper = np.triu_indices(len(rows), 1)
    distances = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * embeddings @ embeddings.T))[upper]
    same = (labels[:, None] == labels)[upper]
    print(
        f"{len(rows):,} faces of {len(set(labels)):,} people, {embedder.record.identity}, {aligner}"
    )
    print(f"{(~same).sum():,} pairs of strangers, {same.sum():,} of one person")
    for rate in RATES:
        threshold = float(np.quantile(distances[~same], rate))
        accepted = float((distances[same] <= threshold).mean())
        print(
            f"false-accept rate {rate:g}: threshold {threshold:.3f}, "
            f"true-accept rate {accepted:.3f}"
        )


def _two_of_each(pool: Path, archives: str, people: int) -> list[dict[str, str]]:
    with (pool / "index.csv").open(newline="") as stream:
        rows = [
            row
            for row in csv.DictReader(stream)
            if row["label"] and float(row["score"]) > 0.99 and row["archive"].startswith(archives)
        ]
    random.Random(0).shuffle(rows)
    by_person: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_person[row["label"]].append(row)
    chosen = [photos[:2] for photos in by_person.values() if len(photos) >= 2][:people]
    return [row for photos in chosen for row in photos]


def _face(row: dict[str, str]) -> Face:
    x1, y1, x2, y2 = (float(row[f"box_{corner}"]) for corner in ("x1", "y1", "x2", "y2"))
    points = ((float(row[f"{p}_x"]), float(row[f"{p}_y"])) for p in Keypoints._fields)
    return Face((x1, y1, x2 - x1, y2 - y1), float(row["score"]), Keypoints(*points))


if __name__ == "__main__":
    main()
