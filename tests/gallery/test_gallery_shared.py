"""Several threads and processes share a gallery."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from effort import tries

from facekit import FileFormatError, Gallery, IdentityClassifier, InvalidArgumentError
from facekit.errors import GalleryBusyError
from facekit.gallery import database

SIZE = 32
READERS = 8
ROUNDS = tries(20, 40)
THRESHOLD = 0.5


def vectors(seed: int, count: int = 2) -> npt.NDArray[np.float32]:
    """Returns embeddings of one person, near to each other and far from those of other seeds."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=SIZE) + 0.05 * generator.normal(size=(count, SIZE))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


STAYING = {f"stays-{number}": number for number in range(6)}
PASSING = {f"passes-{number}": 100 + number for number in range(ROUNDS)}


def search_once(gallery: Gallery) -> None:
    """Looks for everybody: who stays is found, who passes is found as such or not at all."""
    for group in (STAYING, PASSING):
        probes = np.concatenate([vectors(seed, 1) for seed in group.values()])
        for name, matches in zip(group, gallery.search(probes, 3), strict=True):
            near = [match for match in matches if match.distance < THRESHOLD]
            assert {match.person for match in near} <= {name}, (name, matches)
            if group is STAYING:
                assert near, f"{name} is enrolled and was not found"


def identify_once(gallery: Gallery, strategy: Any) -> None:
    """Asks a classifier that was fitted to what is enrolled at this moment."""
    classifier = IdentityClassifier(strategy, threshold=THRESHOLD).fit_enrolled(gallery.enrolled())
    for group in (STAYING, PASSING):
        probes = np.concatenate([vectors(seed, 1) for seed in group.values()])
        answers = classifier.predict(probes).tolist()
        for name, answer in zip(group, answers, strict=True):
            assert answer == name or (answer is None and group is PASSING), (name, answer)


