"""The embedder: what it promises of its embeddings, and the files it reads and writes."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import h5py
import keras
import numpy as np
import numpy.typing as npt
import pytest
from effort import tries
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from small_networks import (
    SIDE,
    SMALL_V1,
    SMALL_V2,
    predict,
    random_pictures,
    randomize_normalizations,
)

from facekit import (
    Aligner,
    Embedder,
    FacekitError,
    FileFormatError,
    InvalidArgumentError,
    WeightsError,
    load_image,
)
from facekit.embedding import Architecture, build_network
from facekit.embedding.engines import Engine
from facekit.embedding.networks.folding import fold, layer_weights, residual_scales
from facekit.embedding.networks.zoom import zoomed
from facekit.embedding.weights.files import Precision
from facekit.embedding.weights.registry import REGISTRY, WeightsFile, WeightsRecord
from facekit.errors import RandomWeightsWarning, WeightsNotFoundError
from facekit.io import safetensors_file
from facekit.utils.openvino import has_bfloat16
from tests.forging import forgeries

PICTURES = random_pictures(12)
ENGINES = [name for name in get_args(Engine) if name != "openvino-bf16" or has_bfloat16()]
PUBLISHED = "facenet-20180402-vggface2"


def random_embedder(**arguments: Any) -> Embedder:
    with pytest.warns(RandomWeightsWarning):
        return Embedder(weights=None, **{"architecture": SMALL_V2, **arguments})


@pytest.fixture(scope="module")
def network() -> Any:
    """A small network as after a training."""
    network = build_network(SMALL_V2)
    randomize_normalizations(network)
    return network


@pytest.fixture(scope="module")
def embedder(network: Any) -> Embedder:
    return Embedder.from_network(network, SMALL_V2, name="small", batch_size=4)


@pytest.fixture(scope="module")
def saved(embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the small embedder; not to be changed."""
    path = tmp_path_factory.mktemp("saved") / "small.safetensors"
    embedder.save(path)
    return path


# What the embeddings promise.


def test_embeddings_are_unit_vectors_in_single_precision(embedder: Embedder) -> None:
    embeddings = embedder.embed(PICTURES)
    assert embeddings.shape == (12, 64)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("picture", [0, 255], ids=["black", "white"])
def test_a_picture_of_nothing_has_an_embedding(embedder: Embedder, picture: int) -> None:
    blank = np.full((1, SIDE, SIDE, 3), picture, dtype=np.uint8)
    assert np.linalg.norm(embedder.embed(blank)) == pytest.approx(1.0, abs=1e-5)


def test_embeddings_are_those_of_the_network(embedder: Embedder, network: Any) -> None:
    np.testing.assert_allclose(embedder.embed(PICTURES), predict(network, PICTURES), atol=1e-4)


