"""Asks tensorflow-addons, which runs beside this process in an environment of its own."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from addons_worker import receive, send
from gradients import loss_and_gradient
from hypothesis import strategies as st
from keras import ops

from facekit.training import triplet_hard_loss, triplet_semihard_loss

WORKER = Path(__file__).with_name("addons_worker.py")
METRICS = ("L2", "squared-L2", "angular", "manhattan", "dissimilarity")

# The worker has the same two in TensorFlow.
FUNCTIONS = {
    "manhattan": lambda x: ops.sum(ops.abs(x[:, None] - x[None, :]), axis=2),
    "dissimilarity": lambda x: -ops.matmul(x, ops.transpose(x)),
}


@dataclass(frozen=True)
class Case:
    """What one loss is asked for.

    Args:
        loss: ``"semihard"`` or ``"hard"``.
        labels: ``(B,)``.
        embeddings: ``(B, d)``.
        dtype: What the embeddings are cast to.
        distance_metric: A name, or the name of a function.
        margin: The margin.
        soft: The option of the hard loss.
    """

    loss: str
    labels: np.ndarray
    embeddings: np.ndarray
    dtype: str = "float32"
    distance_metric: str = "L2"
    margin: float = 1.0
    soft: bool = False

    @property
    def metric(self) -> Any:
        """The distance as our losses take it."""
        return FUNCTIONS.get(self.distance_metric, self.distance_metric)

    def ours(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns our loss and gradient."""

        def loss(labels: Any, embeddings: Any) -> Any:
            if self.loss == "hard":
                return triplet_hard_loss(labels, embeddings, self.margin, self.soft, self.metric)
            return triplet_semihard_loss(labels, embeddings, self.margin, self.metric)

        return loss_and_gradient(loss, self.labels, self.embeddings, self.dtype)


class AddonsSession:
    """A process that answers cases one after the other.

    Args:
        python: The interpreter of the environment with tensorflow-addons.
    """

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, case: Case) -> dict[str, Any]:
        """Returns ``loss`` and ``gradient``, or ``error``."""
        send(self._process.stdin, vars(case))
        answer = receive(self._process.stdout)
        if answer is None:
            raise RuntimeError(f"{WORKER.name} has died; its output is above")
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait(timeout=60)


KINDS = ("random", "unit", "grid", "duplicates", "collapsed")


def embeddings_of(kind: str, size: int, dimension: int, random: np.random.Generator) -> np.ndarray:
    """Draws embeddings: any, of unit norm, with ties, with duplicates, or all at one point."""
    if kind == "grid":
        return random.integers(-2, 3, size=(size, dimension)) / 4
    count = {"duplicates": (size + 2) // 3, "collapsed": 1}.get(kind, size)
    drawn = random.normal(size=(count, dimension))
    if kind == "unit":
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn if count == size else drawn[random.integers(0, count, size=size)]


@st.composite
def cases(draw: st.DrawFn, loss: str, metric: str, sizes: tuple[int, int] = (2, 40)) -> Case:
    """Draws a case: any labels (one, few, many, all distinct), embeddings and dtype."""
    size = draw(st.integers(*sizes))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.sampled_from([1, 2, 3, size // 3 + 1, size // 2 + 1, None]))
    labels = random.permutation(size) if classes is None else random.integers(classes, size=size)
    dtype = draw(st.sampled_from(["float32", "float32", "float16", "bfloat16", "float64"]))
    embeddings = embeddings_of(draw(st.sampled_from(KINDS)), size, draw(st.integers(1, 16)), random)
    return Case(
        loss,
        labels,
        embeddings.astype("float16" if dtype == "float16" else "float32"),
        dtype,
        metric,
        draw(st.sampled_from([0.0, 0.2, 0.5, 1.0])),
        draw(st.booleans()) if loss == "hard" else False,
    )
