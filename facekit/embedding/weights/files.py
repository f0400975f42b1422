"""The files of embedders that facekit writes: a record and the weights of a folded network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facekit.embedding.networks.folding import LayerWeights
from facekit.embedding.weights.registry import WeightsRecord
from facekit.errors import FileFormatError, InvalidArgumentError
from facekit.io import safetensors_file

_KIND = "facekit.embedder"
_VERSION = 1


def write_embedder(
    path: str | os.PathLike[str],
    record: WeightsRecord,
    arrays: LayerWeights,
    *,
    half_precision: bool = False,
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
    if half_precision:
        flat = {name: _halved(array, name) for name, array in flat.items()}
    safetensors_file.write(path, kind=_KIND, version=_VERSION, header=record.to_dict(), arrays=flat)


def read_embedder(path: Path) -> tuple[WeightsRecord, LayerWeights]:
    """Reads a file of :func:`write_embedder`."""
    header, flat = safetensors_file.read(path, kind=_KIND, newest_version=_VERSION)
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
            f"half_precision: {name} holds {np.abs(array).max():g}, too large for float16"
        )
    return array.astype(np.float16)