@given(chosen=st.lists(st.integers(0, len(PICTURES) - 1), min_size=1, max_size=9))
def test_an_embedding_does_not_depend_on_its_neighbors(
    embedder: Embedder, chosen: list[int]
) -> None:
    expected = embedder.embed(PICTURES)
    np.testing.assert_allclose(embedder.embed(PICTURES[chosen]), expected[chosen], atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_embeddings_do_not_depend_on_the_batch_size(
    embedder: Embedder, network: Any, batch_size: int
) -> None:
    other = Embedder.from_network(network, SMALL_V2, name="other", batch_size=batch_size)
    np.testing.assert_allclose(other.embed(PICTURES), embedder.embed(PICTURES), atol=1e-5)


def test_mirrored_weights_give_a_face_and_its_mirror_image_one_embedding(
    embedder: Embedder, network: Any, tmp_path: Path
) -> None:
    mirrored = Embedder.from_network(network, SMALL_V2, name="mirrored", mirrored=True)
    one, other = embedder.embed(PICTURES), embedder.embed(PICTURES[:, :, ::-1])
    mean = (one + other) / np.linalg.norm(one + other, axis=1, keepdims=True)
    np.testing.assert_allclose(mirrored.embed(PICTURES), mean, atol=1e-5)
    np.testing.assert_allclose(mirrored.embed(PICTURES[:, :, ::-1]), mean, atol=1e-5)
    plain = Embedder.from_network(network, SMALL_V2, name="mirrored")
    assert mirrored.record.identity != plain.record.identity
    mirrored.save(tmp_path / "mirrored.safetensors")
    again = Embedder(tmp_path / "mirrored.safetensors")
    assert again.record.mirrored
    assert "mirror_zoom" not in again.record.to_dict()
    np.testing.assert_allclose(again.embed(PICTURES), mean, atol=1e-5)


def test_the_mirror_image_may_be_enlarged(embedder: Embedder, network: Any, tmp_path: Path) -> None:
    larger = Embedder.from_network(
        network, SMALL_V2, name="larger", mirrored=True, mirror_zoom=1.25
    )
    one, other = embedder.embed(PICTURES), embedder.embed(zoomed(PICTURES[:, :, ::-1], 1.25))
    mean = (one + other) / np.linalg.norm(one + other, axis=1, keepdims=True)
    np.testing.assert_allclose(larger.embed(PICTURES), mean, atol=1e-5)
    larger.save(tmp_path / "larger.safetensors")
    again = Embedder(tmp_path / "larger.safetensors")
    assert again.record == larger.record
    np.testing.assert_allclose(again.embed(PICTURES), mean, atol=1e-5)


@pytest.mark.parametrize("zoom", [0.9, 2.1, float("nan"), "1.1"])
def test_a_zoom_out_of_range_is_refused(
    embedder: Embedder, network: Any, tmp_path: Path, zoom: Any
) -> None:
    with pytest.raises(InvalidArgumentError, match="mirror_zoom"):
        Embedder.from_network(network, SMALL_V2, name="z", mirrored=True, mirror_zoom=zoom)
    header = {**embedder.record.to_dict(), "mirror_zoom": zoom}
    path = write_own(tmp_path / "zoom.safetensors", embedder, header=header)
    with pytest.raises(FileFormatError, match="mirror_zoom"):
        Embedder(path)


def test_embedding_twice_gives_the_same_to_the_bit(embedder: Embedder) -> None:
    np.testing.assert_array_equal(embedder.embed(PICTURES), embedder.embed(PICTURES))


def test_the_pictures_are_not_changed(embedder: Embedder) -> None:
    pictures = PICTURES.copy()
    embedder.embed(pictures)
    np.testing.assert_array_equal(pictures, PICTURES)


def test_a_list_does_the_same_as_an_array(embedder: Embedder) -> None:
    np.testing.assert_array_equal(embedder.embed(list(PICTURES)), embedder.embed(PICTURES))


@pytest.mark.parametrize("nothing", [[], np.empty((0, SIDE, SIDE, 3), dtype=np.uint8)])
def test_no_faces_give_no_embeddings(embedder: Embedder, nothing: Any) -> None:
    embeddings = embedder.embed(nothing)
    assert embeddings.shape == (0, 64)
    assert embeddings.dtype == np.float32


@pytest.mark.parametrize("architecture", [SMALL_V1, SMALL_V2], ids=lambda a: a.backbone)
def test_both_engines_give_the_same_embeddings(architecture: Architecture) -> None:
    network = build_network(architecture)
    randomize_normalizations(network)
    quick, slow = (
        Embedder.from_network(network, architecture, name="both", batch_size=5, engine=engine)
        for engine in ("openvino", "keras")
    )
    for count in (1, 3, 5, 7, 12):
        expected = predict(network, PICTURES[:count])
        np.testing.assert_allclose(quick.embed(PICTURES[:count]), expected, atol=1e-4)
        np.testing.assert_allclose(slow.embed(PICTURES[:count]), expected, atol=1e-4)


def test_bfloat16_hardly_changes_an_embedding(embedder: Embedder) -> None:
    quick = copy.copy(embedder)
    quick.engine = "openvino-bf16"
    if not has_bfloat16():
        with pytest.raises(InvalidArgumentError, match="needs a processor"):
            quick.embed(PICTURES)
        return
    found, exact = quick.embed(PICTURES), embedder.embed(PICTURES)
    assert not np.array_equal(found, exact)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-3)
    assert np.linalg.norm(found - exact, axis=1).max() < 0.1


@pytest.mark.parametrize("architecture", [SMALL_V1, SMALL_V2], ids=lambda a: a.backbone)
def test_eight_bits_hardly_change_an_embedding(architecture: Architecture) -> None:
    exact = random_embedder(architecture=architecture)
    quick = exact.with_input_ranges(PICTURES)
    quick.engine = "openvino-int8"
    assert quick.record.identity == exact.record.identity
    expected = exact.embed(PICTURES)
    for count in (1, 5, 12):
        found = quick.embed(PICTURES[:count])
        assert not np.array_equal(found, expected[:count])
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
        assert np.linalg.norm(found - expected[:count], axis=1).max() < 0.1


