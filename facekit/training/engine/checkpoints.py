"""Checkpoints: everything that a training needs to resume as if it had never stopped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from facekit.errors import FileFormatError
from facekit.io import safetensors_file
from facekit.utils.validation import whole

_FILE_KIND = "facekit.training"
_FILE_VERSION = 1


@dataclass
class Progress:
    """The progress of a training."""

    epoch: int = 0  # the epoch that comes or goes on next, from 0
    batch: int = 0  # its next batch, from 0
    step: int = 0  # how many steps were made in all
    trained_epoch: int = 0  # the epoch of the last step, to which the optimizer's state belongs
    # Of each value that steps measured, the sum over the epoch so far.
    sums: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)  # the history so far


class Snapshot:
    """A training at one moment, ready to be written as a checkpoint."""

    def __init__(
        self, progress: Progress, settings: dict[str, Any], *, network: Any, optimizer: Any
    ) -> None:
        # asdict copies: the training goes on before the snapshot is written.
        self._header = {"progress": asdict(progress), "settings": settings}
        # The random state of dropout is among the variables of the network.
        self._arrays = {
            **_arrays("network", network.variables),
            **_arrays("optimizer", optimizer.variables),
        }

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the checkpoint; the previous one is kept until the new one is complete."""
        safetensors_file.write(
            path,
            kind=_FILE_KIND,
            version=_FILE_VERSION,
            header=self._header,
            arrays=self._arrays,
        )


class Checkpoint:
    """A checkpoint that was read: the progress and the settings of the training."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        header, self._stored = safetensors_file.read(
            path, kind=_FILE_KIND, newest_version=_FILE_VERSION
        )
        try:
            self.progress = _progress(header["progress"])
            self.settings: dict[str, Any] = dict(header["settings"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileFormatError(f"{path}: the file's header is damaged ({error})") from error

    def restore(self, part: Literal["network", "optimizer"], variables: Sequence[Any]) -> None:
        """Fills the variables of a network or an optimizer, which must be those of the training."""
        expected = {name: tuple(array.shape) for name, array in _named(part, variables).items()}
        stored = {
            name: array.shape for name, array in self._stored.items() if name.startswith(f"{part}/")
        }
        if stored != expected:
            raise FileFormatError(
                f"{self._path}: is the checkpoint of another {part} ({len(stored)} variables, "
                f"expected {len(expected)}, or other shapes)"
            )
        for name, variable in _named(part, variables).items():
            variable.assign(self._stored[name])


def _progress(values: dict[str, Any]) -> Progress:
    """Returns the progress that a header holds, of numbers alone."""
    found = Progress(**values)
    for name in ("epoch", "batch", "step", "trained_epoch"):
        whole(getattr(found, name), name, least=0)
    for row in (found.sums, *found.rows):
        for name, value in row.items():
            if not isinstance(value, int | float):
                raise TypeError(f"{name} is {value!r:.80}")
    return found


def _named(part: str, variables: Sequence[Any]) -> dict[str, Any]:
    # By position: Keras numbers the paths of some variables again in each process.
    return {f"{part}/{index:05d}": variable for index, variable in enumerate(variables)}


def _arrays(part: str, variables: Sequence[Any]) -> safetensors_file.Arrays:
    import keras

    return {
        name: np.array(keras.ops.convert_to_numpy(variable.value))
        for name, variable in _named(part, variables).items()
    }
