"""Triplet losses as classes for ``keras.Model.compile``, beside the functions they stand for.

The names and arguments are those of ``tensorflow_addons.losses``.

Example:
    >>> import keras
    >>> from facekit.training.losses.losses import TripletSemiHardLoss
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4),
    ...                           keras.layers.UnitNormalization()])
    >>> model.compile("adam", TripletSemiHardLoss(margin=0.2, distance_metric="squared-L2"))
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from facekit.errors import InvalidArgumentError
from facekit.training.losses.distances import DistanceMetric, Tensor, check_metric
from facekit.training.losses.triplet_losses import (
    check_margin,
    facenet_loss,
    triplet_batch_all_loss,
    triplet_hard_loss,
    triplet_semihard_loss,
)

__all__ = [
    "FaceNetLoss",
    "TripletBatchAllLoss",
    "TripletHardLoss",
    "TripletSemiHardLoss",
    "facenet_loss",
    "triplet_batch_all_loss",
    "triplet_hard_loss",
    "triplet_semihard_loss",
]


class _TripletLoss(keras.losses.Loss):  # type: ignore[misc]
    """What the classes share: labels that stay integers, no sample weights, and a configuration."""

    def __init__(self, margin: float, **kwargs: Any) -> None:
        check_margin(margin)
        super().__init__(**kwargs)
        self.margin = margin

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Computes the loss of a batch.

        Args:
            y_true: Who each embedding is of, integers ``(B,)`` or ``(B, 1)``.
            y_pred: Embeddings, ``(B, d)``.
            sample_weight: Must be ``None``: a triplet belongs to no one sample.

        Returns:
            The loss, a scalar of this loss's dtype.

        Raises:
            InvalidArgumentError: If there is a sample weight, or shapes do not fit together.
        """
        if sample_weight is not None:
            raise InvalidArgumentError(
                "sample_weight must be None: a triplet loss is no mean over samples; leave out "
                "sample_weight and class_weight, and choose what a batch holds instead"
            )
        # Loss.__call__ would cast the labels to float32, where those above 2**24 run together.
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        return self.call(ops.convert_to_tensor(y_true), y_pred)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Computes the loss of a batch.

        Args:
            y_true: Who each embedding is of, integers ``(B,)`` or ``(B, 1)``.
            y_pred: Embeddings, ``(B, d)``, float32 or of another floating-point dtype.

        Returns:
            The loss, a scalar of the dtype of ``y_pred``.

        Raises:
            InvalidArgumentError: If the shapes do not fit together.
        """
        return self._loss(y_true, y_pred)

    def _loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, from which ``from_config`` makes the same loss."""
        return {**super().get_config(), "margin": self.margin}


class _MetricLoss(_TripletLoss):
    """A triplet loss with a choice of distances."""

    def __init__(self, margin: float, distance_metric: DistanceMetric, **kwargs: Any) -> None:
        check_metric(distance_metric)
        super().__init__(margin, **kwargs)
        self.distance_metric = distance_metric

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, from which ``from_config`` makes the same loss."""
        metric = self.distance_metric
        if callable(metric):
            metric = keras.saving.serialize_keras_object(metric)
        return {**super().get_config(), "distance_metric": metric}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Makes a loss from what ``get_config`` returned."""
        metric = config["distance_metric"]
        if not isinstance(metric, str):
            metric = keras.saving.deserialize_keras_object(metric)
        return cls(**{**config, "distance_metric": metric})


