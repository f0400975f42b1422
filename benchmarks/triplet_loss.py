"""Measures loss and gradient of semi-hard mining, ours beside that of tensorflow-addons.

    make parity                          # once, makes the environment of tensorflow-addons
    python benchmarks/triplet_loss.py    # --addons .venv-addons/bin/python

prints a table: for each batch size the time of one compiled step (loss and gradient of 128-D
embeddings, median) and the peak of the memory that it takes beyond what the process held before.
Each figure comes from a process of its own; the two sides take turns. Memory is measured with an
allocator that gives freed arrays back at once, on both sides, so that the peak is what is in use;
by default glibc keeps some of them, and a process may hold twice as much. tensorflow-addons needs
memory of B³, 14 GB for a batch of 1,024, and is measured up to ``--addons-limit``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (32, 64, 128, 256, 512, 1024, 1800, 2048, 4096)
LOSSES = ("semihard", "hard", "batch-all", "facenet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--loss", choices=LOSSES, default="semihard")
    parser.add_argument("--addons", default=".venv-addons/bin/python")
    parser.add_argument("--addons-limit", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--measure", choices=("ours", "addons"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measure(options)))
        return
    has_addons = Path(options.addons).exists() and options.loss in ("semihard", "hard")
    if not has_addons:
        print("Without tensorflow-addons: no environment (see above), or not a loss of it.")
    print(f"{options.loss}, 128-D, {os.cpu_count()} cores, {options.repeat} runs each")
    print(f"{'batch':>6} {'ours':>10} {'ours':>10} {'addons':>10} {'addons':>10}   ratios")
    for size in options.sizes:
        ours = _run(sys.executable, "ours", size, options)
        line = f"{size:6} {_show(ours)}"
        if has_addons and size <= options.addons_limit:
            addons = _run(options.addons, "addons", size, options)
            faster = addons["seconds"] / ours["seconds"]
            leaner = addons["bytes"] / max(ours["bytes"], 1)
            line += f" {_show(addons)}   {faster:.1f}× faster, {leaner:.1f}× leaner"
        print(line, flush=True)


def _show(found: dict[str, float]) -> str:
    return f"{1e3 * found['seconds']:7.1f} ms {found['bytes'] / 1e6:7.1f} MB"


def _run(python: str, side: str, size: int, options: argparse.Namespace) -> dict[str, float]:
    command = [python, __file__, str(size), "--measure", side, "--loss", options.loss]
    found = {}
    for what, repeat, allocator in (
        ("seconds", options.repeat, {}),
        ("bytes", 2, {"MALLOC_MMAP_THRESHOLD_": "65536"}),
    ):
        done = subprocess.run(
            [*command, "--repeat", str(repeat)],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **allocator},
        )
        found[what] = json.loads(done.stdout.splitlines()[-1])[what]
    return found


def _measure(options: argparse.Namespace) -> dict[str, float]:
    (size,) = options.sizes
    import tensorflow as tf

    loss = _loss(options.measure, options.loss)

    @tf.function
    def step(labels: Any, embeddings: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return value, tape.gradient(value, embeddings)

    random = np.random.default_rng(0)
    # Four photos of each person, as in a balanced batch.
    labels = np.arange(size) // 4
    embeddings = random.normal(size=(size, 128)).astype("float32")
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    step(tf.constant(labels[:8]), tf.constant(embeddings[:8]))
    inputs = tf.constant(labels), tf.constant(embeddings)
    before = _forget_peak()
    step(*inputs)
    seconds = []
    for _ in range(options.repeat):
        start = time.perf_counter()
        step(*inputs)[1].numpy()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "bytes": _memory("VmHWM") - before}


def _loss(side: str, name: str) -> Any:
    if side == "addons":
        import tensorflow_addons as tfa

        return getattr(tfa.losses, f"triplet_{name}_loss")
    from facekit import training

    if name == "facenet":
        return training.TripletLoss(name)
    if name == "batch-all":
        return training.TripletLoss(name, margin=1.0, distance_metric="L2")
    return getattr(training, f"triplet_{name}_loss")


def _forget_peak() -> int:
    """Makes the peak of the memory start at what is held now, which is returned (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise RuntimeError("the peak of the memory is read from /proc, which only Linux has")


if __name__ == "__main__":
    main()
