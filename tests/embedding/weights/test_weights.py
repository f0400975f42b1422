"""The weights known by name: their records."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import Aligner, InvalidArgumentError
from facekit.embedding import Architecture
from facekit.embedding.weights.registry import (
    DEFAULT_WEIGHTS,
    REGISTRY,
    WeightsFile,
    WeightsRecord,
    record_for,
)
from facekit.errors import WeightsNotFoundError

SHA256 = "0" * 64
RECORD = WeightsRecord(
    name="tiny",
    version="1",
    architecture=Architecture(),
    alignment={"size": 160},
    thresholds={0.01: 1.1, 0.001: 0.9},
    files=(WeightsFile("first.npz", "facenet_folded_npz", SHA256),),
)


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
    license=texts,
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


def test_a_record_from_before_mirrored_was_known_is_read() -> None:
    values = RECORD.to_dict()
    del values["mirrored"]
    assert not WeightsRecord.from_dict(values).mirrored


def test_a_record_whose_mirrored_is_no_truth_value_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="mirrored"):
        WeightsRecord.from_dict({**RECORD.to_dict(), "mirrored": "yes"})


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": {"0.001": float("nan")}},
        {"thresholds": {"0.001": -5}},
        {"thresholds": {"0.001": "0.9"}},
        {"accuracy": {"LFW": float("inf")}},
        {"accuracy_by_group": {"LFW": {"women": True}}},
        {"architecture": {"head_batch_normalization": "no"}},
    ],
)
def test_a_record_of_what_is_no_number_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"0\.001|LFW|women|head_batch_normalization"):
        WeightsRecord.from_dict({**RECORD.to_dict(), **change})


def test_a_record_with_an_unknown_part_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="color"):
        WeightsRecord.from_dict({**RECORD.to_dict(), "color": "green"})


def test_the_identity_names_weights_and_version() -> None:
    assert RECORD.identity == "tiny@1"
    assert replace(RECORD, version="2").identity != RECORD.identity


def test_threshold_returns_that_of_the_rate() -> None:
    assert RECORD.threshold(0.01) == 1.1
    assert RECORD.threshold() == 0.9


@pytest.mark.parametrize("rate", [0.05, 1e-7, "0.001", None])
def test_threshold_for_an_unknown_rate_lists_the_known_ones(rate: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"{rate!r} .*0\.001, 0\.01"):
        RECORD.threshold(rate)


def test_threshold_without_any_says_so() -> None:
    with pytest.raises(InvalidArgumentError, match="none was measured"):
        replace(RECORD, thresholds={}).threshold()


@pytest.mark.parametrize("record", REGISTRY.values(), ids=REGISTRY.keys())
def test_thresholds_rise_with_the_false_accept_rate(record: WeightsRecord) -> None:
    distances = [distance for _, distance in sorted(record.thresholds.items())]
    assert distances == sorted(set(distances))
    assert all(0.0 < distance < 2.0 for distance in distances)
    if distances:
        assert record.threshold() in distances
    else:
        with pytest.raises(InvalidArgumentError, match=record.name):
            record.threshold()


@pytest.mark.parametrize("record", REGISTRY.values(), ids=REGISTRY.keys())
def test_alignment_and_architecture_of_a_record_agree(record: WeightsRecord) -> None:
    assert Aligner(**record.alignment).size == record.architecture.input_size


@pytest.mark.parametrize("record", REGISTRY.values(), ids=REGISTRY.keys())
def test_a_record_is_complete(record: WeightsRecord) -> None:
    assert record.license
    assert record.training_data
    assert record.source
    for file in record.files:
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.url is None or file.url.startswith("https://")
        assert file.sha256 or file.url, "a file known by its name alone needs an address"


def test_the_registry_calls_each_record_by_its_name() -> None:
    assert all(record.name == name for name, record in REGISTRY.items())
    assert record_for(DEFAULT_WEIGHTS).name == DEFAULT_WEIGHTS


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(WeightsNotFoundError) as caught:
        record_for("facenet-1999")
    assert "facenet-1999" in str(caught.value)
    assert all(name in str(caught.value) for name in REGISTRY)


def test_no_two_files_are_taken_for_each_other() -> None:
    files = [file for record in REGISTRY.values() for file in record.files]
    checksums = [file.sha256 for file in files if file.sha256]
    assert len(set(checksums)) == len(checksums)
    names = [file.name for file in files if file.sha256 is None]
    assert len(set(names)) == len(names)
