"""The classifier: identification as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from facekit.embedding.weights.distances import DistanceTable
from facekit.errors import CalibrationWarning, InvalidArgumentError
from facekit.gallery.enrolled import Enrolled
from facekit.gallery.index import FloatArray
from facekit.identification.answers import Explanation, Identification
from facekit.identification.calibration import calibrate
from facekit.identification.estimator import Classifier
from facekit.identification.open_set import OpenSet
from facekit.identification.strategies import Strategy, measure_of
from facekit.utils.validation import UNIT_NORM_TOLERANCE, array, choice, number, several, whole

Threshold: TypeAlias = float | Literal["auto"] | None
"""The largest distance at which a name is given, ``"auto"`` to calibrate it, ``None`` for none."""


class IdentityClassifier(Classifier):
    """Names the person of an embedding, or rejects it as a stranger.

    The strategy chooses one of the enrolled people; the choice stands only if that person is within
    a threshold distance. Anyone else is a stranger, ``None``. It is a scikit-learn classifier,
    which works with ``clone``, pipelines and parameter searches.

    A good threshold depends on the weights that made the embeddings, and on how many people are
    enrolled, since each is another chance of a mistake. It is therefore derived from ``fpir``, the
    share of strangers' faces that may get a name.

    A single person with a single embedding is enough.

    Args:
        strategy: ``"svm"``: a linear support vector machine, one person against the rest; with more
            than 32 people, only the eight nearest are compared for each face. ``"nearest"``: the
            person of the nearest enrolled embedding. ``"centroid"``: the person with the nearest
            mean of embeddings; the threshold applies to the distance to that mean.
        fpir: The target false-positive identification rate: the share of strangers' faces that get
            a name, in (0, 1).
        threshold: ``"auto"``: derived from ``fpir``. A number: this Euclidean distance between unit
            embeddings, 0 to 2, regardless of ``fpir``. ``None``: no threshold; every embedding gets
            a name.
        C: For ``"svm"``: how strongly misclassified training samples count, as in
            ``sklearn.svm.LinearSVC``.
        distances: The table of distances of the weights that made the embeddings,
            ``embedder.record.distances``. Without it, there must be enough enrolled embeddings to
            estimate the rate, and probabilities are not calibrated.
        prior: The share of faces that belong to enrolled people, for the probabilities, in (0, 1).

    Attributes:
        classes_: The names of the enrolled people, sorted, ``(k,)``.
        threshold_: The largest distance at which a name is given, or ``None``.
        calibration_: How it was derived, a ``Calibration``; ``None`` without a threshold.
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
            ValueError: If X or y is invalid, as for scikit-learn's estimators.

        Warns:
            CalibrationWarning: If the people resemble each other so much that strangers like them
                will get a name more often than ``fpir`` says.
        """
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import validate_data

        self._check_parameters()
        _check_names(y)
        embeddings, names = validate_data(self, _as_array(X), y, dtype=[np.float64, np.float32])
        if names.dtype.kind not in "OUS":  # for names it would warn that they may be measurements
            check_classification_targets(names)
        self._check_unit_norm(embeddings)
        classes, labels = np.unique(names, return_inverse=True)
        self.fit_enrolled(Enrolled(embeddings, labels, classes))
        if self.calibration_ is not None and self.calibration_.doubt:
            warnings.warn(self.calibration_.doubt, CalibrationWarning, stacklevel=2)
        return self

    def fit_enrolled(
        self,
        enrolled: Enrolled,
        *,
        shift: tuple[float, int] | None = None,
        cohort: npt.ArrayLike | None = None,
        own: FloatArray | None = None,
    ) -> IdentityClassifier:
        """Like :meth:`fit`, with the contents of a gallery, without copying them.

        Args:
            enrolled: :meth:`facekit.Gallery.enrolled`.
            shift: ``shift`` and ``probes`` of a calibration to reuse, instead of comparing all
                enrolled images with each other again.
            cohort: Embeddings of people who are not enrolled, ``(n, d)``, and resemble expected
                strangers: the threshold is the one at which a share ``fpir`` of them gets a name.
            own: The distances from enrolled images to the nearest other person, if they are known.

        Returns:
            The classifier itself.

        Raises:
            InvalidArgumentError: As :meth:`fit`.
        """
        self._check_parameters()
        calibration = None
        if self.threshold is not None:
            calibration = calibrate(
                enrolled,
                measure=measure_of(self.strategy),
                fpir=self.fpir,
                threshold=None if isinstance(self.threshold, str) else float(self.threshold),
                table=self.distances,
                prior=self.prior,
                shift=shift,
                cohort=cohort,
                own=own,
            )
        people = OpenSet(enrolled, self.strategy, self.C, calibration)
        self.n_features_in_ = enrolled.embeddings.shape[1]
        self._people_ = people
        self.classes_ = people.classes
        self.calibration_ = calibration
        self.threshold_ = people.threshold
        for name in ("coef_", "intercept_"):
            self.__dict__.pop(name, None)
        if people.machine is not None:
            self.coef_, self.intercept_ = people.machine
        return self

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
            found: The result of :meth:`identify` for n embeddings.

        Returns:
            ``(n,)``: the names, as :meth:`predict` returns them.
        """
        return self._people.named(found)

    def identify(self, X: npt.ArrayLike) -> Identification:
        """Returns the most similar person for each embedding, with distance and probability.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            Candidate, distance and probability of each; the threshold is not applied.

        Raises:
            InvalidArgumentError: As :meth:`predict`, like ``ValueError``.
        """
        return self._people.identify(self._validated(X))

    def among(
        self, x: npt.NDArray[Any], wanted: str | None = None, *, refused: Collection[str] = ()
    ) -> tuple[str, float, float] | None:
        """Returns the most similar person for one embedding, among some of the people.

        Args:
            x: The embedding, ``(d,)``.
            wanted: The only person to compare it with; by default all but the refused.
            refused: People who are ruled out.

        Returns:
            Candidate, distance and probability, or ``None`` if all people are ruled out.

        Raises:
            InvalidArgumentError: If ``refused`` is one name instead of several, or as
                :meth:`predict`, like ``ValueError``.
        """
        (row,) = self._validated(array(x, "x")[None])
        return self._people.among(row, wanted, several(refused, "refused"))

    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """Returns the probability that an embedding belongs to each of the people.

        With a table of ``distances``, a row adds up to the probability that the face belongs to any
        enrolled person; the remainder is the probability of a stranger. So 0.87 for Ada means: of a
        hundred faces with this result, 87 are Ada's, if ``prior`` is the share of faces that belong
        to enrolled people. The probability of a stranger is a logistic function of the distance to
        the candidate, fitted to the table; the rest is divided among the people by their scores.

        Without a table or a threshold, nothing is known about strangers, and a row adds up to 1:
        the values only compare the enrolled people, and are not calibrated.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            float64 ``(n, k)``, columns as ``classes_``.

        Raises:
            InvalidArgumentError: As :meth:`predict`, like ``ValueError``.
        """
        return self._people.probabilities(self._validated(X))

    def decision_function(self, X: npt.ArrayLike) -> FloatArray:
        """Returns the strategy's scores; the largest wins.

        Args:
            X: Embeddings, ``(n, d)``.

        Returns:
            float64 ``(n, k)``: the SVM's decision values, or the negated squared distances to each
            person. Of more than 32 people, those who are not among the nearest eight have a score
            below all others. For two people ``(n,)``, positive for the second, as in scikit-learn.

        Raises:
            InvalidArgumentError: As :meth:`predict`, like ``ValueError``.
        """
        scores = self._people.scores(self._validated(X))
        if len(self.classes_) == 2:
            halved: FloatArray = (scores[:, 1] - scores[:, 0]) / 2
            return halved
        return scores

    def explain(self, X: npt.ArrayLike, count: int = 5) -> list[Explanation]:
        """Explains why each embedding is named, or not.

        Args:
            X: Embeddings, ``(n, d)``.
            count: How many of the nearest enrolled embeddings to list, at most.

        Returns:
            One explanation for each; its ``name`` is what :meth:`predict` gives.

        Raises:
            InvalidArgumentError: If ``count`` is not a positive whole number, or as
                :meth:`predict`, like ``ValueError``.
        """
        count = whole(count, "count", least=1)
        return self._people.explain(self._validated(X), count)

    def score(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Returns the share of embeddings that get the right name.

        Args:
            X: Embeddings, ``(n, d)``.
            y: The true names, ``(n,)``; ``None`` for strangers.
            sample_weight: The weight of each; equal by default.

        Returns:
            The accuracy, 0 to 1. A stranger counts as correct if the prediction is ``None``.

        Raises:
            InvalidArgumentError: As :meth:`predict`.
            ValueError: As :meth:`predict`, or if there are not as many names as embeddings.
        """
        from sklearn.utils.validation import check_consistent_length, column_or_1d

        predicted, truth = self.predict(X), column_or_1d(y, dtype=object)
        check_consistent_length(predicted, truth, sample_weight)
        right = np.equal(predicted, truth).astype(np.float64)
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return float(np.average(right, weights=weights))

    def _check_parameters(self) -> None:
        choice(self.strategy, "strategy", get_args(Strategy))
        number(self.fpir, "fpir", above=0, below=1)
        number(self.prior, "prior", above=0, below=1)
        number(self.C, "C", above=0)
        automatic = isinstance(self.threshold, str) and self.threshold == "auto"
        if not automatic and self.threshold is not None:
            number(self.threshold, "threshold", 0, 2)
        if self.distances is not None and not isinstance(self.distances, DistanceTable):
            raise InvalidArgumentError(
                "distances must be a DistanceTable such as embedder.record.distances, got "
                f"{type(self.distances).__name__}"
            )

    @property
    def _people(self) -> OpenSet:
        if not hasattr(self, "_people_"):
            from sklearn.utils.validation import check_is_fitted

            check_is_fitted(self)  # raises
        people: OpenSet = self._people_
        return people

    def _validated(self, X: npt.ArrayLike) -> FloatArray:
        validated: FloatArray
        if (
            type(X) is np.ndarray
            and X.dtype.kind == "f"
            and X.shape[1:] == (self.n_features_in_,)
            and not hasattr(self, "feature_names_in_")
            and np.isfinite(X).all()
        ):
            validated = X.astype(np.float64, copy=False)
        else:
            from sklearn.utils.validation import validate_data

            validated = validate_data(
                self, _as_array(X), dtype=np.float64, reset=False, ensure_min_samples=0
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


def _as_array(X: npt.ArrayLike) -> npt.ArrayLike:
    """Converts lists to an array of their own type, which scikit-learn then accepts or refuses."""
    return np.asarray(X) if isinstance(X, list | tuple) else X


def _check_names(y: npt.ArrayLike) -> None:
    names = np.asarray(y, dtype=object)
    nameless = [row for row, name in enumerate(names.ravel()) if name is None]
    # A missing y is left to scikit-learn, which has its own message.
    if nameless and names.ndim:
        raise InvalidArgumentError(
            f"y must name a person for each embedding, row {nameless[0]} is None; strangers need "
            "no enrollment: everyone not enrolled is one"
        )
