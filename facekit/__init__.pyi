# Every public name stands here, and nowhere else: facekit/utils/lazy.py reads this file.
from facekit.alignment import Aligner as Aligner
from facekit.clustering import cluster as cluster
from facekit.clustering.albums import cluster_images as cluster_images
from facekit.detection import Detector as Detector
from facekit.detection import FaceDetector as FaceDetector
from facekit.detection import YuNetDetector as YuNetDetector
from facekit.embedding import Architecture as Architecture
from facekit.embedding import Embedder as Embedder
from facekit.embedding import FaceEmbedder as FaceEmbedder
from facekit.errors import EnrollmentError as EnrollmentError
from facekit.errors import FacekitError as FacekitError
from facekit.errors import FacekitWarning as FacekitWarning
from facekit.errors import FileFormatError as FileFormatError
from facekit.errors import ImageError as ImageError
from facekit.errors import InvalidArgumentError as InvalidArgumentError
from facekit.errors import WeightsError as WeightsError
from facekit.faces import Face as Face
from facekit.faces import Keypoints as Keypoints
from facekit.faces import RecognizedFace as RecognizedFace
from facekit.faces import Verification as Verification
from facekit.gallery import Gallery as Gallery
from facekit.identification import IdentityClassifier as IdentityClassifier
from facekit.io.images import load_image as load_image
from facekit.pipeline import FacePipeline as FacePipeline
from facekit.quality import QualityGate as QualityGate
from facekit.recognizer import FaceRecognizer as FaceRecognizer

__version__: str
