"""Verification (1:1): how well a distance separates same-person from different-person pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score, roc_curve

from facekit.errors import InvalidArgumentError
from facekit.utils.validation import array, number, reals, several

FALSE_MATCH_RATES = (0.1, 0.01, 0.001)
"""The false-match rates of a report by default."""

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class RocCurve(NamedTuple):
    """The receiver operating characteristic of a distance.

    Attributes:
        false_match_rate: Share of the pairs of different people that are accepted, ascending,
            ``(m,)``.
        true_accept_rate: Share of the pairs of the same person that are accepted, ``(m,)``.
        threshold: The largest distance that is accepted at each point, ``(m,)``.

    Example:
        >>> from facekit.evaluation.verification import roc
        >>> curve = roc([0.4, 1.3, 0.6, 1.2], [True, False, True, False])
        >>> curve.true_accept_rate.tolist()
        [0.0, 0.5, 1.0, 1.0, 1.0]
    """

    false_match_rate: FloatArray
    true_accept_rate: FloatArray
    threshold: FloatArray


@dataclass(frozen=True)
class VerificationReport:
    """The figures of a verification protocol with folds.

    Args:
        accuracy: Mean over the folds of the share of correctly judged pairs, each fold with the
            best threshold of the others.
        standard_error: The standard error of that mean: the folds' standard deviation (divisor
            k − 1) over √k, as LFW's protocol states it.
        fold_accuracies: The accuracy of each fold.
        fold_thresholds: The threshold used for each fold.
        auc: Area under the ROC curve over all pairs.
        eer: Equal error rate: the rate at which false accepts equal false rejects.
        tar_at_fmr: True-accept rate by false-match rate, over all pairs.
        pairs: The number of pairs.

    Example:
        >>> from facekit.evaluation import evaluate_verification
        >>> report = evaluate_verification(
        ...     distances=[0.4, 1.3, 0.6, 1.2], same=[True, False, True, False], folds=[0, 0, 1, 1])
        >>> report.fold_accuracies, report.pairs
        ((1.0, 1.0), 4)
    """

    accuracy: float
    standard_error: float
    fold_accuracies: tuple[float, ...]
    fold_thresholds: tuple[float, ...]
    auc: float
    eer: float
    tar_at_fmr: dict[float, float]
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the figures as plain Python values, ready for ``json.dumps``."""
        return {
            **asdict(self),
            "fold_accuracies": list(self.fold_accuracies),
            "fold_thresholds": list(self.fold_thresholds),
            "tar_at_fmr": {f"{fmr:g}": tar for fmr, tar in self.tar_at_fmr.items()},
        }


def evaluate_verification(
    distances: npt.ArrayLike,
    same: npt.ArrayLike,
    folds: npt.ArrayLike,
    *,
    false_match_rates: Sequence[float] = FALSE_MATCH_RATES,
) -> VerificationReport:
    """Computes all figures of a verification protocol.

    Args:
        distances: The distance of each pair, ``(n,)``; any metric, smaller is more similar.
        same: Whether each pair shows one person, bool ``(n,)``.
        folds: The fold of each pair, ``(n,)``; at least two folds, each with pairs of both kinds.
        false_match_rates: The rates at which to state the true-accept rate.

    Returns:
        The report.

    Raises:
        InvalidArgumentError: If the arrays' lengths differ, a distance is not finite, a fold lacks
            one kind of pairs, or a rate is not between 0 and 1.

    Example:
        >>> from facekit.evaluation import evaluate_verification
        >>> report = evaluate_verification(
        ...     distances=[0.4, 1.3, 0.6, 1.2], same=[True, False, True, False], folds=[0, 0, 1, 1])
        >>> report.accuracy, report.auc, report.eer
        (1.0, 1.0, 0.0)

    References:
        G. Huang, M. Ramesh, T. Berg and E. Learned-Miller, "Labeled Faces in the Wild", University
        of Massachusetts, Technical Report 07-49, 2007, section IV (View 2).
    """
    distances, same = checked_pairs(distances, same, both=True)
    name = "false_match_rates"
    rates = [number(rate, name, 0, 1) for rate in several(false_match_rates, name)]
    folds = array(folds, "folds")
    if folds.shape != same.shape or len(np.unique(folds)) < 2:
        raise InvalidArgumentError("folds must give each pair one of at least two folds")
    accuracies, thresholds = [], []
    for fold in np.unique(folds):
        held_out = folds == fold
        if same[held_out].all() or not same[held_out].any():
            raise InvalidArgumentError(
                f"fold {fold} must hold pairs of one person and pairs of two"
            )
        threshold = best_threshold(distances[~held_out], same[~held_out])
        thresholds.append(threshold)
        accuracies.append(accuracy_at(distances[held_out], same[held_out], threshold))
    curve = roc(distances, same)
    return VerificationReport(
        accuracy=float(np.mean(accuracies)),
        standard_error=float(np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))),
        fold_accuracies=tuple(accuracies),
        fold_thresholds=tuple(thresholds),
        auc=float(roc_auc_score(same, -distances)),
        eer=equal_error_rate(curve),
        tar_at_fmr={rate: true_accept_rate(curve, rate) for rate in rates},
        pairs=len(distances),
    )


