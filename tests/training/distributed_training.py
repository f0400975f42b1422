"""Trains a small network as one of several processes on JAX: FOLDER DEVICES [INDEX COUNT PORT]."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

FOLDER, DEVICES = Path(sys.argv[1]), int(sys.argv[2])
os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"

import keras  # noqa: E402
import numpy as np  # noqa: E402

INDEX = 0
if len(sys.argv) > 3:
    INDEX, COUNT, PORT = map(int, sys.argv[3:])
    keras.distribution.initialize(f"127.0.0.1:{PORT}", COUNT, INDEX)

from facekit import Architecture  # noqa: E402
from facekit.training import Augmentation, FaceDataset, TripletTrainer  # noqa: E402

if DEVICES > 1 or len(sys.argv) > 3:
    keras.distribution.set_distribution(keras.distribution.DataParallel())
faces = np.random.default_rng(0).integers(0, 256, (32, 75, 75, 3), dtype=np.uint8)
people = [f"person {index % 8}" for index in range(len(faces))]
trainer = TripletTrainer(
    Architecture(width=0.1, blocks=0.1, input_size=75, embedding_size=16),
    folder=FOLDER / "training",
    identities=4,
    images=2,
    miner="batch-all",
    augmentation=Augmentation(),
    checkpoint_interval=0.0,
    # Adam makes whole steps of the rounding errors of gradients near zero, and batch
    # normalization over eight faces amplifies them: small steps show what is equal.
    optimizer="sgd",
    learning_rate=3e-5,
)
dataset = FaceDataset.from_arrays(faces, people)
pause = keras.callbacks.LambdaCallback(
    on_train_batch_end=lambda *_, **__: time.sleep(float(os.environ.get("PAUSE", 0)))
)
history = trainer.fit(
    dataset, validation=dataset, epochs=3, resume=True, progress=False, callbacks=[pause]
)
weights = [np.asarray(variable.value) for variable in trainer.network_.variables]
losses = [row["loss"] for row in history if "loss" in row]
areas = history.column("validation_auc")
np.savez(FOLDER / f"result-{INDEX}.npz", *weights, losses=losses, areas=areas)
