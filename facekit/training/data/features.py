"""Runs a frozen backbone once and stores its features, on which only the head is trained."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facekit.embedding.networks.folding import layer_weights, weights_digest
from facekit.embedding.networks.names import FEATURES_LAYER
from facekit.errors import FileFormatError
from facekit.io import safetensors_file
from facekit.utils.progress import track

_FILE_KIND = "facekit.features"
_FILE_VERSION = 1
_BATCH = 32
_SAMPLE = 256


class StandIn:
    """Stands in for a data set in a training: its faces with other values or other labels."""

    def __init__(
        self, faces: Any, *, features: npt.NDArray[np.float32] | None = None, labels: Any = None
    ) -> None:
        self.keys: Sequence[str] = faces.keys
        self.labels: npt.NDArray[Any] = faces.labels if labels is None else labels
        self.images = faces.images if features is None else features.__getitem__

    def __len__(self) -> int:
        return len(self.labels)


def split_head(network: Any) -> tuple[Any, Any]:
    """Returns two networks, from images to pooled features and from these to embeddings."""
    import keras

    pooling = network.get_layer(FEATURES_LAYER)
    backbone = keras.Model(network.input, pooling.output, name="backbone")
    x = features = keras.Input(pooling.output.shape[1:], name="features")
    for layer in network.layers[network.layers.index(pooling) + 1 :]:
        x = layer(x)
    return backbone, keras.Model(features, x, name="head")


def features_of(
    backbone: Any, faces: Any, folder: str | os.PathLike[str], *, progress: bool = False
) -> StandIn:
    """Computes the features of all faces, or reads them from the folder if they are there."""
    features = cached_array(
        Path(folder),
        "features",
        (weights_digest(layer_weights(backbone)), digest_of(faces)),
        lambda: run_network(backbone, faces, batch_size=_BATCH, progress=progress),
    )
    return StandIn(faces, features=features)


def digest_of(faces: Any) -> str:
    """Identifies a data set by the keys of its faces and, as these may repeat, some pixels."""
    digest = hashlib.sha256("\0".join(faces.keys).encode(errors="surrogatepass"))
    chosen = np.linspace(0, len(faces) - 1, min(len(faces), _SAMPLE)).astype(np.int64)
    digest.update(faces.images(chosen).tobytes())
    return digest.hexdigest()


def cached_array(
    folder: Path,
    name: str,
    key: Iterable[str],
    compute: Callable[[], npt.NDArray[np.float32]],
) -> npt.NDArray[np.float32]:
    """Returns an array from the file of its key, on which alone it depends, or computes it."""
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
    path = folder / f"{name}-{digest}.safetensors"
    if path.is_file():
        try:
            return safetensors_file.read(path, kind=_FILE_KIND, newest_version=_FILE_VERSION)[1][
                name
            ]
        except FileFormatError:
            # Damaged, for instance by a failing disk. As it is only a cache, it is recomputed.
            path.unlink()
    array = compute()
    safetensors_file.write(
        path, kind=_FILE_KIND, version=_FILE_VERSION, header={}, arrays={name: array}
    )
    return array


def run_network(
    network: Any,
    faces: Any,
    *,
    batch_size: int,
    progress: bool = False,
    predict: Callable[[Any], Any] | None = None,
) -> npt.NDArray[np.float32]:
    """Runs a network with one output in inference over all faces; float32 ``(n, d)``."""
    predict = predict or network.predict_on_batch
    outputs = np.empty((len(faces), network.output_shape[-1]), dtype=np.float32)
    starts = range(0, len(faces), batch_size)
    for start in track(starts, "Running the network", total=len(starts), shown=progress):
        # Always a full batch, because a backend may recompile for every size.
        indices = np.minimum(np.arange(start, start + batch_size), len(faces) - 1)
        computed = predict(faces.images(indices).astype(np.float32))
        outputs[start : start + batch_size] = computed[: len(faces) - start]
    return outputs
