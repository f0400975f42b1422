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
    ImageError,
    InvalidArgumentError,
    Keypoints,
    QualityGate,
    YuNetDetector,
    cluster,
)
from facekit.errors import FileFormatError
from facekit.evaluation import evaluate_verification, read_pairs, roc
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
