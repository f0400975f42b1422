"""Writes EdgeFace-XS's embeddings of the pool with the names that belong to them.

    python configs/edgeface_targets.py pool runs/teacher_edgeface_xs.npz

The pool's file holds 48 embeddings more than names. Up to the archive ``utkface_2.zip`` they
correspond; from there on the embedding of name i stands at i + 48: the similarities of these faces
to 500 others correlate with those by MobileFaceNet to 0.45 then, and to 0.05 without. So the 48
before the first face of that archive are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ARCHIVE = "utkface_2.zip/"


def main() -> None:
    pool, target = map(Path, sys.argv[1:])
    with np.load(pool / "teacher_edgeface_xs.npz") as file:
        names, embeddings = file["names"], file["embeddings"]
    surplus = len(embeddings) - len(names)
    first = int(np.argmax(np.char.startswith(names, ARCHIVE)))
    embeddings = np.concatenate([embeddings[:first], embeddings[first + surplus :]])
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez(target, names=names, embeddings=embeddings)
    print(f"{target}: {len(names):,} embeddings; {surplus} before {names[first]} left out")


if __name__ == "__main__":
    main()
