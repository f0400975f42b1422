"""Makes the file of the weights that come with facekit, of the embedder that a training left.

    python configs/bundle.py runs/facekit-small-2 runs/facekit-small-1
    python benchmarks/thresholds.py pool --held-out 0.05
    python benchmarks/distances.py pool --held-out 0.05

The first takes the mean of the two heads, that of the distillation and the tuned one: the first is
better on some kinds of photos, the second on others, and their mean nearly as good as the better on
each (M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). It gives the
embedder its name and the record of the registry, rounds it to half precision, writes it to
``facekit/embedding/bundled/`` and prints the checksum, which goes into the registry. It also copies
the history of the second folder, the distillation, beside this script, and its plot into the
documentation. The other two print what goes into the registry as well; then the first is run again,
so that the file holds it, too.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import numpy as np

from facekit import Aligner, Embedder
from facekit.embedding.networks.folding import assign, layer_weights
from facekit.embedding.networks.names import HEAD_LAYER
from facekit.embedding.weights.registry import record_for
from facekit.io.safetensors_file import sha256

NAME = "facekit-small"
FOLDER = Path("facekit/embedding/bundled")
HISTORY = Path("configs/facekit-small.csv")
PLOT = Path("docs/images/facekit_small_training.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", type=Path, help="the folder of the tuning")
    parser.add_argument("distillation", type=Path, help="the folder of the distillation")
    options = parser.parse_args()
    embedder = mean_head(options.distillation, options.training)
    record = record_for(NAME)
    for found, expected in (
        (embedder.record.architecture, record.architecture),
        (embedder.aligner().to_dict(), Aligner(**record.alignment).to_dict()),
    ):
        if found != expected:
            raise SystemExit(f"{options.training}: has {found}, the registry {expected}")
    embedder.record = dataclasses.replace(record, files=())
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{NAME}.safetensors"
    embedder.save(path, half_precision=True)
    shutil.copyfile(options.distillation / "history.csv", HISTORY)
    shutil.copyfile(options.distillation / "history.png", PLOT)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256(path)}")


def mean_head(distillation: Path, training: Path) -> Embedder:
    before, after = (Embedder(each / "embedder.safetensors") for each in (distillation, training))
    networks = [each.to_network()[0] for each in (before, after)]
    weights, tuned = (layer_weights(network) for network in networks)
    for layer, arrays in weights.items():
        for name, array in arrays.items():
            if layer == HEAD_LAYER:
                arrays[name] = (array + tuned[layer][name]) / 2
            elif not np.array_equal(array, tuned[layer][name]):
                raise SystemExit(f"{training} did not start with {distillation}: {layer} differs")
    assign(networks[0], weights)
    return Embedder.from_network(
        networks[0], before.record.architecture, name=NAME, alignment=before.aligner()
    )


if __name__ == "__main__":
    main()