def roc(distances: npt.ArrayLike, same: npt.ArrayLike) -> RocCurve:
    """Computes the ROC curve of a distance.

    Args:
        distances: The distance of each pair, ``(n,)``.
        same: Whether each pair shows one person, bool ``(n,)``.

    Returns:
        The curve, from refusing all pairs (threshold −∞) to accepting all.

    Raises:
        InvalidArgumentError: If the arrays' lengths differ or one kind of pairs is missing.

    Example:
        >>> from facekit.evaluation.verification import roc
        >>> curve = roc([0.4, 1.3, 0.6, 1.2], [True, False, True, False])
        >>> curve.threshold.tolist()
        [-inf, 0.4, 0.6, 1.2, 1.3]
        >>> curve.false_match_rate.tolist()
        [0.0, 0.0, 0.0, 0.5, 1.0]

    References:
        ``sklearn.metrics.roc_curve``, of the negated distances.
    """
    distances, same = checked_pairs(distances, same, both=True)
    false_rate, true_rate, scores = roc_curve(same, -distances, drop_intermediate=False)
    return RocCurve(false_rate, true_rate, -scores)


def true_accept_rate(curve: RocCurve, false_match_rate: float) -> float:
    """Returns the largest true-accept rate with at most that false-match rate."""
    allowed = curve.false_match_rate <= false_match_rate
    return float(curve.true_accept_rate[allowed].max())


def equal_error_rate(curve: RocCurve) -> float:
    """Returns the rate at which false accepts equal false rejects, interpolated linearly."""
    false_accept, false_reject = curve.false_match_rate, 1.0 - curve.true_accept_rate
    difference = false_accept - false_reject
    after = int(np.argmax(difference >= 0))
    before = max(after - 1, 0)
    span = difference[after] - difference[before]
    weight = -difference[before] / span if span > 0 else 0.0
    return float(false_accept[before] + weight * (false_accept[after] - false_accept[before]))


def best_threshold(distances: FloatArray, same: BoolArray) -> float:
    """Returns the distance, between two neighboring ones, at which most pairs are right."""
    order = np.argsort(distances, kind="stable")
    ordered, ordered_same = distances[order], same[order]
    # accepted[i]: the first i pairs are accepted, the others refused.
    right_accepted = np.concatenate([[0], np.cumsum(ordered_same)])
    right_refused = (~ordered_same).sum() - np.concatenate([[0], np.cumsum(~ordered_same)])
    right = right_accepted + right_refused
    # A cut between two equal distances cannot be made.
    possible = np.concatenate([[True], np.diff(ordered) > 0, [True]])
    # Of several equally good places, the middle one.
    best = np.flatnonzero(possible & (right == right[possible].max()))
    cut = int(best[len(best) // 2])
    below = ordered[cut - 1] if cut > 0 else ordered[0] - 1.0
    above = ordered[cut] if cut < len(ordered) else ordered[-1] + 1.0
    middle = (below + above) / 2
    # The mean of two adjacent floating-point numbers rounds to one of them.
    return float(middle if middle < above else below)


def accuracy_at(distances: FloatArray, same: BoolArray, threshold: float) -> float:
    """Returns the share of pairs judged correctly at a threshold."""
    return float(np.mean((distances <= threshold) == same))


def checked_pairs(
    distances: npt.ArrayLike, same: npt.ArrayLike, *, both: bool = False
) -> tuple[FloatArray, BoolArray]:
    """Returns distances and kinds of pairs as float64 and bool ``(n,)``; ``both`` are needed."""
    values = reals(distances, "distances").astype(np.float64, copy=False)
    kinds = array(same, "same")
    if values.ndim != 1 or values.shape != kinds.shape:
        raise InvalidArgumentError(
            f"distances and same must be one-dimensional and equally long, got {values.shape} and "
            f"{kinds.shape}"
        )
    finite = np.isfinite(values)
    if not finite.all():
        place = int(np.argmin(finite))
        raise InvalidArgumentError(
            f"distances must be finite numbers, got {values[place]} at {place}"
        )
    if kinds.dtype != np.bool_ and not np.isin(kinds, (0, 1)).all():
        raise InvalidArgumentError(f"same must hold true and false only, got {same!r}")
    truth = kinds.astype(np.bool_)
    if both and (truth.all() or not truth.any()):
        raise InvalidArgumentError("there must be pairs of one person and pairs of two")
    return values, truth
