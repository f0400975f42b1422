r"""Distills the weights in the package in PyTorch, in half the time of ``facekit distill``.

    python configs/edgeface_targets.py pool runs/teacher_edgeface_xs.npz
    KERAS_BACKEND=torch python configs/distill_torch.py data runs/facekit-small-5 \
        --start facekit-small

The data, teachers, batches and augmentation are those of ``facekit.training.Distiller``, and so are
the terms of its loss: the cosine to the teachers' joined embeddings, the distances of all pairs
of a batch, and the nearest impostors of each face. The learning rate falls along half a cosine to
zero after ``--minutes``. A run that was interrupted goes on from its last checkpoint, at most three
minutes old. The moving mean of the weights is written to ``embedder.safetensors``.

Kernels are stepped by Muon. From the same weights and on the same batches, 150 steps at a rate of
1.5e-4 left a loss of 0.376 where AdamW's, by which ``facekit-small`` was trained, left 0.385; a
step takes a fifth longer.

``facekit-small`` 5 is what came out of 62 minutes on two shared cores, from version 4, when
FaceNet's embeddings were means with those of the mirror images:

    python configs/bundle.py runs/facekit-small-5 --mirrored --version 5
    python benchmarks/distances.py pool --groups groups --write

``inception-resnet-v2`` 1 began with what ``configs/grow_torch.py`` makes. A first training by AdamW
(``--rate 2e-4 --mean 0.998 --facenet 0.3 --minutes 42``, 205,000 faces) was rounded to 8 bits and
trained further into ``runs/inception-resnet-v2``, and the head was tuned:

    --rate 2e-4 --mean 0.999 --facenet 0.15 --minutes 57 (337,000 faces)
    facekit train configs/inception-resnet-v2.toml
    python configs/bundle.py runs/inception-resnet-v2=0.7 runs/inception-resnet-v2-head=0.3 \
        --name inception-resnet-v2 --precision int8 --mirrored --version 1
    python benchmarks/distances.py pool --groups groups --weights inception-resnet-v2 --write

Version 5 is the network of version 4, which is that of version 1, after two more trainings. The
second went on from the moving mean of the first, with its momenta and after its last batch:

    --start inception-resnet-v2 --rate 2e-4 --facenet 0.15 --minutes 62 (107,000 faces)
    --start runs/inception-resnet-v2-5a --rate 1.5e-4 --facenet 0.15 --minutes 72 (95,000 faces)
    python configs/bundle.py runs/inception-resnet-v2-5b=0.7 \
        runs/inception-resnet-v2-1.safetensors=0.3 --name inception-resnet-v2 --mirrored 1.1 \
        --to runs/inception-resnet-v2-5c.safetensors
    python configs/local_centering.py pool runs/inception-resnet-v2-5 \
        --start runs/inception-resnet-v2-5c.safetensors
    python configs/bundle.py runs/inception-resnet-v2-5 --name inception-resnet-v2 \
        --precision int8 --mirrored 1.1 --version 5
    python benchmarks/input_ranges.py pool --weights inception-resnet-v2 --write
    python benchmarks/distances.py pool --groups groups --weights inception-resnet-v2 --write

Needs ``pip install torch`` besides facekit's own dependencies.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import math
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from facekit import Aligner, Embedder
from facekit.embedding.networks.backbones import BACKBONES
from facekit.embedding.networks.blocks import GraphBuilder
from facekit.embedding.networks.shapes import weight_shapes
from facekit.training import Augmentation, FaceDataset, OnnxTeacher, StoredTeacher
from facekit.training.data.batches import ShuffledBatches, nearest_faces
from facekit.training.distillation.teachers import (
    EmbedderTeacher,
    Teacher,
    joined,
    rotation_between,
)
from facekit.utils.openvino import has_bfloat16

BFLOAT16 = has_bfloat16()
BATCH, GROUP, HARDEST = 64, 4, 4
WARM_UP, DECAY = 60, 0.004
DISTANCES, IMPOSTORS = 60.0, 2.0
EDGEFACE, MOBILEFACENET, FACENET = 1.0, 0.4, 0.4


ORTHOGONALIZING = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
"""Coefficients of five Newton-Schulz iterations, as J. You tuned them for Muon (2025)."""


class Muon:
    """Steps kernels along orthogonalized momentum, and biases by Adam.

    K. Jordan et al., "Muon", 2024; kernels' steps have the size of Adam's (J. Liu et al., "Muon is
    scalable for LLM training", 2025), so that both follow one learning rate. ``torch.optim.Muon``
    refuses kernels of convolutions.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], momentum: float = 0.95) -> None:
        self.momentum, self.kernels, biases = momentum, [], []
        for each in parameters:
            (self.kernels if each.ndim > 1 else biases).append(each)
        self.momenta = [torch.zeros_like(each) for each in self.kernels]
        self.adam = torch.optim.AdamW(biases, weight_decay=0.0)

    @torch.no_grad()
    def step(self, rate: float, pool: ThreadPoolExecutor) -> None:
        alike: dict[tuple[int, ...], list[int]] = {}
        for index, kernel in enumerate(self.kernels):
            alike.setdefault(tuple(kernel.shape), []).append(index)
        list(pool.map(lambda indices: self._move(indices, rate), alike.values()))
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()

    @torch.no_grad()
    def _move(self, indices: list[int], rate: float) -> None:
        moves = []
        for index in indices:
            gradient, momentum = self.kernels[index].grad, self.momenta[index]
            momentum.lerp_(gradient, 1 - self.momentum)
            moves.append(gradient.lerp(momentum, self.momentum).flatten(1))
        stacked = torch.stack(moves)
        size = 0.2 * max(stacked.shape[1:]) ** 0.5
        for index, move in zip(indices, orthogonalized(stacked), strict=True):
            kernel = self.kernels[index]
            kernel.mul_(1 - rate * DECAY).sub_(move.reshape(kernel.shape), alpha=rate * size)

    def state_dict(self) -> dict[str, Any]:
        return {"momenta": self.momenta, "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.momenta = state["momenta"]
        self.adam.load_state_dict(state["adam"])


def orthogonalized(matrices: torch.Tensor) -> torch.Tensor:
    """Returns matrices with the singular vectors of others, and singular values of nearly 1."""
    upright = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if upright else matrices) / (
        matrices.norm(dim=(1, 2), keepdim=True) * 1.01 + 1e-12
    )
    x = x.bfloat16() if BFLOAT16 else x
    for a, b, c in ORTHOGONALIZING:
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return (x.mT if upright else x).float()


