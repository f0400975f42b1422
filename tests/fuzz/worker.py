"""Reads images that come in on standard input, and says how it went and what it cost."""

from __future__ import annotations

import json
import re
import resource
import struct
import sys
import time
import warnings
from pathlib import Path


def peak_bytes() -> int:
    """Returns the most memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the parent had when it forked
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def main() -> None:
    """Answers each file, given as its length in four bytes and its content, with a line of JSON."""
    from facekit import ImageError, load_image

    warnings.simplefilter("ignore")
    while header := sys.stdin.buffer.read(4):
        content = sys.stdin.buffer.read(struct.unpack("<I", header)[0])
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            outcome = str(load_image(content).shape)
        except ImageError as error:
            outcome = f"ImageError: {error}"
        except BaseException as error:  # noqa: BLE001
            outcome = f"FOREIGN {type(error).__name__}: {error}"
        # The lesser: of other programs' load on one hand, of several threads on the other.
        seconds = min(time.perf_counter() - wall, time.process_time() - cpu)
        answer = {"outcome": outcome, "seconds": seconds, "peak": peak_bytes()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
