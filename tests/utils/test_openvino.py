"""Graphs run in any thread and any process, and a fork meets no lock that is held for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facekit.utils.openvino import Graph, ops, ov

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def doubling() -> object:
    x = ops.parameter([-1, 4], np.float32)
    return ov.Model([ops.multiply(x, ops.constant(np.float32(2)))], [x], "doubling")


def test_a_graph_takes_batches_of_every_size() -> None:
    graph = Graph(doubling, threads=1, streams=1)
    for size in (3, 1, 7):
        (answer,) = graph.infer(np.ones((size, 4), np.float32))
        np.testing.assert_array_equal(answer, np.full((size, 4), 2.0))


def test_what_was_compiled_is_kept_in_a_file(tmp_path: Path) -> None:
    cache = tmp_path / "compiled" / "doubling"
    ones = np.ones((2, 4), np.float32)
    Graph(doubling, threads=1, streams=1, cache=cache).infer(ones)
    (blob,) = cache.parent.iterdir()

    def never() -> object:
        raise AssertionError("built although it is in the cache")

    (answer,) = Graph(never, threads=1, streams=1, cache=cache).infer(ones)
    np.testing.assert_array_equal(answer, 2 * ones)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(AssertionError, match="built although"):
        Graph(never, threads=1, streams=1, cache=cache).infer(ones)


def test_an_older_file_goes_and_those_of_other_graphs_stay(tmp_path: Path) -> None:
    ones, older = np.ones((2, 4), np.float32), tmp_path / f"doubling-{'0' * 16}.blob"
    older.write_bytes(b"")
    Graph(doubling, threads=1, streams=1, cache=tmp_path / "doubling-int8").infer(ones)
    (other,) = tmp_path.glob("doubling-int8-*")
    Graph(doubling, threads=1, streams=1, cache=tmp_path / "doubling").infer(ones)
    assert other.exists()
    assert not older.exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_what_was_compiled_outlives_its_file(tmp_path: Path) -> None:
    cache = tmp_path / "doubling"
    ones = np.ones((2, 4), np.float32)
    Graph(doubling, threads=1, streams=1, cache=cache).infer(ones)
    graph = Graph(doubling, threads=1, streams=1, cache=cache)
    graph.infer(ones)
    for file in tmp_path.iterdir():
        file.unlink()
    (answer,) = graph.infer(np.ones((3, 4), np.float32))
    np.testing.assert_array_equal(answer, np.full((3, 4), 2.0))


def test_an_empty_file_is_compiled_again(tmp_path: Path) -> None:
    cache, ones = tmp_path / "doubling", np.ones((2, 4), np.float32)
    Graph(doubling, threads=1, streams=1, cache=cache).infer(ones)
    (blob,) = tmp_path.iterdir()
    blob.write_bytes(b"")
    Graph(doubling, threads=1, streams=1, cache=cache).infer(ones)
    assert blob.stat().st_size > 32


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    graph = Graph(doubling, threads=1, streams=1, cache=tmp_path / "file" / "doubling")
    (answer,) = graph.infer(np.ones((1, 4), np.float32))
    assert answer.sum() == 8.0


def run(script: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=200
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@needs_fork
def test_a_child_forked_while_other_threads_recognize_works() -> None:
    answers = run("""
import os, sys, threading, numpy as np
from facekit import Detector, Embedder
embedder, detector = Embedder(), Detector()
faces = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
image = np.zeros((90, 120, 3), np.uint8)
expected, stop = embedder.embed(faces), threading.Event()

def work():
    while not stop.is_set():
        embedder.embed(faces)
        detector.detect(image)

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(3):
    child = os.fork()
    if not child:
        same = np.allclose(embedder.embed(faces), expected, atol=1e-4)
        sys.exit(0 if same and not detector.detect(image) else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
""")
    assert answers.split() == ["0", "0", "0"]


@needs_fork
def test_a_child_of_a_thread_that_is_computing_is_refused() -> None:
    answer = run("""
import os, sys
import facekit.utils.openvino as runtime
from facekit.errors import FacekitError
runtime._PATIENCE = 0.1

def forks():
    if not os.fork():
        try:
            runtime.Graph(forks, threads=1, streams=1).compiled
        except FacekitError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
    raise ValueError("the parent goes on")

try:
    runtime.Graph(forks, threads=1, streams=1).compiled
except ValueError as error:
    print(error)
""")
    assert 'start it with multiprocessing\'s "spawn"' in answer
    assert "the parent goes on" in answer