class Graph(GraphBuilder):
    """Runs a backbone with PyTorch as it is built; kernels are kept without the residual scales."""

    def __init__(self, width: float, parameters: torch.nn.ParameterDict) -> None:
        super().__init__(width)
        self.parameters = parameters

    def _convolve(self, x: Any, name: str, strides: int, border: list[int]) -> Any:
        kernel, bias = self.parameters[f"{name}|kernel"], self.parameters[f"{name}|bias"]
        return functional.conv2d(x, kernel, bias, strides, border)

    def convolved(self, x, layer):
        x = self._convolve(x, layer.name, layer.strides, layer.border)
        return functional.relu(x, inplace=True)

    def added(self, x, mixed, scale, name, *, linear):
        branch = self._convolve(mixed, f"{name}_Conv2d_1x1", 1, [0, 0])
        x = torch.add(x, branch, alpha=scale)
        return x if linear else functional.relu(x, inplace=True)

    def max_pooling(self, x, name):
        return functional.max_pool2d(x, 3, 2)

    def average_pooling(self, x, name):
        return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    def concatenation(self, branches, name):
        return torch.cat(list(branches), 1)


class Network(torch.nn.Module):
    """An embedder's network with PyTorch."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.architecture = embedder.record.architecture
        _, self.scales = weight_shapes(self.architecture, folded=True)
        self.p = torch.nn.ParameterDict()
        for layer, arrays in embedder._arrays.items():
            for name, array in arrays.items():
                value = np.asarray(array, np.float32) / self.scales.get(layer, 1.0)
                tensor = torch.from_numpy(np.ascontiguousarray(value))
                if value.ndim == 4:
                    tensor = tensor.permute(3, 2, 0, 1).contiguous(
                        memory_format=torch.channels_last
                    )
                self.p[f"{layer}|{name}"] = torch.nn.Parameter(tensor)
                if value.ndim == 2:
                    self.head = layer

    def _backbone(self, graph: Graph, x: Any) -> Any:
        backbone = BACKBONES[self.architecture.backbone]
        return backbone(graph, x, blocks=self.architecture.blocks)

    def forward(self, faces: np.ndarray) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=BFLOAT16):
            x = torch.from_numpy(faces).float()
            x = (x - self.architecture.input_mean) / self.architecture.input_scale
            x = self._backbone(Graph(self.architecture.width, self.p), x.permute(0, 3, 1, 2))
            kernel, bias = self.p[f"{self.head}|kernel"], self.p[f"{self.head}|bias"]
            return functional.normalize(
                functional.linear(x.mean((2, 3)), kernel.t(), bias).float(), dim=1
            )

    def arrays(self, values: dict[str, torch.Tensor]) -> dict[str, dict[str, np.ndarray]]:
        """Returns the weights in Keras' layout, residual scales multiplied in."""
        layers: dict[str, dict[str, np.ndarray]] = {}
        for key, value in values.items():
            layer, name = key.split("|")
            array = value.detach().numpy()
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
            layers.setdefault(layer, {})[name] = np.ascontiguousarray(array) * np.float32(
                self.scales.get(layer, 1.0)
            )
        return layers


