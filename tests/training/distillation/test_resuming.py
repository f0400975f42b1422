"""A distillation that was stopped anywhere ends with the bits of one that was not."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

from facekit import Architecture, Embedder
from facekit.errors import RandomWeightsWarning
from facekit.training import Augmentation, Distiller, FaceDataset
from facekit.training.engine.checkpoints import Checkpoint
from tests.small_networks import random_pictures
from tests.training.distillation import pruned_distillation

EPOCHS = 2
# 11 faces in batches of 4: the third batch of an epoch has to be filled up.
FACES, BATCH, STEPS = 11, 4, EPOCHS * 3
TINY = Architecture("inception_resnet_v1", 0.1, 0.1, input_size=75, embedding_size=8)


class Stopped(BaseException):
    """Stands for a process that ends: nothing catches it to tidy up."""


class StopAfter(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops a training after a given number of steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stopped


@cache
def student() -> Embedder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RandomWeightsWarning)
        return Embedder(weights=None, architecture=TINY, seed=2)


@cache
def teacher() -> Embedder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RandomWeightsWarning)
        return Embedder(weights=None, architecture=TINY, seed=3)


def distill(folder: Path, *callbacks: keras.callbacks.Callback) -> tuple[list[np.ndarray], str]:
    """Trains, from the folder's checkpoint if there is one: the weights, and the history."""
    faces = FaceDataset.from_arrays(random_pictures(FACES, side=75), [None] * FACES)
    distiller = Distiller(
        student(),
        teacher=teacher(),
        folder=folder,
        dropout=0.2,
        batch_size=BATCH,
        neighbors=2,
        impostor_weight=1.0,
        augmentation=Augmentation(occlusion=0.5),
        checkpoint_interval=0.0,
        warm_up_steps=2,
        workers=3,
        seed=5,
    )
    distiller.fit(faces, epochs=EPOCHS, resume=True, progress=False, callbacks=callbacks)
    weights = [np.asarray(variable) for variable in distiller.network_.variables]
    return weights, (folder / "history.csv").read_text()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], str]:
    return distill(tmp_path_factory.mktemp("whole"))


# A checkpoint is written a step after the one that it belongs to: the stops go on from the
# beginning, from the filled batch at the end of an epoch, and from the epoch after.
@pytest.mark.check
@pytest.mark.parametrize("stops", [(1, 2, 3), (3,)], ids=str)
def test_a_stopped_distillation_goes_on_to_the_same_bits(
    tmp_path: Path, uninterrupted: tuple[list[np.ndarray], str], stops: tuple[int, ...]
) -> None:
    for steps in stops:
        with pytest.raises(Stopped):
            distill(tmp_path, StopAfter(steps))
    weights, history = distill(tmp_path)
    assert history == uninterrupted[1]
    for found, expected in zip(weights, uninterrupted[0], strict=True):
        np.testing.assert_array_equal(found, expected)


def run(folder: Path, *arguments: object) -> tuple[int, str]:
    """Runs the distillation of a pruned teacher in a process: its exit code, and its errors."""
    command = [sys.executable, pruned_distillation.__file__, folder, *arguments]
    ended = subprocess.run([str(word) for word in command], capture_output=True, check=False)
    return ended.returncode, ended.stderr.decode(errors="replace")


# What is pruned is computed once, or, for a head alone, again by each process.
@pytest.mark.check
@pytest.mark.parametrize("trainable", ["head", "all"])
def test_a_pruned_student_killed_twice_ends_with_the_same_bits(
    tmp_path: Path, trainable: str
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code, errors = run(whole, trainable)
    assert code == 0, errors
    # The second process goes on with the filled batch, the last one with the epoch after.
    for steps, kept in ((4, 2), (3, 3)):
        code, errors = run(killed, trainable, steps)
        assert code == -signal.SIGKILL, errors
        assert Checkpoint(killed / "checkpoint.safetensors").progress.step == kept
    code, errors = run(killed, trainable)
    assert code == 0, errors
    assert (killed / "history.csv").read_text() == (whole / "history.csv").read_text()
    expected, found = (np.load(folder / "final.npz") for folder in (whole, killed))
    for name in expected.files:
        np.testing.assert_array_equal(found[name], expected[name])
