"""The classifier: which of the enrolled people an embedding belongs to, or none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.svm import LinearSVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from facekit.errors import InvalidArgumentError

Strategy: TypeAlias = Literal["svm", "nearest"]

# How sharply predict_proba turns scores into shares. A linear SVM's scores of the right and of a
# wrong person lie about 2 apart, the squared distances of unit embeddings about 1 apart.
_SVM_TEMPERATURE = 0.25
_NEAREST_TEMPERATURE = 0.20

_UNIT_NORM_TOLERANCE = 1e-2
_CANCELLATION_DISTANCE = 1e-4

FloatArray: TypeAlias = npt.NDArray[np.float64]


class Identification(NamedTuple):
    """What a classifier says of n embeddings, before the threshold is applied.

    Attributes:
        candidate: The person chosen for each, an array of n of the classes.
        distance: Euclidean distance to that person's nearest enrolled embedding, float64 ``(n,)``.
        probability: That person's share among the enrolled people, float64 ``(n,)``.
    """

    candidate: npt.NDArray[Any]
    distance: FloatArray
    probability: FloatArray


class IdentityClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Names the person of an embedding, or says that it is none of those enrolled.

    The strategy chooses one of the enrolled people; the choice stands only if one of that person's
    enrolled embeddings lies within ``threshold``. Anyone else is a stranger, ``None``. It is a
    scikit-learn classifier: it clones, sits in pipelines and searches.

    One person alone can be enrolled, and one embedding of each is enough.

    Args:
        strategy: ``"svm"``: a linear support vector machine, one against the rest. ``"nearest"``:
            the person of the nearest enrolled embedding.
        threshold: The largest Euclidean distance, between unit embeddings, at which a person is
            recognised, 0 to 2. It depends on the weights that made the embeddings: take it from
            ``embedder.record.threshold(false_accept_rate)``. ``None`` switches the refusal of
            strangers off: every embedding then gets the name of somebody.
        C: For ``"svm"``: how strongly misclassified training samples count, as in
            ``sklearn.svm.LinearSVC``.

    Attributes:
        classes_: The names of the enrolled people, sorted, ``(k,)``.
        embeddings_: The enrolled embeddings, float64 ``(n, d)``.
        labels_: The index in ``classes_`` of each of them, ``(n,)``.
        coef_: For ``"svm"`` with two or more people: the weights of the decision functions.
        intercept_: Likewise, their constants.

    Example:
        >>> import numpy as np
        >>> from facekit import IdentityClassifier
        >>> embeddings = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        >>> classifier = IdentityClassifier(threshold=1.0).fit(embeddings, ["Ada", "Grace"])
        >>> classifier.predict([[0.8, 0.6, 0.0], [0.0, 0.0, 1.0]]).tolist()
        ['Ada', None]

    References:
        Schroff, Kalenichenko and Philbin, "FaceNet" (CVPR 2015): recognition becomes a
        nearest-neighbour problem in the embedding space. ``sklearn.svm.LinearSVC`` for the SVM.
    """

    def __init__(
        self, strategy: Strategy = "svm", *, threshold: float | None = 1.0, C: float = 1.0
    ) -> None:
        self.strategy = strategy
        self.threshold = threshold
        self.C = C

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> IdentityClassifier:
        """Learns the people.

        Args:
            X: Embeddings, ``(n, d)``, of unit L2 norm if ``threshold`` is set.
            y: The name of each, ``(n,)``.

        Returns:
            The classifier itself.

        Raises:
            InvalidArgumentError: If a parameter lies outside its range, a name is ``None``, or an
                embedding is not of unit norm while a threshold is set.
            ValueError: If X or y cannot be used, as scikit-learn's estimators say it.
        """
        self._check_parameters()
        self._remember(X, y)
        if self.strategy == "svm" and len(self.classes_) > 1:
            machine = LinearSVC(C=self.C, class_weight="balanced", random_state=0, max_iter=10_000)
            machine.fit(self.embeddings_, self.labels_)
            self.coef_, self.intercept_ = machine.coef_, machine.intercept_
        return self

    def restore(
        self, X: npt.ArrayLike, y: npt.ArrayLike, learnt: Mapping[str, npt.NDArray[Any]]
    ) -> IdentityClassifier:
        """Does what :meth:`fit` does, with what an earlier fit learnt instead of learning it again.

        Args:
            X: The embeddings of that fit.
            y: Their names.
            learnt: What :meth:`learnt` returned after it.

        Returns:
            The classifier itself, with the same answers to the bit.

        Raises:
            InvalidArgumentError: If ``learnt`` does not fit the people.
        """
        self._check_parameters()
        self._remember(X, y)
        if self.strategy == "svm" and len(self.classes_) > 1:
            machines = 1 if len(self.classes_) == 2 else len(self.classes_)
            shapes = {"coef": (machines, self.n_features_in_), "intercept": (machines,)}
            if {name: array.shape for name, array in learnt.items()} != shapes:
                raise InvalidArgumentError(f"learnt must hold arrays of the shapes {shapes}")
            self.coef_, self.intercept_ = learnt["coef"], learnt["intercept"]
        return self

    def learnt(self) -> dict[str, npt.NDArray[Any]]:
        """Returns what :meth:`fit` learnt beside the embeddings and names, for :meth:`restore`."""
        check_is_fitted(self)
        return {"coef": self.coef_, "intercept": self.intercept_} if hasattr(self, "coef_") else {}

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Names the person of each embedding.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            ``(n,)``: the names, with ``None`` for strangers (an object array); without a
            threshold an array of the type of ``classes_``.
        """
        candidate, distance, _ = self.identify(X)
        if self.threshold is None:
            return candidate
        names = candidate.astype(object)
        names[distance > self.threshold] = None
        return names

    def identify(self, X: npt.ArrayLike) -> Identification:
        """Says whom each embedding resembles most, how near it is and how clear the choice.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            Candidate, distance and probability of each; the threshold is not applied.
        """
        X = self._validated(X)
        distances = self._distances(X)
        scores = self._scores(X, distances)
        choice = scores.argmax(axis=1)
        rows = np.arange(len(X))
        shares = softmax(scores / self._temperature(), axis=1)
        return Identification(self.classes_[choice], distances[rows, choice], shares[rows, choice])

    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """Returns how the enrolled people share each embedding among them.

        The shares say how clearly one enrolled person beats the others. They add up to one for a
        stranger, too: whether it is anybody at all is decided by the distance, not here. They are
        a softmax of the scores and are not calibrated.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            float64 ``(n, k)``, columns as ``classes_``, rows adding up to 1.
        """
        X = self._validated(X)
        shares: FloatArray = softmax(
            self._scores(X, self._distances(X)) / self._temperature(), axis=1
        )
        return shares

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """Returns the strategy's scores; the largest decides.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            float64 ``(n, k)``: the SVM's decision values, or the negated squared distances to each
            person's nearest embedding. For two people ``(n,)``, positive for the second, as
            scikit-learn has it.
        """
        X = self._validated(X)
        scores = self._scores(X, self._distances(X))
        if len(self.classes_) == 2:
            halved: FloatArray = (scores[:, 1] - scores[:, 0]) / 2
            return halved
        return scores

    def score(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Returns the share of embeddings that get the right name.

        Args:
            X: Embeddings, ``(n, d)``.
            y: The true names, ``(n,)``; ``None`` for strangers.
            sample_weight: How much each counts; all the same by default.

        Returns:
            The accuracy, 0 to 1. A stranger counts as right if the prediction is ``None``.

        Raises:
            ValueError: If there are not as many names as embeddings.
        """
        predicted, truth = self.predict(X), column_or_1d(y, dtype=object)
        check_consistent_length(predicted, truth, sample_weight)
        right = np.equal(predicted, truth).astype(np.float64)
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return float(np.average(right, weights=weights))

    def _remember(self, X: npt.ArrayLike, y: npt.ArrayLike) -> None:
        _check_names(y)
        embeddings, names = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(names)
        self._check_unit_norm(embeddings)
        self.classes_, labels = np.unique(names, return_inverse=True)
        # Kept in the order of the labels, so that one pass finds each person's nearest embedding.
        order = np.argsort(labels, kind="stable")
        self.embeddings_, self.labels_ = embeddings[order], labels[order]
        for name in ("coef_", "intercept_"):
            self.__dict__.pop(name, None)

    def _scores(self, X: FloatArray, distances: FloatArray) -> FloatArray:
        if self.strategy == "nearest" or len(self.classes_) == 1:
            nearness: FloatArray = -np.square(distances)
            return nearness
        values = X @ self.coef_.T + self.intercept_
        scores: FloatArray = np.hstack([-values, values]) if len(self.classes_) == 2 else values
        return scores

    def _temperature(self) -> float:
        return _SVM_TEMPERATURE if self.strategy == "svm" else _NEAREST_TEMPERATURE

    def _distances(self, X: FloatArray) -> FloatArray:
        if len(X) == 0:
            return np.empty((0, len(self.classes_)))
        to_each = euclidean_distances(X, self.embeddings_)
        # The fast formula cancels where two embeddings nearly coincide: an embedding would lie
        # 1e-8 away from itself, and no longer within a threshold of 0.
        rows, columns = np.nonzero(to_each < _CANCELLATION_DISTANCE)
        to_each[rows, columns] = np.linalg.norm(X[rows] - self.embeddings_[columns], axis=1)
        starts = np.searchsorted(self.labels_, np.arange(len(self.classes_)))
        nearest: FloatArray = np.minimum.reduceat(to_each, starts, axis=1)
        return nearest

    def _validated(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        validated: FloatArray = validate_data(
            self, X, dtype=np.float64, reset=False, ensure_min_samples=0
        )
        self._check_unit_norm(validated)
        return validated

    def _check_unit_norm(self, X: FloatArray) -> None:
        if self.threshold is None or len(X) == 0:
            return
        norms = np.linalg.norm(X, axis=1)
        worst = int(np.abs(norms - 1.0).argmax())
        if abs(norms[worst] - 1.0) > _UNIT_NORM_TOLERANCE:
            raise InvalidArgumentError(
                f"X must hold embeddings of unit L2 norm, because threshold is a distance between "
                f"such; row {worst} has norm {norms[worst]:.4g}. Use sklearn.preprocessing."
                "normalize, or threshold=None"
            )

    def _check_parameters(self) -> None:
        if self.strategy not in get_args(Strategy):
            raise InvalidArgumentError(
                f'strategy must be "svm" or "nearest", got {self.strategy!r}'
            )
        if self.threshold is not None and not (
            isinstance(self.threshold, int | float | np.integer | np.floating)
            and 0.0 <= self.threshold <= 2.0
        ):
            raise InvalidArgumentError(
                f"threshold must be a distance from 0 to 2, or None, got {self.threshold!r}"
            )


def _check_names(y: npt.ArrayLike) -> None:
    names = np.asarray(y, dtype=object)
    nameless = [row for row, name in enumerate(names.ravel()) if name is None]
    # No y at all is left to scikit-learn, which has words of its own for it.
    if nameless and names.ndim:
        raise InvalidArgumentError(
            f"y must name a person for each embedding, row {nameless[0]} is None; strangers need "
            "no enrolment: they are whoever is not enrolled"
        )
