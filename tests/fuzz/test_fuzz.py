"""A sample of the fuzzing; ``make fuzz`` runs the whole."""

from __future__ import annotations

import sys

import pytest

from tests.fuzz.files import bombs, mutated
from tests.fuzz.run import MOST_BYTES, MOST_SECONDS, Reading, Worker, read_all

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="measures by getrusage")

# Those that are decoded: they take a second each, and a gigabyte.
_SLOW = (
    "canvas.gif",
    "deep",
    "gray.png",
    "rgb",
    "palette.png",
    "scans-allowed",
    "lossless.webp",
    "lying-padded",
)


def faults(readings: list[Reading]) -> dict[str, str]:
    return {reading.name: reading.fault for reading in readings if reading.fault}


def test_mutated_files_give_an_image_or_our_error() -> None:
    readings = list(read_all(mutated(number) for number in range(100_000, 100_120)))
    assert faults(readings) == {}
    read = sum(reading.outcome.startswith("(") for reading in readings)
    assert 0 < read < len(readings), "mutations neither spare nor spoil every file"


def test_bombs_cost_little() -> None:
    quick = {name: make for name, make in bombs().items() if not name.startswith(_SLOW)}
    readings = list(read_all((name, make()) for name, make in quick.items()))
    assert faults(readings) == {}
    assert max(reading.peak for reading in readings) < 500_000_000


@pytest.mark.check
def test_the_costliest_bomb_stays_within_the_bounds() -> None:
    (reading,) = read_all([("lossless.webp", bombs()["lossless.webp"]())])
    assert reading.fault == ""


def test_the_same_number_gives_the_same_file() -> None:
    assert mutated(17) == mutated(17)
    assert mutated(17) != mutated(18)


@pytest.mark.parametrize(
    ("outcome", "seconds", "peak", "fault"),
    [
        ("(4, 4, 3)", 0.1, 10**8, ""),
        ("ImageError: x", 0.1, 10**8, ""),
        ("FOREIGN RuntimeError: x", 0.1, 10**8, "FOREIGN RuntimeError: x"),
        ("(4, 4, 3)", MOST_SECONDS + 1, 10**8, "6.0 s"),
        ("(4, 4, 3)", 0.1, MOST_BYTES + 10**8, "2.1 GB"),
    ],
)
def test_what_counts_as_a_fault(outcome: str, seconds: float, peak: int, fault: str) -> None:
    assert Reading("x", 1, outcome, seconds, peak).fault == fault


def test_a_worker_that_dies_is_a_fault() -> None:
    worker = Worker()
    worker._process.kill()
    assert "the process ended" in worker.read("x", b"x" * 1_000_000).fault
