"""Laws of working through many images: in order, in bounded memory, and nothing is lost."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facekit import ImageError, InvalidArgumentError
from facekit.io.sources import (
    BYTES_AHEAD,
    ImageItem,
    image_items,
    in_groups,
    in_order,
)


class Pixels:
    """Stands for an image of a size in bytes; unlike an array it costs nothing."""

    def __init__(self, size: int) -> None:
        self.size = size


class Memory:
    """Counts the bytes of the images that are in memory."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def image(self, size: int) -> Pixels:
        pixels = Pixels(size)
        self._add(size)
        weakref.finalize(pixels, self._add, -size)
        return pixels

    def _add(self, size: int) -> None:
        with self.lock:
            self.now += size
            self.most = max(self.most, self.now)


sizes = st.lists(st.integers(0, 30), max_size=40)
threads = st.integers(0, 3)


@given(sizes, threads)
def test_results_come_in_order_whatever_takes_longer(sizes: list[int], threads: int) -> None:
    def slow(place: int) -> int:
        time.sleep(0.0001 * (sizes[place] % 3))
        return place

    assert list(in_order(range(len(sizes)), partial(map, slow), threads=threads)) == list(
        range(len(sizes))
    )


@given(sizes, st.integers(1, 3), st.integers(1, 100))
def test_images_from_files_in_memory_are_bounded_by_bytes(
    sizes: list[int], threads: int, ahead: int
) -> None:
    memory = Memory()
    results = in_order(
        sizes,
        partial(map, memory.image),
        threads=threads,
        held_by_result=lambda image: image.size,
        bytes_ahead=ahead,
    )
    for size in sizes:
        assert next(results).size == size
    assert next(results, None) is None
    # What waits, one image in each thread, and the one in the consumer's hands.
    assert memory.most <= ahead + (threads + 1) * max(sizes, default=0)


@settings(max_examples=tries(4, 50))
@given(sizes, st.integers(1, 3), st.integers(1, 100))
def test_images_of_a_generator_in_memory_are_bounded_by_bytes(
    sizes: list[int], threads: int, ahead: int
) -> None:
    memory = Memory()
    results = in_order(
        (memory.image(size) for size in sizes),
        partial(map, lambda image: image.size),
        threads=threads,
        held_by_item=lambda image: image.size,
        bytes_ahead=ahead,
    )
    assert list(results) == sizes
    gc.collect()
    assert memory.now == 0
    # The first two are taken to see whether there are several.
    assert memory.most <= ahead + 2 * max(sizes, default=0)


def test_large_images_after_thumbnails_are_not_read_ahead_by_number() -> None:
    memory, large = Memory(), 72_000_000
    sizes = [30_000] * 64 + [large] * 64
    results = in_order(
        sizes, partial(map, memory.image), threads=2, held_by_result=lambda image: image.size
    )
    for image in results:
        assert image.size in sizes
    assert memory.most <= BYTES_AHEAD + 3 * large


@given(st.integers(0, 20), st.integers(0, 20), threads)
def test_error_of_the_work_is_raised_in_its_place(before: int, after: int, threads: int) -> None:
    def work(place: int) -> int:
        if place == before:
            raise ZeroDivisionError
        return place

    results = in_order(range(before + 1 + after), partial(map, work), threads=threads)
    assert [next(results) for _ in range(before)] == list(range(before))
    with pytest.raises(ZeroDivisionError):
        next(results)


@given(st.integers(0, 20), threads)
def test_error_of_the_source_is_raised_after_the_results_before_it(
    before: int, threads: int
) -> None:
    def items() -> Iterator[int]:
        yield from range(before)
        raise ZeroDivisionError

    seen = []
    with pytest.raises(ZeroDivisionError):
        seen.extend(in_order(items(), iter, threads=threads))
    # Of fewer than two items it is seen before any thread is started.
    assert seen == list(range(before)) or before < 2


def test_source_is_read_in_the_callers_thread_and_the_work_is_done_in_others() -> None:
    readers, workers = set(), set()

    def items() -> Iterator[int]:
        for place in range(20):
            readers.add(threading.get_ident())
            yield place

    def work(place: int) -> int:
        workers.add(threading.get_ident())
        return place

    assert list(in_order(items(), partial(map, work), threads=2)) == list(range(20))
    assert readers == {threading.get_ident()}
    assert threading.get_ident() not in workers


def test_single_item_is_worked_on_in_the_callers_thread() -> None:
    (thread,) = in_order([0], partial(map, lambda _: threading.get_ident()), threads=4)
    assert thread == threading.get_ident()


@pytest.mark.parametrize("leave", ["close", "delete"])
def test_threads_are_free_for_others_when_the_iteration_is_left(leave: str) -> None:
    workers: set[int] = set()

    def work(place: int) -> int:
        workers.add(threading.get_ident())
        return place

    for _ in range(5):
        results = in_order(iter(int, 1), partial(map, work), threads=3)
        assert next(results) == 0
        if leave == "close":
            results.close()  # type: ignore[attr-defined]
        del results
    assert len(workers) <= 3


