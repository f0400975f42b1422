"""LFW's file of pairs, and the evaluation of a whole pipeline."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from small_networks import SMALL_V2

from facekit import (
    Aligner,
    Detector,
    Embedder,
    Face,
    FileFormatError,
    ImageError,
    InvalidArgumentError,
    Keypoints,
)
from facekit.embedding import build_network
from facekit.evaluation import evaluate_lfw, read_pairs
from facekit.evaluation.lfw import Pair


def written(folder: Path, text: str) -> Path:
    path = folder / "pairs.txt"
    path.write_text(text, encoding="utf-8")
    return path


# The file of pairs.


def test_a_header_of_two_numbers_gives_folds(tmp_path: Path) -> None:
    text = "2\t1\nAda\t1\t2\nAda\t1\tGrace\t3\nZoë\t10\t200\nGrace\t4\tZoë\t5\n"
    assert read_pairs(written(tmp_path, text)) == [
        Pair(0, "Ada/Ada_0001.jpg", "Ada/Ada_0002.jpg", same=True),
        Pair(0, "Ada/Ada_0001.jpg", "Grace/Grace_0003.jpg", same=False),
        Pair(1, "Zoë/Zoë_0010.jpg", "Zoë/Zoë_0200.jpg", same=True),
        Pair(1, "Grace/Grace_0004.jpg", "Zoë/Zoë_0005.jpg", same=False),
    ]


def test_a_header_of_one_number_means_one_fold(tmp_path: Path) -> None:
    text = "2\nAda\t1\t2\nAda\t3\t4\nAda\t1\tGrace\t1\nAda\t2\tGrace\t2\n"
    pairs = read_pairs(written(tmp_path, text))
    assert [pair.fold for pair in pairs] == [0, 0, 0, 0]
    assert [pair.same for pair in pairs] == [True, True, False, False]


@pytest.mark.parametrize(
    "text",
    ["1 1\nAda 1 2\nAda 1 Grace 3\n", "1\t1\r\nAda\t1\t2\r\nAda\t1\tGrace\t3\r\n"],
    ids=["spaces", "carriage returns"],
)
def test_other_separators(tmp_path: Path, text: str) -> None:
    with_tabs = read_pairs(written(tmp_path, "1\t1\nAda\t1\t2\nAda\t1\tGrace\t3\n"))
    (tmp_path / "pairs.txt").write_bytes(text.encode())
    assert read_pairs(tmp_path / "pairs.txt") == with_tabs


def test_blank_lines_are_skipped(tmp_path: Path) -> None:
    text = "1 1\n\nAda 1 2\n  \nAda 1 Grace 3\n\n"
    assert len(read_pairs(written(tmp_path, text))) == 2


def test_with_tabs_a_name_may_hold_spaces(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, "1\t1\nAda King\t1\t2\nAda King\t1\tGrace\t3\n"))
    assert pairs[0].first == "Ada King/Ada King_0001.jpg"


names = st.text("abcXYZ-_'.éß", min_size=1, max_size=8)
photos = st.integers(1, 9999)


@given(data=st.data(), folds=st.integers(1, 3), per_kind=st.integers(1, 3))
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, folds: int, per_kind: int
) -> None:
    lines, expected = [f"{folds}\t{per_kind}"], []
    for fold in range(folds):
        for same in [True] * per_kind + [False] * per_kind:
            name, first, second = data.draw(st.tuples(names, photos, photos))
            other = name if same else data.draw(names)
            fields = [name, first, second] if same else [name, first, other, second]
            lines.append("\t".join(map(str, fields)))
            expected.append(
                Pair(
                    fold,
                    f"{name}/{name}_{first:04d}.jpg",
                    f"{other}/{other}_{second:04d}.jpg",
                    same=same,
                )
            )
    path = tmp_path_factory.getbasetemp() / "written_pairs.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read_pairs(path) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("\n1 1\n", 1),
        ("folds 1\n", 1),
        ("1 1 1\n", 1),
        ("1.5 1\n", 1),
        ("1 2\nAda 1 2\nAda 1 Grace 3\n", 1),
        ("1 1\nAda 1 2\nAda 1 Grace 3\nAda 1 2\n", 1),
        ("-1 -1\nAda 1 2\nAda 1 Grace 3\n", 1),
        ("1 1\nAda 1\nAda 1 Grace 3\n", 2),
        ("1 1\nAda 1 2 3\nAda 1 Grace 3\n", 2),
        ("1 1\nAda one 2\nAda 1 Grace 3\n", 2),
        ("1 1\nAda -1 2\nAda 1 Grace 3\n", 2),
        ("0\n", 1),
        ("1 1\nAda 0 2\nAda 1 Grace 3\n", 2),
        ("1 1\nAda 1.0 2\nAda 1 Grace 3\n", 2),
        ("1 1\nAda 1_0 2\nAda 1 Grace 3\n", 2),
        ("1\t1\n\t1\t2\nAda\t1\tGrace\t3\n", 2),
        ("1 1\nAda 1 2\nAda 1 2\n", 3),
        ("1 1\nAda 1 2\n\nAda 1 Grace x\n", 4),
        ("1 1\nAda 1 2\nAda 1 Grace 3 4\n", 3),
    ],
)
def test_a_malformed_file_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(FileFormatError, match=rf"pairs\.txt.*line {line}\b"):
        read_pairs(written(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_pairs(tmp_path / "pairs.txt")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_pairs(tmp_path / "pairs.txt")


def test_the_real_file_of_three_folds(data_folder: Path) -> None:
    pairs = read_pairs(data_folder / "lfw" / "pairs_folds_1_to_3.txt")
    assert Counter((pair.fold, pair.same) for pair in pairs) == {
        (fold, same): 300 for fold in range(3) for same in (True, False)
    }
    assert len({image for pair in pairs for image in (pair.first, pair.second)}) == 2320
    assert all((data_folder / "lfw" / pair.first).is_file() for pair in pairs)


# The evaluation.

PAIRS = [
    Pair(0, "Hopper/Hopper_0001.jpg", "Hopper/Hopper_0001.jpg", same=True),
    Pair(0, "Hopper/Hopper_0001.jpg", "Collins/Collins_0001.jpg", same=False),
    Pair(1, "Collins/Collins_0001.jpg", "Collins/Collins_0002.jpg", same=True),
    Pair(1, "Nobody/Nobody_0001.jpg", "Hopper/Hopper_0001.jpg", same=False),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, hopper: Path, astronaut: Path) -> Path:
    """A folder like LFW's: two people, one of them with a second photo, and a black one."""
    folder = tmp_path_factory.mktemp("lfw")
    with Image.open(hopper) as first, Image.open(astronaut) as second:
        photos = {
            "Hopper/Hopper_0001.jpg": first.convert("RGB").resize((256, 300)),
            "Collins/Collins_0001.jpg": second.convert("RGB").resize((256, 256)),
            "Collins/Collins_0002.jpg": ImageOps.mirror(second.convert("RGB")).resize((256, 256)),
            "Nobody/Nobody_0001.jpg": Image.new("RGB", (250, 250)),
        }
    for name, image in photos.items():
        (folder / name).parent.mkdir(exist_ok=True)
        image.save(folder / name, quality=95)
    return folder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.from_network(build_network(SMALL_V2), SMALL_V2, name="small")


