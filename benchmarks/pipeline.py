"""Throughput of the pipeline: images a second for recognize_batch, and its memory.

With ``--old FOLDER``, a checkout of an earlier version, both versions run in alternation, each in a
process of its own, and the ratio of their medians is printed::

    python benchmarks/pipeline.py LFW --images 200 --rounds 5 --old ../facekit-0.1.0
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path

from results import add_record, record_if_asked

from facekit import Embedder

# What runs in each version: it uses only what both have.
WORKER = """
import json, resource, sys, time, warnings
from facekit import FaceRecognizer
warnings.simplefilter("ignore")
paths = json.loads(sys.stdin.readline())
recognizer = FaceRecognizer("facekit-small")
recognizer.fit({path.split("/")[-2]: path for path in paths[:20]}, progress=False)
recognizer.recognize_batch(paths[:20], progress=False)
print("ready", flush=True)
for line in sys.stdin:
    start, used = time.perf_counter(), time.process_time()
    answers = recognizer.recognize_batch(paths, progress=False)
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([seconds, cpu, memory, sum(map(len, answers))]), flush=True)
"""


class Version:
    """A version of facekit in a process of its own."""

    def __init__(self, folder: Path, paths: list[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder.resolve())}
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
        )
        self._ask(json.dumps(paths))

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def round(self) -> tuple[float, float, float, int]:
        """Returns seconds, seconds of the processor, peak MiB and the number of faces."""
        seconds, cpu, memory, faces = json.loads(self._ask("go"))
        return seconds, cpu, memory, faces

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lfw", type=Path, help="a folder of folders of images")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--old", type=Path, metavar="FOLDER", help="a checkout to compare with")
    add_record(parser)
    options = parser.parse_args()
    images = sorted(options.lfw.resolve().glob("*/*.jpg"))
    paths = [str(path) for path in random.Random(0).sample(images, options.images)]
    folders = {"new": Path(__file__).parent.parent}
    if options.old is not None:
        folders["old"] = options.old
    versions = {name: Version(folder, paths) for name, folder in folders.items()}
    rounds: dict[str, list[tuple[float, float, float, int]]] = {name: [] for name in versions}
    for number in range(options.rounds):
        order = list(versions) if number % 2 == 0 else list(reversed(versions))
        for name in order:
            rounds[name].append(versions[name].round())
    results: dict[str, float] = {}
    for name, version in versions.items():
        seconds, cpu, memory, faces = (
            statistics.median(v) for v in zip(*rounds[name], strict=True)
        )
        print(
            f"{name}: {options.images / seconds:.1f} images a second (median of {options.rounds}), "
            f"{1000 * cpu / options.images:.1f} ms of processor an image, peak {memory:.0f} MiB, "
            f"{faces} faces"
        )
        if name == "new":
            results = {
                "images a second": options.images / seconds,
                "processor ms": 1000 * cpu / options.images,
                "peak MiB": memory,
            }
        version.close()
    if "old" in rounds:
        pairs = zip(rounds["old"], rounds["new"], strict=True)
        ratios = [old[0] / new[0] for old, new in pairs]
        print(
            f"new : old = {statistics.median(ratios):.2f} (median; "
            f"{min(ratios):.2f} to {max(ratios):.2f})"
        )
        results["times as fast as before"] = statistics.median(ratios)
    record_if_asked(options, "facekit-small", results, Embedder("facekit-small").record.identity)


if __name__ == "__main__":
    main()
