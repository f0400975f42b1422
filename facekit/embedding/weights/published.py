"""Reads weights files published by others into layer weights, without pickle."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from facekit.embedding.networks.folding import LayerWeights, check_fit, fold
from facekit.embedding.networks.names import BATCH_NORMALIZATION_SUFFIX
from facekit.embedding.networks.network import Architecture
from facekit.embedding.networks.shapes import weight_shapes
from facekit.embedding.weights.registry import FileLayout
from facekit.errors import WeightsError
from facekit.utils.extras import import_extra

_NPZ_SUFFIXES = {
    # Only the head's kernel has "transpose" in its name; it is nevertheless stored as (inputs,
    # outputs), like in Keras.
    "_kernel_transpose": "kernel",
    "_kernel": "kernel",
    "_MatMul_bias": "bias",
    "_Conv2D_bias": "bias",
}

# deepface numbers the second branch of these blocks like the block: in the third one it is
# Branch_3. Blocks of these two kinds have no third branch.
_DEEPFACE_BRANCH = re.compile(r"^(Block(?:17|8)_(\d+))_Branch_\2_")

# The errors of NumPy, zipfile and zlib for a damaged archive; a TypeError if the file is a single
# array, a RuntimeError if a flag claims encryption or an unknown version.
_NPZ_DAMAGE = (
    OSError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error
)  # fmt: skip
# The errors of h5py: a KeyError if an object of the file cannot be opened, a TypeError if its
# number type is damaged, an AttributeError for an array in place of a group.
_H5_DAMAGE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)


def read_published(path: Path, layout: FileLayout, architecture: Architecture) -> LayerWeights:
    """Reads a file published by others and returns the weights of the folded network."""
    folded = layout == "facenet_folded_npz"
    shapes, scales = weight_shapes(architecture, folded=folded)
    weights = read_folded_npz(path) if folded else read_keras_h5(path)
    if layout == "deepface_h5":
        weights = {_DEEPFACE_BRANCH.sub(r"\1_Branch_1_", name): w for name, w in weights.items()}
    check_fit(weights, shapes, architecture.backbone, source=str(path))
    if layout == "deepface_h5":
        # deepface feeds images in OpenCV's channel order, BGR. Reversing the first kernel instead
        # of the images gives the same embeddings from RGB.
        first = next(iter(shapes))[0]
        weights[first]["kernel"] = weights[first]["kernel"][:, :, ::-1, :]
    return weights if folded else fold(weights, scales)


def read_folded_npz(path: Path) -> LayerWeights:
    """Reads an npz file of a folded graph."""
    weights: LayerWeights = {}
    try:
        opened = np.load(path, allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise WeightsError(f"{path}: is truncated or of another kind (a single array)")
        with opened as archive:
            for name in archive.files:
                layer, weight = _split_npz_name(name, path)
                weights.setdefault(layer, {})[weight] = archive[name].astype(np.float32)
    except _NPZ_DAMAGE as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path}: is truncated or damaged ({error})") from error
    return weights


def _split_npz_name(name: str, path: Path) -> tuple[str, str]:
    for suffix, weight in _NPZ_SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), weight
    raise WeightsError(f"{path}: holds an array of unknown name, {name!r}")


def read_keras_h5(path: Path) -> LayerWeights:
    """Reads an HDF5 file of Keras 2, with weights only or a whole model."""
    h5py = import_extra("h5py")
    weights: LayerWeights = {}

    def collect(name: str, item: Any) -> None:
        # A dataset's path is "<layer>/<layer>/<weight>:0", the layer once or more than once.
        if isinstance(item, h5py.Dataset):
            layer, *_, weight = name.split("/")
            weights.setdefault(layer, {})[weight.split(":")[0]] = np.asarray(item, np.float32)

    try:
        with h5py.File(path, "r") as file:
            file.get("model_weights", file).visititems(collect)
    except _H5_DAMAGE as error:
        raise WeightsError(f"{path}: is truncated or not an HDF5 file ({error})") from error
    for layer in weights:
        if layer.endswith(BATCH_NORMALIZATION_SUFFIX):
            # Keras 2 wrote a factor even for layers without one, in some versions as ones.
            gamma = weights[layer].pop("gamma", None)
            if gamma is not None and not np.allclose(gamma, 1.0):
                raise WeightsError(f"{path}: {layer} has a scale, the network has none")
    return weights


def read_ordered_h5(path: Path) -> LayerWeights:
    """Reads an HDF5 file of Keras 2 with its layers in the order in which they were built."""
    h5py = import_extra("h5py")
    weights: LayerWeights = {}
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            for layer in map(_as_text, root.attrs["layer_names"]):
                for name in map(_as_text, root[layer].attrs["weight_names"]):
                    kind = name.rpartition("/")[2].split(":")[0]
                    array = np.asarray(root[layer][name], np.float32)
                    weights.setdefault(layer, {})[kind] = array
    except _H5_DAMAGE as error:
        raise WeightsError(
            f"{path}: is truncated or not an HDF5 file of Keras ({error})"
        ) from error
    return weights


def _as_text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
