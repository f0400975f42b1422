"""The ONNX export: the same embeddings in ONNX Runtime, and how to cut faces out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facekit import Aligner, Embedder
from facekit.embedding import Architecture, build_network
from facekit.embedding.networks.backbones import BACKBONES
from facekit.errors import FileFormatError, InvalidArgumentError

onnxruntime = pytest.importorskip("onnxruntime")


def run(path: Path, faces: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (embeddings,) = session.run(["embeddings"], {"faces": faces})
    return embeddings


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
@pytest.mark.parametrize("zoom", [None, 1.0, 1.1])
def test_embeddings_equal_within_1e_5(tmp_path: Path, backbone: str, zoom: float | None) -> None:
    small = Architecture(
        backbone=backbone, width=0.25, blocks=0.1, input_size=80, embedding_size=64
    )
    embedder = Embedder.from_network(
        build_network(small),
        small,
        name="small",
        mirrored=zoom is not None,
        mirror_zoom=zoom or 1.0,
        thresholds={0.001: 0.9},
    )
    embedder.export_onnx(tmp_path / "e.onnx")
    faces = np.random.default_rng(0).integers(0, 256, (5, 80, 80, 3), dtype=np.uint8)
    for count in (1, 5):
        expected = embedder.embed(faces[:count])
        np.testing.assert_allclose(run(tmp_path / "e.onnx", faces[:count]), expected, atol=1e-5)


def test_the_default_weights_equal_and_the_metadata_say_how_to_align(tmp_path: Path) -> None:
    embedder = Embedder()
    path = tmp_path / "e.onnx"
    embedder.export_onnx(path)
    side = embedder.input_size
    faces = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    np.testing.assert_allclose(run(path, faces), embedder.embed(faces), atol=1e-5)
    notes = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    aligner = Aligner(**json.loads(notes["facekit.alignment"]))
    assert aligner.to_dict() == embedder.aligner().to_dict()
    assert notes["facekit.weights"] == embedder.record.identity
    thresholds = {
        float(rate): value for rate, value in json.loads(notes["facekit.thresholds"]).items()
    }
    assert thresholds == dict(embedder.record.thresholds)


def test_a_path_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    embedder = Embedder("facekit-small")
    with pytest.raises(InvalidArgumentError, match=r"ending in \.onnx"):
        embedder.export_onnx(tmp_path / "e.bin")
    with pytest.raises(FileFormatError, match="cannot be written"):
        embedder.export_onnx(tmp_path / "missing" / "e.onnx")
