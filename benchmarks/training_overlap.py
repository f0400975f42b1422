"""Checks that no face of LFW is among the faces that facekit-small was trained on.

    python benchmarks/training_overlap.py runs/facekit-small-1 pool lfw

reads the embeddings that the teacher gave to the faces of the training ``runs/facekit-small-1``
(see ``configs/facekit-small-1.toml``), embeds all photos of LFW with the same teacher, and prints
how near the nearest training face of each LFW photo is, beside the distances of photos of one
person and of strangers within LFW, and names the nearest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from facekit import Detector, Embedder
from facekit.training import FaceDataset

# As in configs/facekit-small-1.toml: which people were held out.
INPUT_SIZE, HELD_OUT, SEED = 112, 0.05, 0
QUANTILES = (0.0, 0.001, 0.01, 0.1, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--teacher", default="facenet-20180402-vggface2")
    options = parser.parse_args()
    (file,) = options.run.glob("teacher-*.safetensors")
    trained_on = load_file(file)["teacher"]
    faces = FaceDataset.from_archives(options.pool, input_size=INPUT_SIZE, labeled_only=False)
    keys = faces.split(HELD_OUT, seed=SEED)[0].keys
    if len(keys) != len(trained_on):
        raise SystemExit(f"{file} holds {len(trained_on)} faces, the pool gives {len(keys)}")
    embedder = Embedder(options.teacher)
    aligner, detector = embedder.aligner(), Detector()
    images = sorted(options.lfw.glob("*/*.jpg"))
    aligned, people = [], []
    for result in detector.detect_stream(images):
        if result.faces:
            largest = max(result.faces, key=lambda face: face.box[2] * face.box[3])
            aligned.append(aligner.align(result.image, [largest])[0])
            people.append(images[result.index].parent.name)
    embeddings = embedder.embed(aligned, progress=True)

    similarity = embeddings @ trained_on.T
    nearest = similarity.argmax(axis=1)
    show("nearest training face", distance(similarity.max(axis=1)))
    within = embeddings @ embeddings.T
    names = np.array(people)
    upper = np.triu_indices(len(names), 1)
    same = (names[:, None] == names)[upper]
    show("LFW, photos of one person", distance(within[upper][same]))
    show("LFW, strangers", distance(within[upper][~same]))
    for row in np.argsort(-similarity.max(axis=1))[:10]:
        print(
            f"  {distance(similarity[row, nearest[row]]):.3f}  {people[row]}  {keys[nearest[row]]}"
        )


def distance(similarity: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(0.0, 2.0 - 2.0 * similarity))


def show(what: str, distances: np.ndarray) -> None:
    values = ", ".join(f"{q:.1%} {np.quantile(distances, q):.3f}" for q in QUANTILES)
    print(f"{what} ({len(distances):,}): {values}")


if __name__ == "__main__":
    main()
