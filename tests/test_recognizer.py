"""FaceRecognizer with a small random embedder: everything but the names' correctness."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekit import (
    Aligner,
    Architecture,
    Detector,
    Embedder,
    EnrollmentError,
    FacekitError,
    FaceRecognizer,
    FileFormatError,
    Gallery,
    IdentityClassifier,
    ImageError,
    InvalidArgumentError,
    QualityGate,
    YuNetDetector,
    load_image,
)
from facekit.errors import (
    CalibrationWarning,
    EnrollmentWarning,
    NoFaceError,
    NotFittedError,
    RandomWeightsWarning,
)
from facekit.identification.defaults import default_classifier
from facekit.parts import detector_from_dict, detector_to_dict
from tests.forging import forgeries

SMALL = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    with pytest.warns(RandomWeightsWarning):
        return Embedder(weights=None, architecture=SMALL)


@pytest.fixture
def recognizer(embedder: Embedder, detector: Detector) -> FaceRecognizer:
    # Random embeddings crowd together, so the threshold is tight: the same picture or nobody.
    return FaceRecognizer(
        embedder=embedder,
        detector=detector,
        classifier=IdentityClassifier("nearest", threshold=1e-3),
    )


@pytest.fixture
def fitted(recognizer: FaceRecognizer, hopper: Path, astronaut: Path) -> FaceRecognizer:
    return recognizer.fit({"Grace": hopper, "Eileen": astronaut}, progress=False)


@pytest.fixture
def both(hopper: Path, astronaut: Path) -> np.ndarray:
    left, right = load_image(hopper), load_image(astronaut)
    height = min(len(left), len(right))
    return np.hstack([left[:height], right[:height]])


def content(path: Path) -> bytes:
    """Returns all bytes of a gallery."""
    files = [path, *path.rglob("*"), *path.parent.glob(f"{path.name}-*")]
    return b"".join(file.read_bytes() for file in files if file.is_file())


def names(recognizer: FaceRecognizer, image: object) -> list[str | None]:
    return [face.name for face in recognizer.recognize(image)]  # type: ignore[arg-type]


def test_names_the_images_it_was_fitted_with(
    fitted: FaceRecognizer, hopper: Path, astronaut: Path
) -> None:
    assert names(fitted, hopper) == ["Grace"]
    assert names(fitted, astronaut) == ["Eileen"]


def test_a_stranger_is_none_and_shown_as_unknown(
    recognizer: FaceRecognizer, hopper: Path, astronaut: Path
) -> None:
    recognizer.fit({"Grace": hopper}, progress=False)
    (stranger,) = recognizer.recognize(astronaut)
    assert stranger.name is None
    assert stranger.label == "unknown"
    assert stranger.candidate == "Grace"
    assert stranger.distance > stranger.threshold == recognizer.threshold


def test_a_folder_a_mapping_and_pairs_give_the_same(
    recognizer: FaceRecognizer, known: Path, hopper: Path, astronaut: Path
) -> None:
    galleries = []
    for images in (
        known,
        str(known),
        {"Eileen": [astronaut], "Grace": known / "Grace"},
        [("Eileen", astronaut), ("Grace", hopper)],
        iter([("Eileen", load_image(astronaut)), ("Grace", hopper.read_bytes())]),
    ):
        recognizer.fit(images, progress=False)
        assert recognizer.people == {"Eileen": 1, "Grace": 1}
        galleries.append(recognizer.gallery.embeddings)
    for embeddings in galleries[1:]:
        np.testing.assert_array_equal(embeddings, galleries[0])


def test_images_left_out_are_named(
    recognizer: FaceRecognizer, known: Path, both: np.ndarray
) -> None:
    (known / "Grace" / "broken.jpg").write_bytes(b"no picture")
    (known / "Grace" / "notes.txt").write_text("no picture either")
    (known / "Eileen" / ".hidden.jpg").write_bytes(b"")
    from PIL import Image

    Image.new("RGB", (200, 200)).save(known / "Eileen" / "black.png")
    Image.fromarray(both).save(known / "Eileen" / "two.png")
    Image.new("RGB", (200, 200)).save(known / "stray.png")
    with pytest.warns(EnrollmentWarning) as caught:
        recognizer.fit(known, progress=False)
    report = recognizer.report_
    assert report is not None
    statuses = {Path(o.source).name: o.status for o in report.left_out}
    assert statuses == {
        "broken.jpg": "unreadable",
        "notes.txt": "not an image",
        "black.png": "no face",
        "stray.png": "not an image",
    }
    assert [Path(o.source).name for o in report.several_faces] == ["two.png"]
    for name in (*statuses, "two.png"):
        assert name in str(caught[0].message)
    assert recognizer.people == {"Eileen": 2, "Grace": 1}


def test_the_largest_of_several_faces_is_enrolled(
    recognizer: FaceRecognizer, both: np.ndarray, hopper: Path
) -> None:
    with pytest.warns(EnrollmentWarning, match="2 faces found"):
        recognizer.fit({"Largest": both}, progress=False)
    largest = max(recognizer.recognize(both), key=lambda result: result.face.area)
    assert largest.name == "Largest"


def test_a_person_without_a_usable_image_is_said(recognizer: FaceRecognizer, hopper: Path) -> None:
    black = np.zeros((100, 100, 3), dtype=np.uint8)
    with pytest.warns(EnrollmentWarning, match="not enrolled for lack of a usable photo: Nobody"):
        recognizer.fit({"Nobody": black, "Grace": hopper}, progress=False)
    assert recognizer.people == {"Grace": 1}


def test_nothing_usable_is_an_error_and_changes_nothing(
    fitted: FaceRecognizer, hopper: Path, tmp_path: Path
) -> None:
    black = np.zeros((100, 100, 3), dtype=np.uint8)
    with pytest.raises(EnrollmentError, match="photo 1 of Nobody"):
        fitted.fit({"Nobody": black}, progress=False)
    with pytest.raises(EnrollmentError, match=r"missing\.jpg"):
        fitted.enroll("Grace", tmp_path / "missing.jpg", progress=False)
    assert fitted.people == {"Eileen": 1, "Grace": 1}
    assert names(fitted, hopper) == ["Grace"]


@pytest.mark.parametrize(
    "images", [{}, [], 3, "no/such/folder", [("only one",)], [3], {"": "x.jpg"}]
)
def test_images_of_a_wrong_form_are_an_error(recognizer: FaceRecognizer, images: object) -> None:
    with pytest.raises((EnrollmentError, InvalidArgumentError)):
        recognizer.fit(images, progress=False)  # type: ignore[arg-type]


def test_enroll_adds_and_remove_forgets(
    recognizer: FaceRecognizer, hopper: Path, astronaut: Path
) -> None:
    recognizer.enroll("Grace", hopper, progress=False)
    before = recognizer.gallery.embeddings.copy()
    report = recognizer.enroll("Eileen", [astronaut, load_image(astronaut)], progress=False)
    assert len(report.used) == 2
    assert names(recognizer, astronaut) == ["Eileen"]
    assert recognizer.remove("Eileen") == 2
    assert recognizer.people == {"Grace": 1}
    assert names(recognizer, astronaut) == [None]
    assert recognizer.report_ is not None
    assert recognizer.report_.people == {}
    np.testing.assert_array_equal(recognizer.gallery.embeddings, before)


def test_an_open_file_is_one_image(recognizer: FaceRecognizer, hopper: Path) -> None:
    with hopper.open("rb") as stream:
        report = recognizer.enroll("Grace", stream, progress=False)
    assert [outcome.source for outcome in report.used] == [str(hopper)]
    recognizer.enroll("Grace", io.BytesIO(hopper.read_bytes()), progress=False)
    assert recognizer.people == {"Grace": 2}


def test_the_threshold_of_the_classifier_counts(
    fitted: FaceRecognizer, embedder: Embedder, astronaut: Path, tmp_path: Path
) -> None:
    mirrored = np.ascontiguousarray(load_image(astronaut)[:, ::-1])
    assert names(fitted, mirrored) == [None]
    fitted.classifier.threshold = np.float32(2.0)
    assert fitted.recognize(mirrored)[0].name is not None
    fitted.save(tmp_path / "people.facekit")
    loaded = FaceRecognizer.load(tmp_path / "people.facekit", embedder=embedder)
    assert loaded.recognize(mirrored) == fitted.recognize(mirrored)


def test_a_removed_person_leaves_the_report_in_any_spelling_of_the_name(hopper: Path) -> None:
    recognizer = FaceRecognizer("facekit-small")
    recognizer.enroll("Zo\u00eb", hopper)
    assert recognizer.remove(" Zoe\u0308") == 1
    assert recognizer.report_.outcomes == ()


def test_removing_the_last_person_leaves_nobody_to_recognize(
    recognizer: FaceRecognizer, hopper: Path
) -> None:
    recognizer.fit({"Grace": hopper}, progress=False)
    recognizer.remove("Grace")
    with pytest.raises(NotFittedError, match="no one is enrolled"):
        recognizer.recognize(hopper)
    with pytest.raises(EnrollmentError, match="Grace"):
        recognizer.remove("Grace")


def test_a_removed_person_is_gone_from_the_file_saved_after(
    fitted: FaceRecognizer, tmp_path: Path
) -> None:
    path = tmp_path / "people.facekit"
    fitted.save(path)
    assert b"Eileen" in content(path)
    embedding = fitted.gallery.embeddings[fitted.gallery.names.index("Eileen")]
    erased = embedding[:8].tobytes()  # a longer part may lie on two pages of the file
    assert erased in content(path)
    fitted.remove("Eileen")
    fitted.save(path)
    assert b"Eileen" not in content(path)
    assert b"astronaut" not in content(path)
    assert erased not in content(path)


def test_nobody_enrolled_is_an_error(recognizer: FaceRecognizer, hopper: Path) -> None:
    with pytest.raises(NotFittedError):
        recognizer.recognize(hopper)
    with pytest.raises(NotFittedError):
        recognizer.save("nothing.facekit")


def test_batch_equals_one_by_one(
    fitted: FaceRecognizer, hopper: Path, astronaut: Path, both: np.ndarray
) -> None:
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    images = [hopper, black, both, astronaut]
    batch = fitted.recognize_batch((image for image in images), progress=False)
    single = [fitted.recognize(image) for image in images]
    assert [[face.name for face in faces] for faces in batch] == [
        [face.name for face in faces] for faces in single
    ]
    assert [len(faces) for faces in batch] == [1, 0, 2, 1]
    for ours, theirs in zip(batch, single, strict=True):
        assert [f.distance for f in ours] == pytest.approx([f.distance for f in theirs], abs=1e-4)
    assert fitted.recognize_batch([], progress=False) == []


def test_one_image_given_as_a_batch_is_an_error(fitted: FaceRecognizer, hopper: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="recognize"):
        fitted.recognize_batch(str(hopper))


def test_a_bad_image_is_an_error_that_names_it(fitted: FaceRecognizer, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        fitted.recognize(tmp_path / "missing.jpg")


def test_verify_same_different_and_no_face(
    recognizer: FaceRecognizer, hopper: Path, astronaut: Path
) -> None:
    same = recognizer.verify(hopper, hopper)
    assert same.same
    assert same.distance == pytest.approx(0.0, abs=1e-6)
    different = recognizer.verify(hopper, astronaut)
    assert not different.same
    assert different.distance == pytest.approx(
        recognizer.verify(astronaut, hopper).distance, abs=1e-6
    )
    with pytest.raises(NoFaceError, match="the second image"):
        recognizer.verify(hopper, np.zeros((90, 90, 3), dtype=np.uint8))


@pytest.mark.parametrize("apart", [0, 70])
def test_one_file_under_two_names_is_reported(
    embedder: Embedder, detector: Detector, hopper: Path, apart: int
) -> None:
    classifier = IdentityClassifier(threshold=0.05)
    recognizer = FaceRecognizer(
        embedder=embedder, detector=detector, classifier=classifier, quality=None
    )
    # More photos than are written at a time may lie between the two.
    cut = np.asarray(load_image(hopper))[::4, ::4]
    between = [(f"person {number}", cut) for number in range(apart)]
    with pytest.warns(EnrollmentWarning, match="the same file is enrolled as (Grace|Again)"):
        recognizer.fit(
            [("Grace", hopper), *between, ("Again", hopper)], cropped=True, progress=False
        )
    assert {"Again", "Grace"} <= set(recognizer.people)


@pytest.mark.filterwarnings("ignore:.*the same file is enrolled as")
@pytest.mark.parametrize("strategy", ["svm", "nearest"])
def test_save_and_load_give_the_same_answers_to_the_bit(
    embedder: Embedder,
    detector: Detector,
    both: np.ndarray,
    hopper: Path,
    astronaut: Path,
    tmp_path: Path,
    strategy: str,
) -> None:
    original = FaceRecognizer(
        embedder=embedder,
        detector=detector,
        aligner=Aligner(80, "crop", margin=0.4),
        classifier=IdentityClassifier(strategy, threshold=0.05),  # type: ignore[arg-type]
    )
    original.fit({"Grace": hopper, "Eileen": astronaut, "Again": hopper}, progress=False)
    original.save(tmp_path / "people.facekit")
    loaded = FaceRecognizer.load(tmp_path / "people.facekit", embedder=embedder)
    assert loaded.recognize(both) == original.recognize(both)
    assert loaded.people == original.people
    assert loaded.gallery.sources == original.gallery.sources
    assert loaded.aligner.to_dict() == original.aligner.to_dict()
    assert repr(loaded.detector) == repr(original.detector)


def test_what_is_not_a_gallery_is_an_error_and_is_not_replaced(
    fitted: FaceRecognizer, embedder: Embedder, tmp_path: Path
) -> None:
    (tmp_path / "letter.txt").write_text("Dear reader")
    with pytest.raises(FileFormatError, match=r"letter\.txt"):
        FaceRecognizer.load(tmp_path / "letter.txt", embedder=embedder)
    with pytest.raises(FileFormatError, match=r"letter\.txt"):
        fitted.save(tmp_path / "letter.txt")
    assert (tmp_path / "letter.txt").read_text() == "Dear reader"
    with pytest.raises(FileFormatError, match="missing"):
        FaceRecognizer.load(tmp_path / "missing.facekit", embedder=embedder)


def test_other_weights_are_an_error_that_names_both(fitted: FaceRecognizer, tmp_path: Path) -> None:
    fitted.save(tmp_path / "people.facekit")
    with pytest.warns(RandomWeightsWarning):
        other = Embedder(weights=None, architecture=SMALL, seed=7)
    with pytest.raises(InvalidArgumentError) as caught:
        FaceRecognizer.load(tmp_path / "people.facekit", embedder=other)
    assert other.record.identity in str(caught.value)
    assert fitted.embedder.record.identity in str(caught.value)
    with pytest.raises(InvalidArgumentError, match="embedder="):
        FaceRecognizer.load(tmp_path / "people.facekit")


def test_parts_that_do_not_fit_are_an_error(embedder: Embedder) -> None:
    nearest = IdentityClassifier("nearest", threshold=1.0)
    with pytest.raises(InvalidArgumentError, match="side 160"):
        FaceRecognizer(embedder=embedder, aligner=Aligner(160), classifier=nearest)
    with pytest.raises(InvalidArgumentError, match="threshold"):
        FaceRecognizer(embedder=embedder, classifier=IdentityClassifier(threshold=None))
    with pytest.raises(InvalidArgumentError, match="threshold="):
        FaceRecognizer(embedder=embedder)
    with pytest.raises(InvalidArgumentError, match="not both"):
        FaceRecognizer("facenet-20180402-vggface2", embedder=embedder)


@pytest.fixture(scope="module")
def celebrities(data_folder: Path) -> tuple[FaceRecognizer, Path]:
    recognizer = FaceRecognizer(classifier=IdentityClassifier("centroid", fpir=0.02))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EnrollmentWarning)
        recognizer.fit(data_folder / "five_celebrities" / "train", progress=False)
    return recognizer, data_folder


def test_names_every_celebrity_and_nobody_else(celebrities: tuple[FaceRecognizer, Path]) -> None:
    recognizer, data = celebrities
    for image in sorted((data / "five_celebrities" / "val").glob("*/*.jpg")):
        assert {name for name in names(recognizer, image) if name} == {image.parent.name}, image


@pytest.mark.check
def test_refuses_nearly_all_strangers(celebrities: tuple[FaceRecognizer, Path]) -> None:
    # Two strangers' faces in a hundred may get a name, within a factor of two.
    recognizer, data = celebrities
    images = sorted((data / "lfw").glob("*/*_0001.jpg"))[:120]
    named = [name is not None for image in images for name in names(recognizer, image)]
    assert len(named) >= len(images)
    assert np.mean(named) <= 0.04


def test_another_process_gives_the_same_answers_to_the_bit(
    celebrities: tuple[FaceRecognizer, Path], tmp_path: Path
) -> None:
    recognizer, data = celebrities
    path = tmp_path / "people.facekit"
    recognizer.save(path)
    image = sorted((data / "five_celebrities" / "val").glob("*/*.jpg"))[0]
    program = (
        "import sys; from facekit import FaceRecognizer;"
        "print(repr(FaceRecognizer.load(sys.argv[1]).recognize(sys.argv[2])))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(path), str(image)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == repr(recognizer.recognize(image))


def test_the_gallery_knows_where_an_embedding_comes_from(
    recognizer: FaceRecognizer, hopper: Path, astronaut: Path
) -> None:
    recognizer.fit(
        {"Grace": hopper, "Eileen": [astronaut.read_bytes(), load_image(astronaut)]}, progress=False
    )
    (grace,) = recognizer.gallery.images("Grace")
    of_file, of_array = recognizer.gallery.images("Eileen")
    assert grace.source == str(hopper)
    assert grace.sha256 == hashlib.sha256(hopper.read_bytes()).hexdigest()
    assert of_file.sha256 == hashlib.sha256(astronaut.read_bytes()).hexdigest()
    assert of_array.sha256 is None
    (face,) = recognizer.detector.detect(hopper)
    assert grace.box == pytest.approx(face.box)


def test_the_default_follows_from_what_is_known_of_the_weights(
    recognizer: FaceRecognizer, hopper: Path, astronaut: Path
) -> None:
    calibrated = FaceRecognizer("facekit-small")
    assert calibrated.classifier.strategy == "centroid"
    calibrated.fit({"Grace": hopper}, progress=False)
    for_one = calibrated.threshold
    calibrated.enroll("Eileen", astronaut)
    assert calibrated.threshold < for_one
    record = replace(calibrated.embedder.record, distances=None)
    assert default_classifier(record).threshold == record.threshold()


@pytest.fixture(scope="module")
def small() -> Embedder:
    return Embedder("facekit-small")


def test_a_cohort_sets_the_threshold_at_which_its_faces_are_named(
    tmp_path: Path, small: Embedder, hopper: Path, astronaut: Path
) -> None:
    calibrated = FaceRecognizer(
        embedder=small,
        classifier=IdentityClassifier("nearest", fpir=0.05),
    ).fit({"Grace": hopper}, progress=False)
    size = small.embedding_size
    cohort = np.random.default_rng(0).normal(size=(2000, size))
    cohort[:, 0] += 2.0  # strangers who resemble each other
    cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)
    without = calibrated.threshold
    threshold = calibrated.calibrate(cohort)
    assert threshold != without
    named = np.mean([found.name is not None for found in calibrated.identify(cohort)])
    assert 0.025 <= named <= 0.1
    calibrated.save(tmp_path / "people.facekit")
    loaded = FaceRecognizer.load(tmp_path / "people.facekit", embedder=small)
    assert loaded.threshold == threshold
    loaded.enroll("Eileen", astronaut, progress=False)
    assert loaded.calibration.probes == len(cohort)  # follows later changes
    assert loaded.calibrate() != threshold
    assert loaded.calibration.probes == 0


def test_enrolled_images_are_left_out_of_a_cohort() -> None:
    """One in fifty would make the threshold so low that no one is named."""
    generator = np.random.default_rng(0)
    recognizer = FaceRecognizer("facekit-small")
    faces = generator.normal(size=(1020, recognizer.embedder.embedding_size))
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    known, strangers = faces[:20], faces[20:]
    names = [f"person {number}" for number in range(len(known))]
    recognizer.gallery.extend(names, known, names)
    expected = recognizer.calibrate(strangers)
    with pytest.warns(EnrollmentWarning, match="20 of 1020 faces are those of enrolled images"):
        assert recognizer.calibrate(faces) == expected
    for refused, message in (
        (known, "every face is that of an enrolled image"),
        (strangers[:0], "at least one face"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            recognizer.calibrate(refused)
        assert recognizer.threshold == expected, "a call that fails changes nothing"


def test_a_cohort_of_images_is_embedded_and_what_is_unusable_is_named(
    tmp_path: Path, small: Embedder, hopper: Path, astronaut: Path
) -> None:
    folder = tmp_path / "cohort" / "inside"
    folder.mkdir(parents=True)
    shutil.copy(astronaut, folder / "a.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    calibrated = FaceRecognizer(embedder=small)
    calibrated.fit({"Grace": hopper}, progress=False)
    with pytest.warns(EnrollmentWarning, match="broken.jpg"):
        calibrated.calibrate(tmp_path / "cohort", progress=False)
    assert calibrated.calibration.probes == 1
    with pytest.raises(InvalidArgumentError, match="no face in any"):
        calibrated.calibrate([folder / "broken.jpg"])
    with pytest.raises(InvalidArgumentError, match="cohort"):
        calibrated.calibrate(np.zeros((2, 3)))
    with pytest.raises(NotFittedError):
        FaceRecognizer(embedder=small).calibrate(np.zeros((0, 128)))


def test_people_who_resemble_each_other_are_a_warning(small: Embedder) -> None:
    size = small.embedding_size
    gallery = Gallery(small.record.identity, size)
    alike = np.random.default_rng(0).normal(scale=0.02, size=(8, size))
    alike[:, 0] = 1.0
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    names = [f"person {number}" for number in range(8)]
    gallery.extend(names, alike, names)
    with pytest.warns(CalibrationWarning, match="resemble"):
        FaceRecognizer(embedder=small, gallery=gallery).calibrate()


def test_the_calibration_that_a_gallery_keeps_is_used(recognizer: FaceRecognizer) -> None:
    gallery = Gallery(recognizer.embedder.record.identity, recognizer.embedder.embedding_size)
    gallery.set_settings({"calibration": {"strategy": "centroid", "fpir": 0.02}})
    kept = FaceRecognizer(embedder=recognizer.embedder, gallery=gallery).classifier
    assert (kept.strategy, kept.fpir, kept.threshold) == ("centroid", 0.02, "auto")
    own = IdentityClassifier("nearest", threshold=0.5)
    chosen = FaceRecognizer(embedder=recognizer.embedder, gallery=gallery, classifier=own)
    assert chosen.classifier.strategy == "nearest"


def test_detector_by_name_is_kept_with_its_parameters() -> None:
    recognizer = FaceRecognizer("facekit-small", detector="yunet")
    assert repr(recognizer.detector) == "YuNetDetector()"
    kept = detector_to_dict(YuNetDetector(upscale=2, threads=1))
    assert repr(detector_from_dict(json.loads(json.dumps(kept)), "file")) == (
        "YuNetDetector(upscale=2)"
    )
    with pytest.raises(InvalidArgumentError, match="detector"):
        FaceRecognizer("facekit-small", detector="viola-jones")


def test_parts_that_do_not_fit_leave_no_gallery(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="threshold="):
        FaceRecognizer(embedder=embedder, gallery=tmp_path / "people.facekit")
    assert list(tmp_path.iterdir()) == []


def test_warnings_name_the_line_of_the_caller(recognizer: FaceRecognizer, both: np.ndarray) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", EnrollmentWarning)
        recognizer.fit({"Ann": both}, progress=False)
        recognizer.enroll("Ann", both, progress=False)
        recognizer.enroll_people({"Ann": both}, progress=False)
    assert [warning.filename for warning in warned] == [__file__] * 3


def test_classifier_that_lost_its_threshold_has_none(small: Embedder) -> None:
    recognizer = FaceRecognizer(embedder=small)
    recognizer.classifier.threshold = None
    with pytest.raises(InvalidArgumentError, match="needs a threshold"):
        recognizer.threshold  # noqa: B018
    assert recognizer.verification_threshold == small.record.threshold()


def test_cohort_is_not_read_when_no_one_is_enrolled(recognizer: FaceRecognizer) -> None:
    def images() -> Iterator[np.ndarray]:
        raise AssertionError("read")
        yield

    with pytest.raises(NotFittedError, match="no one is enrolled"):
        recognizer.calibrate(images(), progress=False)


def test_parameters_of_numpy_are_kept(
    embedder: Embedder, hopper: Path, tmp_path: Path, recognizer: FaceRecognizer
) -> None:
    own = FaceRecognizer(
        embedder=embedder,
        detector=Detector(
            min_face_size=np.float32(30),
            thresholds=np.array([0.5, 0.7, 0.8]),
            max_faces=np.int64(1),
            complete_pyramid=np.bool_(True),
            rotations=range(0, 360, 90),
        ),
        quality=QualityGate(min_side=np.float32(20)),
        classifier=recognizer.classifier,
        gallery=tmp_path / "people.facekit",
    ).fit({"Grace": hopper}, progress=False)
    own.save(tmp_path / "people.facekit")
    kept = FaceRecognizer.load(tmp_path / "people.facekit", embedder=embedder)
    assert repr(kept.detector) == (
        "Detector(min_face_size=30.0, thresholds=(0.5, 0.7, 0.8), max_faces=1, "
        "complete_pyramid=True, rotations=(0, 90, 180, 270))"
    )
    assert kept.quality == own.quality


def test_forged_parameters_are_refused_or_used(
    recognizer: FaceRecognizer, hopper: Path, tmp_path: Path
) -> None:
    path, embedder = tmp_path / "people.facekit", recognizer.embedder
    recognizer.enroll("Grace", hopper, progress=False)
    recognizer.save(path)
    refused = used = 0
    with Gallery.open(path) as gallery:
        kept = gallery.settings
        calibrated = {**kept, "calibration": {"strategy": "centroid", "fpir": 0.02}}
        for forged in (
            *forgeries(kept, "shift", "cohort", some=4),
            *forgeries(calibrated, "calibration", some=4),
        ):
            gallery.set_settings(forged)
            try:
                assert FaceRecognizer.load(path, embedder=embedder).people == {"Grace": 1}
                used += 1
            except FacekitError:
                refused += 1
    assert refused > used > 0
