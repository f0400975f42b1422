"""
Train with semi-hard triplets
=============================

:class:`facekit.training.TripletTrainer` trains a new head on a frozen backbone, and the embedding
space unfolds: photos of one person move together and other people move away, even people whom the
training never saw. In a terminal it takes faces of your own, and continues an interrupted training
when called again::

    python train_triplet_head.py FACES FOLDER

FACES is a folder with one folder per person, or one with an index.csv of detected faces; FOLDER
holds the training.

Without arguments it trains for seconds: with 200 people of a pool of faces if ``FACEKIT_DATA``
names a folder with ``pool`` in it (see :doc:`/contributing`), otherwise with invented people. The
backbone has seen the pool's faces before, though not their names, so other people are a little
harder.
"""

import csv
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from keras.callbacks import LambdaCallback

from facekit import Architecture, Detector, Embedder
from facekit.demo import portrait_paths
from facekit.evaluation import plot_embeddings
from facekit.training import Augmentation, FaceDataset, TripletTrainer, plot_history

# %%
# The faces
# ---------
#
# The people in the two parts differ, because the result is measured on people whom the training
# never saw.

pool = Path(os.environ.get("FACEKIT_DATA", ".")) / "pool"

start = Embedder()
if len(sys.argv) == 3:
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    read = (
        FaceDataset.from_archives if (source / "index.csv").is_file() else FaceDataset.from_folder
    )
    faces = read(source, input_size=start.input_size, aligner=start.aligner())
    train, validation = faces.split(0.1)
elif (pool / "index.csv").is_file():
    folder = Path(tempfile.mkdtemp(), "head")
    # Two hundred people with four photos each, as a folder; all of the pool takes minutes.
    people = folder.with_name("people")
    images_of: dict[str, list[str]] = {}
    with (pool / "index.csv").open(newline="", encoding="utf-8") as index:
        for face in csv.DictReader(index):
            if face["label"] and face["archive"] == "celeba_wild_1.zip":
                images_of.setdefault(face["label"], []).append(face["name"])
    chosen = [names[:4] for names in images_of.values() if len(names) >= 4][:200]
    with zipfile.ZipFile(pool / "celeba_wild_1.zip") as archive:
        for number, names in enumerate(chosen):
            for name in names:
                image = people / f"person {number}" / Path(name).name
                image.parent.mkdir(parents=True, exist_ok=True)
                image.write_bytes(archive.read(name))
    faces = FaceDataset.from_folder(
        people,
        input_size=start.input_size,
        aligner=start.aligner(),
        cache=folder.with_name("cache"),
    )
    train, validation = faces.split(0.25)
else:
    folder = Path(tempfile.mkdtemp(), "head")
    portraits = portrait_paths()
    if len(portraits) < 2:
        sys.exit("The second portrait comes with scikit-image: pip install scikit-image")
    detector, aligner = Detector(), start.aligner()
    one, other = (
        aligner.align(path, detector.detect(path)[:1])[0].astype(float)
        for path in portraits.values()
    )
    alter, rng = Augmentation(), np.random.default_rng(0)

    def blends(shares: list[float], images: int = 20) -> FaceDataset:
        """Makes people who do not exist, by mixing two portraits in several proportions."""
        people = [(share * one + (1 - share) * other).astype(np.uint8) for share in shares]
        names = [f"blend {share:.0%}" for share in shares for _ in range(images)]
        return FaceDataset.from_arrays(alter(np.repeat(people, images, axis=0), rng), names)

    train = blends([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    validation = blends([0.1, 0.3, 0.5, 0.7, 0.9])
    print("Blends of two portraits stand in for people. They lie on a line between two points, and")
    print("say nothing about how well people are told apart.")

print("train:     ", train)
print("validation:", validation)

# %%
# Train
# -----
#
# The head is new and random, the backbone is frozen. Without augmentation the backbone runs once
# per face, and an epoch takes a second. ``miner="semihard"`` takes, for each pair of one person,
# the nearest photo of another person that is farther apart than the pair: hard enough to teach
# something, and rarely a wrong label.

epochs = 20 if len(sys.argv) == 3 else 8
trainer = TripletTrainer(
    start,
    folder=folder,
    embedding_size=128,
    trainable="head",
    augmentation=None,
    miner="semihard",
    learning_rate=1e-3,
    identities=min(30, len(train.identities)),
    images=4,
)


def embeddings_of(network: Any, architecture: Architecture) -> list[npt.NDArray[np.float32]]:
    """Embeds some people of both parts with the current network."""
    embedder = Embedder.from_network(network, architecture, name="at this moment")
    return [
        embedder.embed(faces.images(np.flatnonzero(faces.labels < 5)))
        for faces in (train, validation)
    ]


def watch(epoch: int, row: dict[str, float]) -> None:
    """Prints the results of an epoch, and keeps embeddings of two epochs."""
    print(
        f"epoch {epoch + 1:2}: loss {row['loss']:.4f}, "
        f"TAR at FMR 1 % {row['validation_tar']:.1%}, recall@1 {row['validation_recall']:.1%}"
    )
    if epoch + 1 in (2, epochs):
        snapshots[f"after epoch {epoch + 1}"] = embeddings_of(
            trainer.network_, trainer.architecture_
        )


snapshots = {"before": embeddings_of(*start.to_network(embedding_size=128, seed=trainer.seed))}
history = trainer.fit(
    train, validation, epochs=epochs, resume=True, callbacks=[LambdaCallback(on_epoch_end=watch)]
)
print(f"Wrote {folder.name}/embedder.safetensors, which Embedder(path) reads")

# %%
# The embedding space unfolds
# ---------------------------
#
# Five people of each part, projected onto two principal components. The upper row shows people
# whom the head was trained with, the lower row, which matters, shows others.
#
# A random head keeps much of what the backbone knows, so most people are apart before the first
# step. Training pulls the photos of each person together and pushes the others away.

figure, axes = plt.subplots(2, len(snapshots), figsize=(3.4 * len(snapshots), 6.6), squeeze=False)
for column, (when, embeddings) in zip(axes.T, snapshots.items(), strict=True):
    for ax, faces, points in zip(column, (train, validation), embeddings, strict=True):
        labels = [f"person {label + 1}" for label in faces.labels if label < 5]
        plot_embeddings(points, labels, method="pca", ax=ax)
        ax.get_legend().remove()
        ax.set(xlabel="", ylabel="")
    column[0].set_title(when)
axes[0, 0].set_ylabel("trained with")
axes[1, 0].set_ylabel("never seen")
figure.tight_layout()
figure.savefig("unfolding.png")
print("Wrote unfolding.png")

# %%
# Watch the validation
# --------------------
#
# The loss keeps falling because the head memorizes its people; the validation shows the gain on
# others. When it stops rising, more epochs do not help, but more people do. :doc:`/training` lists
# what else to watch.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
plot_history(history, metrics=["loss"], ax=left)
plot_history(history, metrics=["validation_tar", "validation_recall"], ax=right)
figure.tight_layout()
figure.savefig("training.png")
for when, row in (("before", history[0]), ("after", history[-1])):
    print(f"{when:6} TAR at FMR 1 % {row['validation_tar']:.1%}, EER {row['validation_eer']:.1%}")
