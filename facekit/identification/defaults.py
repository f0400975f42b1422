"""The default classifier of a recognizer."""

from __future__ import annotations

from facekit.embedding.weights.registry import WeightsRecord
from facekit.identification.classifier import IdentityClassifier

DEFAULT_FPIR = 0.01
"""The share of strangers' faces that may get a name, by default.

It is small enough that an album shows hardly any, and large enough that its people are found.
"""


def default_classifier(record: WeightsRecord) -> IdentityClassifier:
    """Returns the default classifier of a :class:`facekit.FaceRecognizer`.

    It compares a face with the mean of each person's images, and names one stranger's face in a
    hundred, however many people are enrolled. For weights without a table of distances, it is a
    linear SVM with a threshold that one *pair* of strangers in a thousand passes.

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
