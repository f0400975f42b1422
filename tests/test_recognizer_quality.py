"""FaceRecognizer with its gate, and with groups of unknown faces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facekit import (
    Architecture,
    Detector,
    Embedder,
    EnrollmentError,
    FaceRecognizer,
    IdentityClassifier,
    InvalidArgumentError,
    QualityGate,
)
from facekit.cli import main
from facekit.cli.common import DONE, FAILED
from facekit.embedding import build_network
from facekit.errors import EnrollmentWarning

SMALL = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.from_network(
        build_network(SMALL), SMALL, name="small", thresholds={0.001: 1e-3}
    )


def recognizer(
    embedder: Embedder,
    detector: Detector,
    quality: QualityGate | None,
    naming_quality: QualityGate | None = QualityGate.for_naming(),  # noqa: B008
) -> FaceRecognizer:
    classifier = IdentityClassifier("nearest", threshold=2.0)
    return FaceRecognizer(
        embedder=embedder,
        detector=detector,
        classifier=classifier,
        quality=quality,
        naming_quality=naming_quality,
    )


@pytest.fixture
def blurred(tmp_path: Path, astronaut: Path) -> Path:
    with Image.open(astronaut) as image:
        image.convert("RGB").filter(ImageFilter.GaussianBlur(6)).save(tmp_path / "blurred.png")
    return tmp_path / "blurred.png"


def test_a_poor_image_is_left_out_with_its_reason(
    embedder: Embedder, detector: Detector, hopper: Path, blurred: Path
) -> None:
    gated = recognizer(embedder, detector, QualityGate())
    with pytest.warns(EnrollmentWarning, match=r"blurred\.png .*: blurred: "):
        gated.fit({"Grace": hopper, "Eileen": [blurred]}, progress=False)
    assert gated.people == {"Grace": 1}
    (outcome,) = gated.report_.left_out
    assert outcome.status == "poor quality"
    assert outcome.detail.startswith("blurred: ")
    with pytest.raises(EnrollmentError, match=r"blurred: (.|\n)*pass quality=.*min_sharpness=None"):
        gated.enroll("Eileen", blurred, progress=False)


def test_without_a_gate_every_image_is_enrolled_and_named(
    embedder: Embedder, detector: Detector, blurred: Path
) -> None:
    open_to_all = recognizer(embedder, detector, None, None)
    open_to_all.fit({"Eileen": blurred}, progress=False)
    (face,) = open_to_all.recognize(blurred)
    assert (face.name, face.problems) == ("Eileen", ())


def test_a_poor_face_is_not_named_and_says_why(
    embedder: Embedder, detector: Detector, astronaut: Path, blurred: Path
) -> None:
    gated = recognizer(embedder, detector, QualityGate())
    gated.fit({"Eileen": astronaut}, progress=False)
    (good,) = gated.recognize(astronaut)
    assert (good.name, good.problems) == ("Eileen", ())
    good_again, poor = (found[0] for found in gated.recognize_batch([astronaut, blurred]))
    assert (good_again.name, good_again.problems) == ("Eileen", ())
    assert (poor.name, poor.candidate, poor.label) == (None, "Eileen", "unknown")
    assert poor.distance <= poor.threshold
    assert poor.problems[0].startswith("blurred: ")
    assert json.loads(json.dumps(poor.to_dict()))["problems"] == list(poor.problems)


@pytest.mark.parametrize("quality", [None, QualityGate(max_yaw=12.5, min_sharpness=None)])
def test_the_gate_is_saved_with_the_recognizer(
    embedder: Embedder,
    detector: Detector,
    astronaut: Path,
    tmp_path: Path,
    quality: QualityGate | None,
) -> None:
    saved = recognizer(embedder, detector, quality).fit({"Eileen": astronaut}, progress=False)
    saved.save(tmp_path / "people.facekit")
    loaded = FaceRecognizer.load(tmp_path / "people.facekit", embedder=embedder)
    assert (loaded.quality, loaded.naming_quality) == (quality, QualityGate.for_naming())


def test_a_group_is_enrolled_under_a_name(
    embedder: Embedder, detector: Detector, hopper: Path, astronaut: Path
) -> None:
    gated = recognizer(embedder, detector, QualityGate())
    found = gated.cluster([hopper, astronaut, hopper], progress=False)
    (group,) = found.groups
    gated.enroll_group("Grace", group)
    gated.enroll("Eileen", astronaut, progress=False)
    assert gated.people == {"Eileen": 1, "Grace": 2}
    (face,) = gated.recognize(hopper)
    assert face.name == "Grace"
    assert face.distance == pytest.approx(0.0, abs=1e-3)
    with pytest.raises(InvalidArgumentError, match="other@7"):
        gated.enroll_group("Grace", replace(group, weights="other@7"))


def test_the_commands_report_poor_faces(
    embedder: Embedder,
    tmp_path: Path,
    hopper: Path,
    blurred: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights, model = str(tmp_path / "small.safetensors"), str(tmp_path / "people.facekit")
    embedder.save(weights)
    known = tmp_path / "known" / "Grace"
    known.mkdir(parents=True)
    for image in (hopper, blurred):
        (known / image.name).write_bytes(image.read_bytes())
    fit = ["fit", str(known.parent), model, "--weights", weights]
    assert main(fit) == DONE
    assert "1 photo left out:\n" in (printed := capsys.readouterr().out)
    assert "blurred.png (Grace): blurred: " in printed
    assert main(["recognize", model, str(blurred), "--weights", weights]) == DONE
    printed = capsys.readouterr()
    assert "; blurred: " in printed.out
    assert printed.err == "facekit: 1 face too poor to be named; --any-quality names them\n"
    enroll = ["enroll", model, "Eileen", str(blurred), "--weights", weights]
    assert main(enroll) == FAILED
    assert "To enroll poor images, too, give --any-quality" in capsys.readouterr().err
    assert main([*fit, "--any-quality"]) == DONE
    assert "2 photos of 1 person enrolled" in capsys.readouterr().out


def test_a_small_copy_of_an_enrolled_image_is_too_small(
    embedder: Embedder, detector: Detector, hopper: Path
) -> None:
    gate = QualityGate(min_interocular=60)
    gated = recognizer(embedder, detector, gate, gate)
    gated.fit({"Grace": hopper}, progress=False)
    with Image.open(hopper) as image:
        half = np.asarray(image.convert("RGB").resize((image.width // 2, image.height // 2)))
    (face,) = gated.recognize(half)
    assert face.name is None
    assert face.problems[0].startswith("too small: ")
    (why,) = gated.explain(half)
    assert (why.name, why.problems, why.box) == (None, face.problems, face.face.box)


def test_a_face_too_poor_to_be_enrolled_is_named_with_a_remark(
    embedder: Embedder, detector: Detector, astronaut: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = QualityGate(max_roll=20)
    gated = recognizer(embedder, detector, gate).fit({"Eileen": astronaut}, progress=False)
    with Image.open(astronaut) as image:
        tilted = np.asarray(image.convert("RGB").rotate(30))
    (face,) = gated.recognize(tilted)
    assert (face.name, face.problems) == ("Eileen", ())
    assert [remark.split(":")[0] for remark in face.remarks] == ["tilted"]
    assert face.to_dict()["remarks"] == list(face.remarks)
    assert gated.explain(tilted)[0].name == "Eileen"
    with pytest.raises(EnrollmentError, match="tilted: "):
        gated.enroll("Eileen", tilted, progress=False)


@pytest.mark.parametrize("growth", [0.0, 0.25])
def test_an_image_cut_at_the_box_of_a_face_is_enrolled_and_named(
    embedder: Embedder, detector: Detector, hopper: Path, astronaut: Path, growth: float
) -> None:
    cuts = {}
    for name, path in (("Grace", hopper), ("Eileen", astronaut)):
        with Image.open(path) as image:
            x, y, width, height = detector.detect(path)[0].box
            left, top = x - growth * width / 2, y - growth * height / 2
            right, bottom = x + (1 + growth / 2) * width, y + (1 + growth / 2) * height
            cuts[name] = np.asarray(image.convert("RGB").crop((left, top, right, bottom)))
    gated = recognizer(embedder, detector, QualityGate())
    gated.fit(cuts, cropped=True, progress=False)
    assert gated.people == {"Eileen": 1, "Grace": 1}
    for name, cut in cuts.items():
        (face,) = gated.recognize(cut, cropped=True)
        assert (face.name, face.problems, face.remarks) == (name, (), ())