def test_what_may_be_negative_stays_exact(embedder: Embedder) -> None:
    # Even if it is not on the faces at hand: the pixels, scaled, and the last residual sum.
    ranges = embedder.with_input_ranges(np.full_like(PICTURES, 255)).record.input_ranges
    layers = embedder._arrays.keys()
    assert layers - ranges.keys() == {"Conv2d_1a_3x3", "Conv2d_7b_1x1", "Bottleneck"}


@given(parts=st.lists(st.integers(0, len(PICTURES) - 1), min_size=2, max_size=6, unique=True))
@settings(max_examples=tries(2, 10))
def test_the_range_of_several_faces_is_the_largest(embedder: Embedder, parts: list[int]) -> None:
    alone = [embedder.with_input_ranges(PICTURES[[part]]).record.input_ranges for part in parts]
    together = embedder.with_input_ranges(PICTURES[parts]).record.input_ranges
    expected = {name: max(ranges[name] for ranges in alone) for name in together}
    assert together == pytest.approx(expected, rel=1e-4)


def test_eight_bits_need_input_ranges(embedder: Embedder) -> None:
    quick = copy.copy(embedder)
    quick.engine = "openvino-int8"
    with pytest.raises(InvalidArgumentError, match=r"no input ranges.*with_input_ranges"):
        quick.embed(PICTURES)
    with pytest.raises(InvalidArgumentError, match=r"'random' have no input ranges"):
        random_embedder(engine="openvino-int8")
    with pytest.raises(InvalidArgumentError, match="measured on faces"):
        embedder.with_input_ranges(PICTURES[:0])


def test_input_ranges_are_saved(embedder: Embedder, tmp_path: Path) -> None:
    assert "input_ranges" not in embedder.record.to_dict()
    prepared = embedder.with_input_ranges(PICTURES)
    prepared.save(tmp_path / "prepared.safetensors")
    again = Embedder(tmp_path / "prepared.safetensors", engine="openvino-int8")
    assert again.record == prepared.record
    prepared.engine = "openvino-int8"
    np.testing.assert_array_equal(again.embed(PICTURES), prepared.embed(PICTURES))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "wide"])
def test_an_input_range_that_is_none_is_refused(
    embedder: Embedder, tmp_path: Path, value: Any
) -> None:
    header = {**embedder.record.to_dict(), "input_ranges": {"Conv2d_2a_3x3": value}}
    path = write_own(tmp_path / "ranges.safetensors", embedder, header=header)
    with pytest.raises(FileFormatError, match="does not understand"):
        Embedder(path)


@pytest.mark.parametrize(
    ("precision", "share", "least_cosine"), [("float16", 0.6, 0.99999), ("int8", 0.35, 0.99)]
)
def test_rounding_shrinks_the_file_and_hardly_changes_an_embedding(
    tmp_path: Path, embedder: Embedder, precision: Precision, share: float, least_cosine: float
) -> None:
    paths = tmp_path / "whole.safetensors", tmp_path / "rounded.safetensors"
    embedder.save(paths[0])
    embedder.save(paths[1], precision=precision)
    rounded = Embedder(paths[1])
    assert rounded.record == embedder.record
    found, exact = rounded.embed(PICTURES), embedder.embed(PICTURES)
    assert not np.array_equal(found, exact)
    assert (found * exact).sum(axis=1).min() > least_cosine
    assert paths[1].stat().st_size < share * paths[0].stat().st_size


def test_half_precision_refuses_what_it_cannot_hold(tmp_path: Path, network: Any) -> None:
    large = keras.models.clone_model(network)
    large.set_weights(network.get_weights())
    kernel = large.get_layer("Bottleneck").weights[0]
    kernel.assign(kernel * 1e9)
    embedder = Embedder.from_network(large, SMALL_V2, name="large")
    with pytest.raises(InvalidArgumentError, match="Bottleneck/kernel"):
        embedder.save(tmp_path / "half.safetensors", precision="float16")
    assert not (tmp_path / "half.safetensors").exists()


def test_eight_bits_move_a_weight_by_half_a_step_at_most(
    tmp_path: Path, embedder: Embedder
) -> None:
    embedder.save(tmp_path / "int8.safetensors", precision="int8")
    rounded = Embedder(tmp_path / "int8.safetensors")
    for layer, arrays in embedder._arrays.items():
        for name, array in arrays.items():
            axes = tuple(range(array.ndim - 1))
            step = np.abs(array).max(axis=axes) / 127 if array.ndim > 1 else 0.0
            assert (np.abs(rounded._arrays[layer][name] - array) <= 0.501 * step).all()


