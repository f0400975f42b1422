"""One step of training, the same on every Keras backend, at once or in parts."""

from __future__ import annotations

from typing import Any

import keras
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.training.engine.backends import Tensor, compiled, with_gradient
from facekit.training.engine.objectives import Objective, Statistics
from facekit.utils.validation import whole


class TrainingModel(keras.Model):  # type: ignore[misc]
    """A network with the objective that Keras' own training step minimizes on every backend."""

    def __init__(self, network: Any, objective: Objective, statistics: Statistics) -> None:
        super().__init__(name="training")
        self.network = network
        self.objective = objective
        self.statistics = statistics

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Runs the network; whole-number pixels become floating-point ones here."""
        return self.network(keras.ops.cast(x, "float32"), training=training)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the objective's loss."""
        return self.objective(y, y_pred)

    def compute_metrics(
        self, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> dict[str, Tensor]:
        """Returns the loss and the objective's statistics of this step alone."""
        embeddings = keras.ops.stop_gradient(y_pred)
        return {**self.get_metrics_result(), **self.statistics(y, embeddings)}


class TrainingStep:
    """Trains on a batch, at once or in parts of ``micro_batch``, and returns what it measured."""

    # Gradient caching (L. Gao, Y. Zhang, J. Han and J. Callan, "Scaling Deep Contrastive Learning
    # Batch Size under Memory Limited Setup", RepL4NLP 2021, section 3): first the embeddings of all
    # parts are computed without gradient, then the loss of all of them and its gradient by each
    # embedding, at last each part again, with the gradient handed on from its embeddings into the
    # network. The optimizer, which gathers the gradients of all parts, is run once. Random state is
    # the same in both passes; batch normalization uses the statistics of the part.

    def __init__(
        self,
        network: Any,
        objective: Objective,
        statistics: Statistics,
        optimizer: Any,
        *,
        micro_batch: int | None = None,
    ) -> None:
        self._micro_batch = micro_batch
        if micro_batch is None:
            self.model = TrainingModel(network, objective, statistics)
        else:
            # The gradient by the embeddings is given as y; Keras' optimizers take the mean over the
            # accumulated parts, but the gradient is their sum.
            parts = optimizer.gradient_accumulation_steps or 1
            self.model = TrainingModel(
                network, lambda y, x: parts * keras.ops.sum(y * x), lambda y, x: {}
            )
        self.model.compile(optimizer=optimizer)
        if micro_batch is not None:
            self._network = network
            self._forward = compiled(
                lambda trainable, state, x: network.stateless_call(
                    trainable, state, keras.ops.cast(x, "float32"), training=True
                )
            )
            self._gradient = with_gradient(
                lambda y, embeddings: (objective(y, embeddings), statistics(y, embeddings))
            )

    def __call__(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> dict[str, float]:
        """Trains on one batch."""
        if self._micro_batch is None:
            self.model.reset_metrics()  # up to Keras 3.12 the loss is the mean of all steps since
            values = self.model.train_on_batch(x, y, return_dict=True)
        else:
            values = self._in_parts(x, y, self._micro_batch)
        return {name: float(value) for name, value in values.items()}

    def _in_parts(
        self, x: npt.NDArray[Any], y: npt.NDArray[Any], size: int
    ) -> dict[str, npt.NDArray[Any]]:
        parts = [slice(start, start + size) for start in range(0, len(x), size)]
        trainable = [variable.value for variable in self._network.trainable_variables]
        state = [variable.value for variable in self._network.non_trainable_variables]
        embeddings = []
        for part in parts:
            # The state goes on from part to part, as it will when the parts are trained on.
            computed, state = self._forward(trainable, state, keras.ops.convert_to_tensor(x[part]))
            embeddings.append(computed)
        loss, statistics, gradient = self._gradient(
            keras.ops.convert_to_tensor(y), keras.ops.concatenate(embeddings)
        )
        gradient = keras.ops.convert_to_numpy(gradient)
        for part in parts:
            self.model.train_on_batch(x[part], gradient[part])
        values = {"loss": loss, **statistics}
        return {name: keras.ops.convert_to_numpy(value) for name, value in values.items()}


def parts_of(batch_size: int, micro_batch: int | None) -> int:
    """Returns into how many equal parts a batch is divided."""
    if micro_batch is None:
        return 1
    whole(micro_batch, "micro_batch", least=1)
    if batch_size % micro_batch:
        raise InvalidArgumentError(
            f"micro_batch must divide the batch of {batch_size} faces, got {micro_batch}"
        )
    return batch_size // micro_batch
