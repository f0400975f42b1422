"""Makes the file of the default weights of the embedder that a training left.

    python configs/bundle.py runs/default/embedder.safetensors

gives the embedder its name and its record, rounds it to half precision, writes it to
``facekit/embedding/bundled/`` and prints the checksum for the registry.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from facekit import Embedder
from facekit.embedding.weights import record_for
from facekit.storage import sha256

NAME = "facekit-small"
FOLDER = Path("facekit/embedding/bundled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embedder", type=Path)
    options = parser.parse_args()
    embedder = Embedder(options.embedder)
    published = record_for(NAME)
    embedder.record = dataclasses.replace(
        published,
        architecture=embedder.record.architecture,
        alignment=embedder.record.alignment,
        thresholds=embedder.record.thresholds,
        files=(),
    )
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{NAME}.safetensors"
    embedder.save(path, half_precision=True)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256(path)}")
    print(f"thresholds: {embedder.record.thresholds}")


if __name__ == "__main__":
    main()
