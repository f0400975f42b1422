"""Takes the mean of trained embedders, and makes the file of the weights that come with facekit.

    python configs/bundle.py runs/facekit-small-6.safetensors --mirrored 1.1 --version 7
    python benchmarks/distances.py pool --groups groups --write
    python benchmarks/input_ranges.py pool --write

Networks that started with the same weights can be averaged: the mean is nearly as good as the
better one on each kind of photos (M. Wortsman et al., "Robust fine-tuning of zero-shot models",
CVPR 2022). Shares are equal unless they are given, as in ``runs/a=0.4 runs/b=0.6``. The mean is
rounded (``--precision``) and written to ``facekit/embedding/weights/bundled/``, and its version,
architecture, alignment and checksum go into the model card; the other commands write what they
measure there. The texts and the accuracy in the card are edited by hand. ``--to FILE`` writes the
mean as it is, to train on.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import get_args

from facekit import Embedder
from facekit.embedding.networks.folding import assign, layer_weights
from facekit.embedding.weights.files import Precision
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, record_for
from facekit.io.safetensors_file import sha256

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from cards import write_card

FOLDER = Path("facekit/embedding/weights/bundled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", metavar="PATH[=SHARE]", help="embedders, or folders")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--version", help="of the weights in the package, larger than the last")
    where.add_argument("--to", type=Path, help="where to write the mean as it is")
    parser.add_argument("--name", default=DEFAULT_WEIGHTS, help="of weights that have a card")
    parser.add_argument("--precision", default="float16", choices=get_args(Precision))
    parser.add_argument(
        "--mirrored",
        nargs="?",
        type=float,
        const=1.0,
        metavar="ZOOM",
        help="average a face and its mirror image, enlarged by this factor (default: 1)",
    )
    options = parser.parse_args()
    shares = {}
    for part in options.parts:
        path, _, share = part.partition("=")
        file = Path(path, "embedder.safetensors") if Path(path).is_dir() else Path(path)
        shares[file] = float(share or 1.0)
    embedder = mean_embedder(options.name, shares, zoom=options.mirrored)
    if options.to:
        embedder.save(options.to)
        return
    # The tables stand in the card alone: they are measured on the file that is written here.
    embedder.record = dataclasses.replace(
        embedder.record, version=options.version, thresholds={}, distances=None
    )
    path = FOLDER / f"{options.name}.safetensors"
    embedder.save(path, precision=options.precision)
    record = record_for(options.name)
    write_card(
        dataclasses.replace(
            record,
            version=options.version,
            architecture=embedder.record.architecture,
            alignment=embedder.record.alignment,
            mirrored=embedder.record.mirrored,
            mirror_zoom=embedder.record.mirror_zoom,
            input_ranges={},
            files=(dataclasses.replace(record.files[0], sha256=sha256(path)),),
        )
    )
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256(path)}")


def mean_embedder(name: str, shares: dict[Path, float], *, zoom: float | None) -> Embedder:
    total: dict[str, dict[str, object]] = {}
    for path, share in shares.items():
        embedder = Embedder(path)
        if embedder.centering is not None and len(shares) > 1:
            raise SystemExit(f"{path}: was centered for its own embeddings; center the mean")
        network, architecture = embedder.to_network()
        weights = layer_weights(network)
        for layer, arrays in weights.items():
            kept = total.setdefault(layer, {})
            for part, array in arrays.items():
                kept[part] = kept.get(part, 0.0) + array * (share / sum(shares.values()))
    assign(network, total)
    return Embedder.from_network(
        network,
        architecture,
        name=name,
        alignment=embedder.aligner(),
        mirrored=zoom is not None,
        mirror_zoom=zoom or 1.0,
        centering=embedder.centering,
    )


if __name__ == "__main__":
    main()
