"""facekit's embedder files: a record and the weights of a folded network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from facekit.embedding.networks.folding import LayerWeights
from facekit.embedding.networks.names import CENTERING_LAYER
from facekit.embedding.weights.registry import WeightsRecord
from facekit.errors import FileFormatError, InvalidArgumentError
from facekit.io import safetensors_file
from facekit.utils.validation import choice

Precision: TypeAlias = Literal["float32", "float16", "int8"]
"""The precision of the weights in a file; ``"int8"`` rounds kernels by output channel."""

_KIND = "facekit.embedder"
_VERSION = 1
# facekit 0.1 reads up to version 1. Each version includes what those before may hold.
_INT8_VERSION, _CENTERED_VERSION = 2, 3
_STEP = "_step"


def write_embedder(
    path: str | os.PathLike[str],
    record: WeightsRecord,
    arrays: LayerWeights,
    *,
    precision: Precision = "float32",
) -> None:
    """Writes weights and their record to one safetensors file."""
    if Path(path).suffix != ".safetensors":
        raise InvalidArgumentError(
            f"the file of an embedder ends in .safetensors, got {os.fspath(path)!r}"
        )
    flat: safetensors_file.Arrays = {
        f"{layer}/{name}": array
        for layer, weights in arrays.items()
        for name, array in weights.items()
    }
    choice(precision, "precision", get_args(Precision))
    version = _VERSION
    if precision == "float16":
        flat = {name: _halved(array, name) for name, array in flat.items()}
    elif precision == "int8":
        flat, version = _in_steps(flat), _INT8_VERSION
    if CENTERING_LAYER in arrays:
        version = _CENTERED_VERSION
    safetensors_file.write(path, kind=_KIND, version=version, header=record.to_dict(), arrays=flat)


def read_embedder(path: Path) -> tuple[WeightsRecord, LayerWeights]:
    """Reads a file written by :func:`write_embedder`."""
    header, flat = safetensors_file.read(path, kind=_KIND, newest_version=_CENTERED_VERSION)
    for key in [name for name, array in flat.items() if array.dtype == np.int8]:
        flat[key] = flat[key] * _step_of(path, key, flat[key], flat.pop(f"{key}{_STEP}", None))
    arrays: LayerWeights = {}
    for key, array in flat.items():
        layer, _, name = key.rpartition("/")
        arrays.setdefault(layer, {})[name] = array.astype(np.float32, copy=False)
    if "licence" in header:  # as facekit 0.1 spelled it
        header["license"] = header.pop("licence")
    try:
        return WeightsRecord.from_dict(header), arrays
    except InvalidArgumentError as error:
        raise FileFormatError(
            f"{path}: describes weights that this facekit does not understand ({error}); it was "
            "written by another version. Upgrade facekit, or make the file again"
        ) from error


def _halved(array: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float16]:
    if np.abs(array).max(initial=0.0) > np.finfo(np.float16).max:
        raise InvalidArgumentError(
            f'precision="float16": {name} holds {np.abs(array).max():g}, too large'
        )
    return array.astype(np.float16)


def _in_steps(flat: safetensors_file.Arrays) -> safetensors_file.Arrays:
    """Returns each kernel as integers up to 127, and the step of each output channel."""
    stored: safetensors_file.Arrays = {}
    for name, array in flat.items():
        if array.ndim < 2:
            stored[name] = array
            continue
        step = np.abs(array).max(axis=tuple(range(array.ndim - 1))) / np.float32(127.0)
        step = np.where(step > 0.0, step, np.float32(1.0))
        stored[name] = np.rint(array / step).astype(np.int8)
        stored[f"{name}{_STEP}"] = step
    return stored


def _step_of(
    path: Path, key: str, array: npt.NDArray[np.int8], step: npt.NDArray[Any] | None
) -> npt.NDArray[np.float32]:
    if step is None or step.dtype != np.float32 or step.shape != array.shape[-1:]:
        raise FileFormatError(
            f"{path}: {key} is rounded to 8 bits, and {key}{_STEP} is not one float32 for each of "
            "its output channels; the file was altered. Make it again"
        )
    return step
