"""Grows a network to InceptionResNetV2, and fits the new stem to the old one in PyTorch.

    KERAS_BACKEND=torch python configs/grow_torch.py data runs/grown.safetensors \
        --start facekit-small

:func:`facekit.training.grow` fits the stem by least squares. Here ``Mixed_5b`` and the first block,
which the old network does not have, are trained until the channels that the next block reads are
those of the old network: the squared difference before the ReLU where the old channel is positive,
and that after it elsewhere. The new network can be given another ``--size`` of faces. The result is
what ``configs/distill_torch.py`` starts from. On two cores, without any distillation, over all
pairs of LFW at a false-match rate of 0.0001 and with the worst adult group where pairs of White
adults have 0.1 % (``benchmarks/embedding_accuracy.py --no-pool``):

    --start facekit-small, 3 minutes       60.5 %, 3.1 %, similarities correlate to 0.86
    --start FaceNet --size 128, 4 minutes  47.4 %, 2.5 %, to 0.71; 41,000 faces on, 66.4 %

The weights ``inception-resnet-v2`` in the package are what the first became by
``configs/distill_torch.py``.
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

from facekit import Aligner, Embedder
from facekit.embedding import build_network
from facekit.embedding.networks.folding import assign, layer_weights
from facekit.training import FaceDataset, grow

COMPONENTS, BLOCKS = 128, 0.55
BATCH, RATE, WARM_UP = 64, 2e-3, 20
FITTED = ("Mixed_5b_", "Block35_1_")


class StemEnd(Exception):  # noqa: N818  as StopIteration: no error
    """What comes after the stem is not computed."""


class Stem(Graph):
    """Computes a backbone up to the first block that both networks have."""

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
    parser.add_argument("--start", required=True, help="weights of Inception-ResNet-v1")
    parser.add_argument("--size", type=int, help="of faces in pixels; as before by default")
    parser.add_argument("--minutes", type=float, default=3)
    options = parser.parse_args()
    options.result.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    old = Embedder(options.start).without_centering()
    old.record = dataclasses.replace(old.record, mirrored=False)
    size = options.size or old.input_size
    embedder = grown(old, faces_of(options.data, old.input_size), size)
    network = fitted(old, embedder, faces_of(options.data, size), 60 * options.minutes)
    embedder._arrays = network.arrays(dict(network.p.items()))
    embedder.save(options.result)


def faces_of(data: Path, size: int) -> FaceDataset:
    aligner = Aligner(size)
    return FaceDataset.from_archives(
        data / "pool", input_size=size, aligner=aligner, labeled_only=False
    ).split(0.05)[0]


def grown(embedder: Embedder, faces: FaceDataset, size: int) -> Embedder:
    """Returns the network grown at its own size, to read faces of another."""
    old = embedder.record.architecture
    architecture = dataclasses.replace(
        old,
        backbone="inception_resnet_v2",
        blocks=BLOCKS,
        embedding_size=min(COMPONENTS, old.embedding_size),
        head_batch_normalization=False,
    )
    chosen = np.random.default_rng(1).choice(len(faces), 500, False)
    large = grow(embedder, architecture, faces.images(np.sort(chosen)))
    architecture = dataclasses.replace(architecture, input_size=size)
    network = build_network(architecture)
    assign(network, layer_weights(large))
    return Embedder.from_network(network, architecture, name="grown", alignment=Aligner(size))


def fitted(old: Embedder, embedder: Embedder, faces: Any, seconds: float) -> Network:
    """Returns the grown network after the training of its stem."""
    teacher, student = Network(old), Network(embedder)
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
    """Returns where the old channels lie: the first common block reads both alike."""
    name = "Branch_0_Conv2d_1x1|kernel"
    old, new = teacher.p[f"Block35_1_{name}"], student.p[f"Block35_2_{name}"]
    pairs = old[:, :, 0, 0].T, new[: len(old), :, 0, 0].T
    apart = torch.cdist(*pairs, compute_mode="donot_use_mm_for_euclid_dist")  # which is inexact
    if apart.min(1).values.max() > 1e-4:
        raise AssertionError("the grown network does not carry the old channels")
    return apart.argmin(1)


if __name__ == "__main__":
    main()
