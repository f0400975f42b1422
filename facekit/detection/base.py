"""The base of all detectors: reading images, regions, padding, rotation, many images."""

from __future__ import annotations

import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from facekit.errors import ImageError, InvalidArgumentError
from facekit.faces import DetectedImage, Face
from facekit.io.decoding import Truncated
from facekit.io.images import (
    ImageSource,
    RGBImage,
    check_several,
    describe_source,
    read_image,
)
from facekit.io.sources import (
    PIXELS_TOGETHER,
    ImageItem,
    StreamSource,
    all_or_batch_error,
    image_items,
    in_groups,
    in_order,
)
from facekit.io.tables import Faces
from facekit.utils.validation import number, numbers, whole

if TYPE_CHECKING:
    from typing_extensions import Self

    from facekit.detection.view import Detections, Region, View

Answer = TypeVar("Answer")

# An image with its pixels and what was found in it, or without and the error.
_Found: TypeAlias = tuple[ImageItem, RGBImage | None, Answer | ImageError]


class ImageDetector(ABC):
    """Base class of detectors: a subclass finds faces in pixels, this class does the rest.

    A subclass stores all arguments of its constructor as attributes, and checks them in ``_check``.
    A changed attribute takes effect with the next image.

    Attributes:
        max_image_side: An image whose longer side exceeds this, in pixels, is searched in a copy
            reduced to it; ``None``: never.
        max_faces: The maximum number of faces per image, the largest; ``None``: all.
        rotations: The counterclockwise rotations of the image for the search, in degrees.
        padding: The border around the image, as a share of its width and height.
        threads: The number of cores to use; ``None``: all that the process may use.
        images_together: How many small images are searched together.

    Example:
        >>> from facekit import Detector, YuNetDetector
        >>> from facekit.detection.base import ImageDetector
        >>> issubclass(Detector, ImageDetector), issubclass(YuNetDetector, ImageDetector)
        (True, True)
    """

    max_image_side: int | None
    max_faces: int | None
    rotations: Sequence[int]
    padding: float
    threads: int | None
    images_together = 1

    @abstractmethod
    def _find(self, pixels: Sequence[RGBImage]) -> list[Detections]:
        """Finds the faces in the pixels of several images, as the attributes say."""

    def _check(self) -> None:
        """Checks the attributes."""
        for name in ("max_image_side", "max_faces", "threads"):
            value = getattr(self, name)
            if value is not None:
                whole(value, name, least=1)
        number(self.padding, "padding", 0, 2)
        turns: Sequence[Any] = self.rotations if isinstance(self.rotations, Sequence) else ()
        if not turns or not all(isinstance(d, Real) and d in (0, 90, 180, 270) for d in turns):
            raise InvalidArgumentError(
                f"rotations must be some of 0, 90, 180 and 270 degrees, got {self.rotations!r}"
            )

    def __repr__(self) -> str:
        # Defaults are left out, as in scikit-learn.
        defaults = inspect.signature(type(self)).parameters
        values = {
            name: tuple(value) if isinstance(value, list | np.ndarray) else value
            for name, value in self.get_params().items()
        }
        shown = [f"{n}={v!r}" for n, v in values.items() if v != defaults[n].default]
        return f"{type(self).__name__}({', '.join(shown)})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the arguments that make an equal detector, as scikit-learn's estimators do.

        Args:
            deep: Without effect; scikit-learn passes it.

        Returns:
            The arguments by name.
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **parameters: Any) -> Self:
        """Changes arguments; if one is invalid, none is changed.

        Args:
            parameters: The arguments of the constructor to change.

        Returns:
            The detector.

        Raises:
            InvalidArgumentError: If no argument has that name, or a value lies outside its range.
        """
        known = self.get_params()
        if unknown := [name for name in parameters if name not in known]:
            raise InvalidArgumentError(
                f"{type(self).__name__} has no parameter {unknown[0]!r}, only {', '.join(known)}"
            )
        changed = type(self)(**{**known, **parameters})
        vars(self).update(vars(changed))
        return self

    @property
    def concurrency(self) -> int:
        """The number of threads that may search images at once, one per core."""
        from facekit.utils.openvino import available_cores

        return self.threads or available_cores()

    def detect(
        self,
        image: ImageSource,
        *,
        region: Region | None = None,
        max_pixels: int | None = None,
        truncated: Truncated = "error",
    ) -> Faces[Face]:
        """Finds the faces of one image.

        Args:
            image: Anything that :func:`facekit.load_image` reads.
            region: ``(x, y, width, height)`` in pixels: the part of the image to search; all of it
                by default. Boxes are in pixels of the whole image. The cost is that of an image of
                the region's size.
            max_pixels: As for :func:`facekit.load_image`.
            truncated: Likewise.

        Returns:
            A list of the faces, the most confident first; ties by position. It has ``to_frame()``
            for pandas. Boxes are clipped to the image or region and have a positive area; keypoints
            may lie outside. An image without faces, or too small for any, gives an empty list.

        Raises:
            ImageError: If the image cannot be read, or the region lies outside it.
            InvalidArgumentError: If the region or an attribute is outside its range.
        """
        region = checked_region(region)
        self._check()
        name = describe_source(image, fallback="the image")
        reading = {"max_pixels": max_pixels, "truncated": truncated}
        view = self._view(image, name, region, max_side=self._side_enough(region), **reading)
        (found,) = self._search([view])
        return Faces(found, name)

    def detect_batch(
        self,
        images: Iterable[ImageSource],
        *,
        region: Region | None = None,
        max_pixels: int | None = None,
        truncated: Truncated = "error",
    ) -> list[list[Face]]:
        """Finds the faces of several images, one image per core.

        Args:
            images: Images of any sizes. Only a few are in memory at a time.
            region: As for :meth:`detect`, the same for all.
            max_pixels: As for :func:`facekit.load_image`.
            truncated: Likewise.

        Returns:
            For each image, in order, what :meth:`detect` returns for it.

        Raises:
            BatchError: If some of the images cannot be read. It is raised after the others have
                been searched, holds their faces, and is an :class:`facekit.ImageError`.
            InvalidArgumentError: If one image is given instead of several, or the region or an
                attribute is outside its range.
        """
        check_several(images, instead="detect")
        region = checked_region(region)
        self._check()
        return self._batch(images, self._search, region, max_pixels=max_pixels, truncated=truncated)

    def detect_stream(
        self,
        source: StreamSource,
        *,
        region: Region | None = None,
        every: int = 1,
        max_pixels: int | None = None,
        truncated: Truncated = "error",
    ) -> Iterator[DetectedImage]:
        """Yields the faces of many images, or of a video's frames.

        Images are read and searched ahead in the background, results come in order, and memory does
        not grow with their number. An image that cannot be read yields its error.

        Args:
            source: A folder of images (not searched recursively), a video file, the number of a
                camera, or images as for :meth:`detect_batch`, such as a generator.
            region: As for :meth:`detect`, the same for all.
            every: Search one of this many images or frames, and skip the others.
            max_pixels: As for :func:`facekit.load_image`.
            truncated: Likewise.

        Yields:
            For each image its name, index, pixels and faces, or the error in ``error``.

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
        region, every = checked_region(region), whole(every, "every", least=1)
        self._check()

        live = isinstance(source, int)
        reading = {"max_pixels": max_pixels, "truncated": truncated}

        def detected(found: _Found[list[Face]]) -> DetectedImage:
            item, image, faces = found
            if isinstance(faces, ImageError):
                return DetectedImage(item.name, item.index, [], None, faces)
            return DetectedImage(item.name, item.index, faces, image)

        return in_order(
            image_items(source, every),
            lambda items: map(detected, self._searched(items, self._search, region, reading)),
            # A camera's frames are searched as they come, not read ahead.
            threads=0 if live else self.concurrency,
            together=1 if live else self.images_together,
            held_by_item=lambda item: item.held,
            held_by_result=lambda result: 0 if result.image is None else result.image.nbytes,
        )

    def _side_enough(self, region: Region | None) -> int | None:
        """Returns the longest side that has to be decoded; a region refers to the whole image."""
        return self.max_image_side if region is None else None

    def _view(
        self, source: ImageSource, name: str, region: Region | None = None, **reading: Any
    ) -> View:
        from facekit.detection.view import View

        image = read_image(source, **reading)
        view = View.of(image.pixels, region, self.max_image_side, name, self.padding)
        if image.scale == (1.0, 1.0):
            return view
        return replace(view, width=image.width, height=image.height)

    def _batch(
        self,
        images: Iterable[ImageSource],
        search: Callable[[Sequence[View]], list[Answer]],
        region: Region | None = None,
        **reading: Any,
    ) -> list[Answer]:
        reading["max_side"] = self._side_enough(region)
        return all_or_batch_error(
            list(
                in_order(
                    image_items(images),
                    lambda items: map(
                        itemgetter(2), self._searched(items, search, region, reading)
                    ),
                    threads=self.concurrency,
                    together=self.images_together,
                    held_by_item=lambda item: item.held,
                )
            )
        )

    def _searched(
        self,
        items: Iterator[ImageItem],
        search: Callable[[Sequence[View]], Iterable[Answer]],
        region: Region | None,
        reading: Mapping[str, Any],
    ) -> Iterator[_Found[Answer]]:
        """Reads images and searches them, small ones together."""

        def read(item: ImageItem) -> tuple[ImageItem, View | ImageError]:
            try:
                return item, self._view(item.source, item.name, region, **reading)
            except ImageError as error:
                return item, error

        def found(group: list[tuple[ImageItem, View | ImageError]]) -> Iterator[_Found[Answer]]:
            answers = iter(search([one for _, one in group if not isinstance(one, ImageError)]))
            for item, view in group:
                if isinstance(view, ImageError):
                    yield item, None, view
                else:
                    yield item, view.image, next(answers)

        # No variable, here or in the callers, keeps an image in memory while the next one is read.
        groups = in_groups(map(read, items), _pixels, PIXELS_TOGETHER)
        return itertools.chain.from_iterable(map(found, groups))

    def _search(
        self,
        views: Sequence[View],
        find: Callable[[Sequence[RGBImage]], list[Detections]] | None = None,
        *,
        fit_boxes: bool = True,
        fit_keypoints: bool = False,
    ) -> list[list[Face]]:
        find = find or self._find
        best: list[Detections] = []
        for degrees in self.rotations if views else ():
            if degrees:
                found = find([view.turned(degrees) for view in views])
                found = [view.turned_back(o, degrees) for view, o in zip(views, found, strict=True)]
            else:
                found = find([view.pixels for view in views])
            best = [
                max(pair, key=lambda one: one.score)  # of equal ones the first
                for pair in zip(best or found, found, strict=True)
            ]
        return [
            self._largest(view.faces(found, fit_boxes=fit_boxes, fit_keypoints=fit_keypoints))
            for view, found in zip(views, best, strict=True)
        ]

    def _largest(self, faces: list[Face]) -> list[Face]:
        if self.max_faces is not None:
            faces = sorted(faces, key=lambda face: -face.area)[: self.max_faces]
        return sorted(faces, key=lambda face: (-face.confidence, face.box))


def _pixels(read: tuple[ImageItem, View | ImageError]) -> int:
    """Returns how many pixels are in memory."""
    _, view = read
    if isinstance(view, ImageError):
        return 0
    return max(view.image[..., 0].size, view.pixels[..., 0].size)


def checked_region(region: Region | None) -> Region | None:
    """Returns a region as four numbers."""
    if region is None:
        return None
    wanted = "(x, y, width, height) in pixels with a positive size"
    x, y, width, height = numbers(region, "region", 4, wanted)
    if min(width, height) <= 0:
        raise InvalidArgumentError(f"region must be {wanted}, got {region!r}")
    return (x, y, width, height)
