"""The gallery in a file: it lasts, it is private, and it goes wherever Python objects go."""

from __future__ import annotations

import copy
import gc
import json
import multiprocessing
import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from effort import tries

from facekit import FileFormatError, Gallery, InvalidArgumentError
from facekit.gallery import database
from facekit.gallery.database import Database
from facekit.gallery.protocol import Batch
from facekit.gallery.records import EnrolledImage, FaceSource

SIZE = 8


def vectors(seed: int, count: int = 2) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, SIZE))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Gallery.create(tmp_path / "people", "example@1", SIZE) as gallery:
        gallery.enroll("Ada Lovelace", vectors(1), ["ada-1.jpg", "ada-2.jpg"])
        gallery.enroll("Grace Hopper", vectors(2), ["grace-1.jpg", "grace-2.jpg"])
        gallery.set_metadata("Grace Hopper", {"born": 1906})
        gallery.set_settings({"threshold": 0.75})
    return tmp_path / "people"


def test_what_was_enrolled_is_there_after_opening(path: Path) -> None:
    with Gallery.open(path, weights="example@1") as gallery:
        assert gallery.people == {"Ada Lovelace": 2, "Grace Hopper": 2}
        assert gallery.search(vectors(2), 1)[0][0].person == "Grace Hopper"
        np.testing.assert_array_equal(gallery.embeddings[:2], vectors(1))
        assert gallery.metadata("Grace Hopper") == {"born": 1906}
        assert gallery.settings == {"threshold": 0.75}
    assert [each.name for each in path.parent.iterdir()] == ["people"], "one file, when closed"


def test_a_relative_path_stays_the_same_file_in_another_folder(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(path.parent)
    gallery = Gallery.open(path.name)
    monkeypatch.chdir(tmp_path / "other")
    Gallery.create(path.name, "example@1", SIZE).close()
    for one in (gallery, pickle.loads(pickle.dumps(gallery))):
        assert one.people == {"Ada Lovelace": 2, "Grace Hopper": 2}
    with gallery:
        gallery.remove("Ada Lovelace")
    assert Gallery.open(path).people == {"Grace Hopper": 2}


def test_two_objects_see_what_the_other_does(path: Path) -> None:
    with Gallery.open(path) as one, Gallery.open(path) as other:
        assert len(one) == len(other) == 4
        one.enroll("Mary", vectors(3), ["mary-1.jpg", "mary-2.jpg"])
        other.enroll("Zoë", vectors(4), ["zoë-1.jpg", "zoë-2.jpg"])
        one.remove("Ada Lovelace")
        one.compact()
        other.rename("Mary", "Marie")
        for gallery in (one, other):
            assert gallery.people == {"Grace Hopper": 2, "Marie": 2, "Zoë": 2}
            assert gallery.search(vectors(4), 1)[0][0].person == "Zoë"
            assert gallery.metadata("Grace Hopper") == {"born": 1906}
            gallery.check()


def test_a_name_that_takes_the_place_of_another_of_its_length_is_seen(path: Path) -> None:
    with Gallery.open(path) as one, Gallery.open(path) as other:
        assert "Ada Lovelace" in other
        one.rename("Ada Lovelace", "Bob Lovelace")
        one.rename("Grace Hopper", "Ada Lovelace")
        assert list(one) == list(other) == ["Ada Lovelace", "Bob Lovelace"]
        assert other.search(vectors(2), 1)[0][0].person == "Ada Lovelace"


def test_other_weights_are_named(path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"example@1.*other@2"):
        Gallery.open(path, weights="other@2")


def test_the_files_are_their_owners_alone(path: Path) -> None:
    with Gallery.open(path) as gallery:
        gallery.enroll("Mary", vectors(3), ["mary-1.jpg", "mary-2.jpg"])
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"people": 0o600, "people-wal": 0o600, "people-shm": 0o600}


