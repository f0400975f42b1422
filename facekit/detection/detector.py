"""The detector: MTCNN's cascade behind facekit's types."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from facekit.detection.base import ImageDetector
from facekit.detection.settings import Settings
from facekit.faces import Face
from facekit.io.images import ImageSource, describe_source
from facekit.utils.validation import choice, flag, number, numbers

if TYPE_CHECKING:
    from typing_extensions import Self

    from facekit.detection.view import Detections, View
    from facekit.io.images import RGBImage

Answer = TypeVar("Answer")

BoxFormat: TypeAlias = Literal["xywh", "xyxy"]
"""The box format of ``detect_faces``: corner, width and height, or two corners, in pixels."""

OutputType: TypeAlias = Literal["json", "numpy"]
"""The output of ``detect_faces``: dictionaries, or one array."""

_JUSTIFICATIONS = (
    "center", "top", "topleft", "topright", "bottom", "bottomleft", "bottomright", "left", "right",
)  # fmt: skip


class Detector(ImageDetector):
    """Finds faces with MTCNN, a cascade of three small networks.

    It has the weights of the ``mtcnn`` package and gives the same results: :meth:`detect_faces` can
    replace ``mtcnn.MTCNN().detect_faces``. facekit runs the networks with its own engine, several
    times faster, on images of any size, and without TensorFlow. They are loaded at the first
    detection and shared by all detectors of the process. A detector may be used from several
    threads at once, copied, pickled, and used in a forked process. Arguments can be changed later,
    as attributes or by ``set_params``.

    Args:
        min_face_size: The side of the smallest face to find, in pixels, at least 6. The cost grows
            with the inverse square: 40 takes about a quarter of the time of 20.
        scale_factor: The ratio between neighboring levels of the image pyramid, 0.1 to 0.95. A
            larger ratio searches more face sizes, and takes longer.
        thresholds: The confidence that a candidate needs to pass the proposal, refinement and
            output networks, each in [0, 1]. Lower values find more faces and more false positives.
        max_image_side: An image whose longer side exceeds this, in pixels, is searched in a copy
            reduced to it. Boxes are still in pixels of the image. ``min_face_size`` applies to the
            copy, so faces that are too small in it are missed. ``None``: never.
        max_faces: The maximum number of faces per image, the largest. ``None``: all.
        complete_pyramid: Whether to search for faces of every size up to that of the image. With
            ``False`` the search stops earlier for a ``min_face_size`` below about 17, like
            ``mtcnn``.
        rotations: The counterclockwise rotations of the image for the search, from 0, 90, 180 and
            270 degrees: for sideways images without EXIF orientation. The one with the largest sum
            of confidences is used.
        padding: The border added on each side for the search, as a share of the image's width and
            height, 0 to 2: for faces that fill the image or extend beyond it.
        threads: The number of cores to use; ``None`` for all that the process may use.

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

    # They share tiles of the proposal network and batches of the others.
    images_together = 8

    def __init__(
        self,
        *,
        min_face_size: float = 20,
        scale_factor: float = 0.709,
        thresholds: Sequence[float] = (0.6, 0.7, 0.8),
        max_image_side: int | None = None,
        max_faces: int | None = None,
        complete_pyramid: bool = False,
        rotations: Sequence[int] = (0,),
        padding: float = 0.0,
        threads: int | None = None,
    ) -> None:
        self.min_face_size = min_face_size
        self.scale_factor = scale_factor
        self.thresholds = thresholds
        self.max_image_side = max_image_side
        self.max_faces = max_faces
        self.complete_pyramid = complete_pyramid
        self.rotations = rotations
        self.padding = padding
        self.threads = threads
        self._check()

    @classmethod
    def thorough(cls, **parameters: Any) -> Self:
        """Creates a detector that finds more faces, at the cost of time and more false positives.

        It has ``thresholds=(0.5, 0.6, 0.6)``, ``min_face_size=12``, ``complete_pyramid=True`` and
        ``padding=0.1``.

        Args:
            parameters: Further arguments of the constructor, or other values for these.

        Returns:
            The detector.

        Raises:
            InvalidArgumentError: If an argument lies outside its range.

        Example:
            >>> from facekit import Detector
            >>> Detector.thorough(max_faces=1).complete_pyramid
            True
        """
        preset: dict[str, Any] = {
            "min_face_size": 12,
            "thresholds": (0.5, 0.6, 0.6),
            "complete_pyramid": True,
            "padding": 0.1,
        }
        return cls(**{**preset, **parameters})

    def detect_faces(
        self,
        image: ImageSource | list[Any],
        fit_to_image: bool = True,
        limit_boundaries_landmarks: bool = False,
        box_format: BoxFormat = "xywh",
        output_type: OutputType = "json",
        postprocess: bool = True,
        batch_stack_justification: str = "center",
        *,
        min_face_size: float | None = None,
        scale_factor: float | None = None,
        threshold_pnet: float | None = None,
        threshold_rnet: float | None = None,
        threshold_onet: float | None = None,
        nms_pnet1: float = 0.5,
        nms_pnet2: float = 0.7,
        nms_rnet: float = 0.7,
        nms_onet: float = 0.7,
        min_size: int = 12,
    ) -> Any:
        """Replaces ``mtcnn.MTCNN.detect_faces``, with the same arguments and results.

        Args:
            image: An image, or a list of images.
            fit_to_image: Whether boxes are clipped to the image.
            limit_boundaries_landmarks: Whether keypoints are clipped as well; only with
                ``fit_to_image``, as in ``mtcnn``.
            box_format: ``"xywh"``: ``[x, y, width, height]``; ``"xyxy"``: the corners ``[x1, y1,
                x2, y2]``.
            output_type: ``"json"`` for dictionaries, ``"numpy"`` for an array.
            postprocess: ``False`` switches off ``fit_to_image`` and
                ``limit_boundaries_landmarks``.
            batch_stack_justification: Ignored: in ``mtcnn`` it places smaller images in the padded
                batch, and facekit does not pad.
            min_face_size: For this call, instead of the detector's; likewise the next four.
            scale_factor: Likewise.
            threshold_pnet: The first of ``thresholds``.
            threshold_rnet: The second.
            threshold_onet: The third.
            nms_pnet1: The overlap (IoU) above which the weaker of two windows of a level is
                dropped.
            nms_pnet2: Likewise for windows of all levels.
            nms_rnet: Likewise after the refinement network.
            nms_onet: Likewise after the output network, relative to the smaller window.
            min_size: Ignored, as in ``mtcnn`` 1.0.0.

        Returns:
            With ``"json"`` a list of dictionaries with ``box`` (whole pixels), ``confidence`` and
            ``keypoints`` (name to ``[x, y]``), or a list of such lists for a list of images. The
            numbers are plain Python ones, so that ``json.dumps`` works. With ``"numpy"`` float64
            ``(n, 16)`` for all images together: the index of the image, the four numbers of the
            box, the confidence, the x of the five keypoints and their y.

        Raises:
            ImageError: If the image cannot be read; ``mtcnn`` returns an empty list.
            BatchError: If some images of a list cannot be read, as in :meth:`detect_batch`.
            InvalidArgumentError: If an argument lies outside its range.

        Example:
            >>> import numpy as np
            >>> from facekit import Detector
            >>> black = np.zeros((8, 8, 3), dtype=np.uint8)
            >>> Detector().detect_faces(black), Detector().detect_faces([black])
            ([], [[]])
            >>> Detector().detect_faces(black, output_type="numpy").shape
            (0, 16)
        """
        self._check()
        choice(box_format, "box_format", ("xywh", "xyxy"))
        choice(output_type, "output_type", ("json", "numpy"))
        choice(batch_stack_justification, "batch_stack_justification", _JUSTIFICATIONS)
        settings = _settings(
            self.min_face_size if min_face_size is None else min_face_size,
            self.scale_factor if scale_factor is None else scale_factor,
            [
                own if given is None else given
                for own, given in zip(
                    self.thresholds, (threshold_pnet, threshold_rnet, threshold_onet), strict=True
                )
            ],
            self.complete_pyramid,
            (nms_pnet1, nms_pnet2, nms_rnet, nms_onet),
        )
        fit_boxes = bool(fit_to_image and postprocess)
        search = functools.partial(
            self._search,
            find=functools.partial(self._find, settings=settings),
            fit_boxes=fit_boxes,
            fit_keypoints=bool(limit_boundaries_landmarks and fit_boxes),
        )

        def dictionaries(views: Sequence[View]) -> list[list[dict[str, Any]]]:
            return [[_dictionary(face, box_format) for face in faces] for faces in search(views)]

        def answers(answer: Callable[[Sequence[View]], list[Answer]]) -> list[Answer]:
            if isinstance(image, list):
                return self._batch(image, answer)
            name = describe_source(image, fallback="the image")
            return answer([self._view(image, name, max_side=self.max_image_side)])

        if output_type == "numpy":
            return _rows(answers(search), box_format)
        return answers(dictionaries) if isinstance(image, list) else answers(dictionaries)[0]

    def _check(self) -> None:
        super()._check()
        _settings(self.min_face_size, self.scale_factor, self.thresholds, self.complete_pyramid)

    def _find(
        self, pixels: Sequence[RGBImage], settings: Settings | None = None
    ) -> list[Detections]:
        # The engine is imported on first use, so that creating a detector costs nothing.
        from facekit.detection.cascade import shared_cascade

        settings = settings or _settings(
            self.min_face_size, self.scale_factor, self.thresholds, self.complete_pyramid
        )
        return shared_cascade(self.threads).detect(pixels, settings)


