"""The detector: MTCNN's cascade behind facekit's types."""

from __future__ import annotations

import importlib.resources
import math
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.faces import Face, Keypoints
from facekit.imaging import ImageSource, RGBImage, check_several, load_image

if TYPE_CHECKING:
    from mtcnn import MTCNN

_NETWORKS = ("pnet.lz4", "rnet.lz4", "onet.lz4")

# The side of the window in which the proposal network looks for a face, and that of the smallest
# picture to which it has an answer, in pixels.
_WINDOW = 12
_SMALLEST_LEVEL = 11


class Detector:
    """Finds faces with MTCNN, a cascade of three small networks.

    The networks and their weights are those of the ``mtcnn`` package, and the answers are its
    answers: :meth:`detect_faces` can stand in for ``mtcnn.MTCNN().detect_faces``. Only where
    ``mtcnn`` 1.0 finds nothing at all, because a larger ``min_face_size`` or ``scale_factor`` gives
    its image pyramid levels smaller than a face, those levels are left out here. The networks are
    loaded at the first detection.

    Args:
        min_face_size: The side of the smallest face to find, in pixels, at least 6. The cost grows
            with the inverse square: 40 takes about a quarter of the time of 20.
        scale_factor: The ratio between neighbouring levels of the image pyramid, 0.1 to 0.95.
        thresholds: The confidence that a candidate needs to pass the proposal, the refinement and
            the output network, each in [0, 1]. Lower values find more faces and more non-faces.

    Raises:
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> from facekit import Detector
        >>> from matplotlib.cbook import get_sample_data
        >>> portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
        >>> faces = Detector(min_face_size=60).detect(portrait)
        >>> len(faces), faces[0].confidence > 0.99
        (1, True)

    References:
        K. Zhang, Z. Zhang, Z. Li and Y. Qiao, "Joint Face Detection and Alignment Using Multitask
        Cascaded Convolutional Networks", IEEE Signal Processing Letters 23(10), 2016.
        The ``mtcnn`` package, version 1.0.0, by Iván de Paz Centeno (MIT).
    """

    def __init__(
        self,
        *,
        min_face_size: float = 20,
        scale_factor: float = 0.709,
        thresholds: Sequence[float] = (0.6, 0.7, 0.8),
    ) -> None:
        if not (_is_number(min_face_size) and math.isfinite(min_face_size) and min_face_size >= 6):
            raise InvalidArgumentError(
                f"min_face_size must be at least 6 pixels, got {min_face_size!r}"
            )
        if not (_is_number(scale_factor) and 0.1 <= scale_factor <= 0.95):
            raise InvalidArgumentError(
                f"scale_factor must be between 0.1 and 0.95, got {scale_factor!r}"
            )
        if (
            not isinstance(thresholds, Sequence | np.ndarray)
            or len(thresholds) != 3
            or not all(_is_number(value) and 0.0 <= value <= 1.0 for value in thresholds)
        ):
            raise InvalidArgumentError(
                f"thresholds must be three numbers in [0, 1], one for each network, "
                f"got {thresholds!r}"
            )
        self.min_face_size = min_face_size
        self.scale_factor = scale_factor
        self.thresholds = tuple(float(value) for value in thresholds)
        self._engine: MTCNN | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return (
            f"Detector(min_face_size={self.min_face_size}, scale_factor={self.scale_factor}, "
            f"thresholds={self.thresholds})"
        )

    def detect(self, image: ImageSource) -> list[Face]:
        """Finds the faces of one picture.

        Args:
            image: Anything that :func:`facekit.load_image` reads.

        Returns:
            The faces, the most confident first; equal ones by position. Boxes are clipped to the
            picture and have a positive area; keypoints may lie outside it. A picture without
            faces, or too small to hold one, gives an empty list.

        Raises:
            ImageError: If the image cannot be read.
        """
        pixels = load_image(image)
        faces = [_face_from_row(row) for row in self._rows(pixels) if _has_area(row)]
        return sorted(faces, key=lambda face: (-face.confidence, face.box))

    def detect_batch(self, images: Iterable[ImageSource]) -> list[list[Face]]:
        """Finds the faces of several pictures.

        Args:
            images: Pictures of any sizes.

        Returns:
            For each picture, in order, what :meth:`detect` returns for it.

        Raises:
            ImageError: If one of the images cannot be read.
            InvalidArgumentError: If one image is given instead of several.
        """
        check_several(images, instead="detect")
        return [self.detect(image) for image in images]

    def detect_faces(self, image: ImageSource | list[Any]) -> Any:
        """Does what ``mtcnn.MTCNN.detect_faces`` does, with its dictionaries.

        Args:
            image: A picture, or a list of pictures.

        Returns:
            A list of dictionaries with ``box`` (``[x, y, width, height]``, whole pixels),
            ``confidence`` and ``keypoints`` (name to ``[x, y]``), or a list of such lists for a
            list of pictures. The numbers are plain Python ones, so that ``json.dumps`` works.

        Raises:
            ImageError: If an image cannot be read.

        Example:
            >>> import numpy as np
            >>> from facekit import Detector
            >>> Detector().detect_faces(np.zeros((8, 8, 3), dtype=np.uint8))
            []
        """
        if isinstance(image, list):
            return [[face.to_dict() for face in faces] for faces in self.detect_batch(image)]
        return [face.to_dict() for face in self.detect(image)]

    def _rows(self, pixels: RGBImage) -> npt.NDArray[np.float64]:
        # Without a single level, mtcnn fails instead of saying that there is no face.
        side = min(pixels.shape[:2])
        if _usable_levels(side, self.min_face_size, self.scale_factor) < 1:
            return np.empty((0, 16))
        proposal, refinement, output = self.thresholds
        rows = self._loaded_engine().detect_faces(
            pixels,
            output_type="numpy",
            box_format="xywh",
            min_face_size=self.min_face_size,
            scale_factor=self.scale_factor,
            threshold_pnet=proposal,
            threshold_rnet=refinement,
            threshold_onet=output,
        )
        return np.asarray(rows, dtype=np.float64)

    def _loaded_engine(self) -> MTCNN:
        with self._lock:
            if self._engine is None:
                self._engine = _load_engine()
            return self._engine


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