def faces_and_targets(
    data: Path, targets: Path, folder: Path, embedder: Embedder, share: float
) -> Any:
    """Returns the faces to train on, and what the student is to give for each."""
    stored = StoredTeacher.from_npz(targets)
    mobile = OnnxTeacher(
        data / "weights/mobilefacenet-ms1m/MobileFaceNet.onnx",
        input_mean=[123.675, 116.28, 103.53],
        input_scale=[58.395, 57.12, 57.375],
        mirrored=True,
    )
    known = set(stored.keys)
    train = of_pool(data / "pool", embedder.aligner(), known)
    edgeface = stored.embed_faces(train)
    live: dict[str, tuple[Teacher, float]] = {"mobilefacenet": (mobile, MOBILEFACENET)}
    if share:
        facenet = Embedder(
            data / "weights/facenet-20180402-vggface2/weights.npz",
            engine="openvino-bf16" if BFLOAT16 else "openvino",
        )
        live["facenet"] = EmbedderTeacher(facenet), share
    followed = joined(
        [
            edgeface,
            *(kept(folder, name, each, data / "pool", known) for name, (each, _) in live.items()),
        ],
        np.sqrt([EDGEFACE, *(weight for _, weight in live.values())]).tolist(),
        embedder.embedding_size,
    )
    chosen = np.sort(np.random.default_rng(0).choice(len(train), min(3000, len(train)), False))
    own = embedder.embed(train.images(chosen))
    train.labels = (followed @ rotation_between(followed[chosen], own)).astype(np.float32)
    return train, nearest_faces(edgeface, 4 * GROUP)


def kept(folder: Path, name: str, teacher: Teacher, pool: Path, known: set[str]) -> np.ndarray:
    """Returns a teacher's embeddings of the pool's faces, computed once."""
    file = folder / f"{name}.npy"
    if not file.exists():
        np.save(file, teacher.embed_faces(of_pool(pool, teacher.aligner(), known), progress=True))
    return np.load(file)


def of_pool(pool: Path, aligner: Aligner, known: set[str]) -> FaceDataset:
    """Returns the faces of the pool that the validation leaves, as an aligner cuts them."""
    faces = FaceDataset.from_archives(
        pool, input_size=aligner.size, aligner=aligner, labeled_only=False
    ).split(0.05)[0]
    return faces.subset([row for row, key in enumerate(faces.keys) if key in known])


