"""The parts of a recognizer as values for JSON, and back: what a gallery's settings keep of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from facekit.detection import FaceDetector
from facekit.detection.registry import DETECTORS
from facekit.embedding import Embedder, FaceEmbedder
from facekit.embedding.weights.distances import DistanceTable
from facekit.embedding.weights.registry import REGISTRY
from facekit.errors import InvalidArgumentError
from facekit.identification import IdentityClassifier
from facekit.quality import QualityGate

_DETECTORS: dict[str, type[Any]] = {kind.__name__: kind for kind in DETECTORS.values()}


def detector_to_dict(detector: FaceDetector) -> dict[str, Any]:
    """Returns the class of a detector and, if it is facekit's own, its parameters."""
    name = type(detector).__name__
    if _DETECTORS.get(name) is type(detector):
        # How many cores there are is for each machine to say.
        parameters = {**detector.get_params(), "threads": None}  # type: ignore[attr-defined]
        return {"class": name, "parameters": parameters}
    return {"class": f"{type(detector).__module__}.{type(detector).__qualname__}"}


def detector_from_dict(kept: Mapping[str, Any], path: str) -> FaceDetector:
    """Makes the detector again."""
    made = _DETECTORS.get(kept["class"])
    if made is None:
        raise InvalidArgumentError(
            f"{path}: was saved with a detector of the class {kept['class']}, which facekit cannot "
            "make again; pass it as detector="
        )
    detector: FaceDetector = made(**kept["parameters"])
    return detector


def embedder_by_name(weights: str, path: str) -> FaceEmbedder:
    """Makes an embedder of weights that are known by name."""
    if weights not in REGISTRY:
        raise InvalidArgumentError(
            f"{path}: was made with the weights {weights!r}, which are not known by name; pass "
            "embedder=Embedder(<path of the weights>)"
        )
    return Embedder(weights)


def classifier_to_dict(classifier: IdentityClassifier) -> dict[str, Any]:
    """Returns the parameters of a classifier."""
    parameters: dict[str, Any] = classifier.get_params()
    table = parameters["distances"]
    return {
        name: value if isinstance(value, str | None) else float(value)
        for name, value in {**parameters, "distances": None}.items()
    } | {"distances": None if table is None else table.to_dict()}


def classifier_from_dict(kept: Mapping[str, Any]) -> IdentityClassifier:
    """Makes the classifier again."""
    table = kept["distances"]
    distances = None if table is None else DistanceTable.from_dict(table)
    return IdentityClassifier(**{**kept, "distances": distances})


def quality_to_dict(quality: QualityGate | None) -> dict[str, Any] | None:
    """Returns the limits of a gate."""
    return None if quality is None else asdict(quality)


def quality_from_dict(kept: Mapping[str, Any] | None) -> QualityGate | None:
    """Makes the gate again."""
    return None if kept is None else QualityGate(**kept)
