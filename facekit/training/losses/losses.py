"""Triplet losses as classes for ``keras.Model.compile``."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from facekit.errors import InvalidArgumentError
from facekit.training.losses.distances import DistanceMetric, Tensor, check_metric, real_tensor
from facekit.training.losses.functional import check_margin, mined_loss
from facekit.training.losses.miners import HardMiner, Miner, miner_of


@keras.saving.register_keras_serializable(package="facekit")
class TripletLoss(keras.losses.Loss):  # type: ignore[misc]
    """Computes a triplet loss made of a miner, a margin and a distance.

    Args:
        miner: Which triplets count: ``"batch-all"``, ``"semihard"``, ``"hard"``, ``"facenet"``, or
            a :class:`~facekit.training.Miner`.
        margin: By how much a negative should be farther from the anchor than a positive, ≥ 0.
        distance_metric: ``"L2"``, ``"squared-L2"``, ``"angular"``, or a function from embeddings
            ``(B, d)`` to distances ``(B, B)``; to be saved with a model, a function must be
            registered by ``keras.saving.register_keras_serializable``, and so must a miner.
        name: The loss's name.
        **kwargs: ``dtype`` and ``reduction`` of ``keras.losses.Loss``. The loss is a scalar, which
            no reduction changes.

    Raises:
        InvalidArgumentError: If an argument has a value that cannot work, or ``"facenet"`` is asked
            for with another distance than ``"squared-L2"``.

    Example:
        >>> from facekit.training import TripletLoss
        >>> loss = TripletLoss("batch-all", margin=0.5, distance_metric="L2")
        >>> round(float(loss(["Ann", "Ann", "Bob"], [[0.0, 0.0], [0.3, 0.0], [0.5, 0.0]])), 3)
        0.45
    """

    _choices: tuple[str, ...] = ("miner", "distance_metric")
    """The arguments that are a name or an object."""

    def __init__(
        self,
        miner: str | Miner = "semihard",
        margin: float = 0.2,
        distance_metric: DistanceMetric = "squared-L2",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_margin(margin)
        check_metric(distance_metric)
        miner_of(miner)
        if miner == "facenet" and distance_metric != "squared-L2":
            raise InvalidArgumentError(
                'the miner "facenet" is defined with distance_metric="squared-L2", got '
                f"{distance_metric!r}"
            )
        super().__init__(name=name, **kwargs)
        self.miner = miner
        self.margin = margin
        self.distance_metric = distance_metric

    def __call__(self, y_true: Any, y_pred: Tensor, sample_weight: Tensor = None) -> Tensor:
        """Computes the loss of a batch in this loss's dtype; see :meth:`call`."""
        if sample_weight is not None:
            raise InvalidArgumentError(
                "sample_weight must be None: a triplet loss is not a mean over samples; leave out "
                "sample_weight and class_weight, and choose the contents of batches instead"
            )
        # Loss.__call__ would cast the labels to float32, where those above 2**24 run together.
        return self.call(y_true, ops.cast(real_tensor(y_pred), self.dtype))

    def call(self, y_true: Any, y_pred: Tensor) -> Tensor:
        """Computes the loss of a batch, in the dtype of the embeddings.

        Args:
            y_true: The person of each embedding, ``(B,)`` or ``(B, 1)``: integers, names, or other
                hashable values; in a compiled model integers.
            y_pred: Embeddings, ``(B, d)``, float32 or of another floating-point dtype.

        Returns:
            The loss, a scalar of the dtype of ``y_pred``.

        Raises:
            InvalidArgumentError: If labels or shapes do not fit.
        """
        miner = miner_of(self.miner)
        return mined_loss(miner, y_true, y_pred, self.margin, self.distance_metric)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, from which ``from_config`` makes the same loss."""
        config = {**super().get_config(), "margin": self.margin}
        for name in self._choices:
            value = getattr(self, name)
            config[name] = keras.saving.serialize_keras_object(value) if callable(value) else value
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Returns the loss of a configuration.

        Args:
            config: What ``get_config`` returned.
        """
        objects = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in cls._choices
            if not isinstance(config[name], str)
        }
        return cls(**{**config, **objects})


@keras.saving.register_keras_serializable(package="facekit")
class TripletSemiHardLoss(TripletLoss):
    """Computes the triplet loss with semi-hard negative mining, as ``tensorflow_addons`` does.

    As a function: :func:`~facekit.training.triplet_semihard_loss`.

    Args:
        margin: As for :class:`~facekit.training.TripletLoss`, like ``distance_metric``, ``name``
            and ``kwargs``.

    Example:
        >>> from facekit.training import TripletSemiHardLoss
        >>> loss = TripletSemiHardLoss(margin=0.5)
        >>> round(float(loss([0, 0, 1], [[0.0, 0.0], [0.3, 0.0], [0.5, 0.0]])), 3)
        0.45

    References:
        F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet", CVPR 2015, section 3.2;
        ``tensorflow_addons.losses.TripletSemiHardLoss``.
    """

    _choices = ("distance_metric",)

    def __init__(
        self,
        margin: float = 1.0,
        distance_metric: DistanceMetric = "L2",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__("semihard", margin, distance_metric, name, **kwargs)


@keras.saving.register_keras_serializable(package="facekit")
class TripletHardLoss(TripletLoss):
    """Computes the triplet loss with hard mining, as ``tensorflow_addons`` does.

    As a function: :func:`~facekit.training.triplet_hard_loss`.

    Args:
        margin: As for :class:`~facekit.training.TripletLoss`, like ``distance_metric``, ``name``
            and ``kwargs``.
        soft: Whether to take log(1 + exp(d(a, p) − d(a, n))) instead, which has no margin.

    Example:
        >>> from facekit.training import TripletHardLoss
        >>> loss = TripletHardLoss(margin=0.1)
        >>> round(float(loss([0, 0, 1, 1], [[0.0], [0.3], [0.5], [0.9]])), 3)
        0.125

    References:
        A. Hermans, L. Beyer and B. Leibe, "In Defense of the Triplet Loss for Person
        Re-Identification", 2017, equation 5; ``tensorflow_addons.losses.TripletHardLoss``.
    """

    _choices = ("distance_metric",)

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: DistanceMetric = "L2",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(HardMiner(soft), margin, distance_metric, name, **kwargs)
        self.soft = soft

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, from which ``from_config`` makes the same loss."""
        return {**super().get_config(), "soft": self.soft}