# Several items together


@given(st.integers(0, 60), st.integers(0, 3), st.integers(1, 9))
def test_no_more_items_are_worked_on_together(count: int, threads: int, together: int) -> None:
    sizes = []

    def work(items: Iterator[int]) -> list[int]:
        group = list(items)
        sizes.append(len(group))
        return group

    items = (place for place in range(count))  # unlike a range, a generator can be closed
    results = in_order(items, work, threads=threads, together=together)
    assert list(results) == list(range(count))
    assert sum(sizes) == count
    assert max(sizes, default=0) <= together


def test_the_last_items_are_shared_by_all_threads() -> None:
    both = threading.Barrier(2)

    def work(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            if item >= 2:  # which it takes two threads to pass
                both.wait(60)
            yield item

    assert list(in_order(range(4), work, threads=2, together=8)) == list(range(4))


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 3), st.integers(1, 9))
def test_error_of_the_work_on_several_is_raised_after_the_groups_before(
    before: int, after: int, threads: int, together: int
) -> None:
    def work(items: Iterator[int]) -> Iterator[int]:
        for group in [list(items)]:
            if before in group:
                raise ZeroDivisionError
            yield from group

    seen = []
    with pytest.raises(ZeroDivisionError):
        seen.extend(in_order(range(before + 1 + after), work, threads=threads, together=together))
    assert seen == list(range(len(seen)))
    assert before - together < len(seen) <= before or not seen


def test_fewer_results_than_items_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="fewer results"):
        list(in_order(range(9), lambda items: list(items)[1:], threads=2, together=4))


def test_within_the_work_of_a_thread_no_threads_are_added() -> None:
    def inner(_: int) -> int:
        return threading.get_ident()

    def outer(_: int) -> bool:
        return set(in_order(range(9), partial(map, inner), threads=3)) == {threading.get_ident()}

    assert all(in_order(range(20), partial(map, outer), threads=2))
    assert (
        len(set(in_order(range(9), partial(map, inner), threads=3)) & {threading.get_ident()}) == 0
    )


@given(st.lists(st.integers(0, 9)), st.integers(1, 12))
def test_groups_hold_neighbors_up_to_a_size(sizes: list[int], most: int) -> None:
    groups = list(in_groups(sizes, lambda size: size, most))
    assert [size for group in groups for size in group] == sizes
    assert all(sum(group) <= most or len(group) == 1 for group in groups)
    for group, following in itertools.pairwise(groups):
        assert sum(group) >= most or sum(group) + following[0] > most


# What the images are


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (32, 32))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for number in range(6):
        writer.write(np.full((32, 32, 3), 40 * number, np.uint8))
    writer.release()
    return path


def test_frames_of_a_video_are_numbered_and_skipped(video: Path) -> None:
    frames = list(image_items(video, every=2))
    assert [frame.index for frame in frames] == [0, 2, 4]
    assert [frame.name for frame in frames] == [f"{video}, frame {n}" for n in (0, 2, 4)]
    assert [round(float(frame.source.mean()), -1) for frame in frames] == [0, 80, 160]


def test_video_is_closed_when_the_iteration_is_left(video: Path) -> None:
    frames = image_items(video)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert next(frames, None) is None


@pytest.mark.parametrize(
    ("make", "held"),
    [
        (lambda image, _: image, 300),
        (lambda image, _: memoryview(image.tobytes()), 300),
        (lambda image, _: image.tobytes(), 300),
        (lambda image, _: Image.fromarray(image), 300),
        (lambda _, path: path, 0),
        (lambda _, path: str(path), 0),
    ],
)
def test_what_is_in_memory_before_it_is_read_counts(
    tmp_path: Path, make: Callable[[Any, Path], Any], held: int
) -> None:
    source = make(np.zeros((10, 10, 3), np.uint8), tmp_path / "a.png")
    assert ImageItem("a", 0, source).held == held


def test_images_are_named_by_path_or_place(tmp_path: Path) -> None:
    items = image_items([tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8)])
    assert [item.name for item in items] == [str(tmp_path / "a.png"), "image 1"]


@pytest.mark.parametrize("source", [b"x", 3.5, True, np.zeros((9, 9, 3), dtype=np.uint8)])
def test_other_sources_are_refused(source: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        image_items(source)


def test_what_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(ImageError, match=r"notes\.txt.*neither an image nor a video"):
        image_items(tmp_path / "notes.txt")
    with pytest.raises(ImageError, match="camera 9999"):
        image_items(9999)


FORK = """
import os
from facekit.io.sources import in_order

results = in_order(range(100), iter, threads=3)
next(results)
child = os.fork()
if not child:
    results.close()
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), list(results) == list(range(1, 100)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_during_the_iteration_may_leave_it() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout == "0 True\n"
