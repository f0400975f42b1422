"""Answers with the losses of tensorflow-addons; runs in an environment of its own, Python 3.11.

Reads cases from standard input and writes results to standard output, each as the length of an npz
file in 8 bytes and then the file. What TensorFlow prints goes to standard error.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import warnings
from typing import Any, BinaryIO

import numpy as np


def receive(stream: BinaryIO) -> dict[str, Any] | None:
    header = stream.read(8)
    if not header:
        return None
    (length,) = struct.unpack("<q", header)
    with np.load(io.BytesIO(stream.read(length)), allow_pickle=False) as arrays:
        return dict(arrays)


def send(stream: BinaryIO, arrays: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    stream.write(struct.pack("<q", buffer.tell()) + buffer.getvalue())
    stream.flush()


def main() -> None:
    """Answers until there is nothing left to read."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    warnings.filterwarnings("ignore")
    # The answers have a channel of their own, whatever is printed.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    import tensorflow as tf
    import tensorflow_addons as tfa

    # Otherwise each new batch size would be traced anew, which takes longer than all the rest.
    tf.config.run_functions_eagerly(True)
    functions = {
        "manhattan": lambda x: tf.reduce_sum(tf.abs(x[:, None] - x[None, :]), axis=2),
        "dissimilarity": lambda x: -tf.matmul(x, x, transpose_b=True),
    }

    def answer(case: dict[str, Any]) -> dict[str, Any]:
        metric = str(case["distance_metric"])
        arguments = {
            "margin": float(case["margin"]),
            "distance_metric": functions.get(metric, metric),
        }
        loss = tfa.losses.triplet_semihard_loss
        if str(case["loss"]) == "hard":
            loss = tfa.losses.triplet_hard_loss
            arguments["soft"] = bool(case["soft"])
        embeddings = tf.cast(tf.constant(case["embeddings"]), str(case["dtype"]))
        try:
            with tf.GradientTape() as tape:
                tape.watch(embeddings)
                value = loss(tf.constant(case["labels"]), embeddings, **arguments)
        except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
            return {"error": f"{type(error).__name__}: {error}"}
        gradient = tape.gradient(value, embeddings)
        return {
            "loss": tf.cast(value, "float64").numpy(),
            "gradient": tf.cast(gradient, "float64").numpy(),
        }

    while (case := receive(sys.stdin.buffer)) is not None:
        send(answers, answer(case))


if __name__ == "__main__":
    main()
