"""Checkpoints: whole, atomic, and exact even after kill -9."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from facekit import FileFormatError
from facekit.io import safetensors_file
from facekit.training import Augmentation, BalancedBatches, ShuffledBatches, TripletLoss
from facekit.training.engine.checkpoints import Checkpoint, Progress, Snapshot
from tests.forging import forgeries
from tests.training import small_training

WORKER = Path(small_training.__file__)


def network_and_optimizer(units: int = 3) -> tuple[Any, Any]:
    network = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(units)]
    )
    optimizer = keras.optimizers.Adam()
    optimizer.build(network.trainable_variables)
    return network, optimizer


def write(path: Path, units: int = 3) -> tuple[Any, Any]:
    network, optimizer = network_and_optimizer(units)
    progress = Progress(epoch=2, batch=1, step=9, sums={"loss": 0.1}, rows=[{"epoch": 1}])
    Snapshot(progress, {"seed": 0}, network=network, optimizer=optimizer).write(path)
    return network, optimizer


def test_everything_comes_back(tmp_path: Path) -> None:
    network, optimizer = write(tmp_path / "c.safetensors")
    found = Checkpoint(tmp_path / "c.safetensors")
    assert found.progress == Progress(2, 1, 9, 0, {"loss": 0.1}, [{"epoch": 1}])
    assert found.settings == {"seed": 0}
    other, other_optimizer = network_and_optimizer()
    found.restore("network", other.variables)
    found.restore("optimizer", other_optimizer.variables)
    # The random state of the dropout is among the variables.
    assert len(other.variables) == 3
    for one, two in zip(
        [*network.variables, *optimizer.variables],
        [*other.variables, *other_optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


def test_the_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "c.safetensors", units=2)
    network, optimizer = network_and_optimizer()
    found = Checkpoint(tmp_path / "c.safetensors")
    with pytest.raises(FileFormatError, match="another network"):
        found.restore("network", network.variables)
    with pytest.raises(FileFormatError, match="another optimizer"):
        found.restore("optimizer", optimizer.variables)


@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b[:-1] + b"\x01", lambda b: b""])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "c.safetensors"
    write(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileFormatError, match=r"c\.safetensors"):
        Checkpoint(path)


def test_a_forged_checkpoint_is_refused_or_used(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write(path)
    kind = {"kind": "facekit.training"}
    header, arrays = safetensors_file.read(path, newest_version=1, **kind)
    refused = used = 0
    for forged in forgeries(header, *header["progress"]):
        safetensors_file.write(path, version=1, header=forged, arrays=arrays, **kind)
        try:
            found = Checkpoint(path).progress
        except FileFormatError:
            refused += 1
            continue
        used += 1
        assert min(found.epoch, found.batch, found.step, found.trained_epoch) >= 0
        for row in (found.sums, *found.rows):
            assert all(isinstance(value, int | float) for value in row.values())
    assert refused > used > 0


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.safetensors"
    write(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileFormatError, match="No space left"):
        write(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


class KeepAll(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps a copy of the checkpoint of every step."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        path = self.folder / "checkpoint.safetensors"
        kept = self.folder.parent / f"from step {Checkpoint(path).progress.step}"
        kept.mkdir(exist_ok=True)
        shutil.copy(path, kept)


@pytest.mark.parametrize("kind", ["balanced", pytest.param("shuffled", marks=pytest.mark.check)])
def test_going_on_in_an_epoch_ends_with_the_same_weights(tmp_path: Path, kind: str) -> None:
    def train(folder: Path, **arguments: Any) -> list[Any]:
        faces, shared = small_training.faces(), {"seed": 1, "augmentation": Augmentation()}
        # 64 faces are no multiple of 24.
        if kind == "balanced":
            batches: Any = BalancedBatches(faces, identities=8, images=3, **shared)
        else:
            batches = ShuffledBatches(faces, batch_size=24, **shared)
        objectives = {0: TripletLoss("hard")}
        return small_training.train(
            folder, batches=batches, epochs=2, objectives=objectives, **arguments
        )

    whole = train(tmp_path / "whole", callbacks=[KeepAll(tmp_path / "whole")])
    # The third batch of "shuffled" would be smaller, were it not filled up.
    for step in (1, 2) if kind == "shuffled" else (2,):
        for expected, weights in zip(whole, train(tmp_path / f"from step {step}"), strict=True):
            np.testing.assert_array_equal(weights, expected, err_msg=f"from step {step}")


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(WORKER), str(folder)], stderr=subprocess.PIPE)


@pytest.mark.check
def test_killed_at_a_random_moment_it_ends_where_it_would_have(tmp_path: Path) -> None:
    whole = small_training.train(tmp_path / "whole")
    killed_folder = tmp_path / "killed"
    path = killed_folder / "checkpoint.safetensors"
    process = start(killed_folder)
    # The first checkpoint is from before the first step. After some it is killed.
    seen = set()
    while process.poll() is None and len(seen) < 4:
        time.sleep(0.005)
        if path.exists():
            seen.add(path.stat().st_mtime_ns)
    time.sleep(random.uniform(0.0, 0.3))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert 0 < Checkpoint(path).progress.step < small_training.STEPS
    process = start(killed_folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    final = np.load(killed_folder / "final.npz")
    assert len(final.files) == len(whole)
    for name, expected in zip(final.files, whole, strict=True):
        np.testing.assert_array_equal(final[name], expected)
    assert (killed_folder / "history.csv").read_text() == (
        tmp_path / "whole" / "history.csv"
    ).read_text()
