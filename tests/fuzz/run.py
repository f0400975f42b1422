"""The whole fuzzing: ``python -m tests.fuzz.run --count 1500``."""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.files import bombs, mutated, seeds

MOST_BYTES = 2_000_000_000
MOST_SECONDS = 5.0
_PATIENCE = 60.0
_PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Reading:
    """How the reading of a file went.

    Args:
        name: The file's name.
        size: Its size in bytes.
        outcome: The shape of the image, or the error.
        seconds: How long it took.
        peak: The most memory that the process had by then, in bytes.
    """

    name: str
    size: int
    outcome: str
    seconds: float
    peak: int

    @property
    def fault(self) -> str:
        """What is wrong with it, empty if nothing is."""
        if not self.outcome.startswith(("(", "ImageError")):
            return self.outcome
        if self.seconds > MOST_SECONDS:
            return f"{self.seconds:.1f} s"
        return f"{self.peak / 1e9:.1f} GB" if self.peak > MOST_BYTES else ""


class Worker:
    """A process that reads files; replaced if it dies, hangs or has grown too large."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_PROJECT), *sys.path])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_PROJECT,
            env=environment,
        )

    def read(self, name: str, content: bytes) -> Reading:
        """Has a file read."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        guard = threading.Timer(_PATIENCE, self._process.kill)
        guard.start()
        try:
            self._process.stdin.write(struct.pack("<I", len(content)) + content)
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            guard.cancel()
        if not line:
            code = self._process.wait()
            return Reading(name, len(content), f"the process ended with {code}", 0.0, 0)
        return Reading(name, len(content), **json.loads(line))

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()


def read_all(files: Iterable[tuple[str, bytes]], *, alone: bool = False) -> Iterator[Reading]:
    """Reads files in a worker process, or each in one of its own, so that its memory shows."""
    worker = Worker()
    try:
        for name, content in files:
            reading = worker.read(name, content)
            yield reading
            if alone or reading.fault:
                worker.close()
                worker = Worker()
    finally:
        worker.close()


def main() -> int:
    """Runs the fuzzing and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1500, help="mutated files; default: 1500")
    parser.add_argument("--first", type=int, default=0, help="number of the first one; default: 0")
    parser.add_argument("--bombs", action="store_true", help="print what each bomb costs")
    options = parser.parse_args()
    made = ((name, make()) for name, make in sorted(bombs().items()))
    constructed = list(read_all(made, alone=True))
    if options.bombs:
        for reading in constructed:
            print(
                f"{reading.name:22} {reading.size:9,} bytes  {reading.seconds:5.2f} s  "
                f"{reading.peak / 1e6:6.0f} MB  {reading.outcome[:90]}"
            )
    numbers = range(options.first, options.first + options.count)
    changed = list(read_all(mutated(number) for number in numbers))
    readings = constructed + changed
    kinds = Counter(
        "image" if reading.outcome.startswith("(") else "refused" for reading in changed
    )
    print(
        f"{len(constructed)} bombs, {len(changed)} mutations of {len(seeds())} files: "
        f"{kinds['image']} read, {kinds['refused']} refused; at most "
        f"{max(reading.seconds for reading in readings):.1f} s and "
        f"{max(reading.peak for reading in readings) / 1e9:.2f} GB"
    )
    faults = [reading for reading in readings if reading.fault]
    for reading in faults:
        print(f"FAULT {reading.name}: {reading.fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