def test_a_precision_that_does_not_exist_is_refused(tmp_path: Path, embedder: Embedder) -> None:
    with pytest.raises(InvalidArgumentError, match="precision must be"):
        embedder.save(tmp_path / "four.safetensors", precision="int4")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", [None, np.ones(1, np.float32), np.ones(16, np.float64)])
def test_eight_bits_without_their_steps_are_refused(
    embedder: Embedder, tmp_path: Path, step: np.ndarray | None
) -> None:
    arrays = {
        f"{layer}/{n}": a for layer, each in embedder._arrays.items() for n, a in each.items()
    }
    arrays["Bottleneck/kernel"] = np.ones(arrays["Bottleneck/kernel"].shape, np.int8)
    if step is not None:
        arrays["Bottleneck/kernel_step"] = step
    path = write_own(tmp_path / "altered.safetensors", embedder, arrays=arrays)
    with pytest.raises(FileFormatError, match="Bottleneck/kernel_step is not one float32"):
        Embedder(path)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pickled_embedder_embeds_alike(network: Any, engine: Engine) -> None:
    embedder = Embedder.from_network(network, SMALL_V2, name="pickled")
    embedder = embedder.with_input_ranges(PICTURES)
    embedder.engine = engine
    copy = pickle.loads(pickle.dumps(embedder))
    assert copy.record == embedder.record
    np.testing.assert_allclose(copy.embed(PICTURES), embedder.embed(PICTURES), atol=1e-6)


