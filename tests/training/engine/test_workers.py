"""Training on several devices and processes gives what one gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit.errors import InvalidArgumentError
from facekit.training import Augmentation, BalancedBatches, FaceDataset
from facekit.training.engine.workers import Workers

SCRIPT = Path(__file__).parents[1] / "distributed_training.py"


@given(shares=st.sampled_from([1, 2, 4, 8]), index=st.integers(0, 3), seed=st.integers(0, 99))
def test_the_parts_of_a_batch_make_up_the_batch(shares: int, index: int, seed: int) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    batches = BalancedBatches(
        FaceDataset.from_arrays(faces, list("ABCDABCDABCDABCD")),
        identities=4,
        images=2,
        seed=seed,
        augmentation=Augmentation(occlusion=0.5),
    )
    index %= len(batches)
    images, labels = batches.batch(0, index)
    parts = []
    for share in range(shares):
        batches.part = (share, shares)
        parts.append(batches.batch(0, index))
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), images)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), labels)


def test_without_a_distribution_one_process_does_everything() -> None:
    workers = Workers.current()
    assert workers == Workers(0, 1, 1)
    assert workers.first
    assert workers.agreed(7) == 7
    workers.check(7, in_parts=True, features=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 9, "in_parts": False, "features": False}, "must divide the batch of 9"),
        ({"batch_size": 8, "in_parts": True, "features": False}, "micro_batch"),
        ({"batch_size": 8, "in_parts": False, "features": True}, "use one device"),
    ],
)
def test_what_cannot_be_divided_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Workers(0, 2, 4).check(**arguments)


def test_another_backend_or_distribution_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "distribution", lambda: object())
    with pytest.raises(InvalidArgumentError, match="JAX backend"):
        Workers.current()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InvalidArgumentError, match="DataParallel, got object"):
        Workers.current()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    pytest.importorskip("jax", reason="jax is not installed")
    folder = tmp_path_factory.mktemp("alone")
    assert _run(folder, devices=1) == [0]
    return _result(folder, 0)


@pytest.mark.check
@pytest.mark.timeout(900)
class TestOnJax:
    def test_four_devices_give_what_one_gives(self, alone: dict[str, Any], tmp_path: Path) -> None:
        assert _run(tmp_path, devices=4) == [0]
        _assert_equal(_result(tmp_path, 0), alone)

    def test_two_processes_killed_and_resumed_give_what_one_gives(
        self, alone: dict[str, Any], tmp_path: Path
    ) -> None:
        processes = _start(tmp_path, devices=2, count=2, pause="2")
        checkpoint, seen = tmp_path / "training" / "checkpoint.safetensors", set()
        deadline = time.monotonic() + 400
        while len(seen) < 3 and time.monotonic() < deadline:
            if checkpoint.exists():
                seen.add(checkpoint.stat().st_mtime_ns)
            time.sleep(0.05)
        assert len(seen) >= 3
        for process in reversed(processes):
            process.kill()
        assert 0 not in [process.wait() for process in processes]
        assert not list(tmp_path.glob("result-*"))
        assert _run(tmp_path, devices=2, count=2) == [0, 0]
        for index in range(2):
            _assert_equal(_result(tmp_path, index), alone)


def _start(
    folder: Path, *, devices: int, count: int = 1, pause: str = "0"
) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, str(SCRIPT), str(folder), str(devices)]
    environment = {**os.environ, "PAUSE": pause}
    others = [[]] if count == 1 else [[str(index), str(count), port] for index in range(count)]
    return [subprocess.Popen([*command, *each], env=environment) for each in others]


def _run(folder: Path, *, devices: int, count: int = 1) -> list[int]:
    return [process.wait(400) for process in _start(folder, devices=devices, count=count)]


def _result(folder: Path, index: int) -> dict[str, Any]:
    with np.load(folder / f"result-{index}.npz") as arrays:
        return dict(arrays)


def _assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        # One pair in another order moves the area under the curve by 5e-5.
        tolerance = {"losses": 1e-5, "areas": 1e-3}.get(name, 1e-6)
        np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance, err_msg=name)
