"""Several threads and processes share a gallery, and what is removed is gone from its files."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facekit import Gallery, IdentityClassifier
from facekit.gallery.records import PhotoSource

SIZE = 32
READERS = 8
ROUNDS = 40
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
            assert [photo.source for photo in gallery.photos(name)] == [f"{name}.jpg"]


SECRETS = 30


def enroll_secrets(gallery: Gallery) -> None:
    """Enrolls people whose metadata fills pages of their own, among one who stays."""
    gallery.enroll("kept", vectors(0), ["kept-0", "kept-1"], metadata={"note": "remains" * 1000})
    for number in range(SECRETS):
        photos = [
            PhotoSource(f"/secret/path-{number}-{index}.jpg", f"{number:02}" * 32)
            for index in range(2)
        ]
        about = {"note": f"confidential-{number} " * 500}
        gallery.enroll(f"Clandestine Zoë {number}", vectors(1000 + number), photos, metadata=about)


def traces(folder: Path) -> set[str]:
    """Returns what can still be found of those people in any file of the folder."""
    found = set()
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        found |= {
            f"{path.name}: {text}"
            for text in ("Clandestine", "/secret/path", "confidential", "0101010101")
            if text.encode() in content
        }
        for number in range(SECRETS):
            for row in vectors(1000 + number):
                # Half of an embedding would be a trace, too.
                for part in (row[: SIZE // 2], row[SIZE // 2 :]):
                    if part.tobytes() in content:
                        found.add(f"{path.name}: embedding of {number}")
    return found


def remove_by_name(gallery: Gallery) -> None:
    for number in range(SECRETS):
        gallery.remove(f"Clandestine Zoë {number}")


def remove_by_photo(gallery: Gallery) -> None:
    photos = gallery.photos()
    gallery.remove_photos([photo.id for photo in photos if photo.person.startswith("Cl")])


def replace_all(gallery: Gallery) -> None:
    gallery.replace(["kept", "kept"], vectors(0), ["kept-0", "kept-1"])


@pytest.mark.parametrize("remove", [remove_by_name, remove_by_photo, replace_all])
@pytest.mark.parametrize("watched", [False, True])
def test_what_is_removed_is_in_no_file(
    tmp_path: Path, remove: Callable[[Gallery], None], watched: bool
) -> None:
    """Neither in free pages nor in a journal, also while another object has it open."""
    folder = tmp_path / "people"
    with ExitStack() as stack:
        gallery = stack.enter_context(Gallery.create(folder, "example@1", SIZE))
        enroll_secrets(gallery)
        if watched:
            other = stack.enter_context(Gallery.open(folder))
            assert len(other.people) == SECRETS + 1
        assert len(traces(folder)) >= SECRETS, "what is looked for must be there before"
        remove(gallery)
        assert traces(folder) == set()
        assert gallery.people == {"kept": 2}
    assert traces(folder) == set()
    with Gallery.open(folder) as gallery:
        gallery.check()
        np.testing.assert_array_equal(gallery.embeddings, vectors(0))
