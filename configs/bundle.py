"""Makes the file of the weights that come with facekit, of the embedder that a training left.

    python configs/bundle.py runs/facekit-small-2 runs/facekit-small-1 --version 4
    python benchmarks/thresholds.py pool --held-out 0.05 --write
    python benchmarks/distances.py pool --held-out 0.05 --write

The first takes the mean of the two heads, that of the distillation and the tuned one: the first is
better on some kinds of photos, the second on others, and their mean nearly as good as the better on
each (M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). It rounds the
embedder to half precision, writes it to ``facekit/embedding/weights/bundled/``, and puts its
version, architecture, alignment and checksum into the model card. It also copies the history of the
second folder, the distillation, beside this script, and its plot into the documentation. The other
two write what they measure into the card. The texts and the accuracy in it are edited by hand.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import numpy as np

from facekit import Embedder
from facekit.embedding.networks.folding import assign, layer_weights
from facekit.embedding.networks.names import HEAD_LAYER
from facekit.embedding.weights.registry import record_for, write_card
from facekit.io.safetensors_file import sha256

NAME = "facekit-small"
FOLDER = Path("facekit/embedding/weights/bundled")
HISTORY = Path("configs/facekit-small.csv")
PLOT = Path("docs/images/facekit_small_training.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", type=Path, help="the folder of the tuning")
    parser.add_argument("distillation", type=Path, help="the folder of the distillation")
    parser.add_argument("--version", required=True, help="of the weights, larger than the last")
    options = parser.parse_args()
    embedder = mean_head(options.distillation, options.training)
    # The tables stand in the card alone: they are measured on the file that is written here.
    embedder.record = dataclasses.replace(
        embedder.record, version=options.version, thresholds={}, distances=None
    )
    path = FOLDER / f"{NAME}.safetensors"
    embedder.save(path, half_precision=True)
    record = record_for(NAME)
    write_card(
        dataclasses.replace(
            record,
            version=options.version,
            architecture=embedder.record.architecture,
            alignment=embedder.record.alignment,
            mirrored=embedder.record.mirrored,
            files=(dataclasses.replace(record.files[0], sha256=sha256(path)),),
        )
    )
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
