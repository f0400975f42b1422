"""Takes the mean of trained embedders, and makes the file of the weights that come with facekit.

    python configs/bundle.py runs/facekit-small-1 runs/facekit-small-2 --to runs/mean-2.safetensors
    python configs/bundle.py runs/mean-2.safetensors=0.4 runs/facekit-small-3=0.6 --to …
    python configs/bundle.py runs/facekit-small-4

Networks that started with the same weights can be averaged: the mean is nearly as good as the
better one on each kind of photos (M. Wortsman et al., "Robust fine-tuning of zero-shot models",
CVPR 2022). Shares are equal unless they are given. Without ``--to`` the mean gets the record of the
registry, is rounded to half precision and written to ``facekit/embedding/bundled/``; the checksum
that is printed goes into the registry, and so do the figures of

    python benchmarks/thresholds.py pool --held-out 0.05 --groups groups
    python benchmarks/distances.py pool --held-out 0.05 --groups groups

after which it is run again, so that the file holds them, too.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from facekit import Aligner, Embedder
from facekit.embedding.folding import assign, layer_weights
from facekit.embedding.weights import record_for
from facekit.storage import sha256

NAME = "facekit-small"
FOLDER = Path("facekit/embedding/bundled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", metavar="FILE[=SHARE]", help="embedders, or folders")
    parser.add_argument("--to", type=Path, help="where to write the mean as it is")
    options = parser.parse_args()
    shares = {}
    for part in options.parts:
        path, _, share = part.partition("=")
        file = Path(path, "embedder.safetensors") if Path(path).is_dir() else Path(path)
        shares[file] = float(share or 1.0)
    embedder = mean_embedder(shares)
    if options.to:
        embedder.save(options.to)
        return
    record = record_for(NAME)
    for found, expected in (
        (embedder.record.architecture, record.architecture),
        (embedder.aligner().to_dict(), Aligner(**record.alignment).to_dict()),
    ):
        if found != expected:
            raise SystemExit(f"the embedder has {found}, the registry {expected}")
    embedder.record = dataclasses.replace(record, files=())
    path = FOLDER / f"{NAME}.safetensors"
    embedder.save(path, half_precision=True)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256(path)}")


def mean_embedder(shares: dict[Path, float]) -> Embedder:
    total: dict[str, dict[str, object]] = {}
    for path, share in shares.items():
        embedder = Embedder(path)
        network, architecture = embedder.to_network()
        weights = layer_weights(network)
        for layer, arrays in weights.items():
            for name, array in arrays.items():
                kept = total.setdefault(layer, {})
                kept[name] = kept.get(name, 0.0) + array * (share / sum(shares.values()))
    assign(network, total)
    return Embedder.from_network(network, architecture, name=NAME, alignment=embedder.aligner())


if __name__ == "__main__":
    main()
