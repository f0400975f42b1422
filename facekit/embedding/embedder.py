"""The embedder: maps aligned faces to unit vectors whose distances distinguish people."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from facekit.alignment import Aligner
from facekit.embedding.engines import Engine, KerasNetwork, OpenVinoNetwork
from facekit.embedding.networks.centering import LocalCentering, unit_or
from facekit.embedding.networks.folding import (
    LayerWeights,
    assign,
    check_fit,
    fold,
    layer_weights,
    residual_scales,
    unfold,
    weights_digest,
)
from facekit.embedding.networks.names import CENTERING_LAYER, HEAD_LAYER
from facekit.embedding.networks.network import Architecture, build_network
from facekit.embedding.networks.onnx_graph import onnx_network
from facekit.embedding.networks.shapes import weight_shapes
from facekit.embedding.networks.zoom import zoomed
from facekit.embedding.weights import registry
from facekit.embedding.weights.files import Precision, write_embedder
from facekit.embedding.weights.reading import read_weights
from facekit.embedding.weights.registry import (
    DEFAULT_WEIGHTS,
    MOST_MIRROR_ZOOM,
    WeightsRecord,
)
from facekit.errors import InvalidArgumentError, RandomWeightsWarning
from facekit.io.files import replace_atomically
from facekit.utils.forking import ForkLock
from facekit.utils.home import home
from facekit.utils.progress import track
from facekit.utils.validation import choice, flag, number, text, vectors, whole


class Embedder:
    """Maps aligned faces to embeddings: unit vectors, close for one person, distant for two.

    Args:
        weights: A name from ``facekit.embedding.weights.registry.REGISTRY``, the path of a
            file (one of the published ones, or one that :meth:`save` wrote), or ``None`` for random
            weights.
        architecture: The network to build for ``weights=None``; otherwise the weights determine it.
        batch_size: How many faces run through the network at a time. Larger batches are faster up
            to about 32, and need about 5 MB per face for the full networks.
        threads: The number of cores to use; ``None`` for all that the process may use. Parallel
            processes should use one each.
        engine: ``"openvino"`` starts in a fraction of a second and needs neither Keras nor
            TensorFlow. ``"keras"`` runs on Keras' backend, which can use a graphics card; it
            ignores ``threads``. Both give the same embeddings within 1e-4. ``"openvino-bf16"``
            computes in bfloat16 on processors that support it, in half the time; its embeddings lie
            within 0.06 of the exact ones, and can be compared with them. ``"openvino-int8"``
            computes most layers in 8-bit integers, in less than half the time on any x86 processor;
            the same holds for its embeddings. It needs ``record.input_ranges``, which the packaged
            weights have and :meth:`with_input_ranges` measures for others.
        seed: Seed of the random weights for ``weights=None``.
        allow_unverified: Whether to accept published weights without a known checksum, for which
            facekit cannot verify that the file is the published one.

    The weights are read and checked at once; the network is compiled at the first :meth:`embed`.
    ``batch_size``, ``threads`` and ``engine`` may be changed later. An embedder may be used from
    several threads at once, copied, pickled, and used in a forked process.

    Attributes:
        record: What is known about the weights, a
            :class:`facekit.embedding.weights.registry.WeightsRecord`.

    Raises:
        WeightsNotFoundError: If the weights are not on this machine and cannot be fetched.
        WeightsError: If the file is damaged or altered or does not fit.
        FileFormatError: If a file that :meth:`save` wrote is damaged, altered, or too new.
        InvalidArgumentError: If an argument lies outside its range.

    Warns:
        RandomWeightsWarning: For ``weights=None``: such an embedder recognizes no one.

    Example:
        >>> import warnings
        >>> import numpy as np
        >>> from facekit import Architecture, Embedder
        >>> small = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     embedder = Embedder(weights=None, architecture=small)
        >>> embeddings = embedder.embed(np.zeros((3, 80, 80, 3), dtype=np.uint8))
        >>> embeddings.shape, embeddings.dtype
        ((3, 64), dtype('float32'))

    References:
        Schroff, Kalenichenko and Philbin, "FaceNet" (CVPR 2015), section 3.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = DEFAULT_WEIGHTS,
        *,
        architecture: Architecture | None = None,
        batch_size: int = 32,
        threads: int | None = None,
        engine: Engine = "openvino",
        seed: int = 0,
        allow_unverified: bool = False,
    ) -> None:
        _check_running(batch_size, threads, engine)
        if weights is not None and architecture is not None:
            raise InvalidArgumentError(
                "architecture goes with weights=None; the architecture of existing weights is fixed"
            )
        if weights is None:
            record, arrays = _random(architecture or Architecture(), seed)
        else:
            unverified = flag(allow_unverified, "allow_unverified")
            record, arrays = read_weights(weights, allow_unverified=unverified)
        self._start(record, arrays, batch_size, threads, engine)

    @classmethod
    def from_network(
        cls,
        network: Any,
        architecture: Architecture,
        *,
        name: str,
        alignment: Aligner | None = None,
        mirrored: bool = False,
        mirror_zoom: float = 1.0,
        centering: LocalCentering | None = None,
        thresholds: dict[float, float] | None = None,
        batch_size: int = 32,
        threads: int | None = None,
        engine: Engine = "openvino",
    ) -> Embedder:
        """Creates an embedder from a trained network, by folding it.

        Args:
            network: A ``keras.Model`` of :func:`facekit.embedding.build_network`.
            architecture: What it was built from.
            name: The name of the weights.
            alignment: The aligner that it was trained with; by default a similarity to its size.
            mirrored: Whether to average the embeddings of a face and its mirror image, which is
                more accurate and takes twice the time. Thresholds and distances must be measured
                with the same setting.
            mirror_zoom: How many times larger the mirror image is, 1 to 2. At 1.1 the errors
                of the two agree less, so that the mean is more accurate in the same time.
            centering: What moves strangers apart whose embeddings lie close together, after the
                network; likewise.
            thresholds: Distance by false-match rate, as far as measured.
            batch_size: As for the constructor, like the others.
            threads: Likewise.
            engine: Likewise.

        Returns:
            The embedder; :meth:`save` keeps it.

        Raises:
            WeightsError: If the network does not have that architecture.
            InvalidArgumentError: If the size of the aligner's output or of the centers does not
                match the network, or an argument lies outside its range.
        """
        _check_running(batch_size, threads, engine)
        arrays = fold(layer_weights(network), residual_scales(network))
        check_fit(arrays, weight_shapes(architecture, folded=True)[0], architecture.backbone)
        aligner = alignment or Aligner(architecture.input_size)
        if aligner.size != architecture.input_size:
            raise InvalidArgumentError(
                f"alignment gives faces of side {aligner.size}, the network reads "
                f"{architecture.input_size}"
            )
        if centering is not None:
            vectors(centering.centers, architecture.embedding_size, "centering.centers")
            arrays[CENTERING_LAYER] = centering.to_arrays()
        record = WeightsRecord(
            name=text(name, "name"),
            version="",
            architecture=architecture,
            alignment=aligner.to_dict(),
            mirrored=flag(mirrored, "mirrored"),
            mirror_zoom=number(mirror_zoom, "mirror_zoom", 1, MOST_MIRROR_ZOOM),
            thresholds={
                rate: number(distance, "thresholds", 0, 2)
                for rate, distance in (thresholds or {}).items()
            },
        )
        record = dataclasses.replace(record, version=_version(arrays, record))
        embedder = cls.__new__(cls)
        embedder._start(record, arrays, batch_size, threads, engine)
        return embedder

    def to_network(
        self, *, embedding_size: int | None = None, dropout: float | None = None, seed: int = 0
    ) -> tuple[Any, Architecture]:
        """Creates a trainable network with these weights; the inverse of :meth:`from_network`.

        A local centering (:attr:`centering`) is not part of it: what is trained needs another.
        Its batch normalizations have no statistics, because these are folded into the kernels. They
        must stay in inference mode (``layer.trainable = False``), as
        :class:`facekit.training.TripletTrainer` does.

        Args:
            embedding_size: The number of components of a new, random head; ``None`` keeps the head.
            dropout: The share of pooled features that training drops; ``None`` keeps it unchanged.
            seed: Seed of the new head and of dropout.

        Returns:
            A ``keras.Model`` of :func:`facekit.embedding.build_network` with these weights, and its
            architecture.

        Raises:
            InvalidArgumentError: If an argument lies outside its range.

        Example:
            >>> import warnings
            >>> from facekit import Architecture, Embedder
            >>> small = Architecture(width=0.25, blocks=0.1, input_size=80, embedding_size=64)
            >>> with warnings.catch_warnings():
            ...     warnings.simplefilter("ignore")
            ...     embedder = Embedder(weights=None, architecture=small)
            >>> network, architecture = embedder.to_network(embedding_size=32)
            >>> network.output_shape, architecture.embedding_size
            ((None, 32), 32)
        """
        architecture = self.record.architecture
        folded = dict(self._arrays)
        if embedding_size is not None:
            architecture = dataclasses.replace(
                architecture, embedding_size=embedding_size, head_batch_normalization=False
            )
            del folded[HEAD_LAYER]
        if dropout is not None:
            architecture = dataclasses.replace(architecture, dropout=dropout)
        network = build_network(architecture, seed=seed)
        assign(network, unfold(folded, network))
        return network, architecture

    def _start(
        self,
        record: WeightsRecord,
        arrays: LayerWeights,
        batch_size: int,
        threads: int | None,
        engine: Engine,
    ) -> None:
        _check_ranges(record, engine)
        self.record = record
        self.batch_size = batch_size
        self.threads = threads
        self.engine: Engine = engine
        self._arrays = dict(arrays)
        centering = self._arrays.pop(CENTERING_LAYER, None)
        self._centering = None if centering is None else LocalCentering.from_arrays(centering)
        self._compiled: tuple[Any, OpenVinoNetwork | KerasNetwork] | None = None
        self._making = ForkLock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_compiled": None}

    def _network(self) -> OpenVinoNetwork | KerasNetwork:
        """Returns the engine, recreated when a setting has changed."""
        settings = (self.engine, self.threads, self.batch_size)
        # Without the lock, warm_up and embed in two threads would each make one.
        with self._making:
            compiled = self._compiled
            if compiled is None or compiled[0] != settings:
                compiled = self._compiled = settings, self._made()
            return compiled[1]

    def _made(self) -> OpenVinoNetwork | KerasNetwork:
        _check_running(self.batch_size, self.threads, self.engine)
        architecture = self.record.architecture
        if self.engine == "keras":
            return KerasNetwork(architecture, self._arrays, self.batch_size)
        _check_ranges(self.record, self.engine)
        return OpenVinoNetwork(
            architecture,
            self._arrays,
            threads=self.threads,
            cache=self._cache(),
            bfloat16=self.engine == "openvino-bf16",
            input_ranges=self.record.input_ranges if self.engine == "openvino-int8" else {},
        )

    def _cache(self) -> Path | None:
        # Only for weights known by name: others change, and would fill the folder.
        if registry.REGISTRY.get(self.record.name) != self.record:
            return None
        return home() / "compiled" / f"{self.record.name}-{weights_digest(self._arrays)[:12]}"

    def __repr__(self) -> str:
        return f"Embedder(weights={self.record.name!r}, batch_size={self.batch_size})"

    @property
    def input_size(self) -> int:
        """The side S of the aligned faces that it reads, in pixels."""
        return self.record.architecture.input_size

    @property
    def embedding_size(self) -> int:
        """The number of components d of an embedding."""
        return self.record.architecture.embedding_size

    @property
    def centering(self) -> LocalCentering | None:
        """What moves strangers apart who lie close together, after the network; or ``None``."""
        return self._centering

    def aligner(self) -> Aligner:
        """Returns the aligner that these weights were trained with."""
        return Aligner(**self.record.alignment)

    def embed(
        self,
        faces: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]],
        *,
        progress: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Embeds aligned faces.

        Args:
            faces: uint8 ``(n, S, S, 3)``, RGB, from an :class:`facekit.Aligner`, or a list of such
                images.
            progress: Whether to show a progress bar, if standard error is a terminal.

        Returns:
            float32 ``(n, d)``, each row of unit L2 norm; ``(0, d)`` for no faces.

        Raises:
            InvalidArgumentError: If the faces have another shape or type.
        """
        _check_running(self.batch_size, self.threads, self.engine)
        images = self._checked(faces)
        embeddings = np.empty((len(images), self.embedding_size), dtype=np.float32)
        starts = range(0, len(images), self.batch_size)
        for start in track(starts, "Embedding faces", total=len(starts), shown=progress):
            batch = slice(start, start + self.batch_size)
            embeddings[batch] = self._embed_batch(images[batch])
        return embeddings

    def without_centering(self) -> Embedder:
        """Returns an embedder with the network of this one alone.

        Its version is another one, and nothing was measured with it: neither thresholds nor
        accuracy.

        Returns:
            The embedder; this one if it has no :attr:`centering`.

        Example:
            >>> from facekit import Embedder
            >>> Embedder("facekit-small").without_centering().centering is None
            True
        """
        if self._centering is None:
            return self
        record = dataclasses.replace(
            self.record,
            version=_version(self._arrays, self.record),
            thresholds={},
            distances=None,
            accuracy={},
            accuracy_by_group={},
            files=(),
        )
        embedder = type(self).__new__(type(self))
        embedder._start(record, self._arrays, self.batch_size, self.threads, self.engine)
        return embedder

    def with_input_ranges(self, faces: npt.NDArray[np.uint8]) -> Embedder:
        """Returns this embedder, prepared for ``engine="openvino-int8"``.

        Measures the largest input of each layer (``record.input_ranges``), which the 8-bit engine
        divides into 255 steps. The weights and the identity stay the same, and :meth:`save` keeps
        the ranges.

        Args:
            faces: uint8 ``(n, S, S, 3)``, RGB, as for :meth:`embed`. Some hundred faces of
                different people in different light are enough; larger inputs of other faces are
                clipped.

        Returns:
            The embedder, with the settings of this one.

        Raises:
            InvalidArgumentError: If ``faces`` is empty, or of another shape or type.

        Example:
            >>> import numpy as np
            >>> from facekit import Embedder
            >>> embedder = Embedder("facekit-small")
            >>> faces = np.random.default_rng(0).integers(0, 256, (8, 112, 112, 3), np.uint8)
            >>> quick = embedder.with_input_ranges(faces)
            >>> quick.engine = "openvino-int8"
            >>> quick.embed(faces).shape
            (8, 128)

        References:
            Jacob et al., "Quantization and Training of Neural Networks for Efficient
            Integer-Arithmetic-Only Inference" (CVPR 2018), section 2.1.
        """
        from facekit.embedding.networks.openvino_graph import measured_ranges  # starts OpenVINO

        images = self._checked(faces)
        if not len(images):
            raise InvalidArgumentError("input ranges are measured on faces; give some hundred")
        ranges = measured_ranges(self.record.architecture, self._arrays, images, self.batch_size)
        prepared = copy.copy(self)
        prepared.record = dataclasses.replace(self.record, input_ranges=ranges)
        return prepared

    def warm_up(self) -> None:
        """Compiles the network, which the first :meth:`embed` would do, if OpenVINO runs it.

        :class:`facekit.FacePipeline` calls it in a thread while the first image is searched.

        Raises:
            InvalidArgumentError: If an argument was changed to one outside its range.

        Example:
            >>> from facekit import Embedder
            >>> embedder = Embedder("facekit-small")
            >>> embedder.warm_up()
        """
        if self._compiled is None and self.engine != "keras":
            # The first run compiles what the first compilation left open.
            self._network()(np.zeros((1, *2 * (self.input_size,), 3), dtype=np.uint8))

    def save(self, path: str | os.PathLike[str], *, precision: Precision = "float32") -> None:
        """Writes the weights and their record to one safetensors file.

        Args:
            path: Where to write, ending in ``.safetensors``. ``Embedder(path)`` reads it.
            precision: ``"float32"``; ``"float16"``, which halves the file and changes embeddings by
                about 1e-3; or ``"int8"``, which rounds the kernels to 8 bits per output channel,
                makes the file a quarter as large and changes embeddings by a few hundredths. The
                network always computes in float32.

        Raises:
            InvalidArgumentError: If the path has another ending, the precision is unknown, or a
                weight is too large for float16.
            FileFormatError: If the file cannot be written.
        """
        arrays = dict(self._arrays)
        if self._centering is not None:
            arrays[CENTERING_LAYER] = self._centering.to_arrays()
        write_embedder(path, self.record, arrays, precision=precision)

    def export_onnx(self, path: str | os.PathLike[str]) -> None:
        """Writes the network as an ONNX model for other runtimes and languages.

        Its input ``faces`` is uint8 ``(n, S, S, 3)``, RGB, aligned; its output ``embeddings`` is
        float32 ``(n, d)`` of unit L2 norm, equal to that of :meth:`embed` within 1e-5. Scaling is
        part of the model. Its metadata describe the alignment: ``facekit.alignment`` has the
        arguments of :class:`facekit.Aligner` as JSON, ``facekit.thresholds`` the Euclidean
        distances by false-match rate, and ``facekit.weights`` the identity of the weights.

        Args:
            path: Where to write, ending in ``.onnx``. An existing file is replaced.

        Raises:
            InvalidArgumentError: If the path has another ending.
            FileFormatError: If the file cannot be written.
            MissingExtraError: If onnx is not installed.

        Example:
            >>> import pathlib, tempfile
            >>> import onnxruntime
            >>> from facekit import Embedder
            >>> file = pathlib.Path(tempfile.mkdtemp()) / "embedder.onnx"
            >>> Embedder("facekit-small").export_onnx(file)
            >>> onnxruntime.InferenceSession(file).get_outputs()[0].name
            'embeddings'

        References:
            The Open Neural Network Exchange, operator set 17, https://onnx.ai.
        """
        file = Path(path)
        if file.suffix.lower() != ".onnx":
            raise InvalidArgumentError(
                f"{file}: an ONNX model is written to a file ending in .onnx"
            )
        record = self.record
        metadata = {
            "facekit.alignment": json.dumps(record.alignment),
            "facekit.thresholds": json.dumps(dict(record.thresholds)),
            "facekit.weights": record.identity,
        }
        model = onnx_network(
            record.architecture,
            self._arrays,
            mirrored=record.mirrored,
            mirror_zoom=record.mirror_zoom,
            centering=self.centering,
            metadata=metadata,
        )
        replace_atomically(file, model.SerializeToString())

    def _embed_batch(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        network = self._network()
        embeddings = network(images)
        if self.record.mirrored:
            mirror_images = images[:, :, ::-1]
            if self.record.mirror_zoom != 1.0:
                mirror_images = zoomed(mirror_images, self.record.mirror_zoom)
            # Two opposite embeddings have no mean direction; no image of a face has such a pair.
            embeddings = unit_or(embeddings + network(mirror_images), embeddings)
        return embeddings if self.centering is None else self.centering(embeddings)

    def _checked(
        self, faces: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]
    ) -> npt.NDArray[np.uint8]:
        side = self.input_size
        try:
            images = np.asarray(faces)
        except ValueError as error:
            raise InvalidArgumentError(
                f"faces must all have the shape ({side}, {side}, 3); align them first"
            ) from error
        if images.shape[:1] == (0,):
            return np.empty((0, side, side, 3), dtype=np.uint8)
        if images.shape[1:] != (side, side, 3) or images.dtype != np.uint8:
            raise InvalidArgumentError(
                f"faces must be uint8 (n, {side}, {side}, 3), got {images.dtype} "
                f"{images.shape}; cut them out with embedder.aligner().align(image, faces)"
            )
        return images


def _check_running(batch_size: int, threads: int | None, engine: Engine) -> None:
    whole(batch_size, "batch_size", least=1)
    if threads is not None:
        whole(threads, "threads", least=1)
    choice(engine, "engine", get_args(Engine))


def _version(arrays: LayerWeights, record: WeightsRecord) -> str:
    """Returns a version that changes with what an embedding depends on."""
    mirrored = f"-mirrored-{record.mirror_zoom:g}" if record.mirrored else ""
    return weights_digest(arrays)[:12] + mirrored


def _check_ranges(record: WeightsRecord, engine: Engine) -> None:
    if engine == "openvino-int8" and not record.input_ranges:
        raise InvalidArgumentError(
            f"engine='openvino-int8': the weights {record.name!r} have no input ranges; measure "
            "them: Embedder(...).with_input_ranges(faces)"
        )


def _random(architecture: Architecture, seed: int) -> tuple[WeightsRecord, LayerWeights]:
    warnings.warn(
        "weights=None: the embedder has random weights and cannot recognize anyone; train it first",
        RandomWeightsWarning,
        stacklevel=3,
    )
    network = build_network(architecture, seed=seed)
    arrays = fold(layer_weights(network), residual_scales(network))
    record = WeightsRecord(
        name="random",
        version=f"seed-{seed}-{weights_digest(arrays)[:12]}",
        architecture=architecture,
        alignment=Aligner(architecture.input_size).to_dict(),
    )
    return record, arrays