def test_threads_embed_at_once_what_one_does_alone(embedder: Embedder) -> None:
    expected = embedder.embed(PICTURES)
    batches = [np.roll(PICTURES, shift, axis=0) for shift in range(12)] * 4
    with ThreadPoolExecutor(8) as pool:
        for shift, found in enumerate(pool.map(embedder.embed, batches)):
            np.testing.assert_allclose(np.roll(found, -shift, axis=0), expected, atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_embeds_alike(tmp_path: Path, embedder: Embedder) -> None:
    # TensorFlow, which these tests have loaded, does not survive a fork; an embedder does.
    embedder.save(tmp_path / "e.safetensors")
    np.save(tmp_path / "pictures.npy", PICTURES)
    program = (
        "import gc, os, sys, threading, numpy as np; from facekit import Embedder\n"
        "embedder, idle = Embedder('e.safetensors'), Embedder('e.safetensors')\n"
        "pictures = np.load('pictures.npy'); expected = embedder.embed(pictures)\n"
        "done, waiting = threading.Event(), threading.Event()\n"
        "other = lambda: (embedder.embed(pictures), waiting.set(), done.wait())\n"
        "threading.Thread(target=other, daemon=True).start(); waiting.wait()\n"
        "if os.fork() == 0:\n"
        "    del idle; gc.collect()\n"
        "    os._exit(0 if np.allclose(embedder.embed(pictures), expected, atol=1e-5) else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, timeout=120, check=False)
    assert run.returncode == 0


def test_embedding_loads_neither_keras_nor_tensorflow(tmp_path: Path, embedder: Embedder) -> None:
    embedder.save(tmp_path / "e.safetensors")
    program = (
        "import sys, numpy as np; from facekit import Embedder\n"
        "e = Embedder('e.safetensors')\n"
        "e.embed(np.zeros((2, e.input_size, e.input_size, 3), np.uint8)); e.save('f.safetensors')\n"
        "sys.exit(len({'keras', 'tensorflow'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, timeout=120, check=False)
    assert run.returncode == 0
    assert Embedder(tmp_path / "f.safetensors").record == embedder.record


@pytest.mark.parametrize(
    "arguments",
    [
        *({"threads": 0}, {"threads": True}, {"batch_size": 0}, {"engine": "caffe"}),
        *({"mirrored": 1}, {"name": 5}, {"thresholds": {0.001: float("nan")}}),
    ],
)
def test_arguments_out_of_range(network: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        Embedder.from_network(network, SMALL_V2, **{"name": "wrong", **arguments})


@pytest.mark.parametrize(
    "faces",
    [
        PICTURES[0],
        PICTURES[:, :-1],
        PICTURES[..., :1],
        PICTURES[..., 0],
        PICTURES.astype(np.float32),
        PICTURES.astype(np.int64),
        PICTURES / 255.0,
        random_pictures(2, side=160),
        [PICTURES[0], PICTURES[1, :-1]],
        ["photo.jpg"],
        None,
        iter(PICTURES),
    ],
    ids=[
        "one picture",
        "not square",
        "one channel",
        "gray",
        "float",
        "int",
        "zero to one",
        "other size",
        "mixed sizes",
        "path",
        "nothing",
        "iterator",
    ],
)
def test_faces_of_another_form_are_refused(embedder: Embedder, faces: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"faces must .*80.*align"):
        embedder.embed(faces)


# How an embedder is made.


def test_random_weights_warn() -> None:
    with pytest.warns(RandomWeightsWarning, match="cannot recognize anyone"):
        Embedder(weights=None, architecture=SMALL_V2)


def test_random_weights_follow_the_seed() -> None:
    first, again, other = (random_embedder(seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.embed(PICTURES), again.embed(PICTURES))
    assert first.record == again.record
    assert first.record.identity != other.record.identity
    assert not np.allclose(first.embed(PICTURES), other.embed(PICTURES), atol=1e-3)


@pytest.mark.parametrize("seed", [-1, 1.5, None, "1"])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="seed must be a whole number"):
        build_network(SMALL_V2, seed=seed)


def test_random_weights_have_no_thresholds() -> None:
    with pytest.raises(InvalidArgumentError, match="none was measured"):
        random_embedder().record.threshold()


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, None, "32"])
def test_an_invalid_batch_size_is_refused(batch_size: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        Embedder(weights=None, architecture=SMALL_V2, batch_size=batch_size)


def test_an_architecture_does_not_go_with_weights(saved: Path) -> None:
    for weights in (saved, PUBLISHED):
        with pytest.raises(InvalidArgumentError, match="architecture"):
            Embedder(weights, architecture=SMALL_V2)


def test_an_embedder_of_a_network_has_its_name_and_size(network: Any) -> None:
    embedder = Embedder.from_network(network, SMALL_V2, name="mine", thresholds={0.001: 0.8})
    assert embedder.record.name == "mine"
    assert embedder.record.threshold() == 0.8
    assert (embedder.input_size, embedder.embedding_size) == (SIDE, 64)
    assert "mine" in repr(embedder)


def test_the_version_of_an_embedder_follows_its_weights(network: Any) -> None:
    first, again = (Embedder.from_network(network, SMALL_V2, name="n") for _ in range(2))
    other = Embedder.from_network(build_network(SMALL_V2, seed=9), SMALL_V2, name="n")
    assert first.record.identity == again.record.identity
    assert first.record.identity != other.record.identity


def test_an_embedder_keeps_the_alignment_of_its_training(network: Any) -> None:
    aligner = Aligner(SIDE, mode="crop", margin=0.1)
    embedder = Embedder.from_network(network, SMALL_V2, name="n", alignment=aligner)
    assert embedder.aligner().to_dict() == aligner.to_dict()


def test_an_alignment_to_another_size_is_refused(network: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"side 160.*reads\s80"):
        Embedder.from_network(network, SMALL_V2, name="n", alignment=Aligner(160))


def test_a_network_of_another_architecture_is_refused(network: Any) -> None:
    with pytest.raises(WeightsError, match="do not fit"):
        Embedder.from_network(network, SMALL_V1, name="n")


def test_a_network_of_another_kind_is_refused() -> None:
    other = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(name="norm")])
    with pytest.raises(WeightsError, match="norm"):
        Embedder.from_network(other, SMALL_V2, name="n")


# Saving and loading.


def test_a_saved_embedder_comes_back_to_the_bit(embedder: Embedder, saved: Path) -> None:
    loaded = Embedder(saved, batch_size=4)
    assert loaded.record == embedder.record
    np.testing.assert_array_equal(loaded.embed(PICTURES), embedder.embed(PICTURES))


def test_a_saved_embedder_keeps_its_record(network: Any, tmp_path: Path) -> None:
    aligner = Aligner(SIDE, mode="crop", margin=0.3)
    embedder = Embedder.from_network(
        network, SMALL_V2, name="Zoë", alignment=aligner, thresholds={0.01: 1.0, 1e-7: 0.123456789}
    )
    embedder.save(tmp_path / "weights.safetensors")
    loaded = Embedder(str(tmp_path / "weights.safetensors"))
    assert loaded.record == embedder.record
    assert loaded.aligner().to_dict() == aligner.to_dict()


def test_an_embedder_is_loaded_by_its_folder(saved: Path) -> None:
    assert Embedder(saved.parent).record == Embedder(saved).record


def test_the_name_of_a_saved_file_ends_in_safetensors(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"\.safetensors"):
        embedder.save(tmp_path / "weights.h5")
    assert not list(tmp_path.iterdir())


def test_saving_into_a_missing_folder_is_refused(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="missing"):
        embedder.save(tmp_path / "missing" / "weights.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9999])
def test_a_truncated_file_is_refused(saved: Path, tmp_path: Path, share: float) -> None:
    content = saved.read_bytes()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileFormatError, match=r"weights\.safetensors: is truncated"):
        Embedder(path)


@given(position=st.integers(0), change=st.integers(1, 255))
def test_an_altered_array_is_noticed(saved: Path, position: int, change: int) -> None:
    content = bytearray(saved.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[header + position % (len(content) - header)] ^= change
    path = saved.parent.parent / "altered.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="checksum"):
        Embedder(path)


@given(position=st.integers(0), bit=st.integers(0, 7))
def test_an_altered_header_is_noticed(saved: Path, position: int, bit: int) -> None:
    content = bytearray(saved.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[position % header] ^= 1 << bit
    path = saved.parent.parent / "altered.safetensors"
    path.write_bytes(content)
    with pytest.raises(FacekitError):
        Embedder(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"kernel": np.zeros(3, dtype=np.float32)}, tmp_path / "foreign.safetensors")
    with pytest.raises(FileFormatError, match=r"foreign\.safetensors: is a foreign file"):
        Embedder(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize("name", ["weights.pkl", "weights.pt", "weights.keras", "weights"])
def test_a_file_with_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(WeightsError, match=r"\.safetensors, \.npz, \.h5"):
        Embedder(tmp_path / name)


@pytest.mark.parametrize("name", ["weights.npz", "weights.h5"])
def test_an_unknown_file_of_others_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(WeightsError, match="not one of the published weights"):
        Embedder(tmp_path / name)


@pytest.mark.parametrize("weights", ["missing.npz", "missing/weights", "./missing"])
def test_a_missing_file_is_refused(weights: str) -> None:
    with pytest.raises(WeightsNotFoundError, match="no such file"):
        Embedder(weights)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="no weights file"):
        Embedder(tmp_path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(WeightsNotFoundError, match=PUBLISHED):
        Embedder("facenet")


@pytest.mark.parametrize("file", REGISTRY[PUBLISHED].files, ids=lambda file: file.name)
def test_a_folder_is_searched_for_each_published_file(tmp_path: Path, file: WeightsFile) -> None:
    (tmp_path / file.name).write_bytes(b"altered")
    with pytest.raises(WeightsError, match="not one of the published weights"):
        Embedder(tmp_path)


# Weights of others, known by name.


@pytest.fixture
def small_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[WeightsRecord, Path, npt.NDArray[np.float32]]:
    """A record of small weights, their file in FACEKIT_HOME, and the embeddings to expect."""
    network = build_network(SMALL_V1)
    randomize_normalizations(network)
    arrays = {}
    for layer, weights in fold(layer_weights(network), residual_scales(network)).items():
        arrays[f"{layer}_kernel"] = weights["kernel"]
        arrays[f"{layer}_Conv2D_bias"] = weights["bias"]
    path = tmp_path / "weights" / "small" / "weights.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **arrays)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    record = WeightsRecord(
        name="small",
        version="1",
        architecture=SMALL_V1,
        alignment={"size": SIDE},
        files=(WeightsFile("weights.npz", "facenet_folded_npz", sha256),),
    )
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path))
    monkeypatch.setattr("facekit.embedding.weights.registry.REGISTRY", {"small": record})
    return record, path, predict(network, PICTURES)


