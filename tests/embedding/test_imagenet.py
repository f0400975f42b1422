"""The start from Keras' ImageNet weights, without downloading them."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils
from small_networks import SMALL_V2, full_network, network_of_keras, random_pictures

from facekit import InvalidArgumentError, WeightsNotFoundError
from facekit.embedding import build_imagenet_network, build_network
from facekit.embedding.head import triplet_head
from facekit.embedding.imagenet import copy_backbone_weights


def test_a_narrow_network_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="width 1, blocks 1"):
        copy_backbone_weights(network_of_keras(), build_network(SMALL_V2))


@pytest.mark.parametrize("batch_normalization", [False, True])
def test_every_kind_of_head_is_left_out(batch_normalization: bool) -> None:
    pictures = keras.Input((80, 80, 3))
    source = keras.Model(pictures, keras.layers.Conv2D(8, 3, name="any_name")(pictures))
    features = keras.layers.Conv2D(8, 3, name="Conv2d_1a_3x3")(pictures)
    head = triplet_head(features, 4, batch_normalization=batch_normalization)
    network = keras.Model(pictures, head)
    before = network.get_layer("Bottleneck").get_weights()
    copy_backbone_weights(source, network)
    batch = random_pictures(1).astype(np.float32)
    np.testing.assert_array_equal(
        np.asarray(network.get_layer("Conv2d_1a_3x3")(batch)), np.asarray(source(batch))
    )
    for old, new in zip(before, network.get_layer("Bottleneck").get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_the_network_starts_from_the_weights_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    source = network_of_keras()
    monkeypatch.setattr(keras.applications, "InceptionResNetV2", lambda **_: source)
    monkeypatch.setattr("facekit.embedding.imagenet.build_network", lambda *_, **__: full_network())
    network = build_imagenet_network()
    for target, original in (("Conv2d_1a_3x3", "conv2d"), ("Conv2d_7b_1x1", "conv_7b")):
        kernel = next(layer for layer in source.layers if layer.name.startswith(original))
        np.testing.assert_array_equal(
            network.get_layer(target).get_weights()[0], kernel.get_weights()[0]
        )


def make_downloads_fail(monkeypatch: pytest.MonkeyPatch, error: Exception, home: Path) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(file_utils, "urlretrieve", fail)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(home))


def only_download(**_: Any) -> NoReturn:
    """Does what ``keras.applications.InceptionResNetV2`` does after seconds of building."""
    keras.utils.get_file("weights.h5", "https://example.org/weights.h5", file_hash="0" * 32)
    raise AssertionError("the download should have failed")


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
    monkeypatch.setattr(keras.applications, "InceptionResNetV2", only_download)
    with pytest.raises(WeightsNotFoundError, match=r"could not fetch .*https://.*\.keras/models"):
        build_imagenet_network()


def test_a_download_that_arrives_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def deliver_garbage(_: str, target: str, *__: object) -> None:
        Path(target).write_bytes(b"garbage")

    monkeypatch.setattr(file_utils, "urlretrieve", deliver_garbage)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(keras.applications, "InceptionResNetV2", only_download)
    with pytest.raises(WeightsNotFoundError, match="could not fetch"):
        build_imagenet_network()


def break_down(**_: Any) -> NoReturn:
    raise RuntimeError("a mistake of ours")


def test_an_error_that_is_no_failed_download_stays_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.applications, "InceptionResNetV2", break_down)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        build_imagenet_network()


@pytest.mark.parametrize("arguments", [{"input_size": 20}, {"embedding_size": 0}, {"dropout": 2}])
def test_an_invalid_argument_is_noticed_before_the_download(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    monkeypatch.setattr(keras.applications, "InceptionResNetV2", break_down)
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        build_imagenet_network(**arguments)