def _dictionary(face: Face, box_format: BoxFormat) -> dict[str, Any]:
    dictionary = face.to_dict()
    if box_format == "xyxy":
        x, y, width, height = face.box
        dictionary["box"] = [round(value) for value in (x, y, x + width, y + height)]
    return dictionary


def _rows(found: list[list[Face]], box_format: BoxFormat) -> npt.NDArray[np.float64]:
    rows = np.array(
        [
            (place, *face.box, face.confidence, *face.keypoints.to_array().T.ravel())
            for place, faces in enumerate(found)
            for face in faces
        ],
        dtype=np.float64,
    ).reshape(-1, 16)
    if box_format == "xyxy":
        rows[:, 3:5] += rows[:, 1:3]
    return rows


def _settings(
    min_face_size: float,
    scale_factor: float,
    thresholds: Sequence[float],
    complete_pyramid: bool,
    overlaps: tuple[float, float, float, float] = (0.5, 0.7, 0.7, 0.7),
) -> Settings:
    """Returns checked settings of the cascade."""
    # An iterator would be exhausted by this.
    listed = thresholds if isinstance(thresholds, Sequence | np.ndarray) else (thresholds,)
    wanted = "three numbers in [0, 1], one for each network"
    found = numbers(listed, "thresholds", 3, wanted)
    proposal, refinement, output = (number(value, "thresholds", 0, 1) for value in found)
    within, between, refined, final = (number(value, "nms", 0, 1) for value in overlaps)
    return Settings(
        number(min_face_size, "min_face_size", 6),
        number(scale_factor, "scale_factor", 0.1, 0.95),
        (proposal, refinement, output),
        flag(complete_pyramid, "complete_pyramid"),
        (within, between, refined, final),
    )