def test_weights_are_loaded_by_name_by_file_and_by_folder(
    small_record: tuple[WeightsRecord, Path, npt.NDArray[np.float32]],
) -> None:
    record, path, expected = small_record
    for weights in ("small", path, str(path), path.parent):
        embedder = Embedder(weights)
        assert embedder.record is record
        np.testing.assert_allclose(embedder.embed(PICTURES), expected, atol=1e-4)


def test_published_weights_survive_saving(
    small_record: tuple[WeightsRecord, Path, npt.NDArray[np.float32]], tmp_path: Path
) -> None:
    embedder = Embedder("small")
    embedder.save(tmp_path / "copy.safetensors")
    loaded = Embedder(tmp_path / "copy.safetensors")
    assert loaded.record == replace(embedder.record, files=())
    assert loaded.record.identity == embedder.record.identity
    np.testing.assert_array_equal(loaded.embed(PICTURES), embedder.embed(PICTURES))


@pytest.fixture
def bundled_record(
    saved: Path, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[WeightsRecord, Path]:
    """A record of weights in facekit's own format, and their file in the package's folder."""
    path = tmp_path / "bundled" / "small.safetensors"
    path.parent.mkdir()
    shutil.copyfile(saved, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    record = replace(
        embedder.record, files=(WeightsFile(path.name, "facekit", sha256),), license="of the record"
    )
    monkeypatch.setattr("facekit.embedding.weights.retrieval.BUNDLED", path.parent)
    monkeypatch.setattr("facekit.embedding.weights.registry.REGISTRY", {"small": record})
    return record, path


def test_bundled_weights_are_loaded_by_name(
    bundled_record: tuple[WeightsRecord, Path], embedder: Embedder
) -> None:
    loaded = Embedder("small")
    assert loaded.record is bundled_record[0]
    np.testing.assert_array_equal(loaded.embed(PICTURES), embedder.embed(PICTURES))


def test_an_altered_bundled_file_is_refused(bundled_record: tuple[WeightsRecord, Path]) -> None:
    path = bundled_record[1]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"small\.safetensors: has SHA-256 .*fetch it again"):
        Embedder("small")


@pytest.mark.parametrize("change", [{"version": "2"}, {"architecture": SMALL_V1}])
def test_a_bundled_file_of_other_weights_is_refused(
    bundled_record: tuple[WeightsRecord, Path],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
) -> None:
    other = replace(bundled_record[0], **change)
    monkeypatch.setattr("facekit.embedding.weights.registry.REGISTRY", {"small": other})
    with pytest.raises(WeightsError, match=r"small\.safetensors: holds the weights small@"):
        Embedder("small")


# A file of facekit's own whose content cannot be used, though nobody altered it.


def write_own(path: Path, embedder: Embedder, **change: Any) -> Path:
    """Writes a file as another version or another program might."""
    parts: dict[str, Any] = {
        "kind": "facekit.embedder",
        "version": 1,
        "header": embedder.record.to_dict(),
        "arrays": {
            f"{layer}/{name}": array
            for layer, arrays in embedder._arrays.items()
            for name, array in arrays.items()
        },
    }
    safetensors_file.write(path, **{**parts, **change})
    return path


def test_a_file_in_half_precision_is_read(embedder: Embedder, saved: Path, tmp_path: Path) -> None:
    halves = {
        f"{layer}/{name}": array.astype(np.float16)
        for layer, arrays in embedder._arrays.items()
        for name, array in arrays.items()
    }
    path = write_own(tmp_path / "half.safetensors", embedder, arrays=halves)
    assert path.stat().st_size < 0.6 * saved.stat().st_size
    np.testing.assert_allclose(Embedder(path).embed(PICTURES), embedder.embed(PICTURES), atol=5e-3)


def test_a_file_from_a_newer_facekit_is_refused(embedder: Embedder, tmp_path: Path) -> None:
    path = write_own(tmp_path / "new.safetensors", embedder, version=4)
    with pytest.raises(FileFormatError, match=r"new\.safetensors: has format version 4.*upgrade"):
        Embedder(path)


def test_a_record_with_a_part_of_the_future_is_refused(embedder: Embedder, tmp_path: Path) -> None:
    header = {**embedder.record.to_dict(), "mood": "cheerful"}
    path = write_own(tmp_path / "new.safetensors", embedder, header=header)
    with pytest.raises(FileFormatError, match=r"new\.safetensors: .*mood.*Upgrade facekit"):
        Embedder(path)


def test_a_forged_record_is_refused_or_used(
    embedder: Embedder, saved: Path, tmp_path: Path
) -> None:
    metadata = {"kind": "facekit.embedder", "newest_version": 1}
    header, arrays = safetensors_file.read(saved, **metadata)  # type: ignore[arg-type]
    refused = used = 0
    for forged in forgeries(header, "blocks", "embedding_size", "name", "alignment", some=4):
        path = tmp_path / "forged.safetensors"
        safetensors_file.write(
            path, kind="facekit.embedder", version=1, header=forged, arrays=arrays
        )
        try:
            Embedder(path).aligner()
            used += 1
        except FacekitError:
            refused += 1
    assert refused > used > 0


@pytest.mark.parametrize("part", ["width", "blocks", "input_size", "embedding_size"])
def test_a_network_too_large_to_be_built_is_refused(part: str) -> None:
    with pytest.raises(InvalidArgumentError, match=part):
        Architecture(**{part: 2**40})


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_of_another_backbone_are_refused(
    embedder: Embedder, tmp_path: Path, engine: Engine
) -> None:
    header = {**embedder.record.to_dict(), "architecture": SMALL_V1.to_dict()}
    path = write_own(tmp_path / "other.safetensors", embedder, header=header)
    with pytest.raises(
        WeightsError, match=r"other\.safetensors: .*do not fit the network inception_resnet_v1"
    ):
        Embedder(path, engine=engine)


def test_weights_of_another_shape_are_refused(embedder: Embedder, tmp_path: Path) -> None:
    wider = replace(SMALL_V2, embedding_size=65)
    header = {**embedder.record.to_dict(), "architecture": wider.to_dict()}
    path = write_own(tmp_path / "wide.safetensors", embedder, header=header)
    with pytest.raises(WeightsError, match=r"wide\.safetensors: .*Bottleneck/bias has shape"):
        Embedder(path)


def test_a_missing_array_is_noticed(embedder: Embedder, tmp_path: Path) -> None:
    arrays = {"Bottleneck/kernel": embedder._arrays["Bottleneck"]["kernel"]}
    path = write_own(tmp_path / "few.safetensors", embedder, arrays=arrays)
    with pytest.raises(WeightsError, match=r"few\.safetensors: .*is missing"):
        Embedder(path)


@pytest.mark.parametrize("name", ["deepface-facenet", "deepface-facenet512"])
def test_a_file_of_deepface_under_its_name_must_fit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = REGISTRY[name].files[0]
    path = tmp_path / "weights" / name / file.name
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as content:
        content["Conv2d_1a_3x3/Conv2d_1a_3x3/kernel:0"] = np.zeros((3, 3, 3, 32), np.float32)
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path))
    for weights in (name, path):
        with pytest.raises(WeightsError, match=r"allow_unverified=True"):
            Embedder(weights)
        with pytest.raises(InvalidArgumentError, match="allow_unverified must be True or False"):
            Embedder(weights, allow_unverified="no")  # type: ignore[arg-type]
        with pytest.raises(WeightsError, match=rf"{file.name}: .*is missing"):
            Embedder(weights, allow_unverified=True)


