"""The weights that facekit knows by name, each with a record read from its model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from facekit.alignment import Aligner
from facekit.embedding.networks.network import Architecture
from facekit.embedding.weights.distances import DistanceTable
from facekit.errors import InvalidArgumentError, WeightsNotFoundError
from facekit.utils.validation import flag, number

FileLayout: TypeAlias = Literal["facekit", "facenet_folded_npz", "keras_facenet_h5", "deepface_h5"]
"""The layout of a weights file: ``"facekit"`` for files of :meth:`facekit.Embedder.save`."""

MOST_MIRROR_ZOOM = 2.0
"""How many times larger a mirror image may be than the face."""

_TEXTS = ("name", "version", "training_data", "license", "source")


@dataclass(frozen=True)
class WeightsFile:
    """A file that holds a set of weights.

    Args:
        name: Its file name.
        layout: Its layout.
        sha256: The checksum that it must have, or ``None`` if its author published none. Such a
            file is never downloaded, since it could not be verified. The user fetches it, and it is
            recognized by its file name alone.
        url: Where it is published, or ``None``.

    Example:
        >>> from facekit.embedding.weights.registry import REGISTRY
        >>> file = REGISTRY["facekit-small"].files[0]
        >>> file.name, file.layout, file.url
        ('facekit-small.safetensors', 'facekit', None)
    """

    name: str
    layout: FileLayout
    sha256: str | None
    url: str | None = None


@dataclass(frozen=True)
class WeightsRecord:
    """The record of a set of weights: its model card as data.

    Args:
        name: The name by which :class:`facekit.Embedder` loads it.
        version: Changes when the numbers in the files change.
        architecture: The network that it fits.
        alignment: The arguments of the :class:`facekit.Aligner` that it was trained with.
        mirrored: Whether an embedding is the normalized mean of those of the face and its mirror
            image, which is more accurate and takes twice the time.
        mirror_zoom: How many times larger the mirror image is, 1 to 2.
        thresholds: Euclidean distance between unit embeddings up to which two faces count as one
            person, by the share of pairs of strangers that lie within it (false-match rate).
        distances: The table of distances from faces to enrolled people, from which
            :class:`facekit.IdentityClassifier` calibrates its threshold.
        input_ranges: The largest input of each layer that ``engine="openvino-int8"`` runs in 8
            bits, by layer name; :meth:`facekit.Embedder.with_input_ranges` measures it.
        files: Files that hold the weights, the preferred one first.
        training_data: The data that it was trained on.
        license: The terms of use.
        source: The origin of the weights.
        accuracy: Measured figures by protocol.
        accuracy_by_group: For each protocol, the figures by group of people, where measured.

    Example:
        >>> from facekit.embedding.weights.registry import REGISTRY
        >>> record = REGISTRY["facekit-small"]
        >>> record.identity, record.architecture.embedding_size
        ('facekit-small@7', 128)
        >>> record.threshold(0.01) > record.threshold(0.001)
        True
    """

    name: str
    version: str
    architecture: Architecture
    alignment: Mapping[str, Any]
    mirrored: bool = False
    mirror_zoom: float = 1.0
    thresholds: Mapping[float, float] = field(default_factory=dict)
    distances: DistanceTable | None = None
    input_ranges: Mapping[str, float] = field(default_factory=dict)
    files: tuple[WeightsFile, ...] = ()
    training_data: str = ""
    license: str = ""
    source: str = ""
    accuracy: Mapping[str, float] = field(default_factory=dict)
    accuracy_by_group: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Name and version; embeddings can be compared if their identities are equal."""
        return f"{self.name}@{self.version}"

    def threshold(self, false_match_rate: float = 0.001) -> float:
        """Returns the Euclidean distance within which a share of pairs of strangers lies.

        Args:
            false_match_rate: The share of pairs of strangers, one of those in ``thresholds``; one
                pair in a thousand by default.

        Raises:
            InvalidArgumentError: If the record has no threshold for that rate.
        """
        if false_match_rate not in self.thresholds:
            known = f"known: {sorted(self.thresholds)}" if self.thresholds else "none was measured"
            raise InvalidArgumentError(
                f"the weights {self.name!r} have no threshold for a false-match rate of "
                f"{false_match_rate!r} ({known}); "
                "give the classifier one: IdentityClassifier(threshold=...)"
            )
        return self.thresholds[false_match_rate]

    def to_dict(self) -> dict[str, Any]:
        """Returns the parts of the record that a file stores, as plain Python values."""
        # An older facekit refuses a file with a part that it does not know, so what has no effect
        # is left out.
        parts: dict[str, Any] = {}
        if self.mirror_zoom != 1.0:
            parts["mirror_zoom"] = self.mirror_zoom
        if self.input_ranges:
            parts["input_ranges"] = dict(self.input_ranges)
        return {
            "name": self.name,
            "version": self.version,
            "source": self.source,
            "training_data": self.training_data,
            "license": self.license,
            "accuracy": dict(self.accuracy),
            "accuracy_by_group": {name: dict(by) for name, by in self.accuracy_by_group.items()},
            "architecture": self.architecture.to_dict(),
            "alignment": dict(self.alignment),
            "mirrored": self.mirrored,
            "thresholds": {str(float(rate)): value for rate, value in self.thresholds.items()},
            "distances": None if self.distances is None else self.distances.to_dict(),
            **parts,
        }

    def card(self) -> dict[str, Any]:
        """Returns the model card: the record with its files, as plain Python values."""
        values = self.to_dict()
        files = {"files": [asdict(file) for file in self.files]}
        return {"name": self.name, "version": self.version, **files, **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WeightsRecord:
        """Creates a record from the values of :meth:`to_dict`.

        Args:
            values: The parts by name, as :meth:`to_dict` gives them.

        Returns:
            The record, without ``files``, which are not saved.

        Raises:
            InvalidArgumentError: If a part is missing or unknown, or a value cannot be used.
        """
        try:
            table = values.get("distances")
            groups = values.get("accuracy_by_group", {})
            for name in _TEXTS:
                if not isinstance(values.get(name, ""), str):
                    raise TypeError(f"{name} is {values[name]!r:.80}")  # noqa: TRY301
            flag(values.get("mirrored", False), "mirrored")
            number(values.get("mirror_zoom", 1.0), "mirror_zoom", 1, MOST_MIRROR_ZOOM)
            Aligner(**values["alignment"])  # whether one can be made
            return cls(
                **{
                    **values,
                    "distances": None if table is None else DistanceTable.from_dict(table),
                    "architecture": Architecture.from_dict(values["architecture"]),
                    "thresholds": {
                        float(rate): distance
                        for rate, distance in _numbers(values["thresholds"], 0, 2).items()
                    },
                    "input_ranges": _numbers(values.get("input_ranges", {}), above=0),
                    "accuracy": _numbers(values.get("accuracy", {})),
                    "accuracy_by_group": {name: _numbers(by) for name, by in groups.items()},
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidArgumentError(
                f"no weights record can be made of {sorted(values)} ({error})"
            ) from error


def _numbers(values: Mapping[str, Any], *limits: float, **open_limits: float) -> dict[str, float]:
    return {name: number(value, name, *limits, **open_limits) for name, value in values.items()}


def _read_card(path: Path) -> WeightsRecord:
    card = json.loads(path.read_text(encoding="utf-8"))
    files = tuple(WeightsFile(**file) for file in card.pop("files"))
    return replace(WeightsRecord.from_dict(card), files=files)


CARDS = Path(__file__).parent / "cards"
"""The folder of the model cards: one JSON file for each set of weights."""

REGISTRY: Mapping[str, WeightsRecord] = MappingProxyType(
    {record.name: record for record in map(_read_card, sorted(CARDS.glob("*.json")))}
)
"""The weights that :class:`facekit.Embedder` knows by name, read from their model cards."""

DEFAULT_WEIGHTS = "facekit-small"
"""The name of the default weights, which come with the package."""


def record_for(name: str) -> WeightsRecord:
    """Returns the record of that name."""
    if name not in REGISTRY:
        raise WeightsNotFoundError(
            f"no weights are named {name!r}; known are {', '.join(sorted(REGISTRY))}. "
            "For a file of your own, give its path"
        )
    return REGISTRY[name]
