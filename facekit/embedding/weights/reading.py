"""Reads weights by name or path: a record and the weights of a folded network."""

from __future__ import annotations

import os
from pathlib import Path

from facekit.embedding.networks.centering import LocalCentering
from facekit.embedding.networks.folding import LayerWeights, check_fit
from facekit.embedding.networks.names import CENTERING_LAYER
from facekit.embedding.networks.shapes import weight_shapes
from facekit.embedding.weights import registry
from facekit.embedding.weights.files import read_embedder
from facekit.embedding.weights.published import read_published
from facekit.embedding.weights.registry import WeightsFile, WeightsRecord, record_for
from facekit.embedding.weights.retrieval import file_in, identify, locate
from facekit.errors import InvalidArgumentError, WeightsError, WeightsNotFoundError
from facekit.io.files import is_file, is_folder
from facekit.io.safetensors_file import sha256
from facekit.utils.validation import vectors

_SUFFIXES = (".safetensors", ".npz", ".h5")


def read_weights(
    weights: str | os.PathLike[str], *, allow_unverified: bool = False
) -> tuple[WeightsRecord, LayerWeights]:
    """Reads weights by name or by path."""
    if isinstance(weights, str) and not looks_like_path(weights):
        record = record_for(weights)
        path, file = locate(record)
        _check_consent(path, file, allow_unverified)
        return record, read_file_of(record, path, file)
    path = Path(weights)
    if is_folder(path):
        path = file_in(path)
    if not is_file(path):
        raise WeightsNotFoundError(f"{path}: no such file; give a path, a name, or None")
    if path.suffix == ".safetensors":
        record, arrays = _read_own(path)
        known = registry.REGISTRY.get(record.name)
        # The model card in the package has more information than the file's header.
        if known is not None and sha256(path) in {file.sha256 for file in known.files}:
            record = known
        return record, arrays
    if path.suffix in _SUFFIXES:
        record, file = identify(path)
        _check_consent(path, file, allow_unverified)
        return record, read_file_of(record, path, file)
    raise WeightsError(f"{path}: not a weights file; these end in {', '.join(_SUFFIXES)}")


def read_file_of(record: WeightsRecord, path: Path, file: WeightsFile) -> LayerWeights:
    """Reads a file of registered weights."""
    if file.layout != "facekit":
        return read_published(path, file.layout, record.architecture)
    found, arrays = _read_own(path)
    if (found.identity, found.architecture) != (record.identity, record.architecture):
        raise WeightsError(
            f"{path}: holds the weights {found.identity} for {found.architecture}, expected "
            f"{record.identity} for {record.architecture}; put the right file there"
        )
    return arrays


def looks_like_path(weights: str) -> bool:
    """Returns whether a string is meant as a path rather than a name."""
    return os.sep in weights or "/" in weights or Path(weights).suffix in _SUFFIXES


def _check_consent(path: Path, file: WeightsFile, allow_unverified: bool) -> None:
    if file.sha256 is None and not allow_unverified:
        raise WeightsError(
            f"{path}: no checksum is published for {file.name}, so it cannot be verified that this "
            "is the file; if you trust it, pass allow_unverified=True (--allow-unverified)"
        )


def _read_own(path: Path) -> tuple[WeightsRecord, LayerWeights]:
    record, arrays = read_embedder(path)
    shapes, _ = weight_shapes(record.architecture, folded=True)
    network = {layer: own for layer, own in arrays.items() if layer != CENTERING_LAYER}
    check_fit(network, shapes, record.architecture.backbone, source=str(path))
    if CENTERING_LAYER in arrays:
        try:
            centers = LocalCentering.from_arrays(arrays[CENTERING_LAYER]).centers
            vectors(centers, record.architecture.embedding_size, "centers")
        except InvalidArgumentError as error:
            raise WeightsError(f"{path}: its local centering cannot be used ({error})") from error
    return record, arrays
