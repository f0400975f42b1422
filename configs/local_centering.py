r"""Moves strangers apart who lie close together: gives weights a local centering.

    python configs/local_centering.py pool runs/facekit-small-6 --start facekit-small
    python configs/bundle.py runs/facekit-small-6 --mirrored --version 6
    python benchmarks/distances.py pool --groups groups --write

made version 6 of ``facekit-small`` from version 5, and

    python configs/local_centering.py pool runs/inception-resnet-v2-3 \
        --start runs/inception-resnet-v2-1.safetensors
    python configs/bundle.py runs/inception-resnet-v2-3 --name inception-resnet-v2 \
        --precision int8 --mirrored --version 3
    python benchmarks/distances.py pool --groups groups --weights inception-resnet-v2 --write

version 3 of ``inception-resnet-v2`` from version 1; version 2 had a linear map in its place.

Where a network saw few people of a group, strangers of that group lie close together, and the false
matches of the group are many. See :class:`facekit.embedding.LocalCentering`. The pool's labeled
faces, most of celebrities, hardly show such groups; its faces without labels, most of UTKFace, do.
With the latter alone, celebrities would be moved toward strangers, so both are taken, three without
a label for two with one. Labels are not used otherwise, and no figure is measured on these people.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from facekit import Embedder
from facekit.embedding import LocalCentering
from facekit.training import FaceDataset
from facekit.training.distillation.teachers import EmbedderTeacher

UNLABELED, LABELED = 12_000, 8_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path, help="the faces")
    parser.add_argument("folder", type=Path, help="where the result is written")
    parser.add_argument("--start", required=True, help="name or path of the weights")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    embedder = Embedder(options.start)
    if embedder.centering is not None:
        raise SystemExit(f"{options.start}: has a local centering")
    faces = FaceDataset.from_archives(
        options.pool,
        input_size=embedder.input_size,
        aligner=embedder.aligner(),
        labeled_only=False,
    ).split(0.05)[0]
    shuffled = np.random.default_rng(0).permutation(len(faces))
    labeled = faces.labels[shuffled] >= 0
    chosen = np.concatenate([shuffled[~labeled][:UNLABELED], shuffled[labeled][:LABELED]])
    teacher = EmbedderTeacher(embedder)
    centering = LocalCentering.fit(teacher.embed_faces(faces.subset(chosen), progress=True))
    network, architecture = embedder.to_network()
    Embedder.from_network(
        network,
        architecture,
        name=options.folder.name,
        alignment=embedder.aligner(),
        mirrored=embedder.record.mirrored,
        centering=centering,
    ).save(options.folder / "embedder.safetensors")


if __name__ == "__main__":
    main()
