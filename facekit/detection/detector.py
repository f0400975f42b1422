"""The detector: MTCNN's cascade behind facekit's types."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

from facekit.detection.settings import Settings
from facekit.errors import ImageError, InvalidArgumentError
from facekit.faces import DetectedImage, Face
from facekit.io.images import (
    MAX_PIXELS,
    ImageSource,
    check_several,
    describe_source,
    load_image,
)
from facekit.io.sources import (
    ImageItem,
    StreamSource,
    all_or_batch_error,
    image_items,
    in_order,
)

if TYPE_CHECKING:
    from facekit.detection.view import Region, View

Answer = TypeVar("Answer")

BoxFormat: TypeAlias = Literal["xywh", "xyxy"]
"""How ``detect_faces`` writes a box: corner, width and height, or two corners, in pixels."""


class Detector:
    """Finds faces with MTCNN, a cascade of three small networks.

    The weights are those of the ``mtcnn`` package, and so are the answers: :meth:`detect_faces`
    can stand in for ``mtcnn.MTCNN().detect_faces``. The networks are run by facekit's own engine,
    several times faster, on pictures of any size, and without TensorFlow. They are loaded at the
    first detection and shared by all detectors of the process. A detector may be used from several
    threads at once, copied, pickled, and used in a forked process.

    Args:
        min_face_size: The side of the smallest face to find, in pixels, at least 6. The cost grows
            with the inverse square: 40 takes about a quarter of the time of 20.
        scale_factor: The ratio between neighboring levels of the image pyramid, 0.1 to 0.95. A
            larger one looks for more sizes of face, and takes longer.
        thresholds: The confidence that a candidate needs to pass the proposal, the refinement and
            the output network, each in [0, 1]. Lower values find more faces and more non-faces.
        max_image_side: A picture whose longer side exceeds this, in pixels, is searched in a copy
            reduced to it. Boxes are in pixels of the picture all the same. ``min_face_size``
            counts in the copy, so that faces are lost that are small in it. ``None``: never.
        max_faces: At most so many faces a picture: the largest. ``None``: all.
        complete_pyramid: Whether to search for faces of every size up to the picture's. ``mtcnn``
            stops earlier for a ``min_face_size`` below about 17, and so does ``False``.
        threads: How many cores to use; ``None`` for all that the process may use.

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
        max_image_side: int | None = None,
        max_faces: int | None = None,
        complete_pyramid: bool = False,
        threads: int | None = None,
    ) -> None:
        self._settings = _checked_settings(
            min_face_size, scale_factor, thresholds, complete_pyramid
        )
        self.min_face_size = min_face_size
        self.scale_factor = scale_factor
        self.thresholds = self._settings.thresholds
        self.max_image_side = _checked_count("max_image_side", max_image_side)
        self.max_faces = _checked_count("max_faces", max_faces)
        self.complete_pyramid = complete_pyramid
        self.threads = _checked_count("threads", threads)

    def __repr__(self) -> str:
        # What is at its default is left out, as scikit-learn does.
        optional = {
            "max_image_side": self.max_image_side,
            "max_faces": self.max_faces,
            "complete_pyramid": self.complete_pyramid or None,
            "threads": self.threads,
        }
        extra = "".join(f", {n}={v}" for n, v in optional.items() if v is not None)
        return (
            f"Detector(min_face_size={self.min_face_size}, scale_factor={self.scale_factor}, "
            f"thresholds={self.thresholds}{extra})"
        )

    def get_params(self) -> dict[str, Any]:
        """Returns the arguments that make an equal detector, ready for ``json.dumps``.

        Without ``threads``: how many cores there are is for each machine to say.
        """
        return {
            "min_face_size": self.min_face_size,
            "scale_factor": self.scale_factor,
            "thresholds": list(self.thresholds),
            "max_image_side": self.max_image_side,
            "max_faces": self.max_faces,
            "complete_pyramid": self.complete_pyramid,
        }

    def detect(self, image: ImageSource, *, region: Region | None = None) -> list[Face]:
        """Finds the faces of one picture.

        Args:
            image: Anything that :func:`facekit.load_image` reads.
            region: ``(x, y, width, height)`` in pixels: the part of the picture to search; all of
                it by default. Boxes are in pixels of the picture. The cost is that of a picture
                of the region's size.

        Returns:
            The faces, the most confident first; equal ones by position. Boxes are clipped to the
            picture, or to the region, and have a positive area; keypoints may lie outside it. A
            picture without faces, or too small to hold one, gives an empty list.

        Raises:
            ImageError: If the image cannot be read, or the region lies outside it.
            InvalidArgumentError: If the region is no rectangle.
        """
        (faces,) = self._search([self._view(image, _checked_region(region))])
        return faces

    @property
    def concurrency(self) -> int:
        """How many threads may search images at once, each an image of its own: one a core."""
        from facekit.utils.openvino import available_cores

        return self.threads or available_cores()

    def detect_batch(
        self,
        images: Iterable[ImageSource],
        *,
        region: Region | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> list[list[Face]]:
        """Finds the faces of several images, one image on each core.

        Args:
            images: Images of any sizes. Few are in memory at a time.
            region: As for :meth:`detect`, the same for all.
            max_pixels: The largest image that is read, in pixels.

        Returns:
            For each image, in order, what :meth:`detect` returns for it.

        Raises:
            BatchError: If some of the images cannot be read; it is raised after the others have
                been searched, holds their faces, and is an :class:`facekit.ImageError`.
            InvalidArgumentError: If one image is given instead of several.
        """
        check_several(images, instead="detect")
        region = _checked_region(region)
        return self._batch(images, lambda view: self._search([view])[0], region, max_pixels)

    def detect_stream(
        self,
        source: StreamSource,
        *,
        region: Region | None = None,
        every: int = 1,
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[DetectedImage]:
        """Goes through many images, or a video, and yields the faces of each.

        Images are read and searched ahead in the background, results come in order, and the memory
        does not grow with their number. An image that cannot be read is reported in its place.

        Args:
            source: A folder of images (by name, not those in folders inside it), a video file,
                the number of a camera, or images as for :meth:`detect_batch`, such as a
                generator.
            region: As for :meth:`detect`, the same for all.
            every: Search one of this many images or frames, and pass over the others.
            max_pixels: The largest image that is read, in pixels.

        Yields:
            For each image its name, place, pixels and faces, or the error in ``error``.

        Raises:
            ImageError: If the folder, the video or the camera cannot be opened.
            InvalidArgumentError: If an argument cannot be used.

        Example:
            >>> import numpy as np
            >>> from facekit import Detector
            >>> black = np.zeros((40, 40, 3), dtype=np.uint8)
            >>> for result in Detector().detect_stream([black, "no_such_photo.jpg"]):
            ...     print(result.source, result.error or result.faces)
            image 0 []
            no_such_photo.jpg no_such_photo.jpg: no such file; relative paths start at the working directory
        """  # noqa: E501
        from facekit.detection.view import View

        region, every = _checked_region(region), _checked_count("every", every) or 1

        def search(item: ImageItem) -> DetectedImage:
            try:
                view = View.of(item.load(max_pixels), region, self.max_image_side, item.name)
            except ImageError as error:
                return DetectedImage(item.name, item.index, [], None, error)
            return DetectedImage(item.name, item.index, self._search([view])[0], view.picture)

        return in_order(
            image_items(source, every),
            search,
            # A camera's frames are searched as they come, not read ahead.
            threads=0 if isinstance(source, int) else self.concurrency,
            held_by_item=lambda item: item.held,
            held_by_result=lambda result: 0 if result.image is None else result.image.nbytes,
        )

    def detect_faces(
        self,
        image: ImageSource | list[Any],
        *,
        fit_to_image: bool = True,
        limit_boundaries_landmarks: bool = False,
        box_format: BoxFormat = "xywh",
        min_face_size: float | None = None,
        scale_factor: float | None = None,
        threshold_pnet: float | None = None,
        threshold_rnet: float | None = None,
        threshold_onet: float | None = None,
    ) -> Any:
        """Does what ``mtcnn.MTCNN.detect_faces`` does, with its arguments and dictionaries.

        Args:
            image: A picture, or a list of pictures.
            fit_to_image: Whether boxes are clipped to the picture.
            limit_boundaries_landmarks: Whether keypoints are moved into it.
            box_format: ``"xywh"``: ``[x, y, width, height]``; ``"xyxy"``: the corners ``[x1, y1,
                x2, y2]``.
            min_face_size: For this call, instead of the detector's; likewise the rest.
            scale_factor: Likewise.
            threshold_pnet: The first of ``thresholds``.
            threshold_rnet: The second.
            threshold_onet: The third.

        Returns:
            A list of dictionaries with ``box`` (whole pixels), ``confidence`` and ``keypoints``
            (name to ``[x, y]``), or a list of such lists for a list of pictures. The numbers are
            plain Python ones, so that ``json.dumps`` works.

        Raises:
            ImageError: If the picture cannot be read.
            BatchError: If some pictures of a list cannot be read, as in :meth:`detect_batch`.
            InvalidArgumentError: If an argument lies outside its range.

        Example:
            >>> import numpy as np
            >>> from facekit import Detector
            >>> Detector().detect_faces(np.zeros((8, 8, 3), dtype=np.uint8))
            []
        """
        if box_format not in ("xywh", "xyxy"):
            raise InvalidArgumentError(f'box_format must be "xywh" or "xyxy", got {box_format!r}')
        given = (threshold_pnet, threshold_rnet, threshold_onet)
        settings = _checked_settings(
            self.min_face_size if min_face_size is None else min_face_size,
            self.scale_factor if scale_factor is None else scale_factor,
            [
                own if other is None else other
                for own, other in zip(self.thresholds, given, strict=True)
            ],
            self.complete_pyramid,
        )
        search = functools.partial(
            self._search,
            settings=settings,
            fit_boxes=fit_to_image,
            fit_keypoints=limit_boundaries_landmarks,
        )

        def dictionaries(faces: list[Face]) -> list[dict[str, Any]]:
            return [_dictionary(face, box_format) for face in faces]

        if not isinstance(image, list):
            return dictionaries(search([self._view(image, None)])[0])
        return self._batch(image, lambda view: dictionaries(search([view])[0]), None, MAX_PIXELS)

    def _view(self, image: ImageSource, region: Region | None) -> View:
        from facekit.detection.view import View

        name = describe_source(image, fallback="the image")
        return View.of(load_image(image), region, self.max_image_side, name)

    def _batch(
        self,
        images: Iterable[ImageSource],
        search: Callable[[View], list[Answer]],
        region: Region | None,
        max_pixels: int,
    ) -> list[list[Answer]]:
        from facekit.detection.view import View

        def answer(item: ImageItem) -> list[Answer] | ImageError:
            try:
                view = View.of(item.load(max_pixels), region, self.max_image_side, item.name)
            except ImageError as error:
                return error
            return search(view)

        answers = list(
            in_order(
                image_items(images),
                answer,
                threads=self.concurrency,
                held_by_item=lambda item: item.held,
            )
        )
        return all_or_batch_error(answers)

    def _search(
        self,
        views: Sequence[View],
        settings: Settings | None = None,
        *,
        fit_boxes: bool = True,
        fit_keypoints: bool = False,
    ) -> list[list[Face]]:
        # The engine is imported when it is first used: a detector can be made at no cost.
        from facekit.detection.cascade import shared_cascade

        cascade = shared_cascade(self.threads)
        detections = [cascade.detect(view.pixels, settings or self._settings) for view in views]
        results = []
        for view, found in zip(views, detections, strict=True):
            faces = view.faces(found, fit_boxes=fit_boxes, fit_keypoints=fit_keypoints)
            largest = sorted(faces, key=lambda face: -face.area)[: self.max_faces]
            results.append(sorted(largest, key=lambda face: (-face.confidence, face.box)))
        return results


def _dictionary(face: Face, box_format: BoxFormat) -> dict[str, Any]:
    dictionary = face.to_dict()
    if box_format == "xyxy":
        x, y, width, height = face.box
        dictionary["box"] = [round(value) for value in (x, y, x + width, y + height)]
    return dictionary


def _checked_settings(
    min_face_size: float, scale_factor: float, thresholds: Sequence[float], complete_pyramid: bool
) -> Settings:
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
            f"thresholds must be three numbers in [0, 1], one for each network, got {thresholds!r}"
        )
    proposal, refinement, output = (float(value) for value in thresholds)
    return Settings(
        float(min_face_size),
        float(scale_factor),
        (proposal, refinement, output),
        bool(complete_pyramid),
    )


def _checked_count(name: str, value: int | None) -> int | None:
    if value is not None and not (
        isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1
    ):
        raise InvalidArgumentError(f"{name} must be a whole number of at least 1, got {value!r}")
    return None if value is None else int(value)


def _checked_region(region: Region | None) -> Region | None:
    if region is None:
        return None
    if (
        not isinstance(region, Sequence | np.ndarray)
        or len(region) != 4
        or not all(_is_number(value) and math.isfinite(value) for value in region)
        or region[2] <= 0
        or region[3] <= 0
    ):
        raise InvalidArgumentError(
            f"region must be (x, y, width, height) in pixels with a positive size, got {region!r}"
        )
    x, y, width, height = (float(value) for value in region)
    return (x, y, width, height)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
