"""A distillation of a pruned teacher, run as a script to be killed.

python pruned_distillation.py FOLDER TRAINABLE [STEPS]

kills itself with SIGKILL after STEPS steps, or keeps the final weights in FOLDER/final.npz.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

import keras
import numpy as np

from facekit import Architecture, Embedder
from facekit.errors import RandomWeightsWarning
from facekit.training import Augmentation, Distiller, FaceDataset

SIDE, EPOCHS = 75, 2
# 11 faces in batches of 4: the third batch of an epoch has to be filled up.
FACES, BATCH = 11, 4


class KillAfter(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the process after a given number of steps, so that nothing can tidy up."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def architecture(width: float, embedding_size: int) -> Architecture:
    """Returns the smallest network there is, of a width."""
    return Architecture("inception_resnet_v1", width, 0.1, SIDE, embedding_size=embedding_size)


def distill(folder: Path, trainable: str, *callbacks: keras.callbacks.Callback) -> None:
    """Trains, from the folder's checkpoint if there is one, and keeps the final weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RandomWeightsWarning)
        teacher = Embedder(weights=None, architecture=architecture(0.2, 8), seed=3)
    pictures = np.random.default_rng(1).integers(0, 256, (FACES, SIDE, SIDE, 3), dtype=np.uint8)
    distiller = Distiller(
        architecture(0.1, 4),
        teacher=teacher,
        pruned=True,
        folder=folder,
        trainable=trainable,
        batch_size=BATCH,
        neighbors=2,
        # Without it a head is trained on features that are computed once.
        augmentation=Augmentation() if trainable == "all" else None,
        checkpoint_interval=0.0,
        seed=5,
    )
    faces = FaceDataset.from_arrays(pictures, [None] * FACES)
    distiller.fit(faces, epochs=EPOCHS, resume=True, progress=False, callbacks=callbacks)
    weights = [np.asarray(variable) for variable in distiller.network_.variables]
    np.savez(folder / "final.npz", *weights)


if __name__ == "__main__":
    distill(Path(sys.argv[1]), sys.argv[2], *(KillAfter(int(steps)) for steps in sys.argv[3:]))
