"""Measures where the keypoints lie on a face, for the model that head poses are estimated with.

    python benchmarks/face_model.py pool/index.csv

reads a table with a row a face and the columns ``left_eye_x`` to ``mouth_right_y`` and ``score``,
as training pools have it. The faces whose nose lies in the middle give the positions seen from the
front. How far the nose stands out follows from the others: where a head is turned by an angle, the
distance between the eyes shrinks by its cosine, against the height of the face, and the nose moves
by its depth times the sine. Printed is the depth for each range of the nose's offset; it should be
the same in all.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from facekit import Keypoints

FRONTAL, STEP = 0.03, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--min-score", type=float, default=0.99)
    options = parser.parse_args()
    with options.table.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if float(row["score"]) >= options.min_score]
    upright = _upright(
        np.array(
            [[[float(row[f"{p}_{a}"]) for a in "xy"] for p in Keypoints._fields] for row in rows]
        )
    )
    offset = np.abs(upright[:, 2, 0])
    between_eyes = upright[:, 1, 0] - upright[:, 0, 0]
    frontal = offset < FRONTAL
    front = np.median(between_eyes[frontal])
    print(f"{len(rows):,} faces, {frontal.sum():,} seen from the front")
    print("seen from the front, in distances between the eyes from the middle of the eyes:")
    for name, point in zip(Keypoints._fields, np.median(upright[frontal], axis=0), strict=True):
        print(f"  {name:12} {point[0] / front:6.3f} {point[1] / front + 0.5 / front:6.3f}")
    print("offset of the nose   faces   turned by   depth of the nose")
    for low in np.arange(0.1, 0.4, STEP):
        inside = (offset >= low) & (offset < low + STEP)
        cosine = min(1.0, float(np.median(between_eyes[inside])) / front)
        sine = np.sqrt(1.0 - cosine**2)
        depth = float(np.median(offset[inside])) / front / sine
        degrees = np.degrees(np.arccos(cosine))
        print(f"{low:.2f} to {low + STEP:.2f} {inside.sum():14,} {degrees:9.1f}° {depth:17.2f}")


def _upright(points: np.ndarray) -> np.ndarray:
    """Turns each face so that its mouth lies below its eyes, at the distance 1, from −½ to ½."""
    eyes, mouth = points[:, :2].mean(axis=1), points[:, 3:].mean(axis=1)
    down = mouth - eyes
    height = np.linalg.norm(down, axis=1)[:, None]
    down = down / height
    right = np.stack([down[:, 1], -down[:, 0]], axis=1)
    centerd = (points - ((eyes + mouth) / 2)[:, None]) / height[:, None]
    return np.stack(
        [np.einsum("nkc,nc->nk", centerd, right), np.einsum("nkc,nc->nk", centerd, down)], axis=2
    )


if __name__ == "__main__":
    main()
