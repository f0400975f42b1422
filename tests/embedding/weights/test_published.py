"""Reading the files in which others published FaceNet weights."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import SMALL_V1, predict, random_pictures, randomize_normalizations

from facekit import WeightsError
from facekit.embedding import Architecture, build_network
from facekit.embedding.networks.folding import (
    LayerWeights,
    assign,
    fold,
    layer_weights,
    residual_scales,
)
from facekit.embedding.weights.published import (
    read_folded_npz,
    read_keras_h5,
    read_ordered_h5,
    read_published,
)


@pytest.fixture(scope="module")
def network() -> Any:
    """A small FaceNet as after a training."""
    network = build_network(SMALL_V1)
    randomize_normalizations(network)
    return network


def write_npz(path: Path, folded: LayerWeights) -> None:
    """Writes folded weights as the published npz file holds them."""
    arrays = {}
    for layer, weights in folded.items():
        head = layer == "Bottleneck"
        kernel = "kernel_transpose" if head else "kernel"
        bias = "MatMul_bias" if head else "Conv2D_bias"
        arrays[f"{layer}_{kernel}"] = weights["kernel"].astype(np.float16)
        arrays[f"{layer}_{bias}"] = weights["bias"].astype(np.float16)
    np.savez(path, **arrays)


def write_h5(path: Path, weights: LayerWeights, *, gamma: float | None, group: str) -> None:
    """Writes unfolded weights as Keras 2 did: ``<layer>/<layer>/<weight>:0``."""
    with h5py.File(path, "w") as file:
        for layer, arrays in weights.items():
            for name, array in arrays.items():
                file[f"{group}{layer}/{layer}/{name}:0"] = array
            if gamma is not None and layer.endswith("_BatchNorm"):
                file[f"{group}{layer}/{layer}/gamma:0"] = np.full_like(arrays["beta"], gamma)
        # Layers without weights have a group of their own, too.
        file.create_group(f"{group}AvgPool")


def test_the_folded_file_gives_back_its_arrays(network: Any, tmp_path: Path) -> None:
    folded = fold(layer_weights(network), residual_scales(network))
    write_npz(tmp_path / "weights.npz", folded)
    read = read_published(tmp_path / "weights.npz", "facenet_folded_npz", SMALL_V1)
    assert read.keys() == folded.keys()
    for layer, arrays in folded.items():
        assert read[layer].keys() == arrays.keys()
        for name, array in arrays.items():
            assert read[layer][name].dtype == np.float32
            np.testing.assert_array_equal(read[layer][name], array.astype(np.float16))


def test_the_folded_file_fills_a_folded_network(network: Any, tmp_path: Path) -> None:
    write_npz(tmp_path / "weights.npz", fold(layer_weights(network), residual_scales(network)))
    folded = build_network(SMALL_V1, folded=True)
    assign(folded, read_published(tmp_path / "weights.npz", "facenet_folded_npz", SMALL_V1))
    pictures = random_pictures(3)
    # Half precision keeps three digits.
    np.testing.assert_allclose(predict(folded, pictures), predict(network, pictures), atol=5e-3)


@pytest.mark.parametrize("gamma", [None, 1.0], ids=["no factor", "factor of one"])
@pytest.mark.parametrize("group", ["", "model_weights/"], ids=["weights", "whole model"])
def test_the_file_of_keras_2_gives_the_same_embeddings(
    network: Any, tmp_path: Path, gamma: float | None, group: str
) -> None:
    write_h5(tmp_path / "weights.h5", layer_weights(network), gamma=gamma, group=group)
    folded = build_network(SMALL_V1, folded=True)
    assign(folded, read_published(tmp_path / "weights.h5", "keras_facenet_h5", SMALL_V1))
    pictures = random_pictures(3)
    np.testing.assert_allclose(predict(folded, pictures), predict(network, pictures), atol=1e-4)


def deepface_name(layer: str) -> str:
    """Numbers the second branch of a block like the block, as deepface does."""
    return re.sub(r"^(Block(?:17|8)_(\d+))_Branch_1_", r"\1_Branch_\2_", layer)


@pytest.mark.parametrize("blocks", [0.1, pytest.param(0.4, marks=pytest.mark.check)])
@pytest.mark.parametrize("group", ["", "model_weights/"], ids=["weights", "whole model"])
def test_the_file_of_deepface_gives_the_embeddings_of_bgr_pictures(
    tmp_path: Path, blocks: float, group: str
) -> None:
    architecture = replace(SMALL_V1, blocks=blocks, input_mean=0.0, input_scale=255.0)
    network = build_network(architecture)
    randomize_normalizations(network)
    weights = {deepface_name(layer): arrays for layer, arrays in layer_weights(network).items()}
    assert (blocks == 0.4) == ("Block17_4_Branch_4_Conv2d_0a_1x1" in weights)
    write_h5(tmp_path / "weights.h5", weights, gamma=None, group=group)
    folded = build_network(architecture, folded=True)
    assign(folded, read_published(tmp_path / "weights.h5", "deepface_h5", architecture))
    pictures = random_pictures(3)
    expected = predict(network, pictures[..., ::-1])
    np.testing.assert_allclose(predict(folded, pictures), expected, atol=1e-4)
    assert np.abs(predict(network, pictures) - expected).max() > 1e-3


def test_the_file_of_deepface_may_have_the_regular_names(network: Any, tmp_path: Path) -> None:
    write_h5(tmp_path / "weights.h5", layer_weights(network), gamma=None, group="")
    read = read_published(tmp_path / "weights.h5", "deepface_h5", SMALL_V1)
    regular = read_published(tmp_path / "weights.h5", "keras_facenet_h5", SMALL_V1)
    assert read.keys() == regular.keys()


READ_WITHOUT_KERAS = """
import sys
from pathlib import Path
from facekit import Architecture
from facekit.embedding.weights.published import read_published
architecture = Architecture.from_dict({architecture})
print(len(read_published(Path(sys.argv[1]), "keras_facenet_h5", architecture)))
print(sorted({{"keras", "tensorflow"}} & set(sys.modules)))
"""


def test_a_file_of_keras_is_folded_without_keras(network: Any, tmp_path: Path) -> None:
    weights = layer_weights(network)
    write_h5(tmp_path / "weights.h5", weights, gamma=None, group="")
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            READ_WITHOUT_KERAS.format(architecture=SMALL_V1.to_dict()),
            str(tmp_path / "weights.h5"),
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    layers = sum(not name.endswith("_BatchNorm") for name in weights)
    assert answer.stdout.split("\n")[:2] == [str(layers), "[]"]


def test_a_factor_that_the_network_lacks_is_refused(network: Any, tmp_path: Path) -> None:
    write_h5(tmp_path / "weights.h5", layer_weights(network), gamma=1.5, group="")
    with pytest.raises(WeightsError, match="_BatchNorm has a scale"):
        read_published(tmp_path / "weights.h5", "keras_facenet_h5", SMALL_V1)


def test_the_file_of_keras_2_for_another_architecture_is_refused(
    network: Any, tmp_path: Path
) -> None:
    write_h5(tmp_path / "weights.h5", layer_weights(network), gamma=None, group="")
    wider = Architecture.from_dict({**SMALL_V1.to_dict(), "embedding_size": 65})
    with pytest.raises(WeightsError, match=r"weights\.h5: .*Bottleneck"):
        read_published(tmp_path / "weights.h5", "keras_facenet_h5", wider)


def test_the_folded_file_for_another_architecture_is_refused(network: Any, tmp_path: Path) -> None:
    write_npz(tmp_path / "weights.npz", fold(layer_weights(network), residual_scales(network)))
    wider = Architecture.from_dict({**SMALL_V1.to_dict(), "embedding_size": 65})
    with pytest.raises(WeightsError, match=r"weights\.npz: .*Bottleneck"):
        read_published(tmp_path / "weights.npz", "facenet_folded_npz", wider)


class Trap:
    """Notes when it is unpickled."""

    sprung = False

    def __reduce__(self) -> Any:
        return (setattr, (Trap, "sprung", True))


def test_a_pickle_inside_the_folded_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", a_kernel=np.array([Trap()], dtype=object))
    with pytest.raises(WeightsError, match="truncated or damaged"):
        read_published(tmp_path / "weights.npz", "facenet_folded_npz", SMALL_V1)
    assert not Trap.sprung


def test_an_array_of_unknown_name_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", learning_rate=np.ones(1))
    with pytest.raises(WeightsError, match="learning_rate"):
        read_published(tmp_path / "weights.npz", "facenet_folded_npz", SMALL_V1)


def write_array(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.ones(3))


@pytest.mark.parametrize("layout", ["facenet_folded_npz", "keras_facenet_h5"])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"garbage" * 100),
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(500)),
        lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500)),
        write_array,
    ],
    ids=["empty", "garbage", "zip signature", "hdf5 signature", "single array"],
)
def test_a_file_of_another_kind_is_refused(layout: Any, write: Any, tmp_path: Path) -> None:
    write(tmp_path / "weights")
    with pytest.raises(WeightsError, match="weights: is truncated or"):
        read_published(tmp_path / "weights", layout, SMALL_V1)


def test_a_folder_is_no_weights_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="truncated or"):
        read_published(tmp_path, "facenet_folded_npz", SMALL_V1)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(network: Any, tmp_path: Path, share: float) -> None:
    weights = layer_weights(network)
    npz, h5 = tmp_path / "weights.npz", tmp_path / "weights.h5"
    write_npz(npz, fold(weights, residual_scales(network)))
    write_h5(h5, weights, gamma=None, group="")
    for path, layout in ((npz, "facenet_folded_npz"), (h5, "keras_facenet_h5")):
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(WeightsError, match="truncated or"):
            read_published(path, layout, SMALL_V1)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def few_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to write in that hypothesis may use for many examples."""
    return tmp_path_factory.mktemp("few_layers")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@given(data=st.data())
