"""The weights that facekit knows by name: one record each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from facekit.embedding.networks.network import Architecture
from facekit.embedding.weights.distance_tables import FACEKIT_SMALL, FACENET_VGGFACE2
from facekit.embedding.weights.distances import DistanceTable
from facekit.errors import InvalidArgumentError, WeightsNotFoundError

FileLayout: TypeAlias = Literal["facekit", "facenet_folded_npz", "keras_facenet_h5", "deepface_h5"]
"""How a weights file is laid out: ``"facekit"`` for :meth:`facekit.Embedder.save`'s own files."""


@dataclass(frozen=True)
class WeightsFile:
    """A file that holds a set of weights.

    Args:
        name: Its file name.
        layout: How it is laid out.
        sha256: The checksum that it must have, or ``None`` if its author published none. Such a
            file is never downloaded: nothing would tell that it arrived as it was published. The
            user fetches it, and it is known by its file name alone.
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
    """What is known about a set of weights: its model card in numbers.

    Args:
        name: The name by which :class:`facekit.Embedder` loads it.
        version: Changes when the numbers in the files change.
        architecture: The network that it fits.
        alignment: The arguments of the :class:`facekit.Aligner` that it was trained with.
        mirrored: Whether an embedding is the mean of those of the face and of its mirror image,
            normalized. It is more accurate and takes twice the time.
        thresholds: Euclidean distance between unit embeddings up to which two faces count as one
            person, by the share of pairs of strangers that lie within it (false-match rate).
        distances: How far faces lie from enrolled people, from which
            :class:`facekit.IdentityClassifier` calibrates its threshold.
        files: Files that hold the weights, the preferred one first.
        training_data: What it was trained on.
        licence: Under which terms it may be used.
        source: Where it comes from.
        accuracy: Measured figures by protocol.

    Example:
        >>> from facekit.embedding.weights.registry import REGISTRY
        >>> record = REGISTRY["facekit-small"]
        >>> record.identity, record.architecture.embedding_size
        ('facekit-small@3', 128)
        >>> record.threshold(0.01) > record.threshold(0.001)
        True
    """

    name: str
    version: str
    architecture: Architecture
    alignment: Mapping[str, Any]
    mirrored: bool = False
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

    def threshold(self, false_match_rate: float = 0.001) -> float:
        """Returns the Euclidean distance within which that share of pairs of strangers lies.

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
                f"{false_match_rate:g} ({known}); "
                "give the classifier one: IdentityClassifier(threshold=...)"
            )
        return self.thresholds[false_match_rate]

    def to_dict(self) -> dict[str, Any]:
        """Returns what a saved file keeps of the record, as plain Python values."""
        return {
            "name": self.name,
            "version": self.version,
            "architecture": self.architecture.to_dict(),
            "alignment": dict(self.alignment),
            "mirrored": self.mirrored,
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

        Args:
            values: The parts by name, as :meth:`to_dict` gives them.

        Returns:
            The record, without ``files``, which are not saved.

        Raises:
            InvalidArgumentError: If a part is missing or unknown, or a value cannot be used.
        """
        try:
            table = values.get("distances")
            if not isinstance(values.get("mirrored", False), bool):
                raise TypeError(f"mirrored is {values['mirrored']!r}")  # noqa: TRY301
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


_SMALL = WeightsRecord(
    name="facekit-small",
    version="3",
    architecture=Architecture(
        backbone="inception_resnet_v1", width=0.64, input_size=112, embedding_size=128
    ),
    alignment=MappingProxyType({"size": 112, "mode": "similarity"}),
    thresholds=MappingProxyType({0.01: 1.073, 0.001: 0.95, 0.0001: 0.851}),
    distances=FACEKIT_SMALL,
    files=(
        WeightsFile(
            "facekit-small.safetensors",
            "facekit",
            "5274ca9a965bef253a0bf870d967cb2d527851da09b445734b77612320eb552f",
        ),
    ),
    training_data=(
        "44,710 faces of CelebA, Families in the Wild, UTKFace and two small sets, none of LFW; "
        "their terms are non-commercial research"
    ),
    licence=(
        "MIT, as FaceNet's weights, of which they are made; the terms of the training data and of "
        "VGGFace2 are non-commercial"
    ),
    source=(
        "pruned from facenet-20180402-vggface2 and trained by facekit to follow it: "
        "configs/facekit-small-1.toml and -2.toml"
    ),
    accuracy=MappingProxyType({"LFW View 2, folds 1 to 3, alignment similarity": 0.9828}),
)

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

_FACENET_CASIA = WeightsRecord(
    name="facenet-20180408-casia-webface",
    version="1",
    architecture=_FACENET_VGGFACE2.architecture,
    alignment=_FACENET_VGGFACE2.alignment,
    files=(
        WeightsFile(
            "20180408-102900-weights.h5",
            "keras_facenet_h5",
            "af526097bd89ff84dda94dc071ff39c4cf39922cf0a9d9dea652853cda9616be",
            "https://github.com/faustomorales/keras-facenet/releases/download/v0.3.1/"
            "20180408-102900-weights.h5",
        ),
    ),
    training_data="CASIA-WebFace (453,453 photos of 10,575 people); non-commercial research use",
    licence="MIT (code and published weights); the training data's terms are non-commercial",
    source="David Sandberg's facenet, model 20180408-102900",
    accuracy=MappingProxyType({"LFW View 2, ten folds, as published": 0.9905}),
)


def _deepface_record(name: str, file_name: str, embedding_size: int) -> WeightsRecord:
    return WeightsRecord(
        name=name,
        version="1",
        architecture=replace(
            _FACENET_VGGFACE2.architecture,
            embedding_size=embedding_size,
            # What deepface feeds its networks unless it is told otherwise: values from 0 to 1.
            input_mean=0.0,
            input_scale=255.0,
        ),
        # deepface cuts out the detector's box without a margin.
        alignment=MappingProxyType({"size": 160, "mode": "crop", "margin": 0.0}),
        files=(
            WeightsFile(
                file_name,
                "deepface_h5",
                None,
                f"https://github.com/serengil/deepface_models/releases/download/v1.0/{file_name}",
            ),
        ),
        training_data="not stated where the file is published",
        licence="MIT (deepface's code); of the weights and the training data nothing is stated",
        source=f"deepface's {file_name}, converted from David Sandberg's facenet",
    )


REGISTRY: Mapping[str, WeightsRecord] = MappingProxyType(
    {
        record.name: record
        for record in (
            _SMALL,
            _FACENET_VGGFACE2,
            _FACENET_CASIA,
            _deepface_record("deepface-facenet", "facenet_weights.h5", 128),
            _deepface_record("deepface-facenet512", "facenet512_weights.h5", 512),
        )
    }
)
"""The weights that :class:`facekit.Embedder` knows by name."""

DEFAULT_WEIGHTS = _SMALL.name
"""The name of the weights that are used if none are named; they come with the package."""


def record_for(name: str) -> WeightsRecord:
    """Returns the record of that name.

    Args:
        name: A name from :data:`REGISTRY`.

    Raises:
        WeightsNotFoundError: If there is none.

    Example:
        >>> from facekit.embedding.weights.registry import record_for
        >>> record_for("facekit-small").architecture.input_size
        112
    """
    if name not in REGISTRY:
        raise WeightsNotFoundError(
            f"no weights are named {name!r}; known are {', '.join(sorted(REGISTRY))}. "
            "For a file of your own, give its path"
        )
    return REGISTRY[name]
