"""The trainer: an embedder learns to distinguish people from triplets of faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from facekit.errors import InvalidArgumentError
from facekit.training.data.batches import BalancedBatches
from facekit.training.data.dataset import FaceDataset
from facekit.training.engine.base import FitArguments, Trainer
from facekit.training.engine.history import History
from facekit.training.engine.objectives import Objective
from facekit.training.engine.schedules import by_epoch
from facekit.training.engine.step import parts_of
from facekit.training.losses.losses import TripletLoss
from facekit.training.losses.miners import Miner
from facekit.training.losses.statistics import triplet_statistics
from facekit.utils.validation import number


@dataclass(kw_only=True, eq=False)
class TripletTrainer(Trainer):
    """Trains an embedder with a triplet loss and online mining, as FaceNet was trained.

    In every step the triplets are chosen among the faces of one batch of P people with K images
    each, by the distances that the network gives them at that moment.

    Some arguments can change during the training: instead of a value they accept a mapping from the
    starting epoch, from 0, to the value. So ``miner={0: "batch-all", 2: "semihard"}`` warms up with
    all triplets, and ``trainable={0: "head", 3: "last-blocks", 6: "all"}`` unfreezes a network from
    its end.

    After ``fit`` the folder holds ``embedder.safetensors``, which ``Embedder(path)`` reads,
    ``checkpoint.safetensors``, from which a training resumes, ``history.csv`` and ``history.png``.

    Args:
        start: Where to start: an architecture, for random weights, or an embedder.
        folder: The folder for the training's files, used by this training alone.
        network: Weights to start an architecture from, a network such as that of
            :func:`facekit.embedding.build_imagenet_network`; random ones by default.
        embedding_size: Replaces an embedder's head by a random one of that size.
        dropout: For an embedder: the share of pooled features that training drops.
        aligner: How the faces were aligned, which is stored with the weights; by default as for the
            embedder, or by similarity.
        miner: Which triplets count, by epoch: ``"batch-all"``, ``"semihard"``, ``"hard"``,
            ``"facenet"``, or a :class:`Miner`.
        margin: How much farther than a positive a negative must be.
        distance_metric: ``"squared-L2"`` as in the paper, ``"L2"``, ``"angular"``, or a function
            from embeddings ``(batch, d)`` to distances ``(batch, batch)``.
        objective: The loss to minimize instead of the triplet loss of miner, margin and distance,
            by epoch: a ``keras.losses.Loss`` or another :class:`Objective`. Margin and distance
            then only affect the statistics.
        identities: P, the number of people in a batch.
        images: K, the number of images per person in a batch.
        augmentation: How faces are altered in every batch; ``None`` for no augmentation.
        trainable: Which layers are trained, by epoch: ``"all"``, ``"last-blocks"`` (after the last
            reduction), ``"head"``, or the name of the first trained block. With ``"head"`` alone
            and without augmentation, the frozen backbone runs once for each face, and its features
            are cached in the folder. Batch normalizations of frozen layers, and all of an
            embedder's, stay in inference mode.
        optimizer: The name of a Keras optimizer, or one.
        learning_rate: The learning rate, by epoch: a number, or one of
            ``keras.optimizers.schedules``, of the training's steps; ``None`` for the optimizer's.
        schedule: How a numeric learning rate develops: ``"cosine"``, down to zero at the end of the
            last epoch, or ``"constant"``.
        warm_up_steps: The number of steps over which a numeric learning rate first rises.
        micro_batch: The number of faces that run through the network at a time, if memory does not
            suffice for all P·K; the triplets are still those of the whole batch.
        precision: The precision of computations: ``"float32"``, ``"mixed_float16"`` or
            ``"mixed_bfloat16"``. Embeddings and loss are always float32.
        patience: The number of consecutive steps without any spread of the embeddings, or with a
            loss equal to the margin, after which the training counts as collapsed.
        checkpoint_interval: Seconds between checkpoints. One is also kept after every epoch.
        workers: The number of threads that create batches.
        seed: Seed of the random weights, batches, augmentation and dropout.

    Attributes:
        network_: The trained ``keras.Model``.
        architecture_: Its architecture.
        history_: The measurements of each epoch, a :class:`History`.
        validation_: The result of the last validation, or ``None``.

    Raises:
        InvalidArgumentError: If an argument lies outside its range.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from facekit import Architecture
        >>> from facekit.training import FaceDataset, TripletTrainer
        >>> faces = np.random.default_rng(0).integers(0, 256, (8, 75, 75, 3), dtype=np.uint8)
        >>> train = FaceDataset.from_arrays(faces, ["Ann", "Bob"] * 4)
        >>> small = Architecture(width=0.25, blocks=0.1, input_size=75, embedding_size=16)
        >>> trainer = TripletTrainer(
        ...     small, folder=tempfile.mkdtemp(), identities=2, images=4, augmentation=None)
        >>> history = trainer.fit(train, epochs=1)
        >>> len(history), trainer.embedder("mine").embed(faces).shape
        (1, (8, 16))

    References:
        F. Schroff, D. Kalenichenko and J. Philbin, "FaceNet: A Unified Embedding for Face
        Recognition and Clustering", CVPR 2015, section 3.
        A. Hermans, L. Beyer and B. Leibe, "In Defense of the Triplet Loss for Person
        Re-Identification", 2017, section 2.
    """

    miner: str | Miner | Mapping[int, str | Miner] = "semihard"
    margin: float = 0.2
    distance_metric: Any = "squared-L2"
    objective: Objective | Mapping[int, Objective] | None = None
    identities: int = 32
    images: int = 4
    micro_batch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        number(self.margin, "margin", above=0.0)
        self._objectives()
        if self.precision == "mixed_float16" and self.micro_batch is not None:
            # Scaling the loss leaves out parts that overflow, which would shift all later ones.
            raise InvalidArgumentError(
                'micro_batch cannot be combined with precision="mixed_float16"; use '
                '"mixed_bfloat16"'
            )
        parts_of(self.identities * self.images, self.micro_batch)

    def fit(
        self,
        train: FaceDataset,
        validation: FaceDataset | None = None,
        *,
        epochs: int = 10,
        resume: bool = False,
        progress: bool = True,
        callbacks: Sequence[Any] = (),
    ) -> History:
        """Trains on faces of known people.

        Args:
            train: The faces.
            validation: Faces of other people, on which every epoch is validated; the embedder's
                thresholds come from them.
            epochs: The total number of epochs, including those before a resumption.
            resume: Whether to resume exactly from the folder's checkpoint. If there is none, the
                training starts. Only ``epochs`` may differ from before.
            progress: Whether to show a progress bar, if standard error is a terminal.
            callbacks: Callbacks of ``keras.callbacks``; after each epoch they receive its row of
                the history. They do not keep state across a resumption.

        Returns:
            The measurements of each epoch.

        Raises:
            TrainingDataError: If the faces form no triplets.
            InvalidArgumentError: If an argument lies outside its range, or the folder holds
                another training.
            TrainingError: If the loss becomes NaN, or all embeddings run together in one point.
                The last good checkpoint is kept, and the trainer has its weights.
            FileFormatError: If something cannot be written, or the checkpoint is damaged.
        """
        batches = BalancedBatches(
            train,
            identities=self.identities,
            images=self.images,
            seed=self.seed,
            augmentation=self.augmentation,
            workers=self.workers,
        )
        return self._run(
            batches,
            validation,
            FitArguments(epochs, resume, progress, callbacks),
            objectives=self._objectives(),
            statistics=partial(
                triplet_statistics, margin=self.margin, distance_metric=self.distance_metric
            ),
            margin=self.margin if self.objective is None else None,
            micro_batch=self.micro_batch,
        )

    def _objectives(self) -> dict[int, Objective]:
        if self.objective is None:
            return {
                epoch: TripletLoss(miner, self.margin, self.distance_metric)
                for epoch, miner in by_epoch("miner", self.miner).items()
            }
        objectives: dict[int, Objective] = by_epoch("objective", self.objective)
        for objective in objectives.values():
            if not callable(objective):
                raise InvalidArgumentError(
                    "objective must be a keras.losses.Loss or a function of labels and "
                    f"embeddings, got {objective!r}"
                )
        return objectives
