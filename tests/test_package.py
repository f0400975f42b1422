"""Laws of the package as a whole: what it exports, and what importing it costs."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import facekit
from facekit import errors

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))
from public_names import described_names

HEAVY = {
    "cv2", "keras", "matplotlib", "mtcnn", "openvino", "pooch", "requests", "rich", "safetensors",
    "scipy", "sklearn", "tensorflow",
}  # fmt: skip

LIST_MODULES = "import sys; print(*(name for name in sys.modules if '.' not in name))"


def modules_after(statement: str) -> set[str]:
    """Returns the top-level modules that a fresh Python has loaded after a statement."""
    script = f"{statement}; {LIST_MODULES}"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def public_errors() -> list[type]:
    found = filter(inspect.isclass, vars(errors).values())
    return [value for value in found if value.__module__ == errors.__name__]


@pytest.mark.parametrize(
    "statement",
    [
        "from facekit import Face, load_image, FacekitError",
        "from facekit import Detector; Detector()",
        "from facekit import Aligner; Aligner()",
        "from facekit.report import ImageReport",
        "import facekit.io.safetensors_file, facekit.utils.progress",
    ],
)
def test_import_loads_nothing_heavy(statement: str) -> None:
    loaded = modules_after(statement)
    assert "facekit" in loaded
    assert not loaded & HEAVY


def test_import_of_the_package_alone_loads_not_even_numpy() -> None:
    assert not modules_after("import facekit") & {*HEAVY, "numpy", "PIL"}


@pytest.mark.parametrize("name", sorted(set(facekit.__all__) - {"__version__"}))
def test_every_public_name_has_its_own_name_and_a_docstring(name: str) -> None:
    value = getattr(facekit, name)
    assert value.__name__ == name
    assert inspect.getdoc(value)


def test_public_names_are_listed_once() -> None:
    assert len(set(facekit.__all__)) == len(facekit.__all__)


def test_dir_lists_every_public_name() -> None:
    assert set(facekit.__all__) <= set(dir(facekit))


def test_star_import_gives_every_public_name() -> None:
    namespace: dict[str, object] = {}
    exec("from facekit import *", namespace)
    assert set(facekit.__all__) <= set(namespace)


def test_every_error_and_warning_is_described() -> None:
    described = {*facekit.__all__, *described_names()["facekit.errors"]}
    assert {error.__name__ for error in public_errors()} <= described


@pytest.mark.parametrize("error", public_errors())
def test_every_error_is_in_the_tree(error: type) -> None:
    assert issubclass(error, facekit.FacekitError | facekit.FacekitWarning)


def test_unknown_attribute_is_named() -> None:
    with pytest.raises(AttributeError, match=r"'facekit'.*'FaceRecogniser'"):
        _ = facekit.FaceRecogniser


def test_the_stub_says_nothing_else() -> None:
    stub = Path(facekit.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    lines = [line for line in stub.splitlines() if line and not line.startswith("#")]
    names = [line for line in lines if re.fullmatch(r"from \S+ import (\w+) as \1", line)]
    assert lines == [*names, "__version__: str"]
    assert len(names) + 1 == len(facekit.__all__)


def test_package_is_marked_as_typed() -> None:
    assert (Path(facekit.__file__).parent / "py.typed").is_file()


def test_version_is_that_of_the_installed_distribution() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", facekit.__version__)
    assert importlib.metadata.version("facekit-recognition") == facekit.__version__
