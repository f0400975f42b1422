"""Laws of the pipeline: the one way of an image, walked by everything, losing nothing."""

from __future__ import annotations

import copy
import os
import pickle
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from other_processes import METHODS, in_another_process
from PIL import Image

from facekit import (
    Aligner,
    Architecture,
    Detector,
    EnrollmentError,
    Face,
    FaceDetector,
    FaceEmbedder,
    FacePipeline,
    FaceRecognizer,
    FileFormatError,
    Gallery,
    IdentityClassifier,
    ImageError,
    InvalidArgumentError,
    QualityGate,
    cluster_images,
    load_image,
)
from facekit.embedding.weights.registry import WeightsRecord
from facekit.errors import BatchError, ImageWarning
from facekit.evaluation import evaluate_lfw
from facekit.evaluation.lfw import Pair
from facekit.io.images import read_image
from facekit.io.people import PersonImage
from facekit.pipeline import content_sha256, face_in_box

SIDE = 16


class Marked:
    """Finds a face wherever the first row of an image holds one, and counts the images."""

    def __init__(self, concurrency: int = 1) -> None:
        self.concurrency = concurrency
        self.seen: list[int] = []
        self._lock = threading.Lock()

    def detect_batch(self, images: Any) -> list[list[Face]]:
        with self._lock:
            self.seen += [int(image[0, 0, 0]) for image in images]
        return [
            [face_in_box((10.0 * n + 1, 1.0, 9.0, 12.0)) for n in range(int(image[0, 0, 1]))]
            for image in images
        ]


class Shades:
    """Embeds the mean color of a face."""

    input_size, embedding_size = SIDE, 3
    record = WeightsRecord("shades", "1", Architecture(), {"size": SIDE}, thresholds={0.001: 0.1})

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed(self, aligned: Any) -> Any:
        self.batches.append(len(aligned))
        colors = 1.0 + aligned.mean(axis=(1, 2), dtype=np.float32)
        return (colors / np.linalg.norm(colors, axis=1, keepdims=True)).astype(np.float32)


def marked(number: int, faces: int, color: tuple[int, int, int] = (10, 200, 30)) -> np.ndarray:
    image = np.full((40, 10 * max(faces, 1) + 40, 3), color, dtype=np.uint8)
    image[0, 0] = (number, faces, 0)
    return image


def recognizer(detector: Any = None, **options: Any) -> FaceRecognizer:
    return FaceRecognizer(
        detector=detector or Marked(),
        embedder=Shades(),
        classifier=IdentityClassifier("nearest", threshold=0.1),
        quality=None,
        naming_quality=None,
        **options,
    )


RED, GREEN = (220, 20, 20), (20, 220, 20)


def write(folder: Path, **people: tuple[int, int, int]) -> Path:
    """Writes a folder of a person for each color, with three different photos."""
    for name, color in people.items():
        (folder / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(marked(number, 1, color)).save(folder / name / f"{number}.png")
    return folder


# One result for each image


@given(st.lists(st.integers(0, 4), max_size=90), st.integers(1, 3))
def test_each_image_has_its_faces_in_order(counts: list[int], concurrency: int) -> None:
    detector, embedder = Marked(concurrency), Shades()
    images = (marked(number, faces) for number, faces in enumerate(counts))
    found = list(FacePipeline(detector, embedder).run(images))
    assert [image.index for image in found] == list(range(len(counts)))
    assert [len(image.faces) for image in found] == counts == [image.found for image in found]
    assert sorted(detector.seen) == list(range(len(counts)))
    assert sum(embedder.batches) == sum(counts)
    for image in found:
        for face in image.faces:
            assert np.linalg.norm(face.unit) == pytest.approx(1.0, abs=1e-5)
            assert face.aligned is None


class Together(Marked):
    """Searches up to four small images at once, and refuses those of an odd number."""

    images_together = 4

    def __init__(self, concurrency: int) -> None:
        super().__init__(concurrency)
        self.groups: list[list[int]] = []

    def detect_batch(self, images: Any) -> list[list[Face]]:
        numbers = [int(image[0, 0, 0]) for image in images]
        self.groups.append(numbers)
        if any(number % 2 for number in numbers):
            raise ImageError("odd")
        return super().detect_batch(images)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 3))