# The real weights.


@pytest.fixture(scope="module")
def facenet(data_folder: Path) -> Embedder:
    return Embedder(PUBLISHED)


@pytest.fixture(scope="module")
def facenet_folder(data_folder: Path) -> Path:
    return data_folder / "weights" / PUBLISHED


def test_facenet_gives_the_reference_embeddings(facenet: Embedder, facenet_folder: Path) -> None:
    with np.load(facenet_folder / "reference.npz", allow_pickle=False) as reference:
        embeddings = facenet.embed(reference["inputs"])
        np.testing.assert_allclose(embeddings, reference["embeddings"], atol=1e-3)


def test_facenet_is_loaded_by_file_and_by_folder(
    facenet: Embedder, facenet_folder: Path, astronaut: Path
) -> None:
    face = load_image(astronaut)[None, 20:180, 140:300]
    for path in (facenet_folder / "weights.npz", facenet_folder):
        embedder = Embedder(path)
        assert embedder.record is facenet.record
        np.testing.assert_array_equal(embedder.embed(face), facenet.embed(face))


def test_an_altered_copy_of_facenet_is_refused(facenet_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    shutil.copyfile(facenet_folder / "weights.npz", path)
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, 1)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(WeightsError, match="altered or truncated"):
        Embedder(path)


