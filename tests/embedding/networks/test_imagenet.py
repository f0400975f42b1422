"""The start from Keras' ImageNet weights, without downloading them."""

from __future__ import annotations

import re
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import h5py
import keras
import numpy as np
import pytest
from keras.src.utils import file_utils
from small_networks import (
    SMALL_V1,
    SMALL_V2,
    full_network,
    network_of_keras,
    random_pictures,
    randomize_normalizations,
)

from facekit import InvalidArgumentError, WeightsError
from facekit.embedding import build_imagenet_network, build_network
from facekit.embedding.networks import imagenet
from facekit.embedding.networks.folding import layer_weights
from facekit.embedding.networks.imagenet import fill_backbone
from facekit.embedding.networks.keras_graph import KerasBuilder
from facekit.errors import WeightsNotFoundError


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEKIT_OFFLINE")


def test_a_narrow_network_is_refused() -> None:
    with pytest.raises(WeightsError, match="another network"):
        fill_backbone(build_network(SMALL_V2), layer_weights(build_network(SMALL_V1)), source="v1")


@pytest.mark.parametrize("batch_normalization", [False, True])
def test_every_kind_of_head_is_left_out(batch_normalization: bool) -> None:
    pictures = keras.Input((80, 80, 3))
    source = keras.Model(pictures, keras.layers.Conv2D(8, 3, name="any_name")(pictures))
    features = keras.layers.Conv2D(8, 3, name="Conv2d_1a_3x3")(pictures)
    architecture = replace(SMALL_V2, head_batch_normalization=batch_normalization)
    head = KerasBuilder(1.0, folded=False).head(features, architecture, seed=0)
    network = keras.Model(pictures, head)
    before = network.get_layer("Bottleneck").get_weights()
    fill_backbone(network, layer_weights(source), source="Keras")
    batch = random_pictures(1).astype(np.float32)
    np.testing.assert_array_equal(
        np.asarray(network.get_layer("Conv2d_1a_3x3")(batch)), np.asarray(source(batch))
    )
    for old, new in zip(before, network.get_layer("Bottleneck").get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.check
def test_the_file_is_that_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def get_file(name: str, origin: str, **arguments: Any) -> NoReturn:
        asked.append((name, origin, arguments))
        raise ConnectionError("asked for")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(WeightsNotFoundError, match="asked for"):
        build_imagenet_network()
    with pytest.raises(ConnectionError, match="asked for"):
        keras.applications.InceptionResNetV2(include_top=False, input_shape=(75, 75, 3))
    assert asked[0] == asked[1]


def make_downloads_fail(monkeypatch: pytest.MonkeyPatch, error: Exception, home: Path) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(file_utils, "urlretrieve", fail)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(home))


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Temporary failure in name resolution"),
        urllib.error.HTTPError("https://example.org", 503, "Unavailable", None, None),  # type: ignore[arg-type]
        ConnectionResetError("Connection reset by peer"),
        TimeoutError("timed out"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_download_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    make_downloads_fail(monkeypatch, error, tmp_path)
    with pytest.raises(WeightsNotFoundError, match=r"could not fetch .*https://.*weights="):
        build_imagenet_network()


def test_a_download_that_arrives_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def deliver_garbage(_: str, target: str, *__: object) -> None:
        Path(target).write_bytes(b"garbage")

    monkeypatch.setattr(file_utils, "urlretrieve", deliver_garbage)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    with pytest.raises(WeightsNotFoundError, match="could not fetch"):
        build_imagenet_network()


def break_down(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("a mistake of ours")


def test_an_error_that_is_no_failed_download_stays_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.utils, "get_file", break_down)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        build_imagenet_network()


@pytest.mark.parametrize("arguments", [{"input_size": 20}, {"embedding_size": 0}, {"dropout": 2}])
def test_an_invalid_argument_is_noticed_before_the_download(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    monkeypatch.setattr(keras.utils, "get_file", break_down)
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        build_imagenet_network(**arguments)


# A file of Keras' weights.

OTHERS = {"Bottleneck", "Bottleneck_BatchNorm"}


def write_keras_file(path: Path, network: Any, *, change: Any = None) -> list[str]:
    """Writes a backbone's weights as Keras 2 did, under Keras' names; returns the layers."""
    layers = [layer for layer in network.layers if layer.name not in OTHERS]
    names, counts = [], {"conv2d": 0, "batch_normalization": 0}
    with h5py.File(path, "w") as file:
        for layer in layers:
            if block := re.fullmatch(r"(Block\d+_\d+)_Conv2d_1x1", layer.name):
                name = f"{block[1].lower()}_conv"
            elif layer.weights:
                kind = "batch_normalization" if "BatchNorm" in layer.name else "conv2d"
                counts[kind] += 1
                name = f"{kind}_{counts[kind]}"
            else:
                name = layer.name
            group = file.create_group(name)
            arrays = {f"{name}/{w.name}:0": np.asarray(w) for w in layer.weights}
            if change is not None:
                arrays = change(name, arrays)
            for weight, array in arrays.items():
                group[weight] = array
            group.attrs["weight_names"] = np.array(list(arrays), dtype="S")
            names.append(name)
        file.attrs["layer_names"] = np.array(names, dtype="S")
    return names


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands for the full network, which would need a file of 219 MB."""
    network = build_network(SMALL_V2, seed=1)
    monkeypatch.setattr(
        "facekit.embedding.networks.imagenet.build_network", lambda *_, **__: network
    )
    return network


@pytest.mark.parametrize("fetched", [True, False])
def test_a_file_of_keras_fills_the_backbone_and_nothing_else(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: bool
) -> None:
    source = build_network(SMALL_V2, seed=2)
    randomize_normalizations(source)
    write_keras_file(tmp_path / "notop.h5", source)
    head = small.get_layer("Bottleneck").get_weights()
    monkeypatch.setattr(keras.utils, "get_file", lambda *_, **__: str(tmp_path / "notop.h5"))
    network = build_imagenet_network(weights=None if fetched else tmp_path / "notop.h5")
    for layer in network.layers:
        expected = (
            head if layer.name == "Bottleneck" else source.get_layer(layer.name).get_weights()
        )
        for array, other in zip(layer.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(array, other)


def test_offline_only_a_file_that_keras_has_is_read(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.utils, "get_file", break_down)
    monkeypatch.setenv("FACEKIT_OFFLINE", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(WeightsNotFoundError, match=r"notop\.h5: no such file; download https"):
        build_imagenet_network()
    (tmp_path / "models").mkdir()
    write_keras_file(tmp_path / "models" / Path(imagenet._FILE_URL).name, small)
    assert build_imagenet_network() is small


def test_a_missing_file_of_keras_says_where_to_get_it(small: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match=r"notop\.h5: no such file; download https"):
        build_imagenet_network(weights=tmp_path / "notop.h5")


def widen(name: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {key: np.repeat(a, 2, axis=-1) if name == "conv2d_1" else a for key, a in arrays.items()}


def rename(name: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("beta", "gamma"): array for key, array in arrays.items()}


@pytest.mark.parametrize("change", [widen, rename])
def test_a_file_of_keras_with_other_shapes_or_kinds_is_refused(
    small: Any, tmp_path: Path, change: Any
) -> None:
    write_keras_file(tmp_path / "notop.h5", small, change=change)
    with pytest.raises(WeightsError, match=r"notop\.h5: .*another network"):
        build_imagenet_network(weights=tmp_path / "notop.h5")


def test_a_file_of_keras_with_other_blocks_is_refused(small: Any, tmp_path: Path) -> None:
    write_keras_file(tmp_path / "notop.h5", small)
    with h5py.File(tmp_path / "notop.h5", "r+") as file:
        names = list(file.attrs["layer_names"])
        at = names.index(b"block35_1_conv")
        file.move("block35_1_conv", "block17_9_conv")
        group = file["block17_9_conv"]
        for kind in ("kernel", "bias"):
            group.move(f"block35_1_conv/{kind}:0", f"block17_9_conv/{kind}:0")
        group.attrs["weight_names"] = np.array(
            ["block17_9_conv/kernel:0", "block17_9_conv/bias:0"], dtype="S"
        )
        names[at] = b"block17_9_conv"
        file.attrs["layer_names"] = np.array(names, dtype="S")
    with pytest.raises(WeightsError, match="block17_9_conv holds"):
        build_imagenet_network(weights=tmp_path / "notop.h5")


def test_a_file_of_a_deeper_network_is_refused(small: Any, tmp_path: Path) -> None:
    deeper = build_network(replace(SMALL_V2, blocks=0.2))
    write_keras_file(tmp_path / "notop.h5", deeper)
    with pytest.raises(WeightsError, match="another network"):
        build_imagenet_network(weights=tmp_path / "notop.h5")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_of_keras_is_refused(small: Any, tmp_path: Path, share: float) -> None:
    path = tmp_path / "notop.h5"
    write_keras_file(path, small)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=r"notop\.h5: is truncated"):
        build_imagenet_network(weights=path)


@pytest.mark.check
def test_the_names_of_the_blocks_are_those_of_keras() -> None:
    """What the file's layers are called, and where they come, is checked against Keras itself."""
    targets = [
        layer.name for layer in full_network().layers if layer.weights and layer.name not in OTHERS
    ]
    sources = [layer.name for layer in network_of_keras().layers if layer.weights]
    assert len(targets) == len(sources)
    blocks = [
        (target, source)
        for target, source in zip(targets, sources, strict=True)
        if re.fullmatch(r"block\d+_\d+_conv", source)
    ]
    assert len(blocks) == 40
    assert all(t == f"{s.removesuffix('_conv').capitalize()}_Conv2d_1x1" for t, s in blocks)