ALIGNERS = {"similarity": Aligner(80), "crop": Aligner(80, mode="crop")}


@pytest.fixture(scope="module")
def results(folder: Path, detector: Detector, embedder: Embedder) -> Any:
    return evaluate_lfw(
        folder, PAIRS, detector=detector, embedder=embedder, aligners=ALIGNERS, progress=False
    )


def test_each_alignment_has_a_result(results: Any) -> None:
    assert results.keys() == ALIGNERS.keys()
    for result in results.values():
        assert result.same.tolist() == [True, False, True, False]
        assert result.report.pairs == 4
        assert result.distances.dtype == np.float64
    assert not np.allclose(results["similarity"].distances, results["crop"].distances)


def test_an_image_without_a_face_is_listed(results: Any) -> None:
    for result in results.values():
        assert result.without_face == ("Nobody/Nobody_0001.jpg",)


def test_an_image_has_no_distance_from_itself(results: Any) -> None:
    for result in results.values():
        assert result.distances[0] == 0.0
        assert (result.distances[1:] > 0.0).all()


@pytest.mark.parametrize("alignment", ALIGNERS)
def test_the_distances_are_those_of_the_parts_by_hand(
    results: Any, folder: Path, detector: Detector, embedder: Embedder, alignment: str
) -> None:
    photos = [folder / PAIRS[1].first, folder / PAIRS[1].second]
    aligned = [ALIGNERS[alignment].align(image, detector.detect(image)[:1])[0] for image in photos]
    first, second = embedder.embed(aligned)
    expected = np.linalg.norm(first - second)
    assert results[alignment].distances[1] == pytest.approx(expected, abs=1e-5)