def test_nothing_is_overwritten_or_left_behind(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(FileFormatError, match="already exists"):
        Gallery.create(path, "example@1", SIZE)
    with Gallery.open(path) as gallery, pytest.raises(FileFormatError, match="already exists"):
        gallery.copy(path)
    with pytest.raises(FileFormatError, match="the gallery cannot be created"):
        Gallery.create(tmp_path / "no folder" / "people", "example@1", SIZE)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["people"]


@pytest.mark.parametrize("work", [Gallery.open, lambda path: Gallery.create(path, "a@1", SIZE)])
def test_a_path_with_a_nul_is_refused(work: object) -> None:
    with pytest.raises(InvalidArgumentError, match="NUL"):
        work("people\0.txt")  # type: ignore[operator]


@pytest.mark.parametrize("work", [Gallery.open, lambda path: Gallery.create(path, "a@1", SIZE)])
def test_a_path_without_a_name_and_one_too_long_are_refused(work: object, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="that of a file"):
        work("")  # type: ignore[operator]
    with pytest.raises(FileFormatError, match="xxx"):
        work(tmp_path / ("x" * 300))  # type: ignore[operator]


class AnyCase(str):
    """A string that takes others for equal, as some libraries' strings do."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


def test_names_are_told_apart_by_their_letters(tmp_path: Path) -> None:
    with Gallery.create(tmp_path / "people", "a@1", SIZE) as gallery:
        gallery.extend([AnyCase("Ann"), AnyCase("ANN")], vectors(2), ["1.jpg", "2.jpg"])
        assert gallery.people == {"ANN": 1, "Ann": 1}


class Person(str, Enum):
    """Names as some programs keep them."""

    ADA = "Ada"


def test_odd_names_and_sources_leave_the_gallery_whole(tmp_path: Path) -> None:
    names = [np.array(["Ada"])[0], np.str_("Grace"), Person.ADA]
    box = tuple(np.float32([1, 2, 30, 40]))
    with Gallery.create(tmp_path / "people", "a@1", SIZE) as gallery:
        for number, name in enumerate(names):
            source = FaceSource(np.str_(f"{number}.jpg"), None, box)  # type: ignore[arg-type]
            gallery.enroll(name, vectors(number, 1), [source])
        gallery.enroll("Mary", vectors(3, 1), [np.str_("3.jpg")])
        for wrong in (
            *({"box": box} for box in ((1, 2), (1, 2, 3, float("nan")), (1, 2, 3, "4"), 5, "box")),
            *({"sha256": value} for value in (5, "short", b"4" * 64)),
            *({"source": value} for value in (5, None, b"4.jpg")),
        ):
            with pytest.raises(InvalidArgumentError):
                gallery.enroll(
                    "Eve",
                    vectors(4, 1),
                    [FaceSource(**{"source": "4.jpg", **wrong})],  # type: ignore[arg-type]
                )
        for odd in (5, None, b"4.jpg"):
            with pytest.raises(InvalidArgumentError):
                gallery.enroll("Eve", vectors(4, 1), [odd])  # type: ignore[list-item]
    with Gallery.open(tmp_path / "people") as gallery:
        gallery.check()
        assert gallery.people == {"Ada": 2, "Grace": 1, "Mary": 1}
        assert [image.source for image in gallery.images()] == [f"{n}.jpg" for n in range(4)]
        gallery.copy(tmp_path / "copy").close()
        assert gallery.remove("Ada") == 2


def test_a_copy_takes_the_place_of_a_gallery_that_others_have_open(
    path: Path, tmp_path: Path
) -> None:
    with Gallery.create(tmp_path / "other", "example@1", SIZE) as other:
        other.enroll("Mary", vectors(3), ["mary-1.jpg", "mary-2.jpg"])
        with Gallery.open(path) as gallery:
            gallery.copy(tmp_path / "other", overwrite=True).close()
        assert other.people == {"Ada Lovelace": 2, "Grace Hopper": 2}
        assert other.settings == {"threshold": 0.75}
        assert other.metadata("Grace Hopper") == {"born": 1906}
    assert b"mary-1" not in (tmp_path / "other").read_bytes()
    with Gallery.open(tmp_path / "other", weights="example@1") as other:
        other.check()


def test_only_a_gallery_is_overwritten(path: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a gallery")
    with Gallery.open(path) as gallery, pytest.raises(FileFormatError, match="not a gallery"):
        gallery.copy(tmp_path / "notes.txt", overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "not a gallery"


def people_of(gallery: Gallery) -> dict[str, int]:
    return gallery.people


@pytest.mark.parametrize("in_file", [True, False])
def test_a_gallery_pickles_and_copies(path: Path, in_file: bool) -> None:
    gallery = Gallery.open(path) if in_file else Gallery.open(path).copy()
    for other in (pickle.loads(pickle.dumps(gallery)), copy.deepcopy(gallery)):
        assert other.people == gallery.people
        assert other.metadata("Grace Hopper") == {"born": 1906}
        assert other.settings == gallery.settings
        other.remove("Ada Lovelace")
        assert ("Ada Lovelace" in gallery) != in_file
        if in_file:
            gallery.enroll("Ada Lovelace", vectors(1), ["ada-1.jpg", "ada-2.jpg"])


def test_a_gallery_goes_to_a_process_that_is_spawned(path: Path) -> None:
    with (
        Gallery.open(path) as gallery,
        multiprocessing.get_context("spawn").Pool(1) as pool,
    ):
        assert pool.apply(people_of, [gallery]) == gallery.people


def test_a_gallery_that_nobody_closed_is_closed(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        gallery = Gallery.open(path)
        gallery.enroll("Mary", vectors(3), ["mary-1.jpg", "mary-2.jpg"])
        del gallery
        gc.collect()
    assert [each.name for each in path.parent.iterdir()] == ["people"]


def test_a_closed_gallery_says_so(path: Path) -> None:
    gallery = Gallery.open(path)
    gallery.close()
    with pytest.raises(InvalidArgumentError, match="is closed"):
        assert gallery.people


READING = """
import os, sys
import urllib.parse  # which pathlib imports when it is first asked for a URI
import numpy as np
from facekit import Gallery
from facekit.errors import FileFormatError

Gallery("example@1", 2).search([[1.0, 0.0]])  # imports what is needed, as a user who may
os.setgid(65534)
os.setuid(65534)
with Gallery.open(sys.argv[1]) as gallery:
    assert gallery.people == {"Ada Lovelace": 2, "Grace Hopper": 2}, gallery.people
    assert gallery.images("Ada Lovelace")[0].source == "ada-1.jpg"
    print("read", flush=True)
    sys.stdin.readline()
    print(*gallery, sep=",", flush=True)
    for change in (gallery.compact, lambda: gallery.remove("Ada Lovelace")):
        try:
            change()
        except FileFormatError as error:
            assert "cannot be changed" in str(error)
        else:
            raise AssertionError("it was changed")
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs another user")
def test_a_file_in_a_folder_that_cannot_be_written_is_read(path: Path, tmp_path: Path) -> None:
    """Also what another process changes meanwhile."""
    for folder in (*tmp_path.parents, tmp_path):
        if folder != Path(tempfile.gettempdir()) and folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(0o755)
    path.chmod(0o644)
    reader = subprocess.Popen(
        [sys.executable, "-c", READING, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "read\n"
    with Gallery.open(path) as gallery:
        gallery.rename("Grace Hopper", "Admiral Hopper")
    answer, _ = reader.communicate("go on\n", timeout=60)
    assert answer == "Ada Lovelace,Admiral Hopper\n"
    assert reader.returncode == 0
    assert [each.name for each in tmp_path.iterdir()] == ["people"]


def test_a_full_disk_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = Database._connect

    def small(database: Database) -> object:
        connection = connect(database)
        connection.execute("PRAGMA max_page_count = 1")  # no more than there are
        return connection

    monkeypatch.setattr(Database, "_connect", small)
    with Gallery.open(path) as gallery:
        with pytest.raises(FileFormatError, match="full"):
            gallery.enroll("Mary", np.tile(vectors(3), (2000, 1)), ["mary.jpg" * 20] * 4000)
        assert gallery.people == {"Ada Lovelace": 2, "Grace Hopper": 2}
        gallery.compact()
        gallery.check()
        assert gallery.remove("Ada Lovelace") == 2
    assert [each.name for each in path.parent.iterdir()] == ["people"]


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Limits the size of files, as a quota or ``ulimit -f`` does."""
    resource = pytest.importorskip("resource", reason="needs POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kilobytes", [0, 1, 8, 33, 60, 100, 200, 300])
def test_a_limit_of_the_size_of_files_leaves_all_or_nothing(path: Path, kilobytes: int) -> None:
    said = ""
    with files_up_to(1024 * kilobytes):
        try:
            with Gallery.open(path) as gallery:
                gallery.remove("Grace Hopper")
        except FileFormatError as error:
            said = str(error)
    with Gallery.open(path) as gallery:
        gallery.check()
        done = not said or "the change is made" in said
        assert ("Grace Hopper" not in gallery) == done
        gallery.compact()
    assert (b"Grace" in path.read_bytes()) == (not done)
    assert [each.name for each in path.parent.iterdir()] == ["people"]


def test_a_gallery_that_cannot_be_created_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with files_up_to(8192), pytest.raises(FileFormatError, match=f"{tmp_path}/people: "):
        Gallery.create(tmp_path / "people", "example@1", SIZE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killing_a_process_loses_nothing(tmp_path: Path) -> None:
    rounds = tries(15, 100)
    script = Path(__file__).with_name("kill_gallery.py")
    answer = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(rounds), "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["rounds"] == rounds


def test_a_path_that_cannot_be_looked_at_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not for you")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(FileFormatError, match=r"people: cannot be read \(not for you\)"):
        Gallery.open(tmp_path / "people")


def test_replacing_copying_and_compacting_keep_few_images_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_UNWRITTEN", 4)
    batches, rows, size = 48, 64, 512

    def content() -> Iterator[Batch]:
        for batch in range(batches):
            vectors = np.random.default_rng(batch).normal(size=(rows, size)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            yield [EnrolledImage(f"{row}.jpg", person=f"{batch}") for row in range(rows)], vectors

    gallery = Gallery.create(tmp_path / "people", "example@1", size)

    def fill() -> None:
        assert gallery.replace(content()) == batches * rows

    def copy() -> None:
        gallery.copy(tmp_path / "copy").close()

    for change in (fill, gallery.compact, copy):
        tracemalloc.start()
        try:
            change()
            assert tracemalloc.get_traced_memory()[1] < batches * rows * size * 4 / 2
        finally:
            tracemalloc.stop()
    one, other = gallery.content(), Gallery.open(tmp_path / "copy").content()
    assert one[0] == other[0]
    np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(one[1], np.concatenate([rows for _, rows in content()]))


def test_compacting_gives_the_space_of_removed_images_back(tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "people", "example@1", 64)
    vectors = np.tile(np.eye(64, dtype=np.float32), (128, 1))
    gallery.enroll("Ada", vectors[:64], ["ada.jpg"] * 64)
    gallery.compact()
    small = (tmp_path / "people").stat().st_size
    gallery.enroll("Grace", vectors, ["grace.jpg"] * len(vectors))
    gallery.remove("Grace")
    gallery.compact()
    assert (tmp_path / "people").stat().st_size <= small + 4096
    assert gallery.people == {"Ada": 64}


ON_A_FULL_DISK = """
import os, sys
import numpy as np
from facekit import FileFormatError, Gallery
path, filling = sys.argv[1:]
with Gallery.create(path, "example@1", 2) as gallery:
    gallery.enroll("Ada", [[1.0, 0.0]], ["ada.jpg"])
    gallery.enroll("Mary", [[0.0, 1.0]] * 500, ["mary.jpg"] * 500)
    gallery.remove_images(image.id for image in gallery.images("Mary")[1:])
before = sorted(os.listdir(os.path.dirname(path)))
rest = os.open(filling, os.O_CREAT | os.O_WRONLY)
try:
    while True:
        os.write(rest, bytes(1024))
except OSError:
    os.close(rest)
with Gallery.open(path) as gallery:
    assert gallery.people == {"Ada": 1, "Mary": 1}
    gallery.check()
    for change in (
        gallery.compact,
        lambda: gallery.enroll("Grace", [[0.0, 1.0]], ["grace.jpg"]),
        lambda: gallery.remove("Ada"),
    ):
        try:
            change()
        except FileFormatError as error:
            assert "the disk is full" in str(error), error
        else:
            raise AssertionError("there was room")
    assert gallery.people == {"Ada": 1, "Mary": 1}
    os.unlink(filling)
    gallery.enroll("Grace", [[0.0, 1.0]], ["grace.jpg"])
    gallery.compact()
    gallery.check()
with Gallery.open(path) as gallery:
    assert gallery.people == {"Ada": 1, "Grace": 1, "Mary": 1}
assert sorted(os.listdir(os.path.dirname(path))) == before
"""


def test_a_gallery_on_a_full_disk_is_read(tmp_path: Path) -> None:
    """SQLite needs room for a log, also to read."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m none "$1" && shift && "$@"']
    if shutil.which("unshare") is None or subprocess.run([*mounted, "sh", disk, "true"]).returncode:
        pytest.skip("a disk cannot be mounted here")
    work = [sys.executable, "-c", ON_A_FULL_DISK, disk / "people", disk / "filling"]
    answer = subprocess.run(
        [*map(str, [*mounted, "sh", disk, *work])], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
