"""Image sources: folders, lists, videos and cameras, processed in bounded memory."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import numpy as np
from PIL import Image

from facekit.errors import BatchError, ImageError, InvalidArgumentError
from facekit.io.files import exists, is_folder
from facekit.io.folders import list_images
from facekit.io.images import ImageSource, check_several, describe_source, image_suffixes
from facekit.utils.threads import run_in_thread
from facekit.utils.validation import whole

if TYPE_CHECKING:
    import cv2

StreamSource: TypeAlias = str | os.PathLike[str] | int | Iterable[ImageSource]
"""Many images: a folder, an image or video file, the number of a camera, or several images."""

BYTES_AHEAD = 32 * 2**20
"""The maximum bytes of pixels that are read ahead."""

PIXELS_TOGETHER = 500_000
"""The maximum number of pixels of small images that are searched together."""

_ITEMS_AHEAD = 64

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ImageItem:
    """One of many images, not read yet."""

    name: str  # its name in reports
    index: int  # its position, from 0; in a video the number of the frame
    source: ImageSource = field(repr=False)  # where to read it

    @property
    def held(self) -> int:
        """The bytes of memory that it occupies before it is read; 0 for a file."""
        source = self.source
        if isinstance(source, np.ndarray | memoryview):
            return source.nbytes
        if isinstance(source, bytes | bytearray):
            return len(source)
        if isinstance(source, Image.Image):
            return source.width * source.height * len(source.getbands())
        return 0


def image_items(source: StreamSource, every: int = 1) -> Iterator[ImageItem]:
    """Lists the images of a source."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if is_folder(path):
            return _listed(list_images(path).checked().images, every)
        if path.suffix.lower() in image_suffixes() or not exists(path):
            return _listed([path], every)
        return _frames(_opened(str(path), path), every)
    if isinstance(source, bool):  # an int in Python, but not a camera's number
        raise InvalidArgumentError(f"source must be a path, a camera or images, got {source}")
    if isinstance(source, int):
        # OpenCV crashes for some negative numbers.
        camera = whole(source, "the number of a camera", least=0, most=9999)
        return _frames(_opened(camera, f"camera {camera}"), every)
    check_several(source, instead="the method for one image")
    return _listed(source, every)


def _listed(images: Iterable[ImageSource], every: int) -> Iterator[ImageItem]:
    for index, image in enumerate(images):
        if index % every == 0:
            yield ImageItem(describe_source(image, fallback=f"image {index}"), index, image)


def _opened(source: str | int, name: object) -> tuple[cv2.VideoCapture, str]:
    import cv2

    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise ImageError(f"{name}: is neither an image nor a video that OpenCV can open")
    return capture, str(name)


def _frames(opened: tuple[cv2.VideoCapture, str], every: int) -> Iterator[ImageItem]:
    import cv2

    capture, name = opened
    try:
        index = 0
        # To skip a frame, grabbing is enough: it is not converted to an image.
        while capture.grab():
            if index % every == 0:
                there, frame = capture.retrieve()
                if there:
                    image = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
                    yield ImageItem(f"{name}, frame {index}", index, image)
            index += 1
    finally:
        capture.release()


def in_order(
    items: Iterable[Item],
    work: Callable[[Iterator[Item]], Iterable[Result]],
    *,
    threads: int,
    together: int = 1,
    held_by_item: Callable[[Item], int] = lambda _: 0,
    held_by_result: Callable[[Result], int] = lambda _: 0,
    bytes_ahead: int = BYTES_AHEAD,
) -> Iterator[Result]:
    """Yields in order the results of work that takes up to ``together`` items and yields as many.

    Items are taken from the iterable in the caller's thread. Read-ahead stops when the waiting
    items and results occupy ``bytes_ahead`` bytes or number 64, so that at most these and the work
    of each thread are in memory. Within the work of another call, no threads are added.
    """
    items = iter(items)
    alone = not threads or getattr(_working, "now", False)  # that one's threads use the cores
    first = [] if alone else list(itertools.islice(items, 2))
    if len(first) < 2:
        while first or (first := list(itertools.islice(items, 1))):
            # A chain, unlike a generator, does not close the rest when it is left halfway.
            yield from work(itertools.islice(itertools.chain(_emptied(first), items), together))
        return
    items = itertools.chain(_emptied(first), items)
    del first
    ahead = _Ahead(work, together, threads, held_by_item, held_by_result, bytes_ahead)
    try:
        yield from ahead.results(items)
    finally:
        ahead.stop()


def in_groups(
    items: Iterable[Item], size: Callable[[Item], int], most: int
) -> Iterator[list[Item]]:
    """Divides items into groups of at most a size, or of one larger item."""
    group: list[Item] = []
    free = most
    for item in items:
        free -= size(item)
        if group and free < 0:
            yield group
            group, free = [], most - size(item)
        group.append(item)
        del item
        if free <= 0:  # before the next item takes memory as well
            yield group
            group, free = [], most
    if group:
        yield group


