"""Local centering: strangers who lie close together move apart, and nothing else changes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facekit import Embedder, InvalidArgumentError
from facekit.embedding import Architecture, LocalCentering, build_network
from facekit.errors import WeightsError
from facekit.io import safetensors_file

SMALL = Architecture(width=0.25, blocks=0.1, input_size=75, embedding_size=16)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def crowds(seed: int, count: int = 40, size: int = 16, spread: float = 0.4) -> np.ndarray:
    """Returns embeddings of strangers in two crowds."""
    chance = np.random.default_rng(seed)
    places = unit(chance.normal(size=(2, size)))[np.arange(count) % 2]
    return unit(places + spread * unit(chance.normal(size=(count, size))))


@given(st.integers(0, 9), st.floats(0.1, 40), st.floats(0, 1), st.integers(1, 20))
def test_centered_embeddings_are_of_unit_norm_and_independent(
    seed: int, sharpness: float, share: float, clusters: int
) -> None:
    embeddings = crowds(seed)
    centering = LocalCentering.fit(embeddings, clusters=clusters, sharpness=sharpness, share=share)
    centered = centering(embeddings)
    assert centered.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(centered, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(centering(embeddings[3:5]), centered[3:5], atol=1e-5)
    assert centering(embeddings[:0]).shape == (0, 16)


@given(st.integers(0, 9))
def test_nothing_is_subtracted_of_a_share_of_zero(seed: int) -> None:
    embeddings = crowds(seed)
    centering = LocalCentering.fit(embeddings, clusters=3, share=0.0)
    np.testing.assert_allclose(centering(embeddings), embeddings, atol=1e-6)


@given(st.integers(0, 99))
def test_a_crowd_moves_apart_and_strangers_far_away_stay(seed: int) -> None:
    embeddings = crowds(seed)
    crowd = embeddings[::2]
    centered = LocalCentering.fit(embeddings, clusters=2)(crowd)
    off = ~np.eye(len(crowd), dtype=bool)
    assert (centered @ centered.T)[off].mean() < (crowd @ crowd.T)[off].mean() - 0.05
    far = LocalCentering(-crowd.mean(axis=0, keepdims=True), share=0.01)(crowd)
    np.testing.assert_allclose(far, crowd, atol=0.03)


def test_an_embedding_of_which_all_is_subtracted_stays() -> None:
    center = np.eye(16, dtype=np.float32)[:1]
    np.testing.assert_array_equal(LocalCentering(center, share=1.0)(center), center)


@pytest.mark.parametrize(
    "arguments",
    [
        {"centers": np.zeros((2, 4))},
        {"centers": np.ones((0, 4))},
        {"centers": np.ones(4)},
        {"centers": np.full((2, 4), np.nan)},
        {"centers": np.ones((2, 4)), "sharpness": 0},
        {"centers": np.ones((2, 4)), "share": 1.5},
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError):
        LocalCentering(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "embeddings", [np.eye(2, 5), np.ones((2, 4)), np.full((1, 4), np.nan), np.ones(4)]
)
def test_embeddings_that_cannot_be_moved_are_refused(embeddings: np.ndarray) -> None:
    with pytest.raises(InvalidArgumentError, match="embeddings"):
        LocalCentering(np.eye(2, 4))(embeddings)


def test_more_clusters_than_embeddings_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="clusters"):
        LocalCentering.fit(crowds(0), clusters=41)
    with pytest.raises(InvalidArgumentError, match="seed"):
        LocalCentering.fit(crowds(0), clusters=4, seed=-1)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.from_network(
        build_network(SMALL, seed=1),
        SMALL,
        name="small",
        mirrored=True,
        centering=LocalCentering.fit(crowds(1), clusters=4),
    )


FACES = np.random.default_rng(0).integers(0, 256, (5, 75, 75, 3), dtype=np.uint8)


def test_an_embedder_centers_what_its_network_gives(embedder: Embedder) -> None:
    network, _ = embedder.to_network()
    plain = Embedder.from_network(network, SMALL, name="plain", mirrored=True)
    assert plain.centering is None
    assert plain.without_centering() is plain
    np.testing.assert_allclose(
        embedder.without_centering().embed(FACES), plain.embed(FACES), atol=1e-6
    )
    assert embedder.without_centering().record.version != embedder.record.version
    assert Embedder("facekit-small").without_centering().record.accuracy == {}
    assert embedder.centering is not None
    with pytest.raises(AttributeError):  # which the version of the weights would not show
        embedder.centering = None  # type: ignore[misc]
    centered = embedder.centering(plain.embed(FACES))
    np.testing.assert_allclose(embedder.embed(FACES), centered, atol=1e-5)
    assert np.abs(plain.embed(FACES) - centered).max() > 0.01
    assert plain.record.version != embedder.record.version


@pytest.mark.parametrize(("precision", "moved"), [("float32", 0), ("float16", 3e-3), ("int8", 0.2)])
def test_a_file_keeps_the_centering(
    embedder: Embedder, tmp_path: Path, precision: str, moved: float
) -> None:
    embedder.save(tmp_path / "e.safetensors", precision=precision)  # type: ignore[arg-type]
    loaded = Embedder(tmp_path / "e.safetensors")
    np.testing.assert_allclose(loaded.embed(FACES), embedder.embed(FACES), atol=moved)
    copy = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(copy.embed(FACES), embedder.embed(FACES))


def test_an_exported_model_centers_too(embedder: Embedder, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    embedder.export_onnx(tmp_path / "e.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "e.onnx")
    (found,) = session.run(["embeddings"], {"faces": FACES})
    np.testing.assert_allclose(found, embedder.embed(FACES), atol=1e-5)


def test_centers_of_another_size_are_refused(embedder: Embedder) -> None:
    network, architecture = embedder.to_network()
    with pytest.raises(InvalidArgumentError, match="centers"):
        Embedder.from_network(
            network, architecture, name="small", centering=LocalCentering(np.ones((2, 8)))
        )


@pytest.mark.parametrize(
    "change",
    [
        {"LocalCentering/centers": np.ones((2, 8), np.float32)},
        {"LocalCentering/centers": np.zeros((2, 16), np.float32)},
        {"LocalCentering/share": np.array([2.0], np.float32)},
        {"LocalCentering/share": np.ones(2, np.float32)},
        {"LocalCentering/other": np.ones(2, np.float32)},
    ],
)
def test_a_forged_centering_is_refused(
    embedder: Embedder, tmp_path: Path, change: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "e.safetensors"
    embedder.save(path)
    header, arrays = safetensors_file.read(path, kind="facekit.embedder", newest_version=3)
    safetensors_file.write(
        path, kind="facekit.embedder", version=3, header=header, arrays={**arrays, **change}
    )
    with pytest.raises(WeightsError, match="local centering"):
        Embedder(path)
