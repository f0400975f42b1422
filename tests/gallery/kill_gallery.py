"""Kills processes that change a gallery and a saved file, and looks at what is left.

    python kill_gallery.py FOLDER ROUNDS SEED

prints what was found as JSON. It runs as a process of its own because it forks.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from facekit import Gallery
from facekit.io import safetensors_file

SIZE = 8


def vectors_of(number: int) -> np.ndarray:
    rows = np.random.default_rng(number).normal(size=(1 + number % 3, SIZE))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def work(folder: Path, first: int, pipe: int) -> None:
    gallery = Gallery.open(folder / "gallery")
    number = first
    while True:
        rows = vectors_of(number)
        images = [f"photo-{number}-{index}" for index in range(len(rows))]
        gallery.enroll(f"person-{number}", rows, images, metadata={"number": number})
        os.write(pipe, f"+{number}\n".encode())
        arrays = {"rows": rows}
        safetensors_file.write(
            folder / "saved", kind="test", version=1, header={"number": number}, arrays=arrays
        )
        os.write(pipe, f"={number}\n".encode())
        if number % 2:
            gallery.remove(f"person-{number - 1}")
            os.write(pipe, f"-{number - 1}\n".encode())
        number += 1


def main() -> None:
    folder, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    moments = random.Random(seed)
    Gallery.create(folder / "gallery", "test@1", SIZE).close()
    acknowledged: set[int] = set()
    saved = -1
    first = 0
    changes = 0
    for _ in range(rounds):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                work(folder, first, writing)
            finally:
                os._exit(1)
        os.close(writing)
        time.sleep(moments.uniform(0.005, 0.08))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the worker ended on its own"
        with os.fdopen(reading) as stream:
            lines = stream.read().split()
        changes += len(lines)
        for line in lines:
            number = int(line[1:])
            if line[0] == "+":
                acknowledged.add(number)
                first = number + 1
            elif line[0] == "-":
                acknowledged.discard(number)
            else:
                saved = number
        with Gallery.open(folder / "gallery") as gallery:
            gallery.check()
            enrolled = {int(name.split("-")[1]) for name in gallery.people}
            # At most the one change that had not returned may be there as well.
            unacknowledged = enrolled ^ acknowledged
            assert unacknowledged <= {first, first - 2}, (enrolled, acknowledged, first)
            assert len(unacknowledged) <= 1, unacknowledged
            for number in enrolled:
                images = gallery.images(f"person-{number}")
                rows = vectors_of(number)
                assert [image.source for image in images] == [
                    f"photo-{number}-{index}" for index in range(len(rows))
                ]
                for row, image in zip(rows, images, strict=True):
                    match = gallery.search(row[None], 1)[0][0]
                    assert match.image == image.id
                    assert match.distance == 0.0
            acknowledged = enrolled
            first = max(first, *(number + 1 for number in enrolled)) if enrolled else first
        if saved >= 0:
            header, arrays = safetensors_file.read(folder / "saved", kind="test", newest_version=1)
            assert header["number"] >= saved
            saved = header["number"]
            np.testing.assert_array_equal(arrays["rows"], vectors_of(header["number"]))
    print(json.dumps({"rounds": rounds, "changes": changes, "enrolled": len(acknowledged)}))


if __name__ == "__main__":
    main()
