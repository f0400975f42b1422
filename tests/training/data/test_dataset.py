"""Laws of data sets: a face has its person's label, and nobody is on both sides of a split."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_datasets import (
    CountingDetector,
    face_at,
    numbered_faces,
    numbers_of,
    people_with,
    portrait,
    write_images,
)

from facekit import Aligner, Detector, FileFormatError, InvalidArgumentError
from facekit.errors import TrainingDataError, TrainingDataWarning
from facekit.report import OutcomeStatus
from facekit.training import FaceDataset

names = st.sampled_from(["Ann", "Bob", "Zoë", "", None])


def from_folder(path: Path, detector: Any = None, **arguments: Any) -> FaceDataset:
    arguments = {"input_size": 32, "cache": path.parent / "cache", **arguments}
    return FaceDataset.from_folder(path, detector=detector or CountingDetector(), **arguments)


# Labels, subsets, splits


@given(st.lists(names, min_size=1, max_size=12))
def test_label_is_the_place_of_the_person(people: list[str | None]) -> None:
    data = FaceDataset.from_arrays(numbered_faces(len(people)), people)
    assert data.labels.dtype == np.int32
    assert list(data.identities) == sorted({person for person in people if person})
    found = [data.identities[label] if label >= 0 else None for label in data.labels]
    assert found == [person or None for person in people]


@given(people=st.lists(names, min_size=1, max_size=12), data=st.data())
def test_subset_keeps_each_face_with_its_person(
    people: list[str | None], data: st.DataObject
) -> None:
    whole = FaceDataset.from_arrays(numbered_faces(len(people)), people)
    chosen = data.draw(st.lists(st.integers(0, len(people) - 1), max_size=8))
    part = whole.subset(chosen)
    everything = list(range(len(part)))
    assert numbers_of(part.images(everything)) == chosen
    assert part.keys == tuple(whole.keys[index] for index in chosen)
    assert list(part.identities) == sorted({people[index] or "" for index in chosen} - {""})
    assert [part.identities[label] if label >= 0 else None for label in part.labels] == [
        people[index] or None for index in chosen
    ]


@pytest.mark.filterwarnings("ignore::facekit.errors.TrainingDataWarning")
@given(
    counts=st.lists(st.integers(1, 5), min_size=2, max_size=20),
    unknown=st.integers(0, 3),
    validation=st.floats(0.01, 0.99) | st.integers(1, 19),
    seed=st.integers(0, 99),
)
def test_split_puts_nobody_on_both_sides(
    counts: list[int], unknown: int, validation: float, seed: int
) -> None:
    data = people_with(counts, unknown)
    if validation >= len(counts):
        with pytest.raises(InvalidArgumentError, match=f"^validation, .*got {validation}"):
            data.split(validation)
        return
    train, held_out = data.split(validation, seed=seed)
    assert not set(train.identities) & set(held_out.identities)
    assert sorted([*train.identities, *held_out.identities]) == list(data.identities)
    assert sorted([*train.keys, *held_out.keys], key=int) == list(data.keys)
    assert (held_out.labels >= 0).all()
    wanted = validation if isinstance(validation, int) else validation * len(counts)
    assert abs(len(held_out.identities) - wanted) <= 1
    assert held_out.keys == data.split(validation, seed=seed)[1].keys


def test_split_holds_out_people_with_pairs() -> None:
    counts = [1] * 40 + [3] * 10
    _, held_out = people_with(counts).split(0.1)
    assert sorted(np.bincount(held_out.labels).tolist()) == [1, 1, 1, 1, 3]


@pytest.mark.parametrize(
    ("counts", "validation", "held_out"),
    [([4, 4], 0.5, "1 of 2 people"), ([1, 1, 1, 3], 1, "1 of 4"), ([1] * 6, 3, "3 of 6 .* 0 of")],
)
def test_a_split_that_leaves_too_little_to_validate_with_says_so(
    counts: list[int], validation: float, held_out: str
) -> None:
    with pytest.warns(TrainingDataWarning, match=f"^{held_out}.* validation needs two people"):
        people_with(counts).split(validation)


def test_other_seed_splits_otherwise() -> None:
    data = people_with([2] * 30)
    assert data.split(seed=0)[1].keys != data.split(seed=1)[1].keys


@pytest.mark.parametrize("validation", [0, 1.0, 0.0, -1, 5, True, "half", None, float("nan")])
def test_split_that_cannot_be_is_named(validation: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^validation, .* must be .*, got"):
        people_with([2] * 5).split(validation)


def test_one_person_cannot_be_split() -> None:
    with pytest.raises(TrainingDataError, match="needs at least two people, the data set has 1"):
        people_with([9]).split()


@pytest.mark.parametrize("indices", [[-1], [3], [0.5], [[0]], ["a"], [True]])
def test_index_of_no_face_is_named(indices: Any) -> None:
    data = people_with([3])
    for read in (data.images, data.subset):
        with pytest.raises(InvalidArgumentError, match=r"indices must be .* from 0 to 2, got"):
            read(indices)


def test_no_indices_give_no_faces() -> None:
    assert people_with([3]).images([]).shape == (0, 16, 16, 3)


@pytest.mark.parametrize(
    ("images", "people", "keys", "name"),
    [
        (np.zeros((2, 8, 8, 3)), ["A", "B"], None, "images must be uint8"),
        (np.zeros((2, 8, 9, 3), np.uint8), ["A", "B"], None, "images must be uint8"),
        (np.zeros((8, 8, 3), np.uint8), ["A"], None, "images must be uint8"),
        ([[0]], ["A"], None, "images must be uint8"),
        (np.zeros((2, 8, 8, 3), np.uint8), ["A"], None, "equally many, got 2, 1"),
        (np.zeros((1, 8, 8, 3), np.uint8), ["A"], [], "equally many, got 1, 1 and 0"),
    ],
)
def test_arrays_that_do_not_fit_are_named(images: Any, people: Any, keys: Any, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        FaceDataset.from_arrays(images, people, keys=keys)


# Folders


def test_folder_gives_the_aligned_face_of_each_image(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "people", {"Bob": 3, "Ann": 2})
    data = from_folder(folder)
    assert data.identities == ("Ann", "Bob")
    assert data.labels.tolist() == [0, 0, 1, 1, 1]
    assert [Path(key).relative_to(folder).as_posix() for key in data.keys] == [
        *("Ann/0.png", "Ann/1.png"),
        *("Bob/0.png", "Bob/1.png", "Bob/2.png"),
    ]
    expected = [Aligner(32).align(key, [face_at(5, 5, 30)])[0] for key in data.keys]
    assert np.array_equal(data.images(range(5)), expected)


def test_images_of_a_folder_are_searched_once(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "people", {"Ann": 3, "Bob": 2})
    detector = CountingDetector()
    first = from_folder(folder, detector)
    assert detector.seen == 5
    # A photo more, one renamed, and one person renamed.
    portrait(99).save(folder / "Ann" / "new.png")
    (folder / "Ann" / "0.png").rename(folder / "Ann" / "renamed.png")
    (folder / "Bob").rename(folder / "Rob")
    second = from_folder(folder, detector)
    assert detector.seen == 6
    assert second.identities == ("Ann", "Rob")
    assert np.array_equal(second.images([3, 4, 5]), first.images([0, 3, 4]))
    assert Path(second.keys[3]).name == "renamed.png"


def test_changed_image_is_searched_again(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "people", {"Ann": 2, "Bob": 2})
    detector = CountingDetector()
    first = from_folder(folder, detector)
    portrait(77).save(folder / "Bob" / "1.png")
    second = from_folder(folder, detector)
    assert detector.seen == 5
    assert not np.array_equal(second.images([3]), first.images([3]))


@pytest.mark.parametrize(
    "arguments",
    [
        {"input_size": 24},
        {"aligner": Aligner(32, "crop")},
        {"aligner": Aligner(32, margin=0.5)},
        {"cache": Path("elsewhere")},
    ],
)
def test_other_settings_are_not_answered_from_the_cache(
    tmp_path: Path, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_images(tmp_path / "people", {"Ann": 2})
    detector = CountingDetector()
    from_folder(folder, detector)
    from_folder(folder, detector, **arguments)
    assert detector.seen == 4


def test_cache_lies_in_facekits_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path / "home"))
    from_folder(write_images(tmp_path / "people", {"Ann": 2}), cache=None)
    (cache,) = (tmp_path / "home" / "faces").iterdir()
    assert cache.name.startswith("faces-32-")


def test_everything_left_out_is_reported(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "people", {"Ann": 2, "Bob": 1})
    (folder / "Ann" / "broken.png").write_bytes((folder / "Ann" / "0.png").read_bytes()[:200])
    (folder / "Ann" / "empty.jpg").touch()
    (folder / "Ann" / "gone.jpg").symlink_to(folder / "nowhere")
    (folder / "Ann" / "notes.txt").write_text("tall")
    (folder / "Bob" / "again.png").write_bytes((folder / "Ann" / "1.png").read_bytes())
    (folder / "Zoë").mkdir()
    portrait(50).save(folder / "beside.png")
    data = from_folder(folder)
    left_out = {Path(o.source).name: (o.status, o.detail) for o in data.report.left_out}
    assert {name: status for name, (status, _) in left_out.items()} == {
        "broken.png": "unreadable",
        "empty.jpg": "unreadable",
        "gone.jpg": "unreadable",
        "notes.txt": "not an image",
        "again.png": "duplicate",
        "Zoë": "not an image",
        "beside.png": "not an image",
    }
    assert left_out["empty.jpg"][1] == "is empty (0 bytes)"
    assert left_out["again.png"][1] == f"the same image as {folder / 'Ann' / '1.png'} (Ann)"
    assert len(data) == 3
    assert len(data.report.outcomes) == 10
    assert all(name in data.report.summary() for name in left_out)


def test_unreadable_image_is_tried_again(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "people", {"Ann": 2})
    content = (folder / "Ann" / "0.png").read_bytes()
    (folder / "Ann" / "0.png").write_bytes(content[:200])
    assert [o.status for o in from_folder(folder).report.outcomes] == ["unreadable", "used"]
    (folder / "Ann" / "0.png").write_bytes(content)
    assert len(from_folder(folder)) == 2


@pytest.mark.parametrize(
    ("faces", "status"),
    [([face_at(1, 1, 9), face_at(5, 5, 30)], "several faces"), ([face_at(5, 5, 30)], "used")],
)
def test_largest_face_is_taken(tmp_path: Path, faces: list[Any], status: OutcomeStatus) -> None:
    folder = write_images(tmp_path / "people", {"Ann": 1})
    data = from_folder(folder, CountingDetector(*faces))
    assert data.report.counts == {status: 1}
    expected = Aligner(32).align(data.keys[0], [face_at(5, 5, 30)])
    assert np.array_equal(data.images([0]), expected)


def test_image_without_a_face_is_searched_once(tmp_path: Path) -> None:
    class Blind(CountingDetector):
        def detect(self, image: Any) -> list[Any]:
            return super().detect(image)[: self.seen % 2]

    folder = write_images(tmp_path / "people", {"Ann": 4})
    detector = Blind()
    for _ in range(2):
        data = from_folder(folder, detector)
        assert data.report.counts == {"used": 2, "no face": 2}
    assert detector.seen == 4


def test_folder_without_a_face_is_an_error_with_the_report(tmp_path: Path) -> None:
    (tmp_path / "people" / "Ann").mkdir(parents=True)
    (tmp_path / "people" / "Ann" / "a.jpg").write_text("no picture")
    with pytest.raises(TrainingDataError, match=r"no face can be used\n(.|\n)*a\.jpg"):
        from_folder(tmp_path / "people")


def test_empty_and_missing_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingDataError, match="empty: holds no folders"):
        from_folder(tmp_path / "empty")
    with pytest.raises(TrainingDataError, match="nowhere: no such folder"):
        from_folder(tmp_path / "nowhere")


def test_aligner_of_another_size_is_named(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "people", {"Ann": 1})
    with pytest.raises(InvalidArgumentError, match=r"faces of 160 pixels, but input_size is 32"):
        from_folder(folder, aligner=Aligner())


def test_damaged_cache_is_named_and_a_new_one_can_be_made(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "people", {"Ann": 2})
    from_folder(folder)
    (cache,) = (tmp_path / "cache").iterdir()
    cache.write_bytes(b"\0" * 100)
    with pytest.raises(FileFormatError, match="delete it"):
        from_folder(folder)
    cache.unlink()
    assert len(from_folder(folder)) == 2


def test_detector_finds_the_portraits_of_a_folder(known: Path, detector: Detector) -> None:
    data = from_folder(known, detector, input_size=64)
    assert data.identities == ("Eileen", "Grace")
    assert {outcome.status for outcome in data.report.outcomes} <= {"used", "several faces"}
    # The faces are in the middle: the corners differ more from them than they from each other.
    assert data.images([0, 1]).shape == (2, 64, 64, 3)


# Manifests


def write_manifest(folder: Path, text: str) -> Path:
    (folder / "faces.csv").write_text(text, encoding="utf-8")
    return folder / "faces.csv"


def from_csv(path: Path, **arguments: Any) -> FaceDataset:
    arguments = {"input_size": 32, "cache": path.parent / "cache", **arguments}
    return FaceDataset.from_csv(path, detector=CountingDetector(), **arguments)  # type: ignore[arg-type]


def test_manifest_names_images_and_people(tmp_path: Path) -> None:
    write_images(tmp_path / "photos", {"1": 2, "2": 2})
    manifest = write_manifest(
        tmp_path,
        f"note,path,identity\nx,photos/1/0.png,Zoë\nx,{tmp_path}/photos/1/1.png, Zoë\n"
        "x,photos/2/0.png,\nx,photos/2/1.png,Ann\nx,photos/3.png,Ann\nx,,Ann\n",
    )
    data = from_csv(manifest)
    assert data.identities == ("Ann", "Zoë")
    assert data.labels.tolist() == [1, 1, -1, 0]
    assert [o.status for o in data.report.left_out] == ["unreadable", "not an image"]
    assert data.report.left_out[1].source.endswith("faces.csv, line 7")


def test_columns_of_a_manifest_may_have_other_names(tmp_path: Path) -> None:
    write_images(tmp_path / "photos", {"1": 1})
    manifest = write_manifest(tmp_path, "\ufefffile,who\nphotos/1/0.png,Ann\n")
    data = from_csv(manifest, path_column="file", identity_column="who")
    assert data.identities == ("Ann",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no column path, identity; its first line names nothing"),
        ("path,person\na.png,Ann\n", "no column identity; its first line names path, person"),
        ("path,identity\n", "lists no photos"),
        ("path,identity\na.png,Ann\n", "no face can be used"),
    ],
)
def test_manifest_that_cannot_be_used_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TrainingDataError, match=words):
        from_csv(write_manifest(tmp_path, text))


def test_manifest_that_is_no_text_or_missing_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "faces.png")
    with pytest.raises(TrainingDataError, match=r"faces\.png: cannot be read as CSV in UTF-8"):
        from_csv(tmp_path / "faces.png")
    with pytest.raises(TrainingDataError, match=r"ghost\.csv: no such file"):
        from_csv(tmp_path / "ghost.csv")


# A killed process

PREPARE = """
import sys, time
from pathlib import Path
import small_datasets
from facekit.training import FaceDataset

# The cache keeps the detectors apart by the names of their classes.
class CountingDetector(small_datasets.CountingDetector):
    def detect(self, image):
        found = super().detect(image)
        if self.seen == 30:
            time.sleep(1)  # the faces before are being written
            print("stuck", flush=True)
            time.sleep(600)
        return found

folder = Path(sys.argv[1])
cache = folder.parent / "cache"
FaceDataset.from_folder(folder, input_size=32, detector=CountingDetector(), cache=cache)
"""


def test_killed_preparation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "people", {"Ann": 40, "Bob": 40})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PREPARE, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"stuck\n"
        process.kill()
    detector = CountingDetector()
    data = from_folder(folder, detector)
    assert detector.seen < 80
    whole = from_folder(folder, cache=tmp_path / "other")
    assert data.keys == whole.keys
    assert np.array_equal(data.images(range(80)), whole.images(range(80)))