def _emptied(items: list[Item]) -> Iterator[Item]:
    # A chain would keep the items of a list in memory until it is exhausted.
    while items:
        yield items.pop(0)


def all_or_batch_error(answers: list[Result | ImageError]) -> list[Result]:
    """Returns the answers, or raises a ``BatchError`` if some of them are errors."""
    errors = {place: one for place, one in enumerate(answers) if isinstance(one, ImageError)}
    if errors:
        raise BatchError([None if i in errors else answers[i] for i in range(len(answers))], errors)
    return [answer for answer in answers if not isinstance(answer, ImageError)]


_working = threading.local()


class _Job(Generic[Item, Result]):
    def __init__(self, item: Item, held: int) -> None:
        self.item: Item | None = item
        self.held = held
        self.results: list[Result] = []
        self.error: BaseException | None = None
        self.done = False


class _Ahead(Generic[Item, Result]):
    """The threads of :func:`in_order`, with their waiting items and results."""

    def __init__(
        self,
        work: Callable[[Iterator[Item]], Iterable[Result]],
        together: int,
        threads: int,
        held_by_item: Callable[[Item], int],
        held_by_result: Callable[[Result], int],
        bytes_ahead: int,
    ) -> None:
        self._work, self._together, self._threads = work, together, threads
        self._held_by_item, self._held_by_result = held_by_item, held_by_result
        self._bytes_ahead = bytes_ahead
        self._changed = threading.Condition()
        self._waiting: deque[_Job[Item, Result]] = deque()  # not started
        self._ordered: deque[_Job[Item, Result]] = deque()  # not yielded
        self._held = 0
        self._stopped = False
        self._ended: list[threading.Event] = []
        self._process = os.getpid()

    def stop(self) -> None:
        if os.getpid() != self._process:
            return  # a child forked during the iteration does not have its threads
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for ended in self._ended:
            ended.wait()

    def results(self, items: Iterator[Item]) -> Iterator[Result]:
        self._ended.extend(run_in_thread(self._run) for _ in range(self._threads))
        failure: Exception | None = None
        more = True
        while True:
            try:
                while more and self._has_room():
                    more = self._take(items)
            except Exception as error:  # noqa: BLE001 - raised after the results before it
                failure, more = error, False
            if not self._ordered:
                break
            yield self._next_result()
        if failure is not None:
            raise failure

    def _take(self, items: Iterator[Item]) -> bool:
        for item in items:
            job = _Job[Item, Result](item, self._held_by_item(item))
            with self._changed:
                self._held += job.held
                self._waiting.append(job)
                self._ordered.append(job)
                self._changed.notify_all()
            return True
        return False

    def _has_room(self) -> bool:
        with self._changed:
            return not self._ordered or (
                len(self._ordered) < _ITEMS_AHEAD and self._held < self._bytes_ahead
            )

    def _next_result(self) -> Result:
        with self._changed:
            job = self._ordered[0]
            self._changed.wait_for(lambda: job.done)
            self._ordered.popleft()
            self._held -= job.held
            self._changed.notify_all()
        if job.error is not None:
            raise job.error
        return job.results.pop()

    def _run(self) -> None:
        _working.now = True
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or self._may_start())
                    if self._stopped:
                        return
                self._work_on_next()
        finally:
            _working.now = False

    def _work_on_next(self) -> None:
        started: deque[_Job[Item, Result]] = deque()
        failure: BaseException = RuntimeError("the work gave fewer results than it took items")
        try:
            for result in self._work(self._next_items(started)):
                self._finish(started[0], [result])
                started.popleft()
                del result
        except BaseException as error:  # noqa: BLE001 - raised in the consumer's thread
            failure = error
        for job in started:
            self._finish(job, [], failure)

    def _next_items(self, started: deque[_Job[Item, Result]]) -> Iterator[Item]:
        with self._changed:
            # A fair share, so that no thread is left without work at the end.
            most = min(self._together, -(-len(self._waiting) // self._threads))
        for _ in range(most):
            with self._changed:
                if self._stopped or not self._may_start():
                    return
                job = self._waiting.popleft()
            started.append(job)
            item, job.item = job.item, None
            del job
            assert item is not None
            yield item
            del item

    def _finish(
        self, job: _Job[Item, Result], results: list[Result], error: BaseException | None = None
    ) -> None:
        held = sum(self._held_by_result(result) for result in results)
        job.results, job.error = results, error
        with self._changed:
            self._held += held - job.held
            job.held = held
            job.done = True
            self._changed.notify_all()

    def _may_start(self) -> bool:
        if not self._waiting:
            return False
        waiting = sum(job.held for job in self._waiting)
        # An item started in turn is always admitted: nothing before it can be waiting.
        return self._held - waiting < self._bytes_ahead or self._waiting[0] is self._ordered[0]
