"""Augmentation of a batch: facekit's, with OpenCV, beside Keras's preprocessing layers.

Both mirror, shift, scale and rotate, and change brightness, contrast and saturation. Keras has no
layer that compresses as JPEG or brings an image to a smaller size and back, so that its column does
less work than facekit's last line.

Run: python benchmarks/augmentation.py [side] [batch]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from facekit.training import Augmentation

ROUNDS = 9


def milliseconds_per_face(work: Callable[[], Any], faces: int) -> float:
    """Returns the median of several rounds, after one to warm up."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times)) / faces


def keras_layers() -> keras.Sequential:
    geometry = {"fill_mode": "nearest", "interpolation": "bilinear"}
    color = {"value_range": (0, 255)}
    return keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomTranslation(0.04, 0.04, **geometry),
            keras.layers.RandomZoom((-0.08, 0.08), **geometry),
            keras.layers.RandomRotation(8 / 360, **geometry),
            keras.layers.RandomBrightness(0.1, **color),
            keras.layers.RandomContrast(0.25, **color),
            keras.layers.RandomSaturation((0.4, 0.6), **color),
        ]
    )


def main() -> None:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 160
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 128
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (batch, 12, 12, 3)).astype(np.uint8)
    images = small.repeat(side // 12 + 1, axis=1).repeat(side // 12 + 1, axis=2)
    images = np.ascontiguousarray(images[:, :side, :side])

    layers = keras_layers()
    color_only = Augmentation(blur=0, downscale=0, jpeg=0)
    everything = Augmentation()

    def in_two_threads() -> None:
        with ThreadPoolExecutor(2) as executor:
            for seed in range(2):
                executor.submit(everything, images, np.random.default_rng(seed))

    print(
        f"{batch} faces of {side} × {side}, Keras {keras.__version__} on {keras.backend.backend()}"
    )
    reference = milliseconds_per_face(lambda: np.asarray(layers(images, training=True)), batch)
    for name, work, faces in [
        ("facekit, geometry and color", lambda: color_only(images, rng), batch),
        ("facekit, everything", lambda: everything(images, rng), batch),
        ("facekit, everything, two threads", in_two_threads, 2 * batch),
    ]:
        took = milliseconds_per_face(work, faces)
        print(f"{name:<36} {took:.3f} ms a face, {reference / took:.1f} times as fast as Keras")
    print(f"{'Keras layers, geometry and color':<36} {reference:.3f} ms a face")


if __name__ == "__main__":
    main()