class _ProposalStage:
    """mtcnn's first stage, spared the levels of the image pyramid that are too small for it.

    Met with such a level, the network fails, and mtcnn takes that for "no face in the picture".
    """

    def __init__(self, stage: Callable[..., npt.NDArray[np.float64]]) -> None:
        self._stage = stage

    def __call__(
        self,
        *,
        images_oshapes: npt.NDArray[np.int64],
        min_face_size: float,
        scale_factor: float,
        **arguments: Any,
    ) -> npt.NDArray[np.float64]:
        side = int(images_oshapes[0, :2].min())
        usable = _usable_levels(side, min_face_size, scale_factor)
        # The stage uses the shape for one thing: the number of levels follows from it.
        if usable < _planned_levels(side, scale_factor):
            side_of_so_many = _WINDOW / scale_factor ** (usable + 1)
            images_oshapes = np.array([[side_of_so_many, side_of_so_many, 3]])
        return self._stage(
            images_oshapes=images_oshapes,
            min_face_size=min_face_size,
            scale_factor=scale_factor,
            **arguments,
        )


def _load_engine() -> MTCNN:
    import lz4.frame
    from mtcnn import MTCNN
    from mtcnn.stages import StageONet, StagePNet, StageRNet

    # Given a bare name, mtcnn unpickles a file of that name from the working directory first,
    # whoever put it there; a full path leaves no such choice. The installed files are unpacked
    # first, because joblib, which reads them, leaves lz4 a closed file to flush: Python 3.13 prints
    # an error for each.
    installed = importlib.resources.files("mtcnn.assets.weights")
    with tempfile.TemporaryDirectory() as folder:
        stages = []
        for stage, name in zip((StagePNet, StageRNet, StageONet), _NETWORKS, strict=True):
            unpacked = Path(folder, name).with_suffix("")
            unpacked.write_bytes(lz4.frame.decompress((installed / name).read_bytes()))
            stages.append(stage(weights=str(unpacked)))
    return MTCNN(stages=[_ProposalStage(stages[0]), *stages[1:]])


def _planned_levels(side: int, scale_factor: float) -> int:
    return round(-(math.log(side / _WINDOW) / math.log(scale_factor) + 1))


def _usable_levels(side: int, min_face_size: float, scale_factor: float) -> int:
    planned = max(_planned_levels(side, scale_factor), 0)
    levels = side * _WINDOW / min_face_size * scale_factor ** np.arange(planned)
    return int(np.count_nonzero(np.floor(levels) >= _SMALLEST_LEVEL))


def _has_area(row: npt.NDArray[np.float64]) -> bool:
    return bool(row[3] > 0 and row[4] > 0)


def _face_from_row(row: npt.NDArray[np.float64]) -> Face:
    x, y, width, height, confidence = (float(value) for value in row[1:6])
    points = [
        (float(px), float(py)) for px, py in zip(row[6:11], row[11:16], strict=True)
    ]  # mtcnn keeps the five x first, then the five y
    return Face(
        box=(x, y, width, height),
        confidence=min(max(confidence, 0.0), 1.0),
        keypoints=Keypoints(*points),
    )
