"""The published weights of MTCNN's three networks, read from the installed ``mtcnn`` package.

The package stores each network as a list of arrays pickled by joblib. Neither is imported to read
it: importing ``mtcnn`` imports TensorFlow, and its loader first unpickles a file of that name from
the working directory, regardless of its author.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import math
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import lz4.frame
import numpy as np
import numpy.typing as npt

from facekit.errors import WeightsError, WeightsNotFoundError
from facekit.utils.reasons import why

NetworkName: TypeAlias = Literal["pnet", "rnet", "onet"]

# Of the files in mtcnn 1.0.0, as published on the Python Package Index.
_SHA256: dict[NetworkName, str] = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}


def read_weights(network: NetworkName) -> list[npt.NDArray[np.float32]]:
    """Reads the weights of one of MTCNN's networks."""
    path = _assets() / f"{network}.lz4"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsNotFoundError(
            f"{path}: the weights of the detector cannot be read ({why(error)}); "
            "reinstall them with: pip install --force-reinstall mtcnn==1.0.0"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != _SHA256[network]:
        raise WeightsError(
            f"{path}: not the file that mtcnn 1.0.0 ships (SHA-256 {digest[:12]}..., expected "
            f"{_SHA256[network][:12]}...); reinstall it with: "
            "pip install --force-reinstall mtcnn==1.0.0"
        )
    return read_arrays(lz4.frame.decompress(content))


def read_arrays(content: bytes) -> list[npt.NDArray[np.float32]]:
    """Reads a list of arrays from a joblib pickle, and refuses anything else in it."""
    try:
        arrays = _ArrayUnpickler(io.BytesIO(content)).load()
    except (
        pickle.UnpicklingError, struct.error, EOFError, ValueError, TypeError, LookupError,
        AttributeError,
    ) as error:  # fmt: skip
        raise WeightsError(f"not a list of arrays as joblib writes it: {error}") from error
    if not (isinstance(arrays, list) and all(isinstance(item, np.ndarray) for item in arrays)):
        raise WeightsError("not a list of arrays as joblib writes it")
    return arrays


def _assets() -> Path:
    # For a top-level package this locates the file without running any code.
    specification = importlib.util.find_spec("mtcnn")
    if specification is None or specification.origin is None:
        raise WeightsNotFoundError(
            "the detector's weights come with the mtcnn package, which is not installed; "
            "install it with: pip install mtcnn==1.0.0"
        )
    return Path(specification.origin).parent / "assets" / "weights"


class _StoredArray:
    """Replaces joblib's description of an array whose data follows it in the file."""

    shape: tuple[int, ...]
    order: Literal["C", "F"]
    dtype: np.dtype[Any]

    def read(self, stream: io.BytesIO) -> npt.NDArray[Any]:
        stream.read(stream.read(1)[0])  # padding, after its length
        content = stream.read(math.prod(self.shape) * self.dtype.itemsize)
        # NumPy refuses a file that ends within the array, and Python objects.
        return np.frombuffer(content, self.dtype).reshape(self.shape, order=self.order)


# The Python class, because the C one reads ahead past the description of an array. Typeshed does
# not know its methods.
_Unpickler: Any = pickle._Unpickler


class _ArrayUnpickler(_Unpickler):  # type: ignore[misc]
    _allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _StoredArray,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }
    dispatch: ClassVar[dict[int, Any]] = dict(_Unpickler.dispatch)

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self._stream = stream

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which is not an array"
            ) from None

    def load_build(self) -> None:
        super().load_build()
        built = self.stack[-1]
        if isinstance(built, _StoredArray):
            self.stack[-1] = built.read(self._stream)

    dispatch[pickle.BUILD[0]] = load_build