def test_small_images_are_searched_together_and_fail_alone(
    numbers: list[int], concurrency: int
) -> None:
    detector = Together(concurrency)
    found = list(FacePipeline(detector, Shades()).run(marked(number, 1) for number in numbers))
    assert [len(image.faces) for image in found] == [1 - number % 2 for number in numbers]
    assert [image.error is None for image in found] == [number % 2 == 0 for number in numbers]
    assert all(1 <= len(group) <= 4 for group in detector.groups)
    assert sorted(detector.seen) == sorted(number for number in numbers if number % 2 == 0)


def test_large_images_are_searched_alone() -> None:
    detector = Together(1)
    large = np.resize(marked(2, 1), (800, 700, 3))
    large[0, 0] = (2, 1, 0)
    images = [large if place % 5 == 4 else marked(0, 1) for place in range(20)]
    found = list(FacePipeline(detector, Shades()).run(images))
    assert [len(image.faces) for image in found] == [1] * 20
    assert all(group == [2] for group in detector.groups if 2 in group)


@given(st.lists(st.booleans(), max_size=30))
def test_bad_images_take_nothing_from_the_others(good: list[bool]) -> None:
    images = [marked(n, 1) if fine else b"no image" for n, fine in enumerate(good)]
    found = list(FacePipeline(Marked(), Shades()).run(images))
    assert [image.error is None for image in found] == good
    assert [len(image.faces) for image in found] == list(map(int, good))


def test_bytes_of_a_view_with_gaps_are_those_of_a_file(hopper: Path) -> None:
    content = hopper.read_bytes()
    with_gaps = memoryview(bytes(byte for byte in content for _ in range(2)))[::2]
    run = FacePipeline(Marked(), Shades()).run([with_gaps, content, marked(0, 1)], digests=True)
    one, other, last = run
    assert (one.size, one.sha256) == (other.size, other.sha256)
    assert one.error is last.error is None


def test_one_corrupt_file_among_two_hundred(tmp_path: Path) -> None:
    (tmp_path / "corrupt.jpg").write_bytes(b"no image")
    images: list[Any] = [marked(number, 1) for number in range(200)]
    images[77] = tmp_path / "corrupt.jpg"
    people = recognizer().fit({"Ann": images[0]}, progress=False)
    results = list(people.recognize_stream(images))
    assert [result.index for result in results if result.error is not None] == [77]
    assert sum(len(result.faces) for result in results) == 199
    with pytest.raises(BatchError, match=r"1 of 200 images.*corrupt\.jpg") as caught:
        people.recognize_batch(images, progress=False)
    assert caught.value.results[77] is None
    assert sum(answer is not None for answer in caught.value.results) == 199


def test_faces_are_chosen_and_kept_aligned() -> None:
    pipeline = FacePipeline(Marked(), aligner=Aligner(SIDE))
    (image,) = pipeline.run([marked(0, 3)], select="largest")
    assert (image.found, len(image.faces)) == (3, 1)
    assert image.faces[0].aligned is not None
    assert image.faces[0].aligned.shape == (SIDE, SIDE, 3)
    with pytest.raises(InvalidArgumentError, match="not embedded"):
        image.faces[0].unit  # noqa: B018
    (image,) = pipeline.run([marked(0, 3)], select="central")
    assert image.faces[0].face.box[0] == 21.0
    with pytest.raises(InvalidArgumentError, match="select"):
        pipeline.run([], select="smallest")  # type: ignore[arg-type]


