"""The weights that facekit knows by name: one record each, and the way to their files."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from facekit.distances import DistanceTable
from facekit.embedding.distance_tables import FACENET_VGGFACE2
from facekit.embedding.network import Architecture
from facekit.errors import InvalidArgumentError, WeightsError, WeightsNotFoundError
from facekit.storage import home, sha256

_LOGGER = logging.getLogger("facekit")

FileLayout: TypeAlias = Literal["facenet_folded_npz", "keras_facenet_h5"]
"""How a weights file of others is laid out; see :mod:`facekit.embedding.published`."""


@dataclass(frozen=True)
class WeightsFile:
    """A file that holds a set of weights.

    Args:
        name: Its file name.
        layout: How it is laid out.
        sha256: The checksum that it must have.
        url: Where it is published, or ``None``.
    """

    name: str
    layout: FileLayout
    sha256: str
    url: str | None = None


@dataclass(frozen=True)
class WeightsRecord:
    """What is known about a set of weights: its model card in numbers.

    Args:
        name: The name by which :class:`facekit.Embedder` loads it.
        version: Changes when the numbers in the files change.
        architecture: The network that it fits.
        alignment: The arguments of the :class:`facekit.Aligner` that it was trained with.
        thresholds: Euclidean distance between unit embeddings up to which two faces count as one
            person, by the share of pairs of strangers that lie within it (false-accept rate).
        distances: How far faces lie from enrolled people, from which
            :class:`facekit.IdentityClassifier` calibrates its threshold.
        files: Files that hold the weights, the preferred one first.
        training_data: What it was trained on.
        licence: Under which terms it may be used.
        source: Where it comes from.
        accuracy: Measured figures by protocol.
    """

    name: str
    version: str
    architecture: Architecture
    alignment: Mapping[str, Any]
    thresholds: Mapping[float, float] = field(default_factory=dict)
    distances: DistanceTable | None = None
    files: tuple[WeightsFile, ...] = ()
    training_data: str = ""
    licence: str = ""
    source: str = ""
    accuracy: Mapping[str, float] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Name and version; embeddings can be compared if their identities are equal."""
        return f"{self.name}@{self.version}"

    def threshold(self, false_accept_rate: float = 0.001) -> float:
        """Returns the distance at which that share of strangers would be accepted.

        Raises:
            InvalidArgumentError: If the record has no threshold for that rate.
        """
        if false_accept_rate not in self.thresholds:
            raise InvalidArgumentError(
                f"the weights {self.name!r} have no threshold for a false-accept rate of "
                f"{false_accept_rate:g} (known: {sorted(self.thresholds) or 'none'}); "
                "give the classifier one: IdentityClassifier(threshold=...)"
            )
        return self.thresholds[false_accept_rate]

    def to_dict(self) -> dict[str, Any]:
        """Returns what a saved file keeps of the record, as plain Python values."""
        return {
            "name": self.name,
            "version": self.version,
            "architecture": self.architecture.to_dict(),
            "alignment": dict(self.alignment),
            "thresholds": {str(float(rate)): value for rate, value in self.thresholds.items()},
            "distances": None if self.distances is None else self.distances.to_dict(),
            "training_data": self.training_data,
            "licence": self.licence,
            "source": self.source,
            "accuracy": dict(self.accuracy),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WeightsRecord:
        """Makes a record from :meth:`to_dict`'s values.

        Raises:
            InvalidArgumentError: If a part is missing or unknown, or a value cannot be used.
        """
        try:
            table = values.get("distances")
            return cls(
                **{
                    **values,
                    "distances": None if table is None else DistanceTable.from_dict(table),
                    "architecture": Architecture.from_dict(values["architecture"]),
                    "thresholds": {float(r): float(v) for r, v in values["thresholds"].items()},
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidArgumentError(
                f"no weights record can be made of {sorted(values)} ({error})"
            ) from error


_FACENET_VGGFACE2 = WeightsRecord(
    name="facenet-20180402-vggface2",
    version="1",
    architecture=Architecture(
        backbone="inception_resnet_v1",
        input_size=160,
        embedding_size=512,
        dropout=0.2,
        head_batch_normalization=True,
        input_mean=127.5,
        input_scale=128.0,
    ),
    alignment=MappingProxyType({"size": 160, "mode": "crop", "margin": 0.25}),
    thresholds=MappingProxyType({0.01: 1.097, 0.001: 0.971, 0.0001: 0.867}),
    distances=FACENET_VGGFACE2,
    files=(
        WeightsFile(
            "weights.npz",
            "facenet_folded_npz",
            "f7810cdd88546d04309568283b217661cb56debbc1d547701a0e38c98d3eb373",
        ),
        WeightsFile(
            "20180402-114759-weights.h5",
            "keras_facenet_h5",
            "8b71e7045497e841c00ee568f031d1a4d30908fceadf6884aef2dec4d545202b",
            "https://github.com/faustomorales/keras-facenet/releases/download/v0.3.1/"
            "20180402-114759-weights.h5",
        ),
    ),
    training_data="VGGFace2 (3.31 million photos of 9,131 people); non-commercial research use",
    licence="MIT (code and published weights); the training data's terms are non-commercial",
    source="David Sandberg's facenet, model 20180402-114759",
    accuracy=MappingProxyType(
        {
            "LFW View 2, ten folds, as published": 0.9965,
            "LFW View 2, folds 1 to 3, alignment crop": 0.9922,
            "LFW View 2, folds 1 to 3, alignment similarity": 0.9917,
        }
    ),
)

REGISTRY: Mapping[str, WeightsRecord] = MappingProxyType(
    {_FACENET_VGGFACE2.name: _FACENET_VGGFACE2}
)
"""The weights that :class:`facekit.Embedder` knows by name."""

DEFAULT_WEIGHTS = _FACENET_VGGFACE2.name


def record_for(name: str) -> WeightsRecord:
    """Returns the record of that name.

    Raises:
        WeightsNotFoundError: If there is none.
    """
    if name not in REGISTRY:
        raise WeightsNotFoundError(
            f"no weights are named {name!r}; known are {', '.join(sorted(REGISTRY))}. "
            "For a file of your own, give its path"
        )
    return REGISTRY[name]


def locate(record: WeightsRecord) -> tuple[Path, WeightsFile]:
    """Finds a file of the weights on this machine, or fetches it, and checks it.

    The folders ``weights/<name>`` under ``FACEKIT_HOME`` and under ``FACEKIT_DATA`` are searched
    first. Only if neither holds a file, and ``FACEKIT_OFFLINE`` is not set, it is downloaded.

    Args:
        record: Which weights.

    Returns:
        The path, and which of the record's files it is.

    Raises:
        WeightsError: If the file found is not the published one, bit for bit.
        WeightsNotFoundError: If there is none and it cannot be fetched.
    """
    for folder in _folders(record):
        for file in record.files:
            if (folder / file.name).is_file():
                check(folder / file.name, file)
                return folder / file.name, file
    return _download(record)


def identify(path: Path) -> tuple[WeightsRecord, WeightsFile]:
    """Returns which published weights a file holds, by its checksum.

    Raises:
        WeightsError: If it holds none of them.
    """
    checksum = sha256(path)
    for record in REGISTRY.values():
        for file in record.files:
            if file.sha256 == checksum:
                return record, file
    raise WeightsError(
        f"{path}: is none of the published weights that facekit knows (SHA-256 {checksum}); it was "
        "altered, truncated, or is of another kind. facekit reads those and its own .safetensors"
    )


def check(path: Path, file: WeightsFile) -> None:
    """Checks a file's checksum.

    Raises:
        WeightsError: If it differs from the published one.
    """
    checksum = sha256(path)
    if checksum != file.sha256:
        raise WeightsError(
            f"{path}: has SHA-256 {checksum}, expected {file.sha256}; the file is truncated or was "
            "altered. Delete it and fetch it again"
        )


def _folders(record: WeightsRecord) -> list[Path]:
    roots = [home()]
    if os.environ.get("FACEKIT_DATA"):
        roots.append(Path(os.environ["FACEKIT_DATA"]))
    return [root / "weights" / record.name for root in roots]


def _download(record: WeightsRecord) -> tuple[Path, WeightsFile]:
    import pooch

    folder = home() / "weights" / record.name
    for file in record.files:
        if file.url is None:
            continue
        by_hand = f"download {file.url} yourself and put it at {folder / file.name}"
        if os.environ.get("FACEKIT_OFFLINE"):
            raise WeightsNotFoundError(
                f"the weights {record.name!r} are not on this machine and FACEKIT_OFFLINE is set; "
                f"{by_hand}"
            )
        _LOGGER.warning("Downloading the weights %s from %s", record.name, file.url)
        try:
            path = pooch.retrieve(
                file.url, known_hash=f"sha256:{file.sha256}", fname=file.name, path=folder
            )
        except (OSError, ValueError) as error:
            raise WeightsNotFoundError(
                f"the weights {record.name!r} are not on this machine and could not be fetched "
                f"({_first_line(error)}); {by_hand}"
            ) from error
        return Path(path), file
    raise WeightsNotFoundError(
        f"the weights {record.name!r} are not on this machine and are published nowhere"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
