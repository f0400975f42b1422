"""Makes the file of the weights that come with facekit, of the embedder that a training left.

    python configs/bundle.py runs/facekit-small-3 runs/facekit-small-2
    python benchmarks/thresholds.py pool --held-out 0.05 --weights facekit-small
    python benchmarks/distances.py pool --held-out 0.05 --weights facekit-small

The first gives the embedder of the first folder its name and the record of the registry, rounds it
to half precision, writes it to ``facekit/embedding/bundled/`` and prints the checksum, which goes
into the registry. It also writes the network of the second folder, in half precision and without
the optimiser, beside this script: with ``facekit distill configs/facekit-small-2.toml --network
configs/facekit-small-network.safetensors`` a training goes on from there. The other two print what
goes into the registry as well; then the first is run again, so that the file holds it, too.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from facekit import Aligner, Embedder, storage
from facekit.embedding.weights import record_for
from facekit.storage import sha256

NAME = "facekit-small"
FOLDER = Path("facekit/embedding/bundled")
KIND, VERSION = "facekit.training", 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", type=Path, help="the folder of the last training")
    parser.add_argument("distillation", type=Path, help="the folder of the last distillation")
    options = parser.parse_args()
    embedder = Embedder(options.training / "embedder.safetensors")
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
    keep_network(options.distillation / "checkpoint.safetensors")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256(path)}")


def keep_network(checkpoint: Path) -> None:
    header, arrays = storage.read(checkpoint, kind=KIND, newest_version=VERSION)
    network = {
        name: array.astype(np.float16) if array.dtype == np.float32 else array
        for name, array in arrays.items()
        if name.startswith("network/")
    }
    storage.write(
        Path("configs/facekit-small-network.safetensors"),
        kind=KIND,
        version=VERSION,
        header=header,
        arrays=network,
    )


if __name__ == "__main__":
    main()