def test_cropped_images_are_faces_as_a_whole() -> None:
    detector = Marked()
    (image,) = FacePipeline(detector, Shades(), quality=QualityGate()).run(
        [marked(0, 0)], cropped=True
    )
    assert [face.face.box for face in image.faces] == [(0.0, 0.0, 50.0, 40.0)]
    assert not [text for text in image.faces[0].problems if "border" in text]
    assert detector.seen == []


def test_known_faces_are_not_detected_again() -> None:
    detector, face = Marked(), face_in_box((5.0, 5.0, 20.0, 20.0))
    images = [marked(0, 1), marked(1, 1)]
    found = list(FacePipeline(detector, Shades()).run(images, known=[[face], []]))
    assert [[one.face for one in image.faces] for image in found] == [[face], []]
    assert detector.seen == []


def test_an_embedder_starts_while_the_first_image_is_searched() -> None:
    started = threading.Event()

    class Slow(Shades):
        starts = 0

        def warm_up(self) -> None:
            self.starts += 1
            started.set()
            raise RuntimeError("what fails here is reported where faces are embedded")

    class Waiting(Marked):
        def detect_batch(self, images: Any) -> list[list[Face]]:
            assert started.wait(60)
            return super().detect_batch(images)

    embedder = Slow()
    found = list(FacePipeline(Waiting(), embedder).run([marked(number, 1) for number in range(3)]))
    assert [len(image.faces) for image in found] == [1, 1, 1]
    assert embedder.starts == 1


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="side 80"):
        FacePipeline(Marked(), Shades(), aligner=Aligner(80))
    with pytest.raises(InvalidArgumentError, match="embedder"):
        FacePipeline(Marked())


