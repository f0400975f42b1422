"""Arguments of a wrong kind: the error is facekit's own, and names the argument."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit import (
    Aligner,
    Detector,
    Embedder,
    Face,
    FaceRecognizer,
    Gallery,
    IdentityClassifier,
    ImageError,
    InvalidArgumentError,
    Keypoints,
    QualityGate,
    YuNetDetector,
    cluster,
    cluster_images,
)
from facekit.errors import FileFormatError
from facekit.evaluation import evaluate_verification, read_pairs, roc
from facekit.gallery import repair
from facekit.gallery.records import FaceSource
from facekit.io.sources import image_items
from facekit.quality import measure_quality

BLACK = np.zeros((40, 40, 3), dtype=np.uint8)
POINTS = Keypoints((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))
FACE = Face((10, 12, 80, 100), 0.98, POINTS)
CORNERS = np.eye(4, dtype=np.float32)
RAGGED = [[1, 2], [3]]
SCALAR = np.array(1.0)


def verified(**arguments: Any) -> None:
    given: dict[str, Any] = {
        "distances": [0.4, 1.3, 0.6, 1.2],
        "same": [True, False, True, False],
        "folds": [0, 0, 1, 1],
    }
    evaluate_verification(**{**given, **arguments})


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: Aligner().align(BLACK, None), "faces must be a list, got None"),  # type: ignore[arg-type]
        (lambda: Aligner().align(BLACK, [FACE, POINTS]), r"faces\[1\] must be a Face"),  # type: ignore[list-item]
        (lambda: Aligner().align(BLACK, FACE), "faces must be a list"),  # type: ignore[arg-type]
        (lambda: measure_quality(BLACK, POINTS), "face must be a Face"),  # type: ignore[arg-type]
        (lambda: measure_quality(BLACK, Face), "face must be a Face"),  # type: ignore[arg-type]
        (lambda: QualityGate().assess(BLACK, FACE, scale=-1.0), "scale must be a number above 0"),
        (lambda: Detector(thresholds=SCALAR), "thresholds must be three numbers"),  # type: ignore[arg-type]
        (lambda: Detector(rotations=RAGGED), "rotations must be some of"),  # type: ignore[arg-type]
        (lambda: YuNetDetector(rotations=RAGGED), "rotations must be some of"),  # type: ignore[arg-type]
        (lambda: Detector().detect(BLACK, region=SCALAR), "region must be"),  # type: ignore[arg-type]
        (lambda: Embedder("facekit-small").embed(None), "faces must be uint8"),  # type: ignore[arg-type]
        (lambda: Embedder("facekit-small").embed(iter([BLACK])), "faces must be uint8"),  # type: ignore[arg-type]
        (lambda: cluster(CORNERS, threshold=1.0, images=RAGGED), "images must be an array"),  # type: ignore[arg-type]
        (lambda: cluster(CORNERS, threshold=1.0, same=None), "same must hold real numbers"),  # type: ignore[arg-type]
        (lambda: cluster(CORNERS, threshold=1.0, same=[0, 1]), "same must be pairs"),  # type: ignore[list-item]
        (lambda: cluster(CORNERS, threshold=1.0, different=RAGGED), "different must be an array"),  # type: ignore[arg-type]
        (lambda: cluster(CORNERS, threshold=1.0, same=CORNERS), "same must be pairs"),  # type: ignore[arg-type]
        (lambda: verified(folds=RAGGED), "folds must be an array"),
        (lambda: verified(false_match_rates=0.1), "false_match_rates must be a list"),
        (lambda: verified(false_match_rates=["0.1"]), "false_match_rates must be a number"),
        (lambda: verified(false_match_rates=[-0.1]), "false_match_rates must be a number"),
        (lambda: roc([0.4, 1.3], RAGGED), "same must be an array"),
        (lambda: image_items(-1), "the number of a camera must be"),
        (lambda: image_items(10**400), "the number of a camera must be"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(call: Callable[[], object], named: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{named}"):
        call()


@pytest.mark.parametrize("path", ["pairs\0.txt", "", "."])
def test_pairs_at_an_impossible_path_are_named(path: str) -> None:
    with pytest.raises(FileFormatError, match="cannot be read as a file of pairs"):
        read_pairs(Path(path))


def test_an_image_of_an_impossible_name_is_its_own_error_and_no_picture() -> None:
    recognizer = FaceRecognizer("facekit-small")
    recognizer.gallery.enroll("Ada", np.eye(1, 128), ["y" * 5000])
    (found,) = recognizer.recognize_stream("x" * 5000)
    assert isinstance(found.error, ImageError)
    assert "Ada" in recognizer.gallery._repr_html_()


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder("facekit-small")


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("detector", Detector, "detector must be a FaceDetector, got <class"),
        ("detector", "", 'detector must be "mtcnn" or "yunet"'),
        ("detector", {}, "detector must be a FaceDetector"),
        ("embedder", "facekit-small", "embedder must be a FaceEmbedder, got 'facekit-small'"),
        ("embedder", "", "embedder must be a FaceEmbedder, got ''"),
        ("aligner", "crop", "aligner must be an Aligner, got 'crop'"),
        ("aligner", 0, "aligner must be an Aligner, got 0"),
        ("quality", True, "quality must be a QualityGate, got True"),
        ("quality", QualityGate, "quality must be a QualityGate, got <class"),
        ("naming_quality", "off", "naming_quality must be a QualityGate"),
        ("classifier", "svm", "classifier must be an IdentityClassifier, got 'svm'"),
        ("max_pixels", -1, "max_pixels must be a whole number"),
        ("truncated", True, 'truncated must be "error" or "use"'),
    ],
)
def test_a_recognizer_names_the_part_that_it_cannot_use(
    embedder: Embedder, part: str, value: object, named: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{named}"):
        FaceRecognizer(**{"embedder": embedder, part: value})


@pytest.mark.parametrize("part", ["embedder", "detector", "aligner", "quality", "decisions"])
def test_grouping_names_the_part_that_it_cannot_use(embedder: Embedder, part: str) -> None:
    parts: dict[str, Any] = {"embedder": embedder, part: 0}
    with pytest.raises(InvalidArgumentError, match=f"^{part} must be an? .*, got 0"):
        cluster_images([BLACK], **parts)


def people() -> Gallery:
    made = Gallery("example@1", 4)
    made.enroll("Ada", CORNERS[:2], ["a.jpg", "b.jpg"])
    return made


SHA = "ab" * 32
SOURCE = FaceSource("a.jpg", SHA, (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: Gallery(None, 4), "weights must be a string, got None"),  # type: ignore[arg-type]
        (lambda: Gallery("", 4), "weights must be a non-empty string"),
        (lambda: Gallery.open("people", timeout=float("nan")), "timeout must be a number"),
        (lambda: Gallery.open("people", timeout=float("inf")), "timeout must be a number"),
        (lambda: Gallery.of(None), "store must be a GalleryStore"),  # type: ignore[arg-type]
        (lambda: people().extend("Bo", CORNERS[2:], ["c", "d"]), "names must be a list, got 'Bo'"),
        (lambda: people().extend(["Bo", "Cy"], CORNERS[2:], "cd"), "sources must be a list"),
        (lambda: people().enroll("Bo", CORNERS[2:3], "c"), "sources must be a list, got 'c'"),
        (lambda: people().enroll("Bo", CORNERS[2:3], None), "sources must be a list"),  # type: ignore[arg-type]
        (lambda: people().enroll(["Bo"], CORNERS[2:3], ["c"]), "a person's name must be a string"),  # type: ignore[arg-type]
        (lambda: people().enroll("Bo", CORNERS[2:3], ["c"], metadata=[]), "metadata must be a"),  # type: ignore[arg-type]
        (lambda: people().images_at([0.5]), "row must be a whole number"),  # type: ignore[list-item]
        (lambda: people().images_at([-1]), "row must be a whole number of at least 0"),
        (lambda: people().remove_images(1), "numbers must be a list, got 1"),  # type: ignore[arg-type]
        (lambda: people().copy(overwrite="no"), "overwrite must be True or False"),  # type: ignore[arg-type]
        (lambda: people().review.exclude(FACE), "face must be a FaceSource"),  # type: ignore[arg-type]
        (lambda: people().review.link(SOURCE, "b.jpg"), "face must be a FaceSource"),  # type: ignore[arg-type]
        (lambda: people().review.add([SOURCE]), r"corrections\[0\] must be a Correction"),  # type: ignore[list-item]
        (lambda: people().review.take_back("12"), "numbers must be a list, got '12'"),
        (lambda: people().review.take_back([1.5]), "number must be a whole number"),  # type: ignore[list-item]
        (lambda: repair("", "new"), "path must be that of a file, got ''"),
        (lambda: repair("old", "a\0b"), "path must not hold a NUL"),
    ],
)  # fmt: skip
def test_a_gallery_names_what_it_cannot_use(call: Callable[[], object], named: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{named}"):
        call()


def test_names_and_sources_may_be_iterators() -> None:
    gallery = people()
    assert gallery.extend(iter(["Bo", "Cy"]), CORNERS[2:], iter(["c", "d"])) == [3, 4]  # type: ignore[arg-type]
    assert gallery.sources == ("a.jpg", "b.jpg", "c", "d")


def test_one_name_is_not_several_refused_ones() -> None:
    classifier = IdentityClassifier(threshold=1.0).fit(CORNERS[:2], ["Ada", "Bo"])
    assert classifier.among(CORNERS[0], refused={"Ada"}) == ("Bo", pytest.approx(2**0.5), 1.0)
    with pytest.raises(InvalidArgumentError, match="refused must be a list, got 'Ada'"):
        classifier.among(CORNERS[0], refused="Ada")
    with pytest.raises(ValueError, match="features"):
        classifier.among(CORNERS[0, :3])


def test_cropped_is_true_or_false(embedder: Embedder) -> None:
    recognizer = FaceRecognizer(embedder=embedder)
    for call in (
        lambda: recognizer.fit({"Ada": BLACK}, cropped="no"),  # type: ignore[arg-type]
        lambda: recognizer.verify(BLACK, BLACK, cropped=1),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidArgumentError, match="cropped must be True or False"):
            call()


def test_a_group_of_faces_must_be_one_of_an_archive(embedder: Embedder) -> None:
    group: Any = cluster(CORNERS, threshold=2.0).groups[0]
    with pytest.raises(InvalidArgumentError, match="group must be a PersonGroup"):
        FaceRecognizer(embedder=embedder).enroll_group("Ada", group)