@pytest.mark.parametrize("place", ["memory", "one object", "an object each"])
def test_threads_recognize_while_one_enrolls_and_removes(tmp_path: Path, place: str) -> None:
    with ExitStack() as stack:
        folder = tmp_path / "people"
        if place == "memory":
            gallery = Gallery("example@1", SIZE)
        else:
            gallery = stack.enter_context(Gallery.create(folder, "example@1", SIZE))
        for name, seed in STAYING.items():
            gallery.enroll(name, vectors(seed), [f"{name}-0", f"{name}-1"])
        galleries = [gallery] * READERS
        if place == "an object each":
            galleries = [stack.enter_context(Gallery.open(folder)) for _ in range(READERS)]
        done = threading.Event()
        ready = threading.Barrier(READERS + 1)

        def read(reader: int) -> None:
            strategy = ["nearest", "centroid", "svm", "nearest"][reader // 2]
            ready.wait()
            last = False
            while not last:
                last = done.is_set()
                if reader % 2:
                    identify_once(galleries[reader], strategy)
                else:
                    search_once(galleries[reader])

        with ThreadPoolExecutor(READERS) as pool:
            readers = [pool.submit(read, reader) for reader in range(READERS)]
            ready.wait()
            try:
                for number, (name, seed) in enumerate(PASSING.items()):
                    gallery.enroll(name, vectors(seed), [f"{name}-0", f"{name}-1"])
                    if number >= 5:
                        gallery.remove(f"passes-{number - 5}")
                    if number % 20 == 19:
                        gallery.compact()
            finally:
                done.set()
        for each in readers:
            each.result()
        left = {f"passes-{number}" for number in range(ROUNDS - 5, ROUNDS)}
        for one in (gallery, galleries[-1]):
            assert set(one.people) == left | set(STAYING)
            one.check()


ENROLLING = """
import sys
import numpy as np
from facekit import Gallery
from facekit.errors import GalleryBusyError

folder, who, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Gallery.open(folder) as gallery:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(count):
        row = np.zeros((1, size), np.float32)
        row[0, number] = 1.0 if who == "first" else -1.0
        try:
            gallery.enroll(f"{who}-{number}", row, [f"{who}-{number}.jpg"])
        except GalleryBusyError:
            continue
        print(number, flush=True)
"""


def test_two_processes_enroll_at_once(tmp_path: Path) -> None:
    """What either was told is enrolled is there, with its own embedding."""
    folder = tmp_path / "people"
    Gallery.create(folder, "example@1", SIZE).close()
    workers = {
        who: subprocess.Popen(
            [sys.executable, "-c", ENROLLING, str(folder), who, str(SIZE), str(SIZE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in ("first", "second")
    }
    try:
        for worker in workers.values():
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers.values():
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        returned = {who: worker.communicate(timeout=120)[0] for who, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers.values()] == [0, 0]
    expected = {f"{who}-{number}" for who, lines in returned.items() for number in lines.split()}
    assert expected, "neither process enrolled anybody"
    with Gallery.open(folder) as gallery:
        gallery.check()
        assert set(gallery.people) == expected
        for name in expected:
            who, number = name.split("-")
            row = np.zeros((1, SIZE), np.float32)
            row[0, int(number)] = 1.0 if who == "first" else -1.0
            (match,) = gallery.search(row, 1)[0]
            assert (match.person, match.distance) == (name, 0.0)
            assert [image.source for image in gallery.images(name)] == [f"{name}.jpg"]


def test_a_reader_waits_for_no_writer(tmp_path: Path) -> None:
    """It sees what was there before the change that is being made."""
    path = tmp_path / "people"
    with Gallery.create(path, "example@1", SIZE) as gallery:
        gallery.enroll("Ada", vectors(1), ["ada-0", "ada-1"])
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE people SET data = zeroblob(length(data))")
    try:
        with Gallery.open(path, timeout=0.0) as gallery:
            assert gallery.people == {"Ada": 2}
            assert gallery.images("Ada")[1].source == "ada-1"
            assert gallery.search(vectors(1), 1)[0][0].person == "Ada"
            with pytest.raises(GalleryBusyError, match="nothing was changed"):
                gallery.enroll("Grace", vectors(2), ["grace-0", "grace-1"])
    finally:
        writer.close()


def test_a_removal_that_cannot_empty_the_log_says_so(tmp_path: Path) -> None:
    path = tmp_path / "people"
    Gallery.create(path, "example@1", SIZE).close()
    with Gallery.open(path, timeout=0.1) as gallery:
        gallery.enroll("Ada", vectors(1), ["ada-0", "ada-1"])
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM head").fetchall()
        with pytest.raises(GalleryBusyError, match="the log still holds erased data"):
            gallery.remove("Ada")
        reader.close()
        assert gallery.people == {}
        gallery.compact()
    assert b"Ada" not in b"".join(each.read_bytes() for each in tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="takes SQLite's lock as it lies on Linux")
def test_a_removal_waits_for_another_process_that_empties_the_log(tmp_path: Path) -> None:
    path = tmp_path / "people"
    # SQLite's lock for checkpoints is this byte of the file that processes share.
    other = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'r+b'); "
        "fcntl.lockf(file, fcntl.LOCK_EX, 1, 121); print(flush=True); time.sleep(0.3)"
    )
    with Gallery.create(path, "example@1", SIZE) as gallery:
        gallery.enroll("Ada", vectors(1), ["ada-0", "ada-1"])
        holder = subprocess.Popen(
            [sys.executable, "-c", other, f"{path}-shm"], stdout=subprocess.PIPE
        )
        with holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            gallery.remove("Ada")
        assert b"Ada" not in b"".join(each.read_bytes() for each in tmp_path.iterdir())


def test_what_another_process_changes_is_all_that_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "people"
    with Gallery.create(path, "example@1", SIZE) as one, Gallery.open(path) as other:
        rows = np.concatenate([vectors(seed) for seed in range(600)])
        one.extend([f"person {row // 2}" for row in range(1200)], rows, ["x"] * 1200)
        assert len(other) == 1200
        read: list[tuple[str, int]] = []
        block = database.View.block

        def counted(view: database.View, stream: database.Stream, index: int) -> Any:
            read.append((stream, index))
            return block(view, stream, index)

        monkeypatch.setattr(database.View, "block", counted)
        before = other.enrolled()
        one.enroll("Ada", vectors(1000), ["ada-0", "ada-1"])
        read.clear()
        assert other.people["Ada"] == 2
        assert set(read) == {("people", 0), ("names", 0), ("vectors", 1)}
        assert other.enrolled().embeddings.base is before.embeddings.base, "nothing was copied"
        assert other.enrolled() is other.enrolled()


def test_what_another_process_adds_and_removes_takes_no_place_among_the_nearest(
    tmp_path: Path,
) -> None:
    path, axes = tmp_path / "people", np.eye(2, dtype=np.float32)
    with Gallery.create(path, "example@1", 2) as one, Gallery.open(path) as other:
        one.extend(["Ada", "Ada"], [axes[0], -axes[0]], ["near", "far"])
        assert [match.image for match in other.search(axes[:1], 2)[0]] == [1, 2]
        one.remove_images(one.enroll("Ada", axes[1:], ["between"]))
        assert [match.image for match in other.search(axes[:1], 2)[0]] == [1, 2]


def forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("in_file", [True, False])
def test_a_gallery_works_after_a_fork_while_threads_use_it(tmp_path: Path, in_file: bool) -> None:
    gallery = Gallery("example@1", SIZE)
    if in_file:
        gallery = Gallery.create(tmp_path / "people", "example@1", SIZE)
    gallery.enroll("Ada", vectors(0), ["ada-0", "ada-1"])
    done = threading.Event()

    def work(number: int) -> None:
        while not done.is_set():
            gallery.enroll(f"thread {number}", vectors(number), ["0", "1"])
            assert "Ada" in gallery.people
            time.sleep(0.01)  # SQLite's lock is not a queue

    def child() -> None:
        gallery.enroll("child", vectors(9), ["0", "1"])
        assert gallery.search(vectors(9), 1)[0][0].person == "child"

    with ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(work, number) for number in (1, 2)]
        try:
            assert [forked(child) for _ in range(10)] == [0] * 10
        finally:
            done.set()
    for thread in threads:
        thread.result()
    assert ("child" in gallery) == in_file
    gallery.check()


@pytest.mark.parametrize("what", ["replaced", "deleted"])
def test_a_file_that_is_no_longer_there_is_neither_read_nor_changed(
    tmp_path: Path, what: str
) -> None:
    """Otherwise SQLite goes on with the old file, and an erased person stays in the new one."""
    path = tmp_path / "people"
    with Gallery.create(path, "example@1", SIZE) as gallery:
        gallery.enroll("Ada", vectors(1), ["1.jpg", "2.jpg"])
        gallery.copy(tmp_path / "backup").close()
        if what == "replaced":
            (tmp_path / "backup").replace(path)
        else:
            path.unlink()
        changes: list[Callable[[], object]] = [
            lambda: gallery.remove("Ada"),
            lambda: gallery.enroll("Grace", vectors(2), ["3.jpg", "4.jpg"]),
            gallery.compact,
            lambda: gallery.people,
            lambda: gallery.review.corrections,
        ]
        for change in changes:
            with pytest.raises(FileFormatError, match=f"{what} .*while it was open"):
                change()


def test_a_file_deleted_while_a_change_waits_for_it_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "people"
    with Gallery.create(path, "example@1", SIZE) as gallery, ThreadPoolExecutor(1) as pool:
        assert gallery.people == {}
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = pool.submit(gallery.enroll, "Ada", vectors(1), ["1.jpg", "2.jpg"])
            time.sleep(0.2)
            path.unlink()
            other.execute("ROLLBACK")
        with pytest.raises(FileFormatError, match="deleted"):
            waiting.result()


def test_an_unused_gallery_is_deleted_and_another_is_not(tmp_path: Path) -> None:
    path = tmp_path / "people"
    with Gallery.create(path, "example@1", SIZE) as gallery:
        assert gallery.people == {}
        database.delete_if_unused(path)
        assert gallery.enroll("Ada", vectors(1), ["1.jpg", "2.jpg"]) == [1, 2]
    database.delete_if_unused(path)
    with Gallery.open(path) as gallery, Gallery.open(path) as other:
        gallery.clear()
        assert other.people == {}
    database.delete_if_unused(path)
    assert list(tmp_path.iterdir()) == []


def test_a_gallery_is_never_created_over_one_that_appeared_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "people"
    seen = Path.exists
    with Gallery.create(path, "example@1", SIZE) as gallery:
        gallery.enroll("Ada", vectors(1), ["1.jpg", "2.jpg"])
    monkeypatch.setattr(Path, "exists", lambda self: self != path and seen(self))
    with pytest.raises(FileFormatError, match="already exists"):
        Gallery.create(path, "example@1", SIZE)
    monkeypatch.undo()
    with Gallery.open(path) as gallery:
        assert gallery.people == {"Ada": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["people"]


def test_embeddings_of_different_weights_never_mix(tmp_path: Path) -> None:
    """A gallery of other weights is saved over one that another object has open."""
    path = tmp_path / "people"
    new = Gallery("example@2", SIZE)
    new.enroll("Grace", vectors(2), ["3.jpg", "4.jpg"])
    with Gallery.create(path, "example@1", SIZE) as gallery:
        gallery.enroll("Ada", vectors(1), ["1.jpg", "2.jpg"])
        new.copy(path, overwrite=True).close()
        uses: list[Callable[[], object]] = [
            lambda: gallery.enroll("Ada", vectors(1), ["1.jpg", "2.jpg"]),
            lambda: gallery.search(vectors(1)),
            lambda: gallery.people,
            lambda: "Ada" in gallery,
            gallery.content,
            gallery.compact,
            gallery.clear,
            gallery.copy,
        ]
        for use in uses:
            with pytest.raises(InvalidArgumentError, match=r"example@2.*open it again"):
                use()
    with Gallery.open(path, weights="example@2") as gallery:
        assert gallery.people == {"Grace": 2}
