"""Measures the distances between strangers, from which the thresholds of a set of weights follow.

    python benchmarks/thresholds.py pool/
    python benchmarks/thresholds.py pool/ --held-out 0.05

reads the folder of a face pool: ``index.csv`` (with the columns ``archive, name, label``, the box,
the keypoints and ``score``) and the archives of images that it names. Two faces of each of many
people are aligned and embedded, and every pair of faces of different people is compared. Printed
are the quantiles of these distances (the thresholds) and the share of pairs of one person within
them. For weights that were trained on the pool, ``--held-out`` takes all faces of the people that a
configuration with ``validation`` of that share kept out of the training. ``--archives ""`` takes
those of all archives, not only of CelebA's. ``--write`` puts the thresholds into the model card.

    python benchmarks/thresholds.py pool/ --held-out 0.05 --groups groups/

takes the strangers from a folder of faces with a ``group`` each, such as "Asian F", and compares
only adults of one group and sex: they are nearer to each other than people drawn at random. All
groups count the same. Printed besides are the threshold of the worst group and its rate.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from cards import write_card
from embedding_accuracy import all_distances, group_embeddings
from results import add_record, record_if_asked

from facekit import Aligner, Embedder
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.training import FaceDataset

RATES = (0.01, 0.001, 0.0001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--people", type=int, default=1500)
    parser.add_argument("--archives", default="celeba", help="only archives of this beginning")
    parser.add_argument("--held-out", type=float, metavar="SHARE")
    parser.add_argument("--groups", type=Path, help="a folder of faces with a group for each")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    parser.add_argument("--write", action="store_true", help="into the model card")
    add_record(parser)
    options = parser.parse_args()
    embedder = Embedder(options.weights)
    aligner = embedder.aligner()
    if options.held_out:
        faces = held_out_faces(options.pool, aligner, options.held_out, (options.archives,))
    else:
        faces = FaceDataset.from_archives(options.pool, input_size=aligner.size, aligner=aligner)
        faces = faces.subset(two_of_each(faces, options.archives, options.people))
    embeddings = embed(embedder, faces).astype(np.float64)
    upper = np.triu_indices(len(faces), 1)
    distances = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * embeddings @ embeddings.T))[upper]
    same = (faces.labels[:, None] == faces.labels)[upper]
    people = len(set(faces.labels))
    print(f"{len(faces):,} faces of {people:,} people, {embedder.record.identity}, {aligner}")
    print(f"{(~same).sum():,} pairs of strangers, {same.sum():,} of one person")
    strangers = [distances[~same]]
    if options.groups:
        embeddings, groups = group_embeddings(options.groups, embedder, None)
        names = [name for name in sorted(set(groups)) if name.endswith((" F", " M"))]
        strangers = [all_distances(embeddings[groups == name]) for name in names]
        print(f"strangers: {len(names)} groups, {sum(map(len, strangers)):,} pairs within them")
    thresholds = {}
    results = {
        "faces": len(faces),
        "people": people,
        "pairs of strangers": sum(map(len, strangers)),
        "pairs of one person": int(same.sum()),
        "rates": {},
    }
    for rate in RATES:
        # Groups of one size weigh the same; so do groups of other sizes here.
        size = min(map(len, strangers))
        drawn = [
            np.sort(each)[((np.arange(size) + 0.5) / size * len(each)).astype(np.int64)]
            for each in strangers
        ]
        threshold = float(np.quantile(np.concatenate(drawn), rate))
        thresholds[rate] = round(threshold, 3)
        accepted = float((distances[same] <= threshold).mean())
        results["rates"][f"{rate:g}"] = {"threshold": threshold, "accepted": accepted}
        print(
            f"false-match rate {rate:g}: threshold {threshold:.3f}, true-accept rate {accepted:.3f}"
        )
        if options.groups:
            worst = int(np.argmin([np.quantile(each, rate) for each in strangers]))
            print(
                f"  worst: {names[worst]}, {np.mean(strangers[worst] <= threshold):.2%}; threshold "
                f"for it {np.quantile(strangers[worst], rate):.3f}"
            )
    record_if_asked(options, embedder.record.name, results, embedder.record.identity)
    if options.write:
        print(write_card(dataclasses.replace(embedder.record, thresholds=thresholds)))


def held_out_faces(
    pool: Path, aligner: Aligner, share: float, archives: tuple[str, ...]
) -> FaceDataset:
    """Returns the faces in some archives of the people that a training on the pool leaves out."""
    faces = FaceDataset.from_archives(
        pool, input_size=aligner.size, aligner=aligner, labeled_only=False
    )
    held_out = faces.split(share, seed=0)[1]
    return held_out.subset([i for i, key in enumerate(held_out.keys) if key.startswith(archives)])


def two_of_each(faces: FaceDataset, archives: str, people: int) -> list[int]:
    """Returns the places of two faces each of that many people, drawn at random."""
    images: dict[int, list[int]] = {}
    for place in np.random.default_rng(0).permutation(len(faces)):
        if faces.labels[place] >= 0 and faces.keys[place].startswith(archives):
            images.setdefault(int(faces.labels[place]), []).append(int(place))
    chosen = [places[:2] for places in images.values() if len(places) >= 2][:people]
    return [place for places in chosen for place in places]


def embed(embedder: Embedder, faces: FaceDataset) -> np.ndarray:
    parts = [
        embedder.embed(faces.images(np.arange(start, min(start + 256, len(faces)))))
        for start in range(0, len(faces), 256)
    ]
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
