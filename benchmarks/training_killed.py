"""Kills a training at random moments, resumes it, and compares it with one that was not.

    python benchmarks/training_killed.py pool
    python benchmarks/training_killed.py pool --distill --kills 10

trains a narrow Inception-ResNet-v2 (dropout, augmentation, freezing and mining that change with
the epoch) on 60 people of a pool of faces, once without interruption and once killed with SIGKILL.
With ``--distill`` it is a student that follows facekit-small in its own axes, on groups of like
faces. Printed are where each kill left the checkpoint, and by how much the final weights differ.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from facekit.training.engine.checkpoints import Checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--kills", type=int, default=5, metavar="N")
    parser.add_argument("--distill", action="store_true", help="kill a distillation")
    parser.add_argument("--train", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train is not None:
        trained = (distill if options.distill else train)(options.pool, options.train)
        arrays = [np.asarray(variable) for variable in trained.network_.variables]
        np.savez(options.train / "final.npz", *arrays)
        return
    with tempfile.TemporaryDirectory() as parent:
        whole, killed = Path(parent) / "whole", Path(parent) / "killed"
        kind = ["--distill"] if options.distill else []
        command = [sys.executable, __file__, options.pool, *kind, "--train"]
        subprocess.run([*command, whole], check=True)
        for number in range(1, options.kills + 1):
            kill_once([*command, killed], killed / "checkpoint.safetensors", number)
        subprocess.run([*command, killed], check=True)
        first, second = (np.load(folder / "final.npz") for folder in (whole, killed))
        difference = max(
            float(np.abs(first[name].astype(float) - second[name]).max()) for name in first.files
        )
        same = (whole / "history.csv").read_text() == (killed / "history.csv").read_text()
    print(f"{len(first.files)} variables, largest difference {difference:g}")
    print(f"the histories are {'the same' if same else 'NOT the same'}")


def kill_once(command: list[object], checkpoint: Path, number: int) -> None:
    """Starts the training and kills it at a random moment after it has gone on."""
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    process = subprocess.Popen([str(part) for part in command])
    while process.poll() is None:
        if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
            time.sleep(random.uniform(0, 5))
            process.send_signal(signal.SIGKILL)
            process.wait()
            at = Checkpoint(checkpoint).progress
            print(f"kill {number}: the checkpoint is of step {at.step}", flush=True)
            return
        time.sleep(0.05)
    sys.exit(f"the training ended before kill {number}")


def train(pool: Path, folder: Path) -> Any:
    """Trains by triplets, from the folder's checkpoint if there is one."""
    from facekit import Architecture
    from facekit.training import FaceDataset, TripletTrainer

    faces = FaceDataset.from_archives(pool, input_size=75, progress=False)
    trainer = TripletTrainer(
        Architecture(width=0.25, blocks=0.1, input_size=75, embedding_size=32, dropout=0.2),
        folder=folder,
        miner={0: "batch-all", 1: "semihard"},
        trainable={0: "last-blocks", 1: "all"},
        identities=8,
        images=4,
        checkpoint_interval=0.5,
        warm_up_steps=10,
        seed=5,
    )
    train_with, validate_with = faces.split(60, seed=3)[1], faces.split(20, seed=4)[1]
    trainer.fit(train_with, validate_with, epochs=6, resume=True, progress=False)
    return trainer


def distill(pool: Path, folder: Path) -> Any:
    """Trains a student, from the folder's checkpoint if there is one."""
    from facekit import Architecture, Embedder
    from facekit.errors import RandomWeightsWarning
    from facekit.training import Augmentation, Distiller, FaceDataset

    faces = FaceDataset.from_archives(pool, input_size=75, progress=False)
    narrow = Architecture(width=0.25, blocks=0.1, input_size=75, embedding_size=32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RandomWeightsWarning)
        student = Embedder(weights=None, architecture=narrow, seed=2)
    distiller = Distiller(
        student,
        teacher=Embedder(),
        folder=folder,
        dropout=0.2,
        batch_size=32,
        neighbors=4,
        impostor_weight=1.0,
        augmentation=Augmentation(occlusion=0.2),
        trainable={0: "last-blocks", 1: "all"},
        checkpoint_interval=0.2,
        warm_up_steps=10,
        workers=3,
        seed=5,
    )
    train_with, validate_with = faces.split(60, seed=3)[1], faces.split(20, seed=4)[1]
    distiller.fit(train_with, validate_with, epochs=10, resume=True, progress=False)
    return distiller


if __name__ == "__main__":
    main()
