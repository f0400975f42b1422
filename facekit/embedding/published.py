"""Reading the files in which others published weights, as layer weights, without pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from facekit.embedding.folding import LayerWeights, assign, fold, layer_weights, residual_scales
from facekit.embedding.names import BATCH_NORMALIZATION_SUFFIX
from facekit.embedding.network import Architecture, build_network
from facekit.embedding.weights import FileLayout
from facekit.errors import WeightsError

_NPZ_SUFFIXES = {
    # Only the head's kernel carries "transpose" in its name; it is stored (inputs, outputs) all
    # the same, as Keras keeps it.
    "_kernel_transpose": "kernel",
    "_kernel": "kernel",
    "_MatMul_bias": "bias",
    "_Conv2D_bias": "bias",
}

# What NumPy, zipfile and zlib raise for a damaged archive; a TypeError if the file is a single
# array, a RuntimeError if a flag of the archive claims encryption or an unknown version.
_NPZ_DAMAGE = (
    OSError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error
)  # fmt: skip
# What h5py raises: a KeyError where an object of the file cannot be opened, a TypeError where the
# kind of its numbers is damaged, an AttributeError where a group should be and an array is.
_H5_DAMAGE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)


def read_published(path: Path, layout: FileLayout, architecture: Architecture) -> LayerWeights:
    """Reads a published file and returns the weights of the folded network.

    Args:
        path: The file.
        layout: ``"facenet_folded_npz"``: float16 arrays of the graph with batch normalisation
            folded, named ``<layer>_kernel`` and ``<layer>_Conv2D_bias``.
            ``"keras_facenet_h5"``: an HDF5 file of Keras 2 with one group a layer, batch
            normalisations of their own.
        architecture: The network that they belong to.

    Returns:
        Kernel and bias by layer name. Whether those of a folded file fit the architecture turns
        out when they are assigned to the folded network.

    Raises:
        WeightsError: If the file is damaged, or one that needs folding does not fit the
            architecture.
    """
    if layout == "facenet_folded_npz":
        return _read_folded_npz(path)
    weights = _read_keras_h5(path)
    separate = build_network(architecture)
    assign(separate, weights)
    return fold(layer_weights(separate), residual_scales(separate))


def _read_folded_npz(path: Path) -> LayerWeights:
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


def _read_keras_h5(path: Path) -> LayerWeights:
    import h5py

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
        raise WeightsError(f"{path}: is truncated or no HDF5 file ({error})") from error
    for layer in weights:
        if layer.endswith(BATCH_NORMALIZATION_SUFFIX):
            # Keras 2 wrote a factor even for layers without one, in some versions as ones.
            gamma = weights[layer].pop("gamma", None)
            if gamma is not None and not np.allclose(gamma, 1.0):
                raise WeightsError(f"{path}: {layer} has a scale, the network has none")
    return weights