def test_parts_that_answer_for_fewer_are_refused() -> None:
    class Forgetful(Marked):
        def detect_batch(self, images: Any) -> list[list[Face]]:
            return super().detect_batch(images)[1:]

    class Silent(Marked):
        def detect_batch(self, images: Any) -> Any:
            return None

    class Sparse(Shades):
        def embed(self, aligned: Any) -> Any:
            return super().embed(aligned)[1:]

    for pipeline, message in (
        (FacePipeline(Forgetful(), Shades()), "the detector gave 0 answers for 1 images"),
        (FacePipeline(Silent(), Shades()), "the detector gave None answers for 1 images"),
        (FacePipeline(Marked(), Sparse()), "the embedder gave 1 answers for 2 faces"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            list(pipeline.run([marked(0, 2)]))
    with pytest.raises(InvalidArgumentError, match="known gave 0 answers for 1 images"):
        list(FacePipeline(Marked(), Shades()).run([marked(0, 2)], known=[]))


def test_hash_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"content")
    assert content_sha256(tmp_path / "a.png") == content_sha256(b"content")
    assert content_sha256(marked(0, 1)) is content_sha256(tmp_path / "none.png") is None


# Everything walks through it


def test_everything_detects_through_the_pipeline_alone(tmp_path: Path) -> None:
    detector = Marked()
    people = recognizer(detector)
    images = write(tmp_path, Ann=RED, Bob=GREEN)
    paths = sorted(images.glob("*/*.png"))

    def counted(work: Any, expected: int) -> None:
        detector.seen.clear()
        work()
        assert len(detector.seen) == expected

    counted(lambda: people.fit(images, progress=False), 6)
    counted(lambda: people.enroll("Cay", marked(9, 1), progress=False), 1)
    counted(lambda: people.recognize(paths[0]), 1)
    counted(lambda: people.recognize_batch(paths, progress=False), 6)
    counted(lambda: list(people.recognize_stream(images / "Ann")), 3)
    counted(lambda: people.explain(paths[0]), 1)
    counted(lambda: people.verify(paths[0], paths[1]), 2)
    counted(lambda: people.cluster(images, progress=False), 6)
    parts: dict[str, Any] = {"detector": detector, "embedder": Shades()}
    counted(lambda: cluster_images(images, threshold=0.1, progress=False, **parts), 6)
    pairs = [
        Pair(fold, f"{first}/{fold}.png", f"{second}/{fold + 1}.png", first == second)
        for fold in (0, 1)
        for first, second in (("Ann", "Ann"), ("Ann", "Bob"))
    ]
    aligners = {mode: Aligner(SIDE, mode) for mode in ("similarity", "crop")}  # type: ignore[arg-type]
    counted(lambda: evaluate_lfw(images, pairs, aligners=aligners, progress=False, **parts), 5)


# Stand-ins


class Centered:
    def detect_batch(self, images: Any) -> list[list[Face]]:
        return [[face_in_box((10.0, 10.0, 20.0, 20.0))] for _ in images]


def test_detector_of_three_lines_works_everywhere(tmp_path: Path) -> None:
    assert isinstance(Centered(), FaceDetector)
    assert isinstance(Detector(), FaceDetector)
    assert isinstance(Shades(), FaceEmbedder)
    people = recognizer(Centered()).fit({"Ann": marked(0, 1, RED)}, progress=False)
    (face,) = people.recognize(marked(1, 1, RED))
    assert face.name == "Ann"
    people.save(tmp_path / "people.facekit")
    with pytest.raises(InvalidArgumentError, match=r"Centered.*detector="):
        FaceRecognizer.load(tmp_path / "people.facekit", embedder=Shades())
    loaded = FaceRecognizer.load(
        tmp_path / "people.facekit", embedder=Shades(), detector=Centered()
    )
    assert loaded.recognize(marked(1, 1, RED)) == [face]


class Tiled:
    """Searches twenty parts of each image with another detector."""

    def detect_batch(self, images: Any) -> list[list[Face]]:
        own = Detector()
        found = [own.detect_batch([image[:, 8 * n :] for n in range(20)]) for image in images]
        assert [len(parts) for parts in found] == [20] * len(images)
        return [parts[0] for parts in found]


def test_detector_may_use_another_for_many_images(hopper: Path) -> None:
    found = list(FacePipeline(Tiled(), Shades()).run([hopper] * 2))
    assert [len(image.faces) for image in found] == [1, 1]


def test_embeddings_are_named_without_an_image() -> None:
    people = recognizer().fit({"Ann": marked(0, 1, RED)}, progress=False)
    (known, stranger) = people.identify(np.vstack([people.gallery.embeddings, [[0, 0, 1]]]))
    assert (known.name, known.candidate, known.label) == ("Ann", "Ann", "Ann")
    assert (stranger.name, stranger.candidate, stranger.label) == (None, "Ann", "unknown")


def test_changed_parts_act_at_once_or_are_refused() -> None:
    people = recognizer().fit({"Ann": marked(0, 1, RED)}, progress=False)
    people.detector = Centered()
    assert len(people.recognize(marked(0, 3, RED))) == 1
    people.classifier.threshold = 0.0
    assert people.recognize(marked(0, 1, GREEN))[0].name is None
    people.classifier.threshold = None
    with pytest.raises(InvalidArgumentError, match="needs a threshold"):
        people.recognize(marked(0, 1, GREEN))
    people.classifier = IdentityClassifier("centroid", threshold=2.0)
    assert people.recognize(marked(0, 1, GREEN))[0].name == "Ann"
    people.aligner = Aligner(SIDE + 1)
    with pytest.raises(InvalidArgumentError, match="side 17"):
        people.recognize(marked(0, 1))
    people.aligner = Aligner(SIDE)
    people.gallery = Gallery("other@1", 3)
    with pytest.raises(InvalidArgumentError, match="other@1"):
        people.recognize(marked(0, 1))


# Interrupted


class Interrupted(Marked):
    """Is interrupted, as by Ctrl-C, at an image."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def detect_batch(self, images: Any) -> list[list[Face]]:
        if len(self.seen) == self.at:
            raise KeyboardInterrupt
        return super().detect_batch(images)


@pytest.mark.parametrize("at", [0, 1, 4, 5])
def test_interrupted_enrollment_keeps_what_is_done_and_goes_on(tmp_path: Path, at: int) -> None:
    images, path = write(tmp_path / "photos", Ann=RED, Bob=GREEN), tmp_path / "people.facekit"
    people = recognizer(Interrupted(at), gallery=path)
    with pytest.raises(KeyboardInterrupt):
        people.enroll_people(images, progress=False)
    assert len(people.gallery) == at
    assert len(people.report_.used) == at
    people.detector = Marked()
    report = people.enroll_people(images, progress=False)
    assert (len(report.already_enrolled), len(report.used)) == (at, 6 - at)
    assert len(people.detector.seen) == 6 - at
    assert people.people == {"Ann": 3, "Bob": 3}
    assert not people.enroll_people(images, progress=False).used


@pytest.mark.parametrize("at", [0, 1, 5])
def test_interrupted_clustering_keeps_what_is_done_and_goes_on(tmp_path: Path, at: int) -> None:
    images, journal = write(tmp_path / "photos", Ann=RED, Bob=GREEN), tmp_path / "out" / "journal"
    options: dict[str, Any] = {
        "embedder": Shades(), "quality": QualityGate.off(), "threshold": 0.1, "progress": False
    }  # fmt: skip
    expected = cluster_images(images, detector=Marked(), **options)
    with pytest.raises(KeyboardInterrupt):
        cluster_images(images, detector=Interrupted(at), journal=journal, **options)
    assert journal.exists()
    detector = Interrupted(10)
    found = cluster_images(images, detector=detector, journal=journal, **options)
    assert len(detector.seen) == 6 - at
    assert found == expected
    assert not journal.exists()
    with pytest.raises(KeyboardInterrupt):
        cluster_images(images, detector=Interrupted(at), journal=journal, **options)
    other = Marked()  # the faces of another detector are not taken for its own
    assert cluster_images(images, detector=other, journal=journal, **options) == expected
    assert len(other.seen) == 6


def test_clustering_interrupted_while_grouping_keeps_the_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, journal = write(tmp_path / "photos", Ann=RED, Bob=GREEN), tmp_path / "journal"
    options: dict[str, Any] = {"embedder": Shades(), "quality": None, "threshold": 0.1}

    def interrupted(faces: Any, **_: Any) -> None:
        if len(faces):
            raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr("facekit.clustering.albums.cluster", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cluster_images(images, detector=Marked(), journal=journal, **options)
    again = Marked()
    assert len(cluster_images(images, detector=again, journal=journal, **options).groups) == 2
    assert not again.seen


def test_a_journal_does_not_replace_another_file(tmp_path: Path) -> None:
    images, path = write(tmp_path / "photos", Ann=RED), tmp_path / "people.facekit"
    Gallery.create(path, "example@1", 4).close()
    with pytest.raises(FileFormatError, match=r"people\.facekit: .* not a journal"):
        cluster_images(images, embedder=Shades(), detector=Marked(), threshold=0.1, journal=path)
    with Gallery.open(path) as gallery:
        gallery.check()


@pytest.mark.parametrize("at", [1, 5])
def test_interrupted_fit_changes_nothing_and_goes_on(tmp_path: Path, at: int) -> None:
    images, path = write(tmp_path / "photos", Ann=RED, Bob=GREEN), tmp_path / "people.facekit"
    people = recognizer(gallery=path)
    people.enroll("Cay", marked(9, 1), progress=False)
    people.detector = Interrupted(at)
    with pytest.raises(KeyboardInterrupt):
        people.fit(images, progress=False)
    assert people.people == {"Cay": 1}
    people.detector = Marked()
    people.fit(images, progress=False)
    assert len(people.detector.seen) == 6 - at
    assert people.people == {"Ann": 3, "Bob": 3}
    assert sorted(file.name for file in tmp_path.iterdir() if "partial" in file.name) == []


def test_fit_after_an_interrupted_one_forgets_images_that_it_was_not_given(tmp_path: Path) -> None:
    people = recognizer(Interrupted(3), gallery=tmp_path / "people.facekit")
    with pytest.raises(KeyboardInterrupt):
        people.fit(write(tmp_path / "one", Ann=RED, Bob=GREEN), progress=False)
    people.detector = Marked()
    people.fit(write(tmp_path / "other", Cay=GREEN), progress=False)
    assert people.people == {"Cay": 3}


def test_fit_does_not_resume_from_one_that_judged_faces_differently(tmp_path: Path) -> None:
    images = write(tmp_path / "photos", Ann=RED, Bob=GREEN)
    people = recognizer(Interrupted(3), gallery=tmp_path / "people.facekit")
    with pytest.raises(KeyboardInterrupt):
        people.fit(images, progress=False)
    people.detector = Marked()
    people.fit(images, cropped=True, progress=False)
    assert people.people == {"Ann": 3, "Bob": 3}
    assert {image.box for image in people.gallery.images()} == {(0.0, 0.0, 50.0, 40.0)}


def test_a_marked_face_takes_the_place_of_the_largest_in_an_interrupted_fit(tmp_path: Path) -> None:
    images = write(tmp_path / "photos", Ann=RED)
    file = tmp_path / "two.png"
    Image.fromarray(marked(7, 2)).save(file)
    people = recognizer(Interrupted(1), gallery=tmp_path / "people.facekit")
    with pytest.raises(KeyboardInterrupt):
        people.fit([("Ann", file), ("Ann", images / "Ann" / "0.png")], progress=False)
    people.detector = Marked()
    second = (11.0, 1.0, 9.0, 12.0)
    tags = [PersonImage("Ann", "two.png", file, box=second)]
    people.fit(tags, progress=False)
    assert [image.box for image in people.gallery.images()] == [second]
    assert [one.status for one in people.enroll_people(tags, progress=False).outcomes] == [
        "already enrolled"
    ]


@pytest.mark.parametrize("enrolled", [True, False])
def test_who_is_erased_is_gone_from_an_interrupted_fit(tmp_path: Path, enrolled: bool) -> None:
    images, path = write(tmp_path / "photos", Annabel=RED, Bob=GREEN), tmp_path / "people.facekit"
    people = recognizer(gallery=path)
    if enrolled:
        people.enroll("Annabel", marked(9, 1), progress=False)
    people.detector = Interrupted(5)
    with pytest.raises(KeyboardInterrupt):
        people.fit(images, progress=False)

    def holding() -> list[str]:
        return [file.name for file in tmp_path.glob("people*") if b"Annabel" in file.read_bytes()]

    assert holding()
    if enrolled:
        people.remove("Annabel")
    else:
        with pytest.raises(EnrollmentError, match="no one is enrolled"):
            people.remove("Annabel")
    assert holding() == []
    people.gallery.clear()
    people.detector = Marked()
    people.fit(images, progress=False)
    assert len(people.detector.seen) == 6, "clear erased Bob, too"


class Picture(np.ndarray):  # unlike a plain array it can be referred to weakly
    pass


def test_images_of_a_generator_are_not_kept(tmp_path: Path) -> None:
    seen: list[weakref.ref[Any]] = []
    most = 0

    def pairs() -> Iterator[tuple[str, Any]]:
        nonlocal most
        for number in range(100):
            large = np.zeros((2000, 2000, 3), np.uint8).view(Picture)
            large[:40, :50] = marked(number, 1)
            seen.append(weakref.ref(large))
            most = max(most, sum(reference() is not None for reference in seen))
            yield "Ann", large

    assert recognizer().fit(pairs(), progress=False).people == {"Ann": 100}
    assert most <= 6  # 32 MiB of 12 MB, the one in work and the one just made


def test_large_images_are_in_memory_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(9)]
    for path in paths:
        Image.new("RGB", (900, 800)).save(path)
    seen: list[weakref.ref[Any]] = []

    def read(source: Any, **reading: Any) -> Any:
        assert not [reference for reference in seen if reference() is not None]
        image = read_image(source, **reading)
        image = replace(image, pixels=image.pixels.view(Picture))
        seen.append(weakref.ref(image.pixels))
        return image

    for module in ("pipeline", "detection.base"):
        monkeypatch.setattr(f"facekit.{module}.read_image", read)
    assert len(list(FacePipeline(Together(1), Shades()).run(paths))) == 9
    assert len(Detector(threads=1).detect_batch(paths)) == 9
    assert len(seen) == 18


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_folder_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    images = write(tmp_path, Ann=RED, Bob=GREEN)
    (images / "Bob").chmod(0)
    if os.access(images / "Bob", os.R_OK):
        pytest.skip("the superuser can read everything")
    people = recognizer()
    with pytest.warns(match="Bob.*cannot be read"):
        people.fit(images, progress=False)
    (images / "Bob").chmod(0o700)


def test_image_that_vanishes_is_reported(tmp_path: Path) -> None:
    images = write(tmp_path, Ann=RED)
    pairs = [("Ann", path) for path in sorted(images.glob("*/*.png"))]
    pairs[1][1].unlink()
    people = recognizer()
    with pytest.warns(match=r"1\.png"):
        people.fit(pairs, progress=False)
    assert [outcome.status for outcome in people.report_.outcomes] == [
        "enrolled", "unreadable", "enrolled"
    ]  # fmt: skip


def test_nothing_usable_leaves_no_partial_gallery(tmp_path: Path) -> None:
    people = recognizer(gallery=tmp_path / "people.facekit")
    with pytest.raises(EnrollmentError):
        people.fit({"Ann": marked(0, 0)}, progress=False)
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


# Copies, processes, forks


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory, hopper: Path) -> FaceRecognizer:
    path = tmp_path_factory.mktemp("people") / "people.facekit"
    return FaceRecognizer("facekit-small", gallery=path).fit({"Grace": hopper}, progress=False)


def names(people: FaceRecognizer, image: Path) -> list[str | None]:
    return [face.name for face in people.recognize(image)]


def test_copies_answer_alike(on_disk: FaceRecognizer, hopper: Path) -> None:
    for other in (pickle.loads(pickle.dumps(on_disk)), copy.deepcopy(on_disk)):
        assert other.recognize(hopper) == on_disk.recognize(hopper)
        assert other.gallery.path == on_disk.gallery.path


@pytest.mark.parametrize("method", METHODS)
def test_other_processes_answer_alike(on_disk: FaceRecognizer, hopper: Path, method: str) -> None:
    (face,) = in_another_process(on_disk.recognize, hopper, method=method)
    assert face.name == "Grace"


@pytest.mark.skipif("fork" not in METHODS, reason="this system has no fork")
def test_fork_while_other_threads_recognize(on_disk: FaceRecognizer, hopper: Path) -> None:
    (face,) = in_another_process(on_disk.recognize, hopper, method="fork", busy_threads=2)
    assert face.name == "Grace"


def test_joblib_answers_alike(on_disk: FaceRecognizer, hopper: Path) -> None:
    joblib = pytest.importorskip("joblib")  # comes with scikit-learn
    parallel = joblib.Parallel(n_jobs=2, timeout=120)
    assert parallel(joblib.delayed(names)(on_disk, hopper) for _ in range(2)) == [["Grace"]] * 2


# Decoding no more than the search needs


def large_jpeg(path: Path, portrait: Path, times: int) -> Path:
    with Image.open(portrait) as image:
        image.convert("RGB").resize((512 * times, 512 * times)).save(path, quality=95)
    return path


def test_a_large_jpeg_is_decoded_no_larger_than_it_is_searched(
    tmp_path: Path, astronaut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[int] = []
    whole = Aligner.align

    def align(aligner: Aligner, image: Any, faces: Any) -> Any:
        sides.append(len(image))
        return whole(aligner, image, faces)

    monkeypatch.setattr("facekit.pipeline.Aligner.align", align)
    path = large_jpeg(tmp_path / "large.jpg", astronaut, 6)
    pipeline = FacePipeline(
        Detector(max_image_side=700), aligner=Aligner(64), quality=QualityGate()
    )
    pixels = load_image(path)
    (reduced,) = pipeline.run([path], keep_aligned=True)
    (full,) = pipeline.run([pixels], keep_aligned=True)
    # The gate and the aligner each cut a face out: of a quarter of the image, or of all of it.
    assert sides == [768, 768, 3072, 3072]
    assert reduced.size == full.size == (3072, 3072)
    assert (reduced.found, full.found) == (1, 1)
    one, other = reduced.faces[0], full.faces[0]
    tolerance = 0.02 * other.face.box[2]
    np.testing.assert_allclose(one.face.box, other.face.box, atol=tolerance)
    np.testing.assert_allclose(
        one.face.keypoints.to_array(), other.face.keypoints.to_array(), atol=tolerance
    )
    assert one.aligned is not None
    assert other.aligned is not None
    assert np.abs(one.aligned.astype(int) - other.aligned).mean() < 6
    assert one.quality is not None
    assert other.quality is not None
    assert one.quality.interocular == pytest.approx(other.quality.interocular, rel=0.05)
    assert one.quality.side == pytest.approx(other.quality.side, rel=0.05)


def test_a_face_that_would_be_enlarged_is_cut_out_of_the_whole_image(
    tmp_path: Path, astronaut: Path
) -> None:
    path = large_jpeg(tmp_path / "large.jpg", astronaut, 6)
    detector = Detector(max_image_side=400)
    pipeline = FacePipeline(detector, aligner=Aligner(160))
    (found,) = pipeline.run([path], keep_aligned=True)
    (full,) = pipeline.run([load_image(path)], keep_aligned=True)
    one, other = found.faces[0].aligned, full.faces[0].aligned
    assert one is not None
    assert other is not None
    # Reduced to 384 pixels, the face would have no detail of one pixel.
    assert np.diff(one.astype(int), axis=1).std() > 0.9 * np.diff(other.astype(int), axis=1).std()
    # Beyond max_pixels, what was decoded for the search has to do.
    (small,) = pipeline.run([path], keep_aligned=True, max_pixels=1_000_000)
    assert small.error is None
    np.testing.assert_allclose(small.faces[0].face.box, found.faces[0].face.box)


def test_a_detector_alone_gives_boxes_of_the_whole_image(tmp_path: Path, astronaut: Path) -> None:
    path = large_jpeg(tmp_path / "large.jpg", astronaut, 6)
    detector = Detector(max_image_side=700)
    (face,) = detector.detect(path)
    assert detector.detect_batch([path]) == [[face]]
    (other,) = detector.detect(load_image(path))
    np.testing.assert_allclose(face.box, other.box, atol=0.02 * other.box[2])
    with pytest.raises(ImageError, match="raise max_pixels"):
        Detector().detect(path, max_pixels=1_000_000)
    assert detector.detect(path, max_pixels=1_000_000) == [face]
    region = (0.0, 0.0, 3072.0, 2000.0)
    assert detector.detect(path, region=region) == detector.detect(load_image(path), region=region)


def test_what_is_there_of_an_incomplete_jpeg_is_used_if_so_asked(
    tmp_path: Path, hopper: Path
) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(hopper.read_bytes()[:-2000])
    pipeline = FacePipeline(Detector(), aligner=Aligner(64))
    (refused,) = pipeline.run([path])
    assert refused.error is not None
    with pytest.warns(ImageWarning, match=r"cut\.jpg: the file ends early"):
        (used,) = pipeline.run([path], truncated="use")
    assert (used.error, used.found) == (None, 1)
