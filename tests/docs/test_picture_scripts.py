"""The pictures in images/ are what their scripts draw, and the drawn network is the built one."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facekit import Architecture
from facekit.embedding.networks.shapes import weight_shapes
from facekit.errors import WeightsNotFoundError

IMAGES = Path(__file__).resolve().parents[2] / "images"
OTHERS = ("style", "hero", "web_page")  # these draw no SVG
SCRIPTS = sorted(path.stem for path in IMAGES.glob("*.py") if path.stem not in OTHERS)
SCHEMA = "inception_resnet_v2"


@pytest.fixture
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A script as a module; the schema's if a test names none."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(IMAGES))
    yield importlib.import_module(getattr(request, "param", SCHEMA))
    for name in set(sys.modules) - before:
        # Names such as "style" must not stand in the way of other modules.
        if name in ("style", *SCRIPTS):
            del sys.modules[name]


def drawn(script: ModuleType, folder: Path) -> dict[str, str]:
    """Runs a script; returns what it wrote by file name."""
    try:
        script.main(folder)
    except WeightsNotFoundError:
        pytest.skip("the FaceNet weights are not in the folder that FACEKIT_DATA names")
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def words(svg: str) -> list[str]:
    """Returns all that a picture says: its title, and its texts, which precede their outlines."""
    return re.findall(r"<title>(.*?)</title>|<!-- (.*?) -->", svg, flags=re.DOTALL)


def version(svg: str) -> str:
    """Returns the version of matplotlib that a picture was drawn with."""
    return re.findall(r"Matplotlib v([\w.+-]+)", svg)[0]


def parts(svg: str) -> tuple[list[str], np.ndarray]:
    """Takes a picture apart: what is no number, and the numbers."""
    svg = re.sub(r"data:image/[^\"]*", "", svg)
    # Names of clips and markers are checksums of their coordinates.
    svg = re.sub(r"(?<=[#\"])[mp][0-9a-f]{10}\b", "name", svg)
    number = r"(?<![\w#.-])-?\d+(?:\.\d+)?(?![\w.])"
    return re.split(number, svg), np.array([float(found) for found in re.findall(number, svg)])


@pytest.mark.check
@pytest.mark.parametrize("script", SCRIPTS, indirect=True)
def test_the_pictures_are_what_their_scripts_draw(script: ModuleType, tmp_path: Path) -> None:
    written = drawn(script, tmp_path)
    assert written
    for name, svg in written.items():
        kept = (IMAGES / name).read_text(encoding="utf-8")
        assert words(kept) == words(svg), f"make images, for {name}"
        # Another version of matplotlib may write outlines in another way.
        if version(kept) == version(svg):
            (rest_kept, numbers_kept), (rest, numbers) = parts(kept), parts(svg)
            assert rest_kept == rest, f"make images, for {name}"
            np.testing.assert_allclose(numbers_kept, numbers, atol=0.1, err_msg=name)


@pytest.mark.check
@pytest.mark.parametrize("script", ["triplet_loss"], indirect=True)
def test_the_same_picture_is_the_same_file(script: ModuleType, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first, second = (drawn(script, folder) for folder in folders)
    assert first == second


def test_every_picture_has_a_script_two_versions_and_a_moderate_size() -> None:
    pictures = sorted(IMAGES.glob("*.svg"))
    assert {path.name.rpartition("-")[2] for path in pictures} == {"light.svg", "dark.svg"}
    names = [{p.name.rpartition("-")[0] for p in pictures if m in p.name} for m in ("-l", "-d")]
    assert names[0] == names[1]
    assert all(any(name.startswith(script) for script in SCRIPTS) for name in names[0])
    assert all(path.stat().st_size < 150_000 for path in pictures)
    hero = IMAGES / "hero.png"
    assert hero.stat().st_size < 400_000
    with Image.open(hero) as picture:
        assert picture.width == 1600
        # The ground is the page's outside the rounded corners, and the picture's own inside.
        pixels = np.asarray(picture.convert("RGBA"))
    assert pixels[0, 0, 3] == 0
    assert pixels[20, 100, 3] == 255


def test_the_numbers_in_the_schema_are_those_of_the_weights() -> None:
    shapes, _ = weight_shapes(Architecture(), folded=False)
    total = sum(int(np.prod(shape)) for shape in shapes.values())
    said = [text for _, text in words((IMAGES / f"{SCHEMA}-light.svg").read_text(encoding="utf-8"))]
    assert f"{total:,}" in said


def test_every_weight_is_in_a_layer_of_the_schema(script: Any) -> None:
    shapes, scales = weight_shapes(script.ARCHITECTURE, folded=False)
    layers = {layer.name: layer for layer in script.recorded(script.SIDES[0])}
    kernels = {name: shape for (name, kind), shape in shapes.items() if kind == "kernel"}
    del kernels[script.HEAD_LAYER]
    with_weights = {name: layer for name, layer in layers.items() if layer.parameters}
    assert {
        name: (*layer.kernel, layer.inputs[0].channels, layer.channels)
        for name, layer in with_weights.items()
    } == kernels
    assert scales == {n: each.scale for n, each in layers.items() if each.kind == "projection"}


@pytest.mark.check
def test_the_schema_agrees_with_the_built_network(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facekit.embedding import build_network

    # Every block of the whole network, but each only once or twice.
    small = Architecture(blocks=0.1)
    monkeypatch.setattr(script, "ARCHITECTURE", small)
    layers = {layer.name: layer for layer in script.recorded(small.input_size)}
    network = build_network(small)
    built = {layer.name: layer for layer in network.layers}
    assert {n for n, layer in built.items() if layer.weights} - {
        layer + suffix for layer in layers for suffix in ("", "_BatchNorm")
    } == {script.HEAD_LAYER}
    for name, layer in layers.items():
        assert tuple(built[name].output.shape) == (None, layer.side, layer.side, layer.channels)
        if layer.kind in ("convolution", "projection"):
            assert tuple(built[name].kernel_size) == layer.kernel
            assert tuple(built[name].strides) == (layer.strides, layer.strides)
            assert built[name].padding == layer.padding or layer.kernel == (1, 1)
        elif layer.kind in ("max pooling", "average pooling"):
            assert tuple(built[name].pool_size) == layer.kernel
            assert tuple(built[name].strides) == (layer.strides, layer.strides)
            assert built[name].padding == layer.padding
        elif layer.kind == "sum":
            assert (name.replace("_Add", "_Relu") not in built) == layer.linear
        if layer.kind == "projection":
            assert built[f"{name}_Scale"].scale == layer.scale
        if layer.kind == "convolution":
            assert f"{name}_Relu" in built
    head = (layers["Conv2d_7b_1x1"].channels + 1) * small.embedding_size
    assert sum(layer.parameters for layer in layers.values()) + head == network.count_params()
    order = [layer.name for layer in network.layers][-4:]
    assert order == ["Conv2d_7b_1x1_Relu", script.FEATURES_LAYER, script.HEAD_LAYER, "embedding"]


@pytest.mark.check
def test_a_changed_network_changes_the_schema(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "ARCHITECTURE", Architecture(width=0.5, blocks=0.5))
    # One version is enough to read.
    monkeypatch.delitem(sys.modules["style"].PALETTES, "dark")
    written = drawn(script, tmp_path)
    said = [text for _, text in words(written[f"{SCHEMA}-light.svg"])]
    assert {"5 × block A", "17 × 17 × 160"} <= set(said)
    for name, svg in written.items():
        assert words(svg) != words((IMAGES / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("script", ["triplet_loss"], indirect=True)
def test_the_embeddings_follow_the_gradient_of_the_loss(script: Any) -> None:
    path = script.descend()
    losses = [script.loss(angles) for angles in path]
    assert losses[-1] == 0.0
    assert losses == sorted(losses, reverse=True)
    small = 1e-6
    numeric = [
        (script.loss(path[0] + small * axis) - script.loss(path[0] - small * axis)) / (2 * small)
        for axis in np.eye(3)
    ]
    np.testing.assert_allclose(script.gradient(path[0]), numeric, atol=1e-6)
