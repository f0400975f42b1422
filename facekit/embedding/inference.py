"""Running a network: compiled once, for any number of pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Predict = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


class CompiledNetwork:
    """A network ready for inference: traced once, whatever the batch size.

    Args:
        network: A ``keras.Model`` with one input ``(batch, S, S, 3)`` and one output.
        batch_size: The largest batch that it will be given.

    Attributes:
        traces: How often the network has been traced so far.
    """

    def __init__(self, network: Any, batch_size: int) -> None:
        import keras

        self._network = network
        self._batch_size = batch_size
        self.traces = 0
        self._predict: Predict = (
            self._tensorflow_fast_path()
            if keras.backend.backend() == "tensorflow"
            else self._padded_prediction
        )

    def __call__(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Runs the network on uint8 ``(n, S, S, 3)``, n at most the batch size."""
        return self._predict(pictures)

    def _tensorflow_fast_path(self) -> Predict:
        # The one place where facekit's own networks touch TensorFlow itself: a graph with an open
        # batch dimension, traced once, which Keras' own predict does not promise. Freezing the
        # weights to constants as well runs no faster in batches and costs seconds at the start.
        import tensorflow as tf

        network = self._network

        def run(pictures: Any) -> Any:
            self.traces += 1
            return network(tf.cast(pictures, tf.float32), training=False)

        signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)]
        # The concrete function, not the tf.function: TensorFlow counts the traces of all that share
        # one body, and would warn of retracing from the fifth embedder of a process on.
        function = tf.function(
            run, input_signature=signature, autograph=False
        ).get_concrete_function()

        def predict(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            return np.asarray(function(tf.constant(pictures)).numpy(), dtype=np.float32)

        return predict

    def _padded_prediction(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        # JAX compiles for one shape: a batch that is always full is compiled once.
        import keras

        padded = np.zeros((self._batch_size, *pictures.shape[1:]), dtype=np.float32)
        padded[: len(pictures)] = pictures
        self.traces = 1
        embeddings = keras.ops.convert_to_numpy(self._network.predict_on_batch(padded))
        return np.asarray(embeddings[: len(pictures)], dtype=np.float32)
