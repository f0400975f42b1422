"""What several tests share: where the data lies, two portraits, one detector."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from effort import CHECK, tries
from hypothesis import settings

if TYPE_CHECKING:
    from facekit import Detector

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Tests fetch no weights, even if a change should make one of them try.
os.environ["FACEKIT_OFFLINE"] = "1"

# Absolute, so that a test may change the working directory and still find the data.
_PROJECT = Path(__file__).resolve().parent.parent
_DATA = (_PROJECT / os.environ.get("FACEKIT_DATA", "../shared/data")).resolve()
if _DATA.is_dir():
    os.environ["FACEKIT_DATA"] = str(_DATA)

settings.register_profile(
    "facekit", deadline=None, max_examples=tries(15, 50), derandomize="CI" in os.environ
)
settings.load_profile("facekit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what takes long, unless ``make check`` runs it."""
    if not CHECK:
        for item in items:
            if item.get_closest_marker("check"):
                item.add_marker(pytest.mark.skip(reason="takes long; make check runs it"))


def _file_of_package(package: str, path: str) -> Path:
    """Returns a file that a package ships, without importing the package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(spec.origin).parent / path


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real faces and weights; a test that wants it is skipped where it is not."""
    if not _DATA.is_dir():
        pytest.skip(f"FACEKIT_DATA: {_DATA} is no folder")
    return _DATA


@pytest.fixture(scope="session")
def hopper() -> Path:
    """A portrait of Grace Hopper, 512 × 600, that ships with matplotlib."""
    return _file_of_package("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """A portrait of Eileen Collins, 512 × 512, that ships with scikit-image."""
    return _file_of_package("skimage", "data/astronaut.png")


@pytest.fixture(scope="session")
def detector() -> Detector:
    """A detector with the default arguments."""
    from facekit import Detector

    return Detector()


@pytest.fixture
def known(tmp_path: Path, hopper: Path, astronaut: Path) -> Path:
    """A folder of two people with a portrait each."""
    for name, image in (("Grace", hopper), ("Eileen", astronaut)):
        (tmp_path / "known" / name).mkdir(parents=True)
        shutil.copy(image, tmp_path / "known" / name)
    return tmp_path / "known"
