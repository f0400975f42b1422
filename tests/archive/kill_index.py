"""Indexes images, and stops at a place to be killed there.

    python kill_index.py IMAGES TABLE PLACE ENGINE

``PLACE`` counts the files that are written; at it, half of the file is on the disk.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from facekit.archive import index_archive, table

place = int(sys.argv[3])
written = 0
original = table.pq.write_table


def write_table(rows: Any, stream: Any, **options: Any) -> None:
    global written
    written += 1
    if written == place:
        stream.write(b"PAR1 half a file")
        stream.flush()
        os.write(1, b"here\n")
        time.sleep(300)
    original(rows, stream, **options)


table.pq.write_table = write_table
index_archive(Path(sys.argv[1]), sys.argv[2], partition_size=2, progress=False)
os.write(1, b"done\n")