def test_a_folded_file_with_an_altered_byte_gives_no_wrong_number(
    few_layers: Path, save: Any, data: st.DataObject
) -> None:
    arrays = {
        "a_kernel": np.arange(64, dtype=np.float16).reshape(1, 1, 8, 8),
        "a_Conv2D_bias": np.arange(8, dtype=np.float16),
    }
    path = few_layers / "weights.npz"
    save(path, **arrays)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1), label="position")
    content[position] ^= data.draw(st.integers(1, 255), label="change")
    path.write_bytes(content)
    try:
        read = read_folded_npz(path)
    except WeightsError:
        return
    # What is left are fields that say nothing of the content, such as the time of writing, or
    # that hide an array: assigning the others to a network then says which one is missing.
    expected = {"kernel": arrays["a_kernel"], "bias": arrays["a_Conv2D_bias"]}
    for name, array in read["a"].items():
        np.testing.assert_array_equal(array, expected[name])


@given(data=st.data())
def test_a_damaged_file_of_keras_2_raises_nothing_but_weights_errors(
    few_layers: Path, data: st.DataObject
) -> None:
    path = few_layers / "weights.h5"
    write_h5(path, {"a": {"kernel": np.ones((1, 2), np.float32)}}, gamma=None, group="")
    content = bytearray(path.read_bytes())
    # HDF5 leaves most of a small file empty; what matters are the bytes that are not.
    used = [index for index, byte in enumerate(content) if byte]
    content[data.draw(st.sampled_from(used), label="position")] ^= 1 << data.draw(
        st.integers(0, 7), label="bit"
    )
    path.write_bytes(content)
    # HDF5 checks no sums: a file may be read all the same, but never fits this architecture.
    with pytest.raises(WeightsError):
        read_published(path, "keras_facenet_h5", SMALL_V1)
    with pytest.raises(WeightsError):
        read_ordered_h5(path)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    write_h5(
        tmp_path / "vgg.h5",
        {"block1_conv1": {"kernel": np.ones((3, 3, 3, 64), np.float32)}},
        gamma=None,
        group="",
    )
    with pytest.raises(WeightsError, match=r"vgg\.h5: .*do not fit the network inception_resnet"):
        read_published(tmp_path / "vgg.h5", "keras_facenet_h5", SMALL_V1)
    assert list(read_keras_h5(tmp_path / "vgg.h5")) == ["block1_conv1"]


def test_a_weight_that_is_no_number_is_refused(network: Any, tmp_path: Path) -> None:
    weights = layer_weights(network)
    weights["Bottleneck"]["kernel"][0, 0] = np.nan
    write_h5(tmp_path / "weights.h5", weights, gamma=None, group="")
    with pytest.raises(WeightsError, match=r"weights\.h5: .*NaN.*Bottleneck/kernel"):
        read_published(tmp_path / "weights.h5", "keras_facenet_h5", SMALL_V1)
