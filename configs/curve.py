"""Draws the curves of trainings that followed one another as one.

    python configs/curve.py runs/facekit-small-1/history.csv runs/facekit-small-2/history.csv

joins their histories, writes them to ``configs/facekit-small.csv`` and the plot to
``docs/images/facekit_small_training.png``. Without arguments it draws the file that is there.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from facekit.training import History

CURVE = Path(__file__).with_name("facekit-small.csv")
PLOT = Path(__file__).parents[1] / "docs" / "images" / "facekit_small_training.png"


def main() -> None:
    rows: list[dict[str, float]] = []
    for path in [Path(argument) for argument in sys.argv[1:]] or [CURVE]:
        done = rows[-1]["epoch"] if rows else 0.0
        for row in read(path):
            # Epoch 0 of a training that goes on is the last one of the training before it.
            if not (rows and row["epoch"] == 0):
                rows.append({**row, "epoch": row["epoch"] + done})
    history = History(rows)
    history.to_csv(CURVE)
    history.plot(PLOT)
    print(f"{len(rows)} rows: wrote {CURVE} and {PLOT}")


def read(path: Path) -> list[dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(lines)
        ]


if __name__ == "__main__":
    main()
