"""Engines that run a folded network on any number of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from facekit.embedding.networks.folding import LayerWeights, assign
from facekit.embedding.networks.network import Architecture, build_network
from facekit.errors import InvalidArgumentError
from facekit.utils.extras import import_extra
from facekit.utils.openvino import Graph, available_cores, has_bfloat16

Engine: TypeAlias = Literal["openvino", "keras", "openvino-bf16", "openvino-int8"]
"""Runs an embedder's network."""
Predict: TypeAlias = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


class OpenVinoNetwork:
    """A network that OpenVINO runs, in any thread and any forked process, on any batch size."""

    def __init__(
        self,
        architecture: Architecture,
        weights: LayerWeights,
        *,
        threads: int | None,
        cache: Path | None,
        bfloat16: bool,
        input_ranges: Mapping[str, float],  # of layers to run in 8 bits
    ) -> None:
        if bfloat16 and not has_bfloat16():
            raise InvalidArgumentError(
                "engine='openvino-bf16' needs a processor that computes in bfloat16; "
                "use engine='openvino'"
            )

        def build() -> Any:
            from facekit.embedding.networks.openvino_graph import openvino_network

            return openvino_network(architecture, weights, input_ranges)

        if cache is not None and (bfloat16 or input_ranges):
            cache = cache.with_name(f"{cache.name}-{'bf16' if bfloat16 else 'int8'}")
        self._graph = Graph(
            build,
            threads=threads or available_cores(),
            streams=1,
            cache=cache,
            precision="bf16" if bfloat16 else "f32",
        )

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Runs the network on uint8 ``(n, S, S, 3)``."""
        (embeddings,) = self._graph.infer(np.ascontiguousarray(images))
        return np.array(embeddings)


class KerasNetwork:
    """A network run by Keras' backend, on a graphics card if it has one."""

    def __init__(self, architecture: Architecture, weights: LayerWeights, batch_size: int) -> None:
        keras = import_extra("keras")
        self._batch_size = batch_size
        self._network = build_network(architecture, folded=True)
        assign(self._network, weights)
        self._predict: Predict = (
            self._tensorflow_fast_path()
            if keras.backend.backend() == "tensorflow"
            else self._padded_prediction
        )

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Runs the network on uint8 ``(n, S, S, 3)``, n at most the batch size."""
        return self._predict(images)

    def _tensorflow_fast_path(self) -> Predict:
        # The only place where facekit's networks use TensorFlow directly: a graph with an open
        # batch dimension, traced once, which Keras' own predict does not guarantee. Also freezing
        # the weights to constants is no faster in batches and costs seconds at startup.
        import tensorflow as tf

        network = self._network

        def run(images: Any) -> Any:
            return network(tf.cast(images, tf.float32), training=False)

        signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)]
        # The concrete function, not the tf.function: TensorFlow counts traces over all that share
        # one body, and would warn about retracing from the fifth embedder of a process on.
        function = tf.function(
            run, input_signature=signature, autograph=False
        ).get_concrete_function()

        def predict(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            return np.asarray(function(tf.constant(images)).numpy(), dtype=np.float32)

        return predict

    def _padded_prediction(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        # JAX compiles for one shape: a batch that is always full is compiled once.
        import keras

        padded = np.zeros((self._batch_size, *images.shape[1:]), dtype=np.float32)
        padded[: len(images)] = images
        embeddings = keras.ops.convert_to_numpy(self._network.predict_on_batch(padded))
        return np.asarray(embeddings[: len(images)], dtype=np.float32)
