"""The weights known by name: records, where their files are looked for, and downloads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pooch
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from facekit import Aligner, InvalidArgumentError, WeightsError, WeightsNotFoundError
from facekit.embedding import Architecture, WeightsRecord
from facekit.embedding.weights import (
    DEFAULT_WEIGHTS,
    REGISTRY,
    WeightsFile,
    check,
    identify,
    locate,
    record_for,
)

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
    monkeypatch.setattr(pooch, "retrieve", never)
    return tmp_path / "home", tmp_path / "data"


def never(*_: object, **__: object) -> NoReturn:
    raise AssertionError("nothing should be downloaded here")


def put(root: Path, name: str, content: bytes = CONTENT) -> Path:
    path = root / "weights" / RECORD.name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


rates = st.dictionaries(st.floats(1e-9, 1.0), st.floats(0.0, 2.0))
texts = st.text(max_size=20)
records = st.builds(
    WeightsRecord,
    name=texts,
    version=texts,
    architecture=st.builds(Architecture, width=st.floats(0.1, 2.0)),
    alignment=st.fixed_dictionaries({"size": st.integers(1, 500), "mode": st.just("crop")}),
    thresholds=rates,
    training_data=texts,
    licence=texts,
    source=texts,
    accuracy=st.dictionaries(texts, st.floats(0.0, 1.0)),
)


@given(record=records)
def test_a_record_survives_json(record: WeightsRecord) -> None:
    assert WeightsRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_a_saved_record_leaves_out_the_files_of_others() -> None:
    assert WeightsRecord.from_dict(RECORD.to_dict()) == replace(RECORD, files=())


def test_a_record_with_a_part_missing_is_refused() -> None:
    values = RECORD.to_dict()
    del values["architecture"]
    with pytest.raises(InvalidArgumentError, match="architecture"):
        WeightsRecord.from_dict(values)


def test_a_record_with_an_unknown_part_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="colour"):
        WeightsRecord.from_dict({**RECORD.to_dict(), "colour": "green"})


def test_the_identity_names_weights_and_version() -> None:
    assert RECORD.identity == "tiny@1"
    assert replace(RECORD, version="2").identity != RECORD.identity


def test_threshold_returns_that_of_the_rate() -> None:
    assert RECORD.threshold(0.01) == 1.1
    assert RECORD.threshold() == 0.9


def test_threshold_for_an_unknown_rate_lists_the_known_ones() -> None:
    with pytest.raises(InvalidArgumentError, match=r"0\.05 .*0\.001, 0\.01"):
        RECORD.threshold(0.05)


def test_threshold_without_any_says_so() -> None:
    with pytest.raises(InvalidArgumentError, match="known: none"):
        replace(RECORD, thresholds={}).threshold()


@pytest.mark.parametrize("record", REGISTRY.values(), ids=REGISTRY.keys())
def test_thresholds_rise_with_the_false_accept_rate(record: WeightsRecord) -> None:
    distances = [distance for _, distance in sorted(record.thresholds.items())]
    assert distances == sorted(set(distances))
    assert all(0.0 < distance < 2.0 for distance in distances)
    assert record.threshold() in distances


@pytest.mark.parametrize("record", REGISTRY.values(), ids=REGISTRY.keys())
def test_alignment_and_architecture_of_a_record_agree(record: WeightsRecord) -> None:
    assert Aligner(**record.alignment).size == record.architecture.input_size


@pytest.mark.parametrize("record", REGISTRY.values(), ids=REGISTRY.keys())
def test_a_record_is_complete(record: WeightsRecord) -> None:
    assert record.licence
    assert record.training_data
    assert record.source
    for file in record.files:
        assert len(file.sha256) == 64
        assert file.url is None or file.url.startswith("https://")


def test_the_registry_calls_each_record_by_its_name() -> None:
    assert all(record.name == name for name, record in REGISTRY.items())
    assert record_for(DEFAULT_WEIGHTS).name == DEFAULT_WEIGHTS


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(WeightsNotFoundError) as caught:
        record_for("facenet-1999")
    assert "facenet-1999" in str(caught.value)
    assert all(name in str(caught.value) for name in REGISTRY)


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


def test_a_download_asks_for_address_checksum_and_place(
    roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def deliver(url: str, *, known_hash: str, fname: str, path: Path) -> str:
        assert (url, known_hash) == (URL, f"sha256:{SHA256}")
        path.mkdir(parents=True)
        (path / fname).write_bytes(CONTENT)
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", deliver)
    path, file = locate(RECORD)
    assert path == roots[0] / "weights" / "tiny" / "second.h5"
    assert file == RECORD.files[1]
    assert URL in caplog.text
    monkeypatch.setattr(pooch, "retrieve", never)
    assert locate(RECORD) == (path, file)


@pytest.mark.parametrize(
    "error",
    [
        OSError("disk full"),
        ConnectionRefusedError("refused"),
        requests.exceptions.ConnectionError("name resolution failed\nand a long trace"),
        requests.exceptions.ReadTimeout(),
        ValueError("SHA256 hash of downloaded file does not match the known hash"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_download_says_why_and_what_to_do(
    roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(WeightsNotFoundError) as caught:
        locate(RECORD)
    message = str(caught.value)
    assert type(error).__name__ in message
    assert URL in message
    assert str(roots[0] / "weights" / "tiny" / "second.h5") in message
    assert "\n" not in message


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
    monkeypatch.setattr("facekit.embedding.weights.REGISTRY", {**REGISTRY, "tiny": RECORD})
    path = tmp_path / "under_another_name"
    path.write_bytes(CONTENT)
    assert identify(path) == (RECORD, RECORD.files[0])


def test_identify_refuses_a_file_that_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "unknown.npz"
    path.write_bytes(CONTENT)
    with pytest.raises(WeightsError, match=r"unknown\.npz.*none of the published weights"):
        identify(path)