@keras.saving.register_keras_serializable(package="facekit")
class TripletSemiHardLoss(_MetricLoss):
    """Computes the triplet loss with semi-hard negative mining.

    As a function: :func:`~facekit.training.triplet_semihard_loss`.

    Args:
        margin: By how much a negative should be farther from the anchor than a positive, ≥ 0.
        distance_metric: ``"L2"``, ``"squared-L2"``, ``"angular"``, or a function from embeddings
            ``(B, d)`` to distances ``(B, B)``; to be saved with a model it must be registered by
            ``keras.saving.register_keras_serializable``.
        name: The loss's name.
        **kwargs: ``dtype`` and ``reduction`` of ``keras.losses.Loss``. The loss is a scalar, which
            no reduction changes.

    Raises:
        InvalidArgumentError: If the margin or the metric cannot work.

    Example:
        >>> from facekit.training import TripletSemiHardLoss
        >>> loss = TripletSemiHardLoss(margin=0.5)
        >>> round(float(loss([0, 0, 1], [[0.0, 0.0], [0.3, 0.0], [0.5, 0.0]])), 3)
        0.45

    References:
        F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet", CVPR 2015, section 3.2;
        ``tensorflow_addons.losses.TripletSemiHardLoss``.
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance_metric: DistanceMetric = "L2",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(margin, distance_metric, name=name, **kwargs)

    def _loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return triplet_semihard_loss(y_true, y_pred, self.margin, self.distance_metric)


@keras.saving.register_keras_serializable(package="facekit")
class TripletHardLoss(_MetricLoss):
    """Computes the triplet loss with hard mining.

    As a function: :func:`~facekit.training.triplet_hard_loss`.

    Args:
        margin: By how much a negative should be farther from the anchor than a positive, ≥ 0.
        soft: Whether to take log(1 + exp(d(a, p) − d(a, n))) instead, which has no margin.
        distance_metric: As of :class:`~facekit.training.TripletSemiHardLoss`.
        name: The loss's name.
        **kwargs: As of :class:`~facekit.training.TripletSemiHardLoss`.

    Raises:
        InvalidArgumentError: If the margin or the metric cannot work.

    Example:
        >>> from facekit.training import TripletHardLoss
        >>> loss = TripletHardLoss(margin=0.1)
        >>> round(float(loss([0, 0, 1, 1], [[0.0], [0.3], [0.5], [0.9]])), 3)
        0.125

    References:
        A. Hermans, L. Beyer and B. Leibe, "In Defense of the Triplet Loss for Person
        Re-Identification", 2017, equation 5; ``tensorflow_addons.losses.TripletHardLoss``.
    """

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: DistanceMetric = "L2",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(margin, distance_metric, name=name, **kwargs)
        self.soft = soft

    def _loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return triplet_hard_loss(y_true, y_pred, self.margin, self.soft, self.distance_metric)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, from which ``from_config`` makes the same loss."""
        return {**super().get_config(), "soft": self.soft}


@keras.saving.register_keras_serializable(package="facekit")
class TripletBatchAllLoss(_MetricLoss):
    """Computes the triplet loss over all active triplets.

    As a function: :func:`~facekit.training.triplet_batch_all_loss`.

    Args:
        margin: By how much a negative should be farther from the anchor than a positive, ≥ 0.
        distance_metric: As of :class:`~facekit.training.TripletSemiHardLoss`.
        name: The loss's name.
        **kwargs: As of :class:`~facekit.training.TripletSemiHardLoss`.

    Raises:
        InvalidArgumentError: If the margin or the metric cannot work.

    Example:
        >>> from facekit.training import TripletBatchAllLoss
        >>> loss = TripletBatchAllLoss(margin=0.5)
        >>> round(float(loss([0, 0, 1], [[0.0, 0.0], [0.3, 0.0], [0.5, 0.0]])), 3)
        0.45

    References:
        A. Hermans, L. Beyer and B. Leibe, "In Defense of the Triplet Loss for Person
        Re-Identification", 2017, equation 6.
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance_metric: DistanceMetric = "L2",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(margin, distance_metric, name=name, **kwargs)

    def _loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return triplet_batch_all_loss(y_true, y_pred, self.margin, self.distance_metric)


@keras.saving.register_keras_serializable(package="facekit")
class FaceNetLoss(_TripletLoss):
    """Computes the triplet loss as the FaceNet paper writes it.

    As a function: :func:`~facekit.training.facenet_loss`.

    Args:
        margin: The paper's α.
        name: The loss's name.
        **kwargs: As of :class:`~facekit.training.TripletSemiHardLoss`.

    Raises:
        InvalidArgumentError: If the margin cannot work.

    Example:
        >>> from facekit.training import FaceNetLoss
        >>> loss = FaceNetLoss(margin=0.5)
        >>> round(float(loss([0, 0, 1], [[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])), 3)
        0.1

    References:
        F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet", CVPR 2015, equations 1 to 4.
    """

    def __init__(self, margin: float = 0.2, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(margin, name=name, **kwargs)

    def _loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return facenet_loss(y_true, y_pred, self.margin)
