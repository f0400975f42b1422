"""Measures the input ranges of weights, with which ``engine="openvino-int8"`` computes.

    python benchmarks/input_ranges.py pool/ --weights facekit-small --write

prints how far 8 bits move the embeddings of other faces of the pool; ``--write`` puts the ranges
into the weights' model card.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from cards import write_card

from facekit import Embedder
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS
from facekit.training import FaceDataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    parser.add_argument("--faces", type=int, default=400, help="to measure the ranges on")
    parser.add_argument("--others", type=int, default=400, help="to compare the embeddings of")
    parser.add_argument("--write", action="store_true", help="into the model card")
    options = parser.parse_args()
    embedder = Embedder(options.weights)
    faces = FaceDataset.from_archives(
        options.pool,
        input_size=embedder.input_size,
        aligner=embedder.aligner(),
        labeled_only=False,
    ).split(0.05)[0]
    chosen = np.random.default_rng(0).choice(
        len(faces), options.faces + options.others, replace=False
    )
    images = faces.images(chosen)
    quick = embedder.with_input_ranges(images[: options.faces])
    quick.engine = "openvino-int8"
    others = images[options.faces :]
    cosines = np.sum(embedder.embed(others) * quick.embed(others), axis=1)
    print(f"{len(quick.record.input_ranges)} layers; cosine with float32 of {len(others)} faces:")
    print(f"mean {cosines.mean():.5f}, least {cosines.min():.5f}")
    if options.write:
        ranges = {name: round(high, 4) for name, high in quick.record.input_ranges.items()}
        print(write_card(dataclasses.replace(embedder.record, input_ranges=ranges)))


if __name__ == "__main__":
    main()
