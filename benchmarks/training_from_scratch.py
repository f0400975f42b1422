"""Trains a narrow Inception-ResNet-v2 from random weights, and measures every epoch on LFW.

    python benchmarks/training_from_scratch.py pool lfw --folder runs/scratch --plot curve.png

``pool`` is a pool of faces (``index.csv`` and archives), ``lfw`` holds LFW's photos and
``pairs_folds_1_to_3.txt``. The network has 1.1 million parameters and reads 75 × 75 pixels; it is
trained with triplets, batch-all first and semi-hard from the fourth epoch on, 32 people × 4 photos.
Printed are the minutes of training and the accuracy on LFW for the untrained network and after
every epoch. Started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras.callbacks import LambdaCallback
from matplotlib.figure import Figure

from facekit import Architecture, Detector, Embedder, Face
from facekit.errors import RandomWeightsWarning
from facekit.evaluation import evaluate_lfw, read_pairs
from facekit.training import Augmentation, FaceDataset, TripletTrainer

ARCHITECTURE = Architecture(width=0.25, blocks=0.1, input_size=75, embedding_size=128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("runs/scratch"))
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    train, validation = FaceDataset.from_archives(options.pool, input_size=75).split(0.05)
    print(f"{len(train):,} faces of {len(train.identities):,} people")
    trainer = TripletTrainer(
        ARCHITECTURE,
        folder=options.folder,
        miner={0: "batch-all", 3: "semihard"},
        learning_rate=2e-3,
        warm_up_steps=200,
        identities=32,
        images=4,
        augmentation=Augmentation(blur=0, downscale=0.1, jpeg=0.1),
    )
    start = time.monotonic()

    def keep(epoch: int, row: Mapping[str, float]) -> None:
        trainer.embedder().save(options.folder / f"epoch-{epoch + 1}.safetensors")
        minutes = (time.monotonic() - start) / 60
        print(f"epoch {epoch + 1}, {minutes:.1f} minutes: loss {row['loss']:.4f}", flush=True)

    callbacks = [LambdaCallback(on_epoch_end=keep)]
    trainer.fit(train, validation, epochs=options.epochs, resume=True, callbacks=callbacks)
    warnings.simplefilter("ignore", RandomWeightsWarning)
    embedders = {0: Embedder(None, architecture=ARCHITECTURE, seed=trainer.seed)}
    for epoch in range(1, options.epochs + 1):
        embedders[epoch] = Embedder(options.folder / f"epoch-{epoch}.safetensors")
    accuracies = list(measure(embedders, options.lfw))
    if options.plot:
        plot(accuracies, options.plot)


def measure(embedders: Mapping[int, Embedder], lfw: Path) -> Iterator[float]:
    """Prints and yields the accuracy of each embedder on LFW."""
    pairs = read_pairs(lfw / "pairs_folds_1_to_3.txt")
    detector: Any = Remembering(Detector())
    for epoch, embedder in embedders.items():
        aligners = {"similarity": embedder.aligner()}
        result = evaluate_lfw(lfw, pairs, detector=detector, embedder=embedder, aligners=aligners)[
            "similarity"
        ].report
        print(
            f"epoch {epoch}: LFW {result.accuracy:.2%} ± {result.standard_error:.2%}, "
            f"AUC {result.auc:.4f}",
            flush=True,
        )
        yield result.accuracy


class Remembering:
    """A detector that searches each image once."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._faces: dict[bytes, list[Face]] = {}

    def detect(self, pixels: np.ndarray) -> list[Face]:
        """Finds the faces of an image."""
        key = hashlib.sha256(pixels.tobytes()).digest()
        if key not in self._faces:
            self._faces[key] = self._detector.detect(pixels)
        return self._faces[key]


def plot(accuracies: Sequence[float], path: Path) -> None:
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    ax = figure.subplots()
    ax.plot(range(len(accuracies)), accuracies, marker="o")
    ax.axhline(accuracies[0], linestyle=":", color="gray", label="untrained")
    ax.set(xlabel="Epoch", ylabel="Accuracy on LFW, folds 1 to 3", ylim=(0.5, 1.0))
    ax.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
