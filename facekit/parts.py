"""Converts the parts of a recognizer to JSON values and back, for a gallery's settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from facekit.alignment import Aligner
from facekit.detection import FaceDetector
from facekit.detection.registry import DETECTORS, make_detector
from facekit.embedding import Embedder, FaceEmbedder
from facekit.embedding.weights.distances import DistanceTable
from facekit.embedding.weights.registry import REGISTRY
from facekit.errors import FileFormatError, InvalidArgumentError
from facekit.gallery import Gallery
from facekit.identification import IdentityClassifier
from facekit.quality import QualityGate

_DETECTORS: dict[str, type[Any]] = {kind.__name__: kind for kind in DETECTORS.values()}


def detector_to_dict(detector: FaceDetector) -> dict[str, Any]:
    """Returns the class of a detector and, if it is facekit's own, its parameters."""
    name = type(detector).__name__
    if _DETECTORS.get(name) is type(detector):
        # The number of cores depends on the machine.
        parameters = {**detector.get_params(), "threads": None}  # type: ignore[attr-defined]
        return {"class": name, "parameters": _plain(parameters)}
    return {"class": f"{type(detector).__module__}.{type(detector).__qualname__}"}


def detector_from_dict(kept: Mapping[str, Any], path: str) -> FaceDetector:
    """Rebuilds the detector."""
    made = _DETECTORS.get(kept["class"])
    if made is None:
        raise InvalidArgumentError(
            f"{path}: was saved with a detector of class {kept['class']}, which facekit cannot "
            "rebuild; pass it as detector="
        )
    detector: FaceDetector = made(**kept["parameters"])
    return detector


def saved_detector(gallery: Gallery) -> FaceDetector:
    """Returns the detector that a recognizer saved with its gallery, or else the default one."""
    kept = gallery.settings.get("recognizer")
    if kept is None:
        return make_detector("mtcnn")
    return detector_from_dict(kept["detector"], str(gallery.path))


def embedder_by_name(weights: str, path: str) -> FaceEmbedder:
    """Creates an embedder with weights that are known by name."""
    if weights not in REGISTRY:
        raise InvalidArgumentError(
            f"{path}: was made with the weights {weights!r}, which are not known by name; pass "
            "embedder=Embedder(<path of the weights>)"
        )
    return Embedder(weights)


def quality_to_dict(quality: QualityGate | None) -> dict[str, Any] | None:
    """Returns the limits of a gate."""
    return None if quality is None else _plain(asdict(quality))


def parts_to_dict(
    detector: FaceDetector,
    aligner: Aligner,
    classifier: IdentityClassifier,
    quality: QualityGate | None,
    naming_quality: QualityGate | None,
) -> dict[str, Any]:
    """Returns the parameters of the parts of a recognizer."""
    parameters: dict[str, Any] = classifier.get_params()
    table = parameters.pop("distances")
    return {
        "detector": detector_to_dict(detector),
        "aligner": aligner.to_dict(),
        "quality": quality_to_dict(quality),
        "naming_quality": quality_to_dict(naming_quality),
        "classifier": {
            **_plain(parameters),
            "distances": None if table is None else table.to_dict(),
        },
    }


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns parameters as JSON values; NumPy's numbers and arrays become Python's."""
    text = json.dumps(parameters, default=lambda value: np.asarray(value).tolist())
    plain: dict[str, Any] = json.loads(text)
    return plain


def parts_from_dict(
    kept: Mapping[str, Any], path: str, detector: FaceDetector | str | None
) -> dict[str, Any]:
    """Rebuilds the arguments of a recognizer; a detector given replaces the saved one."""
    table = kept["classifier"]["distances"]
    distances = None if table is None else DistanceTable.from_dict(table)
    gates = {
        # A limit that the file does not name did not exist when it was written.
        name: None if kept[name] is None else replace(QualityGate.off(), **kept[name])
        for name in ("quality", "naming_quality")
    }
    return {
        "detector": detector_from_dict(kept["detector"], path) if detector is None else detector,
        "aligner": Aligner(**kept["aligner"]),
        "classifier": IdentityClassifier(**{**kept["classifier"], "distances": distances}),
        **gates,
    }


def calibrated_classifier(gallery: Gallery) -> IdentityClassifier | None:
    """Returns the classifier that ``facekit calibrate`` stored with a gallery, if any."""
    kept = gallery.settings.get("calibration")
    if kept is None:
        return None
    try:
        return IdentityClassifier(kept["strategy"], fpir=kept["fpir"])
    except (KeyError, TypeError) as error:
        raise FileFormatError(
            f"{gallery.path}: its calibration cannot be read ({error}); run facekit calibrate"
        ) from error
