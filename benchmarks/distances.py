"""Measures the table of distances of a set of weights, from which thresholds are calibrated.

    python benchmarks/distances.py pool/ --cache cache/

embeds the labeled faces of a pool (see ``thresholds.py``, also for ``--held-out``) and prints the
table, or with ``--write`` puts it into the weights' model card, together with the thresholds for
pairs: the distances of strangers to people with one photo. People with photos nearer than
``--wrong-label`` are taken for one person under two labels. ``--groups`` adds a folder of faces
with a ``group`` each, all of different people, so that strangers are not those of CelebA alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
from cards import write_card
from embedding_accuracy import group_embeddings
from embedding_cache import embed_pool
from thresholds import RATES, embed, held_out_faces

from facekit import Embedder
from facekit.embedding.weights.distances import DistanceTable
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--archives", nargs="+", default=["celeba_wild", "celeba_small"])
    parser.add_argument("--cache", type=Path, help="a folder for the embeddings")
    parser.add_argument("--wrong-label", type=float, default=0.45, metavar="DISTANCE")
    parser.add_argument("--held-out", type=float, metavar="SHARE")
    parser.add_argument("--groups", type=Path, help="a folder of faces with a group for each")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    parser.add_argument("--write", action="store_true", help="into the model card")
    options = parser.parse_args()
    embedder = Embedder(options.weights)
    images: tuple[int, ...] = (1, 2, 4, 8, 16)
    if options.held_out:
        archives = tuple(options.archives)
        faces = held_out_faces(options.pool, embedder.aligner(), options.held_out, archives)
        embeddings, labels = embed(embedder, faces), faces.labels
        # Few people are held out, and few of them have more photos.
        images, source = (1, 2), f"{len(faces):,} faces of {len(set(labels)):,} people of CelebA"
    else:
        parts = [
            embed_pool(
                options.pool,
                embedder,
                None if options.cache is None else options.cache / f"pool_{archive}.npz",
                archives=(archive,),
            )
            for archive in options.archives
        ]
        embeddings = np.concatenate([part.embeddings for part in parts])
        labels = np.concatenate([part.people for part in parts])
        source = f"{len(embeddings):,} faces of {len(set(labels)):,} people of CelebA"
    if options.groups:
        others, _ = group_embeddings(options.groups, embedder, None)
        embeddings = np.concatenate([embeddings, others])
        _, labels = np.unique(labels, return_inverse=True)
        labels = np.concatenate([labels, labels.max() + 1 + np.arange(len(others))])
        source += f", and {len(others):,} of people of several groups"
    table = DistanceTable.measure(
        embeddings, labels, images=images, wrong_label=options.wrong_label, source=source
    )
    if options.write:
        of_pairs = dict(zip(table.rates, table.impostors["nearest"][0], strict=True))
        thresholds = {rate: round(of_pairs[rate], 3) for rate in RATES}
        record = dataclasses.replace(embedder.record, distances=table, thresholds=thresholds)
        print(write_card(record), thresholds)
    else:
        print(json.dumps(table.to_dict()))


if __name__ == "__main__":
    main()
