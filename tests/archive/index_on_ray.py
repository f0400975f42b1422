"""Indexes a folder on a Ray cluster: ``python index_on_ray.py PHOTOS TABLE [ADDRESS]``."""

from __future__ import annotations

import sys

from facekit.archive import index_archive

if __name__ == "__main__":
    address = sys.argv[3] if len(sys.argv) > 3 else None
    index_archive(
        sys.argv[1],
        sys.argv[2],
        engine="ray",
        workers=2,
        address=address,
        partition_size=3,
        progress=False,
    )
