"""Computes the template of the similarity alignment from many detected faces.

    python benchmarks/alignment_template.py index.csv

reads a table with the columns ``box_x1, box_y1, box_x2, box_y2``, ``left_eye_x, left_eye_y`` and so
on for the five keypoints, and ``score``, and prints the average position of each keypoint as
:data:`facekit.alignment.DEFAULT_TEMPLATE` defines it: in the square around the box's center whose
side is 1.25 times the square root of the box's area, made symmetric.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from facekit import Keypoints
from facekit.alignment import DEFAULT_TEMPLATE

MIRRORED = (1, 0, 2, 4, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--min-score", type=float, default=0.99)
    options = parser.parse_args()
    with options.table.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if float(row["score"]) > options.min_score]
    corners = np.array([[float(row[f"box_{c}"]) for c in ("x1", "y1", "x2", "y2")] for row in rows])
    points = np.array(
        [[[float(row[f"{p}_{axis}"]) for axis in "xy"] for p in Keypoints._fields] for row in rows]
    )
    sizes = corners[:, 2:] - corners[:, :2]
    centers = (corners[:, :2] + corners[:, 2:]) / 2
    sides = 1.25 * np.sqrt(sizes.prod(axis=1))
    relative = (points - centers[:, None]) / sides[:, None, None] + 0.5
    mean = relative.mean(axis=0)
    template = (mean + ([1, 0] + np.array([-1, 1]) * mean[list(MIRRORED)])) / 2
    print(f"{len(rows):,} faces")
    for name, (x, y), (kept_x, kept_y) in zip(
        Keypoints._fields, template, DEFAULT_TEMPLATE, strict=True
    ):
        print(f"{name:12} {x:.4f} {y:.4f}   in facekit: {kept_x:.4f} {kept_y:.4f}")


if __name__ == "__main__":
    main()
