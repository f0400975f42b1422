"""The classifier: which of the enrolled people an embedding belongs to, or none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from facekit.embedding.weights.distances import DistanceTable
from facekit.errors import InvalidArgumentError
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import FloatArray, IntArray
from facekit.identification.calibration import Calibration, calibrate
from facekit.identification.strategies import (
    Machine,
    Resemblance,
    Strategy,
    measure_of,
    resemblance,
    train,
)
from facekit.utils.validation import UNIT_NORM_TOLERANCE, choice, number, whole

Threshold: TypeAlias = float | Literal["auto"] | None
"""The largest distance at which a name is given, ``"auto"`` to calibrate it, ``None`` for none."""

SHORTLIST = 32
"""Of more people than this, only the eight nearest are looked at closely for each face."""

_NEAREST_PEOPLE = 8
# They are looked for among the people of this many nearest photos.
_NEAREST_PHOTOS = 128


class Identification(NamedTuple):
    """What a classifier says of n embeddings, before the threshold is applied.

    Attributes:
        candidate: The person chosen for each, an array of n of the classes.
        distance: Euclidean distance to that person, float64 ``(n,)``: to the nearest enrolled
            embedding, or for the strategy ``"centroid"`` to the mean of all.
        probability: The probability that it is that person, float64 ``(n,)``; see
            :meth:`facekit.IdentityClassifier.predict_proba`.

    Example:
        >>> import numpy as np
        >>> from facekit import IdentityClassifier
        >>> classifier = IdentityClassifier("nearest", threshold=1.0)
        >>> _ = classifier.fit(np.eye(2), ["Ada", "Grace"])
        >>> found = classifier.identify([[0.8, 0.6]])
        >>> found.candidate.tolist(), found.distance.round(3).tolist()
        (['Ada'], [0.632])
    """

    candidate: npt.NDArray[Any]
    distance: FloatArray
    probability: FloatArray


@dataclass(frozen=True)
class Neighbor:
    """An enrolled embedding near to a face.

    Args:
        person: Who it shows.
        distance: Euclidean distance between the unit embeddings.
        row: Its row among those given to ``fit``, from 0.
        source: What its photo is called, if that is known.

    Example:
        >>> import numpy as np
        >>> from facekit import IdentityClassifier
        >>> classifier = IdentityClassifier("nearest", threshold=1.0)
        >>> _ = classifier.fit(np.eye(2), ["Ada", "Grace"])
        >>> nearest = classifier.explain([[0.6, 0.8]])[0].nearest
        >>> [(str(neighbor.person), neighbor.row) for neighbor in nearest]
        [('Grace', 1), ('Ada', 0)]
    """

    person: Any
    distance: float
    row: int
    source: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why a face got its name, or none.

    Args:
        name: The answer, ``None`` for a stranger.
        candidate: The enrolled person that the face resembles most.
        distance: The distance to the candidate, which decides.
        threshold: The largest distance at which a name is given, or ``None`` without one.
        probability: The probability that it is the candidate.
        nearest: The nearest enrolled embeddings of anybody, the nearest first.

    Example:
        >>> import numpy as np
        >>> from facekit import IdentityClassifier
        >>> classifier = IdentityClassifier("nearest", threshold=0.5)
        >>> _ = classifier.fit(np.eye(2), ["Ada", "Grace"])
        >>> why = classifier.explain([[0.8, 0.6]])[0]
        >>> why.name, str(why.candidate), round(why.distance, 3), why.threshold
        (None, 'Ada', 0.632, 0.5)
    """

    name: Any
    candidate: Any
    distance: float
    threshold: float | None
    probability: float
    nearest: tuple[Neighbor, ...]


class IdentityClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Names the person of an embedding, or says that it is none of those enrolled.

    The strategy chooses one of the enrolled people; the choice stands only if that person lies
    within a threshold of distance. Anyone else is a stranger, ``None``. It is a scikit-learn
    classifier: it clones, sits in pipelines and searches.

    Nobody can know a good distance by heart: it depends on the weights that made the embeddings,
    and on how many people are enrolled, since each is another chance to be mistaken. So the
    threshold follows from ``fpir``, the share of strangers' faces that may get a name.

    One person alone can be enrolled, and one embedding of each is enough.

    Args:
        strategy: ``"svm"``: a linear support vector machine, one person against the rest; of more
            than 32 people only the eight nearest are told apart for each face. ``"nearest"``: the
            person of the nearest enrolled embedding. ``"centroid"``: the person with the nearest
            mean of embeddings; the threshold applies to the distance to that mean.
        fpir: The false-positive identification rate to aim at: the share of the faces of strangers
            that get a name although they should not, in (0, 1).
        threshold: ``"auto"``: what ``fpir`` asks for. A number: this Euclidean distance between
            unit embeddings, 0 to 2, whatever ``fpir`` says. ``None``: no refusal, every
            embedding gets the name of somebody.
        C: For ``"svm"``: how strongly misclassified training samples count, as in
            ``sklearn.svm.LinearSVC``.
        distances: The table of distances of the weights that made the embeddings,
            ``embedder.record.distances``. Without it the enrolled embeddings must be many enough to
            show the rate by themselves, and probabilities are not calibrated.
        prior: The share of faces that belong to enrolled people, for the probabilities, in (0, 1).

    Attributes:
        classes_: The names of the enrolled people, sorted, ``(k,)``.
        threshold_: The largest distance at which a name is given, or ``None``.
        calibration_: Where it comes from, a
            :class:`facekit.identification.calibration.Calibration`; ``None`` without a threshold.
        coef_: For ``"svm"`` with two to 32 people: the weights of the decision functions.
        intercept_: Likewise, their constants.

    Example:
        >>> import numpy as np
        >>> from facekit import IdentityClassifier
        >>> embeddings = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        >>> classifier = IdentityClassifier(threshold=1.0).fit(embeddings, ["Ada", "Grace"])
        >>> classifier.predict([[0.8, 0.6, 0.0], [0.0, 0.0, 1.0]]).tolist()
        ['Ada', None]

    References:
        P. Phillips, P. Grother and R. Micheals, "Evaluation Methods in Face Recognition", Handbook
        of Face Recognition, 2011 (open-set identification). H. Zhang, A. Berg, M. Maire and
        J. Malik, "SVM-KNN", CVPR 2006, for ``"svm"`` with many people. J. Platt, "Probabilistic
        Outputs for Support Vector Machines", 1999, for the probabilities.
        ``sklearn.svm.LinearSVC``.
    """

    def __init__(
        self,
        strategy: Strategy = "svm",
        *,
        fpir: float = 0.001,
        threshold: Threshold = "auto",
        C: float = 1.0,
        distances: DistanceTable | None = None,
        prior: float = 0.5,
    ) -> None:
        self.strategy = strategy
        self.fpir = fpir
        self.threshold = threshold
        self.C = C
        self.distances = distances
        self.prior = prior

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> IdentityClassifier:
        """Learns the people.

        Args:
            X: Embeddings, ``(n, d)``, of unit L2 norm unless ``threshold`` is ``None``.
            y: The name of each, ``(n,)``.

        Returns:
            The classifier itself.

        Raises:
            InvalidArgumentError: If a parameter lies outside its range, a name is ``None``, an
                embedding is not of unit norm while there is a threshold, or the threshold cannot be
                calibrated.
            ValueError: If X or y cannot be used, as scikit-learn's estimators say it.
        """
        return self._fit(X, y, None)

    def restore(
        self, X: npt.ArrayLike, y: npt.ArrayLike, learned: Mapping[str, npt.NDArray[Any]]
    ) -> IdentityClassifier:
        """Fits with what an earlier fit learned, instead of learning it again.

        Args:
            X: The embeddings of that fit.
            y: Their names.
            learned: What :meth:`learned` returned after it.

        Returns:
            The classifier itself, with the same answers to the bit.

        Raises:
            InvalidArgumentError: If ``learned`` does not fit the people.
        """
        return self._fit(X, y, learned)

    def _fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, learned: Mapping[str, npt.NDArray[Any]] | None
    ) -> IdentityClassifier:
        self._check_parameters()
        _check_names(y)
        embeddings, names = validate_data(self, X, y, dtype=[np.float64, np.float32])
        if names.dtype.kind not in "OUS":  # of names it would say that they may be measurements
            check_classification_targets(names)
        self._check_unit_norm(embeddings)
        classes, labels = np.unique(names, return_inverse=True)
        return self._adopt(Enrolled(embeddings, labels, classes), learned=learned)

    def learned(self) -> dict[str, npt.NDArray[Any]]:
        """Returns what :meth:`fit` learned beside the embeddings and names, for :meth:`restore`."""
        check_is_fitted(self)
        return {"coef": self.coef_, "intercept": self.intercept_} if hasattr(self, "coef_") else {}

    def fit_enrolled(
        self,
        enrolled: Enrolled,
        *,
        shift: tuple[float, int] | None = None,
        learned: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> IdentityClassifier:
        """Does what :meth:`fit` does, with what a gallery holds and without copying it.

        Args:
            enrolled: :meth:`facekit.Gallery.enrolled`.
            shift: ``shift`` and ``probes`` of a calibration to keep instead of comparing all
                enrolled photos with each other again.
            learned: As for :meth:`restore`.

        Returns:
            The classifier itself.

        Raises:
            InvalidArgumentError: As :meth:`fit`.
        """
        self._check_parameters()
        self.n_features_in_ = enrolled.embeddings.shape[1]
        return self._adopt(enrolled, shift, learned)

    @property
    def embeddings_(self) -> npt.NDArray[Any]:
        """The enrolled embeddings, sorted by person, ``(n, d)``."""
        order, starts = self._enrolled_.by_person
        embeddings: npt.NDArray[Any] = self._enrolled_.embeddings[order[starts[0] :]]
        return embeddings

    @property
    def labels_(self) -> IntArray:
        """The index in ``classes_`` of each of :attr:`embeddings_`, ``(n,)``."""
        return np.sort(self._enrolled_.labels[self._enrolled_.rows])

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Names the person of each embedding.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            ``(n,)``: the names, with ``None`` for strangers (an object array); without a
            threshold an array of the type of ``classes_``.

        Raises:
            InvalidArgumentError: If there is a threshold and an embedding is not of unit norm.
            ValueError: If X cannot be used, or the classifier is not fitted, as scikit-learn's
                estimators say it.
        """
        return self.named(self.identify(X))

    def named(self, found: Identification) -> npt.NDArray[Any]:
        """Applies the threshold to an identification.

        Args:
            found: What :meth:`identify` returned for n embeddings.

        Returns:
            ``(n,)``: the names, as :meth:`predict` returns them.
        """
        if self.threshold_ is None:
            return found.candidate
        names = found.candidate.astype(object)
        names[found.distance > self.threshold_] = None
        return names

    def identify(self, X: npt.ArrayLike) -> Identification:
        """Says whom each embedding resembles most, how near it is and how probable that is.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            Candidate, distance and probability of each; the threshold is not applied.

        Raises:
            InvalidArgumentError: If there is a threshold and an embedding is not of unit norm.
            ValueError: If X cannot be used, or the classifier is not fitted, as scikit-learn's
                estimators say it.
        """
        X = self._validated(X)
        chosen = np.zeros(len(X), dtype=np.int64)
        distance, probability = np.zeros(len(X)), np.zeros(len(X))
        for rows, people, found in self._resemblances(X):
            best = found.scores.argmax(axis=1)
            each = np.arange(len(best))
            chosen[rows] = people[best]
            distance[rows] = found.distances[each, best]
            probability[rows] = self._probabilities(found)[each, best]
        return Identification(self.classes_[chosen], distance, probability)

    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """Returns the probability that an embedding belongs to each of the people.

        With a table of ``distances``, a row adds up to the probability that the face belongs to
        anybody enrolled at all; the rest is that of a stranger. So 0.87 for Ada means: of a hundred
        faces with such an answer, 87 are Ada's, if ``prior`` is the share of faces that belong to
        enrolled people. The probability of a stranger is a logistic function of the distance to the
        candidate, fitted to the table; the people share the rest by their scores.

        Without a table, or without a threshold, nothing is known about strangers, and a row adds
        up to 1: the shares say how clearly one enrolled person beats the others, and are not
        calibrated.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            float64 ``(n, k)``, columns as ``classes_``.

        Raises:
            InvalidArgumentError: If there is a threshold and an embedding is not of unit norm.
            ValueError: If X cannot be used, or the classifier is not fitted, as scikit-learn's
                estimators say it.
        """
        X = self._validated(X)
        probabilities = np.zeros((len(X), len(self.classes_)))
        for rows, people, found in self._resemblances(X):
            probabilities[np.ix_(rows, people)] = self._probabilities(found)
        return probabilities

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """Returns the strategy's scores; the largest decides.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            float64 ``(n, k)``: the SVM's decision values, or the negated squared distances to each
            person. Of more than 32 people, those who are not among the nearest eight have a score
            below all others. For two people ``(n,)``, positive for the second, as scikit-learn has
            it.

        Raises:
            InvalidArgumentError: If there is a threshold and an embedding is not of unit norm.
            ValueError: If X cannot be used, or the classifier is not fitted, as scikit-learn's
                estimators say it.
        """
        X = self._validated(X)
        scores = np.zeros((len(X), len(self.classes_)))
        for rows, people, found in self._resemblances(X):
            scores[rows] = found.scores.min(axis=1, keepdims=True) - 1.0
            scores[np.ix_(rows, people)] = found.scores
        if len(self.classes_) == 2:
            halved: FloatArray = (scores[:, 1] - scores[:, 0]) / 2
            return halved
        return scores

    def explain(self, X: npt.ArrayLike, count: int = 5) -> list[Explanation]:
        """Says why each embedding gets its name, or none.

        Args:
            X: Embeddings, ``(n, d)``.
            count: How many of the nearest enrolled embeddings to list, at most.

        Returns:
            One explanation for each; its ``name`` is what :meth:`predict` gives.

        Raises:
            InvalidArgumentError: If ``count`` is no positive whole number, or there is a threshold
                and an embedding is not of unit norm.
            ValueError: As for :meth:`predict`.
        """
        count = whole(count, "count", least=1)
        X = self._validated(X)
        found = self.identify(X)
        nearest = self._enrolled_.search(X, count)
        return [
            Explanation(
                name,
                candidate,
                float(distance),
                self.threshold_,
                float(probability),
                tuple(
                    Neighbor(self.classes_[self._enrolled_.labels[row]], float(far), int(row))
                    for row, far in zip(rows, distances, strict=True)
                    if row >= 0
                ),
            )
            for name, candidate, distance, probability, rows, distances in zip(
                self.named(found), *found, *nearest, strict=True
            )
        ]

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
            InvalidArgumentError: If there is a threshold and an embedding is not of unit norm.
            ValueError: If X cannot be used, the classifier is not fitted, or there are not as many
                names as embeddings.
        """
        predicted, truth = self.predict(X), column_or_1d(y, dtype=object)
        check_consistent_length(predicted, truth, sample_weight)
        right = np.equal(predicted, truth).astype(np.float64)
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return float(np.average(right, weights=weights))

    def _adopt(
        self,
        enrolled: Enrolled,
        shift: tuple[float, int] | None = None,
        learned: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> IdentityClassifier:
        calibration: Calibration | None = None
        if self.threshold is not None:
            calibration = calibrate(
                enrolled,
                measure=measure_of(self.strategy),
                fpir=self.fpir,
                threshold=None if isinstance(self.threshold, str) else float(self.threshold),
                table=self.distances,
                prior=self.prior,
                shift=shift,
            )
        self.classes_ = enrolled.classes
        self.calibration_ = calibration
        self.threshold_ = None if calibration is None else calibration.threshold
        self._enrolled_ = enrolled
        for name in ("coef_", "intercept_"):
            self.__dict__.pop(name, None)
        if self.strategy == "svm" and 2 <= len(self.classes_) <= SHORTLIST:
            machine = (
                self._trained(self._everybody()) if learned is None else self._restored(learned)
            )
            self.coef_, self.intercept_ = machine
        return self

    def _restored(self, learned: Mapping[str, npt.NDArray[Any]]) -> Machine:
        machines = 1 if len(self.classes_) == 2 else len(self.classes_)
        shapes = {"coef": (machines, self.n_features_in_), "intercept": (machines,)}
        if {name: array.shape for name, array in learned.items()} != shapes:
            raise InvalidArgumentError(f"learned must hold arrays of the shapes {shapes}")
        return Machine(learned["coef"], learned["intercept"])

    def _everybody(self) -> IntArray:
        return np.arange(len(self.classes_))

    def _resemblances(self, X: FloatArray) -> list[tuple[IntArray, IntArray, Resemblance]]:
        # Rows of X, the people that they were compared with, and how they resemble them.
        if len(X) == 0:
            return []
        if len(self.classes_) <= SHORTLIST:
            groups = [(np.arange(len(X)), self._everybody())]
        else:
            found = self._enrolled_.search(X, min(_NEAREST_PHOTOS, len(self._enrolled_)))
            groups = []
            for row, photos in enumerate(found.rows):
                labels = self._enrolled_.labels[photos[photos >= 0]]
                _, first = np.unique(labels, return_index=True)
                nearest = labels[np.sort(first)[:_NEAREST_PEOPLE]]
                groups.append((np.array([row]), np.sort(nearest).astype(np.int64)))
        answers = []
        for rows, people in groups:
            photos, starts = self._photos_of(people)
            machine = self._machine(people)
            embeddings = self._enrolled_.embeddings[photos]
            alike = resemblance(
                self.strategy, X[rows], embeddings, starts, machine, self._enrolled_.least_norm
            )
            answers.append((rows, people, alike))
        return answers

    def _photos_of(self, people: IntArray) -> tuple[IntArray, IntArray]:
        photos = [self._enrolled_.photos_of(int(person)) for person in people]
        starts = np.cumsum([0, *(len(rows) for rows in photos[:-1])])
        return np.concatenate(photos), starts

    def _machine(self, people: IntArray) -> Machine | None:
        if self.strategy != "svm" or len(people) < 2:
            return None
        if hasattr(self, "coef_"):
            return Machine(self.coef_, self.intercept_)
        return self._trained(people)  # of more people every face has a shortlist of its own

    def _trained(self, people: IntArray) -> Machine:
        photos, _ = self._photos_of(people)
        return train(self._enrolled_.embeddings[photos], self._enrolled_.labels[photos], self.C)

    def _probabilities(self, found: Resemblance) -> FloatArray:
        if self.calibration_ is None or self.distances is None:
            return found.shares
        best = found.scores.argmax(axis=1)
        known = self.calibration_.known(found.distances[np.arange(len(best)), best])
        probabilities: FloatArray = found.shares * known[:, None]
        return probabilities

    def _validated(self, X: npt.ArrayLike) -> FloatArray:
        check_is_fitted(self)
        validated: FloatArray = validate_data(
            self, X, dtype=np.float64, reset=False, ensure_min_samples=0
        )
        self._check_unit_norm(validated)
        return validated

    def _check_unit_norm(self, X: npt.NDArray[Any]) -> None:
        if self.threshold is None or len(X) == 0:
            return
        norms = np.linalg.norm(X, axis=1)
        worst = int(np.abs(norms - 1.0).argmax())
        if abs(norms[worst] - 1.0) > UNIT_NORM_TOLERANCE:
            raise InvalidArgumentError(
                f"X must hold embeddings of unit L2 norm, because threshold is a distance between "
                f"such; row {worst} has norm {norms[worst]:.4g}. Use sklearn.preprocessing."
                "normalize, or threshold=None"
            )

    def _check_parameters(self) -> None:
        choice(self.strategy, "strategy", get_args(Strategy))
        for name in ("fpir", "prior"):
            number(getattr(self, name), name, above=0, below=1)
        if self.threshold is not None and not (
            isinstance(self.threshold, str) and self.threshold == "auto"
        ):
            number(self.threshold, "threshold", 0, 2)
        if self.distances is not None and not isinstance(self.distances, DistanceTable):
            raise InvalidArgumentError(
                f"distances must be a DistanceTable such as embedder.record.distances, got "
                f"{type(self.distances).__name__}"
            )


def _check_names(y: npt.ArrayLike) -> None:
    names = np.asarray(y, dtype=object)
    nameless = [row for row, name in enumerate(names.ravel()) if name is None]
    # No y at all is left to scikit-learn, which has words of its own for it.
    if nameless and names.ndim:
        raise InvalidArgumentError(
            f"y must name a person for each embedding, row {nameless[0]} is None; strangers need "
            "no enrollment: they are whoever is not enrolled"
        )
