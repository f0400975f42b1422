"""YuNet, a small network that searches the whole image at once, run by OpenCV."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from facekit.detection.base import ImageDetector
from facekit.errors import WeightsError
from facekit.io.downloads import check_sha256, fetch, weights_folders
from facekit.io.images import RGBImage
from facekit.utils.forking import ForkLock
from facekit.utils.opencv import ERRORS, log_level
from facekit.utils.validation import number

if TYPE_CHECKING:
    from facekit.detection.view import Detections

NAME = "yunet"
FILE = "face_detection_yunet_2023mar.onnx"
URL = (
    "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx"
)
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

# The overlap (IoU) above which the weaker of two boxes is dropped, and how many are compared, as in
# OpenCV's sample program.
_OVERLAP, _COMPARED = 0.3, 5000

# A search takes about 90 bytes per pixel. A larger image is searched in parts of side _PART that
# overlap by _SHARED pixels, and then at half its size, a quarter and so on, for faces larger than
# the overlap. A box within _CUT pixels of a part's border belongs to a face cut off by it.
_PART, _SHARED, _CUT = 1280, 160, 4

# Where YuNet and MTCNN place the keypoints of the same upright face, relative to the aligned face:
# MTCNN's are the aligner's template; YuNet's differ from it by the median over 693 faces of CelebA,
# FIW and UTKFace. Alignment and quality limits are based on MTCNN's.
_YUNET_SHAPE = np.array(
    [(0.3416, 0.4036), (0.6475, 0.4049), (0.4906, 0.5856), (0.3652, 0.7270), (0.6233, 0.7295)]
)
_MTCNN_SHAPE = np.array(
    [(0.3433, 0.4040), (0.6567, 0.4040), (0.5000, 0.5950), (0.3588, 0.7339), (0.6412, 0.7339)]
)


class YuNetDetector(ImageDetector):
    """Finds faces with YuNet, run by OpenCV: more small and rotated faces than with MTCNN.

    The weights (232 kB) are looked for in ``FACEKIT_HOME/weights/yunet`` and
    ``FACEKIT_DATA/weights/yunet``, downloaded at the first use if ``FACEKIT_OFFLINE`` is not set,
    and checked. An image with a side above 1280 pixels is searched in parts, in bounded memory, and
    at reduced sizes for larger faces. Keypoints are shifted, by a constant in the frame of the
    face, to where MTCNN places them, because alignment and quality limits are based on that. A
    detector may be used from several threads, copied, pickled, and used in a forked process.

    Args:
        threshold: The confidence that a face needs, in [0, 1]. Lower values find more faces and
            more false positives.
        upscale: The factor by which the image is enlarged before the search, 1 to 8. Faces below
            about 10 pixels are found only in an enlarged image. The time grows with the square.
        max_image_side: An image whose longer side exceeds this, in pixels, is searched in a copy
            reduced to it. Boxes are still in pixels of the image. ``None``: never.
        max_faces: The maximum number of faces per image, the largest. ``None``: all.
        rotations: The counterclockwise rotations of the image for the search, from 0, 90, 180 and
            270 degrees. The one with the largest sum of confidences is used.
        padding: The border added on each side for the search, as a share of the image's width and
            height, 0 to 2: for faces that fill the image or extend beyond it.
        threads: The number of images that ``detect_batch`` and ``detect_stream`` search at
            once; ``None`` for one per core. Within an image, OpenCV uses its own threads
            (``cv2.setNumThreads``).

    Raises:
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> from facekit import YuNetDetector
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> faces = YuNetDetector(max_image_side=640).detect(portrait)  # doctest: +SKIP
        >>> len(faces), faces[0].confidence > 0.9  # doctest: +SKIP
        (1, True)

    References:
        W. Wu, H. Peng and S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine
        Intelligence Research 20, 2023. The weights ``face_detection_yunet_2023mar`` of OpenCV's
        model zoo (MIT).
    """

    def __init__(
        self,
        *,
        threshold: float = 0.7,
        upscale: float = 1.0,
        max_image_side: int | None = None,
        max_faces: int | None = None,
        rotations: Sequence[int] = (0,),
        padding: float = 0.0,
        threads: int | None = None,
    ) -> None:
        self.threshold = threshold
        self.upscale = upscale
        self.max_image_side = max_image_side
        self.max_faces = max_faces
        self.rotations = rotations
        self.padding = padding
        self.threads = threads
        self._check()

    def _check(self) -> None:
        super()._check()
        number(self.threshold, "threshold", 0, 1)
        number(self.upscale, "upscale", 1, 8)

    def _find(self, pixels: Sequence[RGBImage]) -> list[Detections]:
        return [self._find_one(each) for each in pixels]

    def _find_one(self, pixels: RGBImage) -> Detections:
        # OpenCV is imported on first use, so that creating a detector costs nothing.
        import cv2

        from facekit.detection.boxes import suppress_non_maxima
        from facekit.detection.view import Detections

        height, width = pixels.shape[:2]
        searched = pixels
        if self.upscale > 1:
            size = (round(width * self.upscale), round(height * self.upscale))
            searched = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC))
        found = [self._rows(searched, width, height)]
        while max(searched.shape) > _PART:
            size = (-(-searched.shape[1] // 2), -(-searched.shape[0] // 2))
            searched = np.asarray(cv2.resize(searched, size, interpolation=cv2.INTER_AREA))
            found.append(self._rows(searched, width, height))
        rows = np.concatenate(found)
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        if len(found) > 1:
            kept = suppress_non_maxima(boxes, rows[:, 14], _OVERLAP)
            rows, boxes = rows[kept], boxes[kept]
        return Detections(boxes, rows[:, 14], _as_mtcnns(rows[:, 4:14].reshape(-1, 5, 2)))

    def _rows(self, searched: RGBImage, width: int, height: int) -> npt.NDArray[np.float64]:
        """Returns YuNet's rows for the parts of an image, in pixels of the original size."""
        import cv2

        engine, rows = _engine(), [np.empty((0, 15))]
        engine.setScoreThreshold(float(self.threshold))
        bottom, right = searched.shape[:2]
        for top in _starts(bottom):
            for left in _starts(right):
                part = cv2.cvtColor(
                    searched[top : top + _PART, left : left + _PART], cv2.COLOR_RGB2BGR
                )
                engine.setInputSize(part.shape[1::-1])
                _, found = engine.detect(part)
                if found is not None:
                    moved = np.asarray(found, dtype=np.float64)
                    moved[:, [0, *range(4, 14, 2)]] += left
                    moved[:, [1, *range(5, 14, 2)]] += top
                    inside = np.isfinite(moved).all(axis=1)  # overflowed numbers are not faces
                    for low, begin, end in ((0, left, right), (1, top, bottom)):
                        # A face cut by a part's border is complete in another part or at a reduced
                        # size.
                        inside &= (begin == 0) | (moved[:, low] > begin + _CUT)
                        inside &= (begin + _PART >= end) | (
                            moved[:, low] + moved[:, low + 2] < begin + _PART - _CUT
                        )
                    rows.append(moved[inside])
        found = np.concatenate(rows)
        found[:, :14] *= np.tile([width / right, height / bottom], 7)
        return found


