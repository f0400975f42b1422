"""facekit recognizes people in photos: detect, align, embed and identify faces.

The public names are imported when they are first used, so that ``import facekit`` costs next to
nothing and loads neither TensorFlow nor OpenCV.

Example:
    >>> import facekit
    >>> sorted(facekit.__all__)[:3]
    ['Aligner', 'Architecture', 'BatchError']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Aligner": "facekit.alignment",
    "Architecture": "facekit.embedding",
    "BatchError": "facekit.errors",
    "CollapseError": "facekit.errors",
    "DetectedImage": "facekit.faces",
    "Detector": "facekit.detection",
    "Embedder": "facekit.embedding",
    "EmbeddedFace": "facekit.pipeline",
    "EmbeddedImage": "facekit.pipeline",
    "EnrollmentError": "facekit.errors",
    "EnrollmentReport": "facekit.report",
    "EnrollmentWarning": "facekit.errors",
    "Face": "facekit.faces",
    "FaceDetector": "facekit.detection",
    "FaceEmbedder": "facekit.embedding",
    "FacePipeline": "facekit.pipeline",
    "FaceQuality": "facekit.quality",
    "FaceRecognizer": "facekit.recognizer",
    "FacekitError": "facekit.errors",
    "FacekitWarning": "facekit.errors",
    "FileFormatError": "facekit.errors",
    "Gallery": "facekit.gallery",
    "GalleryBusyError": "facekit.errors",
    "IdentityClassifier": "facekit.identification",
    "ImageError": "facekit.errors",
    "InvalidArgumentError": "facekit.errors",
    "Identity": "facekit.faces",
    "Keypoints": "facekit.faces",
    "NoFaceError": "facekit.errors",
    "NotFittedError": "facekit.errors",
    "ProtocolError": "facekit.errors",
    "QualityGate": "facekit.quality",
    "RandomWeightsWarning": "facekit.errors",
    "RecognizedFace": "facekit.faces",
    "RecognizedImage": "facekit.report",
    "TrainingError": "facekit.errors",
    "TrainingDataError": "facekit.errors",
    "Verification": "facekit.faces",
    "WeightsError": "facekit.errors",
    "WeightsNotFoundError": "facekit.errors",
    "cluster": "facekit.clustering",
    "cluster_photos": "facekit.clustering",
    "load_image": "facekit.io.images",
}

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from facekit.alignment import Aligner as Aligner
    from facekit.clustering import cluster as cluster
    from facekit.clustering import cluster_photos as cluster_photos
    from facekit.detection import Detector as Detector
    from facekit.detection import FaceDetector as FaceDetector
    from facekit.embedding import Architecture as Architecture
    from facekit.embedding import Embedder as Embedder
    from facekit.embedding import FaceEmbedder as FaceEmbedder
    from facekit.errors import BatchError as BatchError
    from facekit.errors import CollapseError as CollapseError
    from facekit.errors import EnrollmentError as EnrollmentError
    from facekit.errors import EnrollmentWarning as EnrollmentWarning
    from facekit.errors import FacekitError as FacekitError
    from facekit.errors import FacekitWarning as FacekitWarning
    from facekit.errors import FileFormatError as FileFormatError
    from facekit.errors import GalleryBusyError as GalleryBusyError
    from facekit.errors import ImageError as ImageError
    from facekit.errors import InvalidArgumentError as InvalidArgumentError
    from facekit.errors import NoFaceError as NoFaceError
    from facekit.errors import NotFittedError as NotFittedError
    from facekit.errors import ProtocolError as ProtocolError
    from facekit.errors import RandomWeightsWarning as RandomWeightsWarning
    from facekit.errors import TrainingDataError as TrainingDataError
    from facekit.errors import TrainingError as TrainingError
    from facekit.errors import WeightsError as WeightsError
    from facekit.errors import WeightsNotFoundError as WeightsNotFoundError
    from facekit.faces import DetectedImage as DetectedImage
    from facekit.faces import Face as Face
    from facekit.faces import Identity as Identity
    from facekit.faces import Keypoints as Keypoints
    from facekit.faces import RecognizedFace as RecognizedFace
    from facekit.faces import Verification as Verification
    from facekit.gallery import Gallery as Gallery
    from facekit.identification import IdentityClassifier as IdentityClassifier
    from facekit.io.images import load_image as load_image
    from facekit.pipeline import EmbeddedFace as EmbeddedFace
    from facekit.pipeline import EmbeddedImage as EmbeddedImage
    from facekit.pipeline import FacePipeline as FacePipeline
    from facekit.quality import FaceQuality as FaceQuality
    from facekit.quality import QualityGate as QualityGate
    from facekit.recognizer import FaceRecognizer as FaceRecognizer
    from facekit.report import EnrollmentReport as EnrollmentReport
    from facekit.report import RecognizedImage as RecognizedImage


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
