"""Many images, one after the other: folders, videos, cameras, lists."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from facekit.detection.view import View
from facekit.errors import ImageError, InvalidArgumentError
from facekit.io.folders import list_images
from facekit.io.images import (
    IMAGE_SUFFIXES,
    ImageSource,
    RGBImage,
    check_several,
    describe_source,
    load_image,
)

StreamSource: TypeAlias = str | os.PathLike[str] | int | Iterable[ImageSource]
"""What :meth:`facekit.Detector.detect_stream` goes through."""

# How many pixels are searched together. More do not make it faster, but take memory.
_GROUP_PIXELS = 1_500_000
_MOST_AHEAD = 64


@dataclass(frozen=True)
class ImageJob:
    """An image that is still to be read.

    Attributes:
        source: What to call it.
        index: Its place.
        load: Reads it.
    """

    source: str
    index: int
    load: Callable[[], RGBImage]


@dataclass(frozen=True)
class LoadedImage:
    """An image that was read, or not: then there is no view, and the error says why.

    Attributes:
        job: What it is.
        view: What of it is to be searched.
        error: Why it could not be read.
    """

    job: ImageJob
    view: View | None
    error: ImageError | None = None


def image_jobs(source: StreamSource, every: int) -> Iterator[ImageJob]:
    """Lists the images of a source.

    Args:
        source: A folder, a picture or a video file, the number of a camera, or several images.
        every: Of how many images one is taken.

    Returns:
        What there is to read, in order. Frames of a video are read while one iterates.

    Raises:
        ImageError: If there is no such file, the folder holds no picture, or the video or the
            camera cannot be opened.
        InvalidArgumentError: If it is none of these.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            return _listed(list_images(path).checked().images, every)
        if path.suffix.lower() in IMAGE_SUFFIXES or not path.exists():
            return _listed([path], every)
        return _frames(_opened(str(path), path), every)
    if isinstance(source, bool):  # a whole number in Python, but nobody means a camera by it
        raise InvalidArgumentError(f"source must be a path, a camera or images, got {source}")
    if isinstance(source, int):
        return _frames(_opened(source, f"camera {source}"), every)
    check_several(source, instead="detect")
    return _listed(source, every)


def read_ahead(
    jobs: Iterator[ImageJob],
    prepare: Callable[[ImageJob], View],
    submit: Callable[[Callable[[], View]], Future[View]],
    *,
    live: bool,
) -> Iterator[list[LoadedImage]]:
    """Reads images in the background, and hands them out in groups of a bounded size.

    Args:
        jobs: What there is to read.
        prepare: Reads an image and cuts out what is to be searched.
        submit: Starts a function on another thread.
        live: Whether each image is handed out as soon as it is there, alone.

    Yields:
        The next images, in order. A group holds as many as have about a million and a half pixels
        together, at least one.
    """
    pending: deque[tuple[ImageJob, Future[View]]] = deque()
    group: list[LoadedImage] = []
    pixels, ahead = 0, 1 if live else 2
    try:
        while True:
            while len(pending) < ahead and (job := next(jobs, None)) is not None:
                pending.append((job, submit(functools.partial(prepare, job))))
            if not pending:
                break
            loaded = _settled(*pending.popleft())
            size = 0 if loaded.view is None else loaded.view.picture[..., 0].size
            if group and pixels + size > _GROUP_PIXELS:
                yield group
                group, pixels = [], 0
            group.append(loaded)
            pixels += size
            if not live:
                # Small images are read further ahead than large ones: the memory stays the same.
                ahead = min(max(2 * _GROUP_PIXELS // max(size, 1), 2), _MOST_AHEAD)
            if live or len(group) == _MOST_AHEAD:
                yield group
                group, pixels = [], 0
        if group:
            yield group
    finally:
        for _, future in pending:
            future.cancel()


def _settled(job: ImageJob, future: Future[View]) -> LoadedImage:
    try:
        return LoadedImage(job, future.result())
    except ImageError as error:
        return LoadedImage(job, None, error)


def _listed(images: Iterable[ImageSource], every: int) -> Iterator[ImageJob]:
    for index, image in enumerate(images):
        if index % every == 0:
            name = describe_source(image, fallback=f"image {index}")
            yield ImageJob(name, index, functools.partial(load_image, image))


def _opened(source: str | int, name: object) -> tuple[cv2.VideoCapture, str]:
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise ImageError(f"{name}: is no picture, and no video that OpenCV can open")
    return capture, str(name)


def _frames(opened: tuple[cv2.VideoCapture, str], every: int) -> Iterator[ImageJob]:
    capture, name = opened
    try:
        index = 0
        # To skip a frame, grabbing it is enough: it is not converted to a picture.
        while capture.grab():
            if index % every == 0:
                there, frame = capture.retrieve()
                if there:
                    picture = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
                    yield ImageJob(
                        f"{name}, frame {index}", index, functools.partial(load_image, picture)
                    )
            index += 1
    finally:
        capture.release()
