"""Grows FaceNet's network to InceptionResNetV2, and fits the new stem to the old one in PyTorch.

    KERAS_BACKEND=torch python configs/grow_torch.py ../shared/data runs/grown.safetensors

:func:`facekit.training.grow` fits the stem by least squares to faces of FaceNet's own size. Here
the network is to read smaller faces, and ``Mixed_5b`` and the first block, which FaceNet does not
have, are trained until the channels that the next block reads are those of FaceNet: the squared
difference before the ReLU where FaceNet's channel is positive, and that after it elsewhere. In four
minutes on two cores the correlation between the similarities of faces by both networks rises from
0.35 to 0.71. The result is what ``configs/distill_torch.py`` starts from.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from distill_torch import Graph, Network
from torch.nn import functional

from facekit import Aligner, Architecture, Embedder
from facekit.embedding import build_network
from facekit.embedding.networks.folding import assign, layer_weights
from facekit.training import FaceDataset, grow

SIZE, COMPONENTS, BLOCKS = 128, 128, 0.55
BATCH, RATE, WARM_UP = 64, 2e-3, 20
FITTED = ("Mixed_5b_", "Block35_1_")


class StemEnd(Exception):  # noqa: N818  as StopIteration: no error
    """What comes after the stem is not computed."""


class Stem(Graph):
    """Computes a backbone up to the blocks that both networks have."""

    def convolved(self, x, layer):
        if layer.name == "Block35_1_Branch_0_Conv2d_1x1" and not self.grown:
            self.found = x
            raise StemEnd
        return super().convolved(x, layer)

    def added(self, x, mixed, scale, name, *, linear):
        branch = self._convolve(mixed, f"{name}_Conv2d_1x1", 1, [0, 0])
        self.found = torch.add(x, branch, alpha=scale)
        raise StemEnd

    @classmethod
    def of(cls, network: Network, x: torch.Tensor, *, grown: bool) -> torch.Tensor:
        graph = cls(network.architecture.width, network.p)
        graph.grown = grown
        try:
            network._backbone(graph, x)
        except StemEnd:
            return graph.found.float()
        raise AssertionError("the backbone has no block")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with pool/ and weights/")
    parser.add_argument("result", type=Path, help="the file to write, ending in .safetensors")
    parser.add_argument("--minutes", type=float, default=4)
    options = parser.parse_args()
    options.result.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    facenet = Embedder(options.data / "weights/facenet-20180402-vggface2/weights.npz")
    embedder = grown(facenet, faces_of(options.data, facenet.input_size))
    network = fitted(facenet, embedder, faces_of(options.data, SIZE), 60 * options.minutes)
    embedder._arrays = network.arrays(dict(network.p.items()))
    embedder.save(options.result)


def faces_of(data: Path, size: int) -> FaceDataset:
    aligner = Aligner(size)
    return FaceDataset.from_archives(
        data / "pool", input_size=size, aligner=aligner, labeled_only=False
    ).split(0.05)[0]


def grown(facenet: Embedder, faces: FaceDataset) -> Embedder:
    """Returns the network grown at FaceNet's size, to read faces of SIZE pixels."""
    old = facenet.record.architecture
    architecture = Architecture(
        "inception_resnet_v2",
        blocks=BLOCKS,
        input_size=old.input_size,
        embedding_size=COMPONENTS,
        input_mean=old.input_mean,
        input_scale=old.input_scale,
    )
    chosen = np.random.default_rng(1).choice(len(faces), 500, False)
    large = grow(facenet, architecture, faces.images(np.sort(chosen)))
    architecture = dataclasses.replace(architecture, input_size=SIZE)
    network = build_network(architecture)
    assign(network, layer_weights(large))
    return Embedder.from_network(network, architecture, name="grown", alignment=Aligner(SIZE))


def fitted(facenet: Embedder, embedder: Embedder, faces: Any, seconds: float) -> Network:
    """Returns the grown network after the training of its stem."""
    teacher, student = Network(facenet), Network(embedder)
    student.requires_grad_(False)
    chosen = [value for name, value in student.p.items() if name.startswith(FITTED)]
    for value in chosen:
        value.requires_grad_(True)
    places = carried(teacher, student)
    optimizer = torch.optim.Adam(chosen, lr=RATE)
    random, reader = np.random.default_rng(3), ThreadPoolExecutor(1)

    def read() -> Any:
        return faces.images(np.sort(random.choice(len(faces), BATCH, False)))

    following, began, step = reader.submit(read), time.monotonic(), 0
    while (spent := time.monotonic() - began) < seconds:
        images, following = following.result(), reader.submit(read)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = torch.from_numpy(images).float().permute(0, 3, 1, 2)
            x = (x - student.architecture.input_mean) / student.architecture.input_scale
            with torch.no_grad():
                wanted = Stem.of(teacher, x, grown=False)
            found = Stem.of(student, x, grown=True)[:, places]
        error = torch.where(wanted > 0, found - wanted, functional.relu(found))
        value = error.square().mean() / wanted.var()
        rate = min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * spent / seconds))
        optimizer.param_groups[0]["lr"] = RATE * rate
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        step += 1
        if step % 50 == 0:
            print(f"step {step}, {spent / 60:.1f} min, loss {value.item():.4f}", flush=True)
    return student


def carried(teacher: Network, student: Network) -> torch.Tensor:
    """Returns where FaceNet's channels lie: the first common block reads both alike."""
    name = "Branch_0_Conv2d_1x1|kernel"
    old, new = teacher.p[f"Block35_1_{name}"], student.p[f"Block35_2_{name}"]
    apart = torch.cdist(old[:, :, 0, 0].T, new[: len(old), :, 0, 0].T)
    if apart.min(1).values.max() > 1e-4:
        raise AssertionError("the grown network does not carry FaceNet's channels")
    return apart.argmin(1)


if __name__ == "__main__":
    main()