def test_a_truncated_copy_of_facenet_is_refused(
    facenet_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights" / PUBLISHED / "weights.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes((facenet_folder / "weights.npz").read_bytes()[:-1000])
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="truncated or was altered"):
        Embedder(PUBLISHED)


# What runs the network.


def test_settings_can_be_changed(embedder: Embedder) -> None:
    changed = copy.deepcopy(embedder)
    expected = changed.embed(PICTURES)
    changed.threads, changed.batch_size = 1, 1
    np.testing.assert_allclose(changed.embed(PICTURES), expected, atol=1e-5)
    changed.batch_size = 0
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        changed.embed(PICTURES)
    changed.threads, changed.batch_size = 0, 1
    with pytest.raises(InvalidArgumentError, match="threads"):
        changed.embed(PICTURES)


def test_what_was_compiled_is_kept_where_facekit_keeps_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_HOME", str(tmp_path))
    faces = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    # A worker process gets its embedder like this.
    first = pickle.loads(pickle.dumps(Embedder("facekit-small"))).embed(faces)
    (blob,) = (tmp_path / "compiled").iterdir()
    assert blob.name.startswith("facekit-small-")
    np.testing.assert_array_equal(Embedder("facekit-small").embed(faces), first)


def test_a_warm_embedder_is_compiled_once(embedder: Embedder) -> None:
    warm = copy.deepcopy(embedder)
    warm.warm_up()
    network = warm._network()
    warm.warm_up()
    np.testing.assert_array_equal(warm.embed(PICTURES), embedder.embed(PICTURES))
    assert warm._network() is network
