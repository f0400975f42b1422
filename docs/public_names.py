"""The public names: ``__all__`` of the package and of each of its parts, and what these return."""

from __future__ import annotations

import importlib
import pkgutil

import facekit

# The command line, and what the parts share with each other, are used from inside alone.
_INTERNAL = {"cli", "utils"}

# What a user receives, catches or annotates with, but seldom makes, and what few users call; by the
# module it is in.
_RETURNED = {
    "facekit.errors": (
        "ArchiveError BatchError CalibrationWarning EnrollmentWarning GalleryBusyError "
        "GalleryServerError ImageWarning MissingExtraError NoFaceError NotFittedError "
        "RandomWeightsWarning TrainingDataError TrainingDataWarning TrainingError "
        "WeightsNotFoundError"
    ),
    "facekit.faces": "DetectedImage Identity",
    "facekit.alignment": "similarity_transform",
    "facekit.io.folders": "ImageListing PassedOver list_images",
    "facekit.io.decoding": "DecodedImage",
    "facekit.io.images": "read_image",
    "facekit.io.people": "PersonImage",
    "facekit.io.tables": "rows to_frame write_table",
    "facekit.io.xmp": "FaceRegion read_regions tagged_people write_regions",
    "facekit.suggestions": "Suggestion suggest",
    "facekit.detection.base": "ImageDetector",
    "facekit.detection.registry": "make_detector",
    "facekit.identification.defaults": "default_classifier",
    "facekit.video.encoding": "VideoWriter",
    "facekit.pipeline": "EmbeddedFace EmbeddedImage",
    "facekit.report": "ImageOutcome ImageReport RecognizedImage",
    "facekit.identification.answers": "Explanation Identification",
    "facekit.identification.calibration": "Calibration",
    "facekit.gallery.records": "EnrolledImage FaceSource Match",
    "facekit.gallery.review": "Duplicate Outlier",
    "facekit.gallery.reviewer": "Review",
    "facekit.quality.measures": "FaceQuality",
    "facekit.quality.pose": "HeadPose",
    "facekit.clustering.albums": "ArchiveClustering PersonGroup",
    "facekit.clustering.groups": "Clustering Group linking_threshold",
    "facekit.embedding.weights.registry": "WeightsRecord",
    "facekit.evaluation.lfw": "LFWResult Pair",
    "facekit.evaluation.verification": "RocCurve VerificationReport",
    "facekit.training.distillation.teachers": "Teacher",
    "facekit.training.engine.history": "History",
    "facekit.training.losses.distances": "pairwise_distances",
    "facekit.training.losses.statistics": "triplet_statistics",
    "facekit.video.following": "FollowedFace",
    "facekit.video.recognition": "SearchedFrame VideoRecognition",
    "facekit.video.result": "VideoResult",
    "facekit.video.tracks": "Appearance Sighting Track",
    "facekit.archive.indexing": "ImageIndexer IndexReport",
    "facekit.archive.table": "ArchiveTable",
}


def described_names() -> dict[str, list[str]]:
    """Returns what the reference describes: the public names, and what they return, by module."""
    return public_names() | {part: names.split() for part, names in _RETURNED.items()}


def public_names() -> dict[str, list[str]]:
    """Returns the public names of each part, each name once."""
    parts = ["facekit"] + [
        f"facekit.{module.name}"
        for module in pkgutil.iter_modules(facekit.__path__)
        if module.ispkg and module.name not in _INTERNAL
    ]
    seen = {"__version__"}
    names: dict[str, list[str]] = {}
    for part in parts:
        listed = getattr(importlib.import_module(part), "__all__", [])
        new = [name for name in listed if name not in seen]
        seen.update(new)
        if new:
            names[part] = sorted(new, key=lambda name: (name.islower(), name.casefold()))
    return names
