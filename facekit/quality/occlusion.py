"""How much of a face is covered, by a small network that ``configs/occlusion.py`` fits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facekit.io import safetensors_file

WEIGHTS = Path(__file__).with_name("occlusion.safetensors")
KIND = "facekit-occlusion"

# Added to the standard deviation, in gray levels, so that noise on an even surface stays small.
_NOISE = 8.0
# Two convolutions without borders, each with this step, and a linear layer.
_STEP = 2

_Array = npt.NDArray[np.float32]


class Covered(NamedTuple):
    """The shares of the eyes and of the mouth that are covered, 0 to 1."""

    eyes: float
    mouth: float


def covered(aligned: npt.NDArray[np.uint8]) -> Covered:
    """Estimates how much of a face, uint8 ``(64, 64, 3)`` from ``Aligner(64)``, is covered."""
    inputs = network_input(aligned[None])
    both = np.concatenate([inputs, inputs[:, :, ::-1]])
    eyes, mouth = _answers(both, _weights()).mean(axis=0)
    return Covered(float(eyes), float(mouth))


def network_input(aligned: npt.NDArray[np.uint8]) -> _Array:
    """Returns what the network sees of aligned faces, float32 ``(n, 32, 32, 3)``."""
    # With mean 0 and nearly the standard deviation 1, light and skin color hardly matter.
    full = aligned.astype(np.float32)
    small = (full[:, ::2, ::2] + full[:, 1::2, ::2] + full[:, ::2, 1::2] + full[:, 1::2, 1::2]) / 4
    deviation = small.std(axis=(1, 2, 3), keepdims=True)
    centered = small - small.mean(axis=(1, 2, 3), keepdims=True)
    return np.asarray(centered / (deviation + np.float32(_NOISE)))


def _answers(inputs: _Array, weights: Mapping[str, _Array]) -> _Array:
    for name in ("first", "second"):
        kernel = weights[f"{name}_kernel"]
        inputs = np.maximum(_patches(inputs, kernel) @ _flat(kernel) + weights[f"{name}_bias"], 0)
    scores = inputs.reshape(len(inputs), -1) @ weights["last_kernel"] + weights["last_bias"]
    return np.asarray(1.0 / (1.0 + np.exp(-scores)), dtype=np.float32)


def _patches(inputs: _Array, kernel: _Array) -> _Array:
    """Returns the values below each position of a kernel, ``(n, rows, columns, values)``."""
    windows = np.lib.stride_tricks.sliding_window_view(inputs, kernel.shape[:2], axis=(1, 2))
    windows = windows[:, ::_STEP, ::_STEP]
    return windows.reshape(*windows.shape[:3], -1)


def _flat(kernel: _Array) -> _Array:
    # The windows have the channels first.
    return kernel.transpose(2, 0, 1, 3).reshape(-1, kernel.shape[3])


@cache
def _weights() -> dict[str, _Array]:
    _, arrays = safetensors_file.read(WEIGHTS, kind=KIND, newest_version=1)
    return {name: array.astype(np.float32) for name, array in arrays.items()}
