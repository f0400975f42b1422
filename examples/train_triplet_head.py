"""Trains a new 128-D head on the frozen FaceNet backbone, with semi-hard triplets.

    python train_triplet_head.py FACES FOLDER

FACES is a folder with one folder of photos a person, or a pool with an index.csv; FOLDER is where
the training is kept. A training that was interrupted goes on when the same line is typed again.
Needs the default weights: see the page on weights in the documentation.
"""

import sys
from pathlib import Path

from facekit import Embedder
from facekit.training import FaceDataset, TripletTrainer

if len(sys.argv) != 3:
    sys.exit(__doc__)
source, folder = Path(sys.argv[1]), Path(sys.argv[2])

facenet = Embedder()
read = FaceDataset.from_pool if (source / "index.csv").is_file() else FaceDataset.from_folder
faces = read(source, input_size=facenet.input_size, aligner=facenet.aligner())
train, validation = faces.split(0.1)

trainer = TripletTrainer(
    facenet,
    folder=folder,
    embedding_size=128,
    trainable="head",
    augmentation=None,  # so the frozen backbone runs once for each face
    mining="semihard",
    learning_rate=1e-3,
    identities=60,
    photos=5,
)
history = trainer.fit(
    train,
    validation,
    epochs=20,
    resume=True,
    on_epoch_end=lambda row: print(
        f"epoch {row['epoch']}: loss {row['loss']:.4f}, "
        f"TAR at FAR 1 % {row['validation_tar']:.2%}, recall@1 {row['validation_recall']:.2%}"
    ),
)
print(f"Wrote {folder / 'embedder.safetensors'}")
