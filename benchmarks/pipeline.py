"""Measures the parts of the pipeline after detection.

    python benchmarks/pipeline.py photo.jpg [photo.jpg ...]

times alignment, and embedding at several batch sizes beside ``keras.Model.predict`` of the network
that is not folded. Both sides of a comparison run alternately in one process; medians and ratios
are printed. Detection is measured by ``benchmarks/detection.py``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from facekit import Detector, Embedder, load_image
from facekit.embedding import build_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    pictures = [load_image(photo) for photo in options.photos]
    detector, embedder = Detector(), Embedder()
    aligner = embedder.aligner()
    faces = detector.detect_batch(pictures)
    print(f"{len(pictures)} photos, {sum(map(len, faces))} faces, {embedder.record.identity}")

    together = list(zip(pictures, faces, strict=True))
    alignment, _ = _alternately(
        lambda: [aligner.align(picture, found) for picture, found in together],
        lambda: None,
        options.repeat,
    )
    count = max(1, sum(map(len, faces)))
    print(f"alignment, a face: {1e3 * alignment / count:.2f} ms")

    separate = build_network(embedder.record.architecture)
    random = np.random.default_rng(0)
    for batch in (1, 8, 32):
        side = embedder.input_size
        inputs = random.integers(0, 256, size=(batch, side, side, 3), dtype=np.uint8)
        ours, theirs = _alternately(
            lambda inputs=inputs: embedder.embed(inputs),
            lambda inputs=inputs: separate.predict(inputs, batch_size=32, verbose=0),
            options.repeat,
        )
        _report(f"embedding, a face, batch {batch}", ours / batch, "Keras predict", theirs / batch)
    print(f"traces of the embedder: {embedder.traces}")


def _alternately(
    first: Callable[[], object], second: Callable[[], object], repeat: int
) -> tuple[float, float]:
    first(), second()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeat):
        for function, times in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _report(what: str, ours: float, name: str, theirs: float) -> None:
    print(f"{what}: {1e3 * ours:.1f} ms, {name} {1e3 * theirs:.1f} ms, ratio {theirs / ours:.2f}")


if __name__ == "__main__":
    main()
