"""Trains the same on several Keras backends, and compares the curves.

    python benchmarks/training_backends.py pool --python jax=other/bin/python

runs one and the same script, this one, with each Python in turn: ``tensorflow`` with this one, and
others with that of an environment that has them and facekit. It prints the loss and the validation
of every epoch side by side, and the largest difference of the loss. A narrow Inception-ResNet-v2 is
trained for four epochs on 60 people of a pool of faces.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

EPOCHS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--python", action="append", default=[], metavar="BACKEND=PYTHON")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.pool)
        return
    pythons = {"tensorflow": sys.executable, **dict(each.split("=", 1) for each in options.python)}
    curves = {}
    for backend, python in pythons.items():
        run = subprocess.run(
            [python, __file__, options.pool, "--train"],
            env={**os.environ, "KERAS_BACKEND": backend},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        curves[backend] = [json.loads(line) for line in run.stdout.splitlines()]
    for name in ("loss", "validation_auc"):
        print(name)
        for backend, rows in curves.items():
            print(f"  {backend:12}", " ".join(f"{row[name]:.5f}" for row in rows))
    losses = [[row["loss"] for row in rows] for rows in curves.values()]
    differences = [max(column) - min(column) for column in zip(*losses, strict=True)]
    print(f"the losses differ by {max(differences):.5f} at most")


def train(pool: Path) -> None:
    from facekit import Architecture
    from facekit.training import FaceDataset, TripletTrainer

    faces = FaceDataset.from_archives(pool, input_size=75, progress=False)
    trainer = TripletTrainer(
        Architecture(width=0.25, blocks=0.1, input_size=75, embedding_size=32),
        folder=tempfile.mkdtemp(),
        miner={0: "batch-all", 1: "semihard"},
        identities=8,
        images=4,
        learning_rate=1e-4,
        seed=5,
    )
    train_with, validate_with = faces.split(60, seed=3)[1], faces.split(20, seed=4)[1]
    for row in trainer.fit(train_with, validate_with, epochs=EPOCHS):
        print(json.dumps(dict(row)), flush=True)


if __name__ == "__main__":
    main()