class ScriptedDetector:
    """Finds what it was told to find."""

    def __init__(self, faces: list[Face]) -> None:
        self.faces = faces

    def detect_batch(self, images: Any) -> list[list[Face]]:
        return [self.faces for _ in images]


def face_around(x: float, y: float, side: float, confidence: float) -> Face:
    points = [(x - side / 5, y), (x + side / 5, y), (x, y + side / 8)]
    points += [(x - side / 6, y + side / 4), (x + side / 6, y + side / 4)]
    box = (x - side / 2, y - side / 2, side, side)
    return Face(box=box, confidence=confidence, keypoints=Keypoints(*points))


def test_of_several_faces_the_one_in_the_middle_counts(folder: Path, embedder: Embedder) -> None:
    middle = face_around(125, 130, 80, confidence=0.9)
    larger = face_around(60, 60, 110, confidence=0.99)

    def distances(*faces: Face) -> list[float]:
        return evaluate_lfw(
            folder,
            PAIRS,
            detector=ScriptedDetector(list(faces)),
            embedder=embedder,
            aligners={"crop": ALIGNERS["crop"]},
            progress=False,
        )["crop"].distances.tolist()

    assert distances(larger, middle) == distances(middle)
    assert distances(middle, larger) == distances(middle)
    assert distances(larger) != distances(middle)


@pytest.mark.parametrize("alignment", ALIGNERS)
def test_without_a_face_the_middle_of_the_picture_counts(
    tmp_path: Path, embedder: Embedder, alignment: str
) -> None:
    """Where nothing is found, what lies at the border makes no difference."""
    pixels = np.random.default_rng(0).integers(0, 256, size=(250, 250, 3), dtype=np.uint8)
    framed = pixels.copy()
    framed[:25], framed[-25:], framed[:, :25], framed[:, -25:] = 0, 0, 0, 0
    for index, picture in enumerate((pixels, framed, 255 - pixels), start=1):
        path = tmp_path / "A" / f"A_000{index}.jpg"
        path.parent.mkdir(exist_ok=True)
        # LFW's names end in .jpg; the lossless format keeps the frame from bleeding inwards.
        Image.fromarray(picture).save(path, format="PNG")
    one, same_middle, other = (f"A/A_000{index}.jpg" for index in (1, 2, 3))
    pairs = [
        Pair(fold, one, image, same=same)
        for fold in (0, 1)
        for image, same in ((same_middle, True), (other, False))
    ]
    result = evaluate_lfw(
        tmp_path,
        pairs,
        detector=ScriptedDetector([]),
        embedder=embedder,
        aligners={alignment: ALIGNERS[alignment]},
        progress=False,
    )[alignment]
    assert result.distances[0] == pytest.approx(0.0, abs=1e-6)
    assert result.distances[1] > 1e-3
    assert result.without_face == (one, same_middle, other)


@pytest.mark.parametrize(
    ("pairs", "aligners", "problem"),
    [
        ([], ALIGNERS, "pairs of one person and pairs of two"),
        (PAIRS[:2], ALIGNERS, "at least two folds"),
        (PAIRS, {**ALIGNERS, "large": Aligner(112)}, "faces of side 112, the embedder reads 80"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_the_images_are_searched(
    folder: Path, embedder: Embedder, pairs: Any, aligners: Any, problem: str
) -> None:
    class Unused:
        def detect_batch(self, images: Any) -> list[list[Face]]:
            raise AssertionError

    with pytest.raises(InvalidArgumentError, match=problem):
        evaluate_lfw(folder, pairs, detector=Unused(), embedder=embedder, aligners=aligners)


def test_missing_images_are_named(folder: Path, detector: Detector, embedder: Embedder) -> None:
    pairs = [*PAIRS, Pair(1, "Zoë/Zoë_0001.jpg", "Hopper/Hopper_0009.jpg", same=False)]
    with pytest.raises(
        FileFormatError, match=r"2 of 6 photos .*Hopper_0009\.jpg, Zoë/Zoë_0001\.jpg"
    ):
        evaluate_lfw(folder, pairs, detector=detector, embedder=embedder, aligners=ALIGNERS)


def test_a_damaged_image_is_named(
    tmp_path: Path, detector: Detector, embedder: Embedder, hopper: Path
) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "A_0001.jpg").write_bytes(hopper.read_bytes()[:2000])
    image = "A/A_0001.jpg"
    pairs = [Pair(fold, image, image, same=same) for fold in (0, 1) for same in (True, False)]
    with pytest.raises(ImageError, match=r"A_0001\.jpg"):
        evaluate_lfw(tmp_path, pairs, detector=detector, embedder=embedder, aligners=ALIGNERS)