def _starts(length: int) -> range:
    return range(0, max(length - _SHARED, 1), _PART - _SHARED)


def _as_mtcnns(keypoints: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Shifts keypoints ``(n, 5, 2)`` by constant differences, rotated and scaled to each face."""
    points, shape = keypoints @ (1, 1j), _YUNET_SHAPE @ (1, 1j)
    # As complex numbers: the factor of the similarity that best fits the shape to the face.
    shape = shape - shape.mean()
    factor = (points - points.mean(axis=1, keepdims=True)) @ shape.conj() / np.vdot(shape, shape)
    moved = points + factor[:, None] * ((_MTCNN_SHAPE - _YUNET_SHAPE) @ (1, 1j))
    return np.stack([moved.real, moved.imag], axis=-1)


def yunet_weights() -> Path:
    """Returns the checked file of YuNet's weights; downloads it once if allowed."""
    for folder in weights_folders(NAME):
        if (folder / FILE).is_file():
            check_sha256(folder / FILE, SHA256)
            return folder / FILE
    return fetch(NAME, FILE, URL, SHA256, ', or use the detector "mtcnn"')


# OpenCV's object is stateful: each thread of each process has its own.
_engines = threading.local()
_making = ForkLock()


def _engine() -> Any:
    if getattr(_engines, "process", None) != os.getpid():
        with _making:
            _engines.engine = _new_engine()
        _engines.process = os.getpid()
    return _engines.engine


def _new_engine() -> Any:
    import cv2

    # Earlier versions find faces in tall or wide black images.
    if tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 13):
        raise WeightsError(f"YuNet needs OpenCV 4.13 or later, and this is {cv2.__version__}")
    model = np.frombuffer(yunet_weights().read_bytes(), dtype=np.uint8)
    try:
        with log_level(ERRORS):  # OpenCV would warn about its own choice of backend
            return cv2.FaceDetectorYN.create(
                "onnx", model, np.empty(0, np.uint8), (320, 320), 0.5, _OVERLAP, _COMPARED
            )
    except cv2.error as error:
        raise WeightsError(f"OpenCV {cv2.__version__} cannot read YuNet: {error}") from error
