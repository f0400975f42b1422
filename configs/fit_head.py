"""Fits the head of an embedder to its teachers by least squares, beside what it gave before.

    python configs/fit_head.py runs/mean-4.safetensors runs/facekit-small-4 pool runs/5.safetensors

Reads the embeddings of the two teachers that the training of ``configs/facekit-small-4.toml`` kept
in its folder, and fits a linear head to them on 12,000 of its faces (ridge regression). The fitted
embeddings and the present ones, each of unit norm in the mean, are put side by side, brought to 128
components by PCA, and turned to the present axes; all of it is one linear head.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from facekit import Embedder
from facekit.embedding.networks.names import HEAD_LAYER
from facekit.io import safetensors_file
from facekit.training import FaceDataset
from facekit.training.data.features import run_network, split_head
from facekit.training.distillation.teachers import StoredTeacher, rotation_between

FACES, RIDGE, WEIGHTS = 12_000, 0.03, (1.0, 0.775)


def main() -> None:
    source, folder, pool, target = map(Path, sys.argv[1:])
    embedder = Embedder(source)
    faces = FaceDataset.from_archives(
        pool, input_size=embedder.input_size, aligner=embedder.aligner(), labeled_only=False
    ).split(0.05)[0]
    chosen = np.sort(np.random.default_rng(5).choice(len(faces), FACES, replace=False))
    given = np.concatenate(
        [
            weight * each[chosen]
            for weight, each in zip(WEIGHTS, targets(folder, faces), strict=True)
        ],
        axis=1,
    )
    network, architecture = embedder.to_network()
    backbone, _ = split_head(network)
    features = run_network(backbone, faces.subset(chosen), batch_size=32).astype(np.float64)
    kernel, bias = network.get_layer(HEAD_LAYER).get_weights()
    fitted, constant = regression(features, unit(given))
    parts = [(fitted, constant), (kernel, bias)]
    scales = [np.linalg.norm(features @ k + b, axis=1).mean() for k, b in parts]
    joined = np.concatenate([k / s for (k, _), s in zip(parts, scales, strict=True)], axis=1)
    shift = np.concatenate([b / s for (_, b), s in zip(parts, scales, strict=True)])
    vectors = unit(features @ joined + shift)
    axes = np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1][:, : architecture.embedding_size]
    own = unit(features @ kernel + bias)
    axes = axes @ rotation_between(unit((features @ joined + shift) @ axes), own)
    network.get_layer(HEAD_LAYER).set_weights([joined @ axes, shift @ axes])
    Embedder.from_network(
        network, architecture, name=source.stem, alignment=embedder.aligner()
    ).save(target)


def targets(folder: Path, faces: FaceDataset) -> list[np.ndarray]:
    """Returns each teacher's embeddings: the stored ones, and those that the training kept."""
    stored = StoredTeacher.from_npz("runs/teacher_edgeface_xs.npz").embed_faces(faces)
    kept = [
        safetensors_file.read(path, kind="facekit.features", newest_version=1)[1]["teacher"]
        for path in sorted(folder.glob("teacher-*.safetensors"))
    ]
    return [stored, *(each for each in kept if each.shape != stored.shape)]


def regression(features: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, centered = features.mean(axis=0), features - features.mean(axis=0)
    covariance = centered.T @ centered / len(features)
    covariance += RIDGE * np.diag(covariance).mean() * np.eye(len(covariance))
    kernel = np.linalg.solve(covariance, centered.T @ given / len(features))
    return kernel, given.mean(axis=0) - mean @ kernel


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
