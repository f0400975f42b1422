"""Optional packages: importing them, and redirecting the files that they write."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facekit.errors import MissingExtraError
from facekit.utils.home import home

# The extra that installs each package, by the name that is imported.
_EXTRAS = {
    "av": "video",
    "faiss": "faiss",
    "h5py": "convert",
    "jax": "train",
    "jinja2": "web",
    "keras": "train",
    "matplotlib": "plots",
    "networkit": "archive",
    "onnx": "convert",
    "pandas": "tables",
    "pgvector": "postgres",
    "pillow_heif": "heic",
    "psycopg": "postgres",
    "pyarrow": "archive",
    "python_multipart": "web",
    "ray": "ray",
    "shtab": "completion",
    "starlette": "web",
    "tensorboard": "tensorboard",
    "tensorflow": "train",
    "torch": "train",
    "uvicorn": "web",
}


def import_extra(module: str) -> Any:
    """Imports a module of an optional package."""
    keep_files_at_home()
    try:
        with _fonts_noted_at_home():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error


def missing_extra(error: ModuleNotFoundError) -> ImportError:
    """Returns the error that says which extra installs a missing module, or the error itself."""
    package = (error.name or "").partition(".")[0]
    if package not in _EXTRAS:
        return error
    return MissingExtraError(
        f"this needs the package {package}, which is not installed; install it with: "
        f'pip install "facekit-recognition[{_EXTRAS[package]}]"',
        name=error.name,
    )


def keep_files_at_home() -> None:
    """Makes Keras and matplotlib write into facekit's own folder, unless the user has theirs."""
    user = Path.home()
    config, cache = (
        Path(os.environ.get(f"XDG_{kind}_HOME") or user / default)
        for kind, default in (("CONFIG", ".config"), ("CACHE", ".cache"))
    )
    if not (user / ".keras").exists():
        os.environ.setdefault("KERAS_HOME", str(home() / "keras"))
    if not any((folder / "matplotlib").exists() for folder in (config, cache)):
        os.environ.setdefault("MPLCONFIGDIR", str(home() / "matplotlib"))


@contextmanager
def _fonts_noted_at_home() -> Iterator[None]:
    """Makes the program that lists fonts for matplotlib write its cache into facekit's folder."""
    name = "XDG_CACHE_HOME"
    if name in os.environ or os.environ.get("MPLCONFIGDIR") != str(home() / "matplotlib"):
        yield
        return
    os.environ[name] = str(home())
    try:
        yield
    finally:
        os.environ.pop(name, None)