def loss(given: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    others = ~torch.eye(len(given), dtype=torch.bool)
    wanted, got = given @ given.T, found @ found.T
    cosine = 1 - (given * found).sum(1).mean()
    distances = [(2 - 2 * each[others]).clamp_min(1e-6).sqrt() for each in (got, wanted)]
    relation = functional.huber_loss(*(each / each.mean() for each in distances))
    nearest = got.masked_fill((wanted > 0.4) | ~others, -2.0).topk(HARDEST, dim=1)
    excess = (nearest.values - wanted.gather(1, nearest.indices)).clamp_min(0).square()
    impostors = torch.where(nearest.values > -2, excess, torch.zeros(())).mean()
    return cosine + DISTANCES * relation + IMPOSTORS * impostors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with pool/ and weights/")
    parser.add_argument("folder", type=Path, help="where checkpoints and the result are written")
    parser.add_argument("--start", required=True, help="name or path of the student's weights")
    parser.add_argument("--targets", type=Path, default=Path("runs/teacher_edgeface_xs.npz"))
    parser.add_argument("--minutes", type=float, default=70)
    parser.add_argument(
        "--facenet",
        type=float,
        default=FACENET,
        metavar="SHARE",
        help="FaceNet's part in the similarities to follow, where EdgeFace has 1; 0 for none",
    )
    parser.add_argument("--rate", type=float, default=1.5e-4, help="the highest learning rate")
    parser.add_argument(
        "--mean", type=float, default=0.999, help="how much of the moving mean a step leaves"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    embedder = Embedder(options.start).without_centering()
    faces, neighbors = faces_and_targets(
        options.data, options.targets, options.folder, embedder, options.facenet
    )
    batches = ShuffledBatches(
        faces, batch_size=BATCH, group_size=GROUP, augmentation=Augmentation(occlusion=0.1)
    )
    batches.nearest = neighbors
    network = Network(embedder)
    mean = train(network, batches, options)
    embedder._arrays = network.arrays(mean)
    embedder.record = dataclasses.replace(
        embedder.record,
        name=options.folder.name,
        version="0",
        files=(),
        thresholds={},
        distances=None,
    )
    embedder.save(options.folder / "embedder.safetensors")


def endless(batches: ShuffledBatches, step: int) -> Any:
    """Yields the batches of one epoch after the other, from a step on."""
    batches.epoch, first = divmod(step, len(batches))
    while True:
        yield from batches.read(first)
        batches.epoch, first = batches.epoch + 1, 0


def train(network: Network, batches: Any, options: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Trains until the time is over, counting that before an interruption; returns the mean."""
    path, seconds = options.folder / "checkpoint.pt", 60 * options.minutes
    optimizer = Muon(network.parameters())
    mean = {key: value.detach().clone() for key, value in network.p.items()}
    step, spent = 0, 0.0
    if path.exists():
        kept = torch.load(path, weights_only=True)
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        mean, step, spent = kept["mean"], kept["step"], kept["spent"]
    # Two halves of each batch, each on a thread of its own: as fast as the cores allow.
    twin = copy.deepcopy(network)
    for key, value in twin.p.items():
        value.data = network.p[key].data
    pool, began, saved = ThreadPoolExecutor(2), time.monotonic() - spent, time.monotonic()
    for images, given in endless(batches, step):
        spent = time.monotonic() - began
        if spent >= seconds:
            break
        rate = min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * spent / seconds))
        halves = np.array_split(images, 2)
        found = list(
            pool.map(lambda pair: pair[0](pair[1]), zip((network, twin), halves, strict=True))
        )
        joint = torch.cat([each.detach() for each in found]).requires_grad_()
        value = loss(torch.from_numpy(given), joint)
        if not torch.isfinite(value):
            raise FloatingPointError(f"the loss is {value.item()} in step {step}")
        value.backward()
        network.zero_grad()
        twin.zero_grad()
        parts = joint.grad.split([len(each) for each in found])
        list(pool.map(lambda pair: pair[0].backward(pair[1]), zip(found, parts, strict=True)))
        for key, parameter in network.p.items():
            parameter.grad.add_(twin.p[key].grad)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step(options.rate * rate, pool)
        share = 1 - min(options.mean, (step + 1) / (step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(mean.values()), [network.p[k].data for k in mean], share)
        step += 1
        if step % 40 == 0:
            print(f"step {step}, {spent / 60:.1f} min, loss {value.item():.4f}", flush=True)
        if time.monotonic() - saved > 180:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "mean": mean, "step": step, "spent": spent}, f"{path}.new")
            Path(f"{path}.new").replace(path)
            saved = time.monotonic()
    return mean


if __name__ == "__main__":
    main()
