"""The classifier that a recognizer has if none is given."""

from __future__ import annotations

from facekit.embedding.weights.registry import WeightsRecord
from facekit.identification.classifier import IdentityClassifier

DEFAULT_FPIR = 0.01
"""The share of strangers' faces that may get a name, by default.

It is so small that an album shows hardly any, and so large that its people are found.
"""


def default_classifier(record: WeightsRecord) -> IdentityClassifier:
    """Returns the classifier of a :class:`facekit.FaceRecognizer` that is given none.

    It compares a face with the mean of each person's images, and takes one stranger's face in a
    hundred for someone who is enrolled, however many are. For weights without a table of
    distances, it is a linear SVM with a threshold at which one *pair* of strangers in a thousand
    passes.

    Args:
        record: The record of the weights.

    Returns:
        The classifier, not fitted.

    Raises:
        InvalidArgumentError: If the record has neither the table nor that threshold.

    Example:
        >>> from facekit.embedding.weights.registry import record_for
        >>> from facekit.identification.defaults import default_classifier
        >>> classifier = default_classifier(record_for("facekit-small"))
        >>> classifier.strategy, classifier.fpir
        ('centroid', 0.01)
    """
    if record.distances is None:
        return IdentityClassifier(threshold=record.threshold())
    return IdentityClassifier("centroid", fpir=DEFAULT_FPIR)
