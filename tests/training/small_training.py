"""A training of a few seconds: small, but with all that has a state; run as a script to be killed.

python small_training.py FOLDER
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from facekit.training import (
    Augmentation,
    BalancedBatches,
    FaceDataset,
    TripletLoss,
)
from facekit.training.data.batches import SeededBatches
from facekit.training.engine.collapse import CollapseGuard
from facekit.training.engine.loop import TrainingLoop
from facekit.training.engine.plan import Plan
from facekit.training.engine.workers import Workers
from facekit.training.losses.statistics import spread

PEOPLE, IMAGES, EPOCHS = 8, 8, 3
STEPS = EPOCHS * 8


def network() -> Any:
    """Returns a network with convolution, normalization and dropout, in a moment."""
    x = inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    x = keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.GlorotUniform(1))(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("relu")(x))
    x = keras.layers.Dropout(0.2, seed=2)(x)
    x = keras.layers.Dense(6, kernel_initializer=keras.initializers.GlorotUniform(3))(x)
    return keras.Model(inputs, keras.layers.UnitNormalization()(x))


def faces() -> FaceDataset:
    """Returns people that differ by their color."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(PEOPLE), IMAGES)
    pictures = rng.integers(0, 200, (PEOPLE, 1, 1, 3))[labels] + rng.integers(
        0, 56, (len(labels), 16, 16, 3)
    )
    return FaceDataset.from_arrays(pictures.astype(np.uint8), [f"{label}" for label in labels])


def train(
    folder: Path,
    *,
    batches: SeededBatches | None = None,
    epochs: int = EPOCHS,
    callbacks: Sequence[Any] = (),
    patience: int = 50,
    **changes: Any,
) -> list[Any]:
    """Trains, from the folder's checkpoint if there is one, and returns the final weights."""
    folder.mkdir(exist_ok=True)
    trained = network()
    arguments: dict[str, Any] = {
        "network": trained,
        "trained": trained,
        "trainable": {0: "all"},
        "objectives": {0: TripletLoss("batch-all"), 1: TripletLoss("semihard")},
        # The statistics of triplets take longer to compile than all the rest.
        "statistics": lambda _, embeddings: {"spread": spread(embeddings)},
        "freeze_batch_normalization": False,
        "optimizer": keras.optimizers.Adam(use_ema=True, ema_momentum=0.8),
        "learning_rates": {0: 0.01},
        "schedule": "cosine",
        "warm_up_steps": 4,
        "precision": "float32",
        "held_out": faces(),
    }
    if batches is None:
        batches = BalancedBatches(
            faces(), identities=4, images=2, seed=1, augmentation=Augmentation(), workers=2
        )
    plan = Plan(**{**arguments, **changes})
    loop = TrainingLoop(
        batches=batches,
        plan=plan,
        guard=CollapseGuard(0.2, patience=patience),
        folder=folder,
        settings={},
        workers=Workers(),
        checkpoint_interval=0.0,
    )
    loop.run(epochs, resume=True, callbacks=callbacks)
    return [np.asarray(variable) for variable in trained.variables]


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    PAUSE = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: time.sleep(0.2))
    np.savez(FOLDER / "final.npz", *train(FOLDER, callbacks=[PAUSE]))
