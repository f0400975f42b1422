"""Where the files of weights are looked for, and how they are checked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from facekit import WeightsError
from facekit.embedding import Architecture
from facekit.embedding.weights.registry import REGISTRY, WeightsFile, WeightsRecord
from facekit.embedding.weights.retrieval import check, file_in, identify, locate
from facekit.errors import WeightsNotFoundError

CONTENT = b"a tiny file that stands for weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URL = "https://example.org/tiny.npz"
RECORD = WeightsRecord(
    name="tiny",
    version="1",
    architecture=Architecture(),
    alignment={"size": 160},
    thresholds={0.01: 1.1, 0.001: 0.9},
    files=(
        WeightsFile("first.npz", "facenet_folded_npz", SHA256),
        WeightsFile("second.h5", "keras_facenet_h5", SHA256, URL),
    ),
)


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two empty folders as FACEKIT_HOME and FACEKIT_DATA, and no network."""
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FACEKIT_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("FACEKIT_OFFLINE", raising=False)
    monkeypatch.setattr("facekit.io.downloads.download", never)
    return tmp_path / "home", tmp_path / "data"


def never(*_: object, **__: object) -> NoReturn:
    raise AssertionError("nothing should be downloaded here")


def put(root: Path, name: str, content: bytes = CONTENT) -> Path:
    path = root / "weights" / RECORD.name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_home_is_searched_before_the_data(roots: tuple[Path, Path]) -> None:
    at_home, in_data = put(roots[0], "first.npz"), put(roots[1], "first.npz")
    assert locate(RECORD) == (at_home, RECORD.files[0])
    at_home.unlink()
    assert locate(RECORD) == (in_data, RECORD.files[0])


def test_the_first_file_of_a_record_is_preferred(roots: tuple[Path, Path]) -> None:
    second = put(roots[0], "second.h5")
    assert locate(RECORD) == (second, RECORD.files[1])
    first = put(roots[0], "first.npz")
    assert locate(RECORD) == (first, RECORD.files[0])


@pytest.mark.parametrize("root", [0, 1], ids=["home", "data"])
@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!", b""])
def test_an_altered_file_is_refused(roots: tuple[Path, Path], root: int, content: bytes) -> None:
    path = put(roots[root], "first.npz", content)
    with pytest.raises(WeightsError, match="SHA-256") as caught:
        locate(RECORD)
    assert str(path) in str(caught.value)
    assert SHA256 in str(caught.value)


def test_offline_says_what_to_download_and_where_to_put_it(
    roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")
    with pytest.raises(WeightsNotFoundError, match="FACEKIT_OFFLINE") as caught:
        locate(RECORD)
    assert URL in str(caught.value)
    assert str(roots[0] / "weights" / "tiny" / "second.h5") in str(caught.value)


def test_offline_finds_what_is_there(
    roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")
    path = put(roots[1], "first.npz")
    assert locate(RECORD) == (path, RECORD.files[0])


def test_weights_without_an_address_are_not_downloaded(roots: tuple[Path, Path]) -> None:
    with pytest.raises(WeightsNotFoundError, match="published nowhere"):
        locate(replace(RECORD, files=RECORD.files[:1]))


def test_check_accepts_the_published_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    check(path, RECORD.files[0])
    with pytest.raises(WeightsError, match="SHA-256"):
        check(path, replace(RECORD.files[0], sha256="0" * 64))


def test_identify_knows_a_file_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekit.embedding.weights.registry.REGISTRY", {**REGISTRY, "tiny": RECORD})
    path = tmp_path / "under_another_name"
    path.write_bytes(CONTENT)
    assert identify(path) == (RECORD, RECORD.files[0])


def test_identify_refuses_a_file_that_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "unknown.npz"
    path.write_bytes(CONTENT)
    with pytest.raises(WeightsError, match=r"unknown\.npz.*not one of the published weights"):
        identify(path)


UNSIGNED = replace(RECORD, files=(WeightsFile("by_hand.h5", "deepface_h5", None, URL),))


def test_a_file_without_a_published_checksum_is_never_downloaded(roots: tuple[Path, Path]) -> None:
    with pytest.raises(WeightsNotFoundError, match="no checksum is published") as caught:
        locate(UNSIGNED)
    assert URL in str(caught.value)
    assert str(roots[0] / "weights" / "tiny" / "by_hand.h5") in str(caught.value)


def test_a_file_without_a_published_checksum_is_found_by_its_name(
    roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(roots[0], "by_hand.h5")
    assert locate(UNSIGNED) == (path, UNSIGNED.files[0])
    monkeypatch.setattr("facekit.embedding.weights.registry.REGISTRY", {"tiny": UNSIGNED})
    assert identify(path) == (UNSIGNED, UNSIGNED.files[0])
    other = path.rename(path.with_name("other.h5"))
    with pytest.raises(WeightsError, match="not one of the published weights"):
        identify(other)


def test_the_folder_of_the_package_comes_first(
    roots: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekit.embedding.weights.retrieval.BUNDLED", tmp_path / "bundled")
    (tmp_path / "bundled").mkdir()
    put(roots[0], "first.npz")
    bundled = tmp_path / "bundled" / "first.npz"
    bundled.write_bytes(CONTENT)
    assert locate(RECORD) == (bundled, RECORD.files[0])
    bundled.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match="SHA-256"):
        locate(RECORD)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(WeightsNotFoundError, match="holds no weights file"):
        file_in(tmp_path)
