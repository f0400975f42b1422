"""Fits the network by which the quality gate sees covered faces, and writes its file.

    python configs/occlusion.py pool

Half of the faces are drawn upon: the glasses, masks and hats of the training's augmentation, bars,
discs and fingers, in even colors, in the skin's, or with the texture of another photo, and with
light of their own. What is learned is the share of the eyes and of the mouth that is covered.
Counterexamples are drawn as well: rims of glasses, and shadows over the eyes or the mouth.

About two faces in a hundred of the pool wear dark glasses, which no label says. A linear model of
16 × 16 pixels, fitted as if there were none, finds the clear cases; the network is fitted with
them as examples and without the doubtful ones, and once more with what it finds itself. It takes
some minutes. Needs ``pip install "facekit-recognition[train]"``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import keras
import numpy as np

from facekit.alignment import DEFAULT_TEMPLATE
from facekit.io import safetensors_file
from facekit.quality.occlusion import KIND, WEIGHTS, network_input
from facekit.training import Augmentation, FaceDataset
from facekit.training.data.occlusion import occlude

SIDE = 64
POINTS = np.array(DEFAULT_TEMPLATE) * SIDE
UNIT = POINTS[1, 0] - POINTS[0, 0]  # between the eyes
ROWS, COLUMNS = np.mgrid[0:SIDE, 0:SIDE] + 0.5

ALTERED = Augmentation(shift=0.04, scale=0.1, rotation=8.0, gray=0.15, brightness=0.15, blur=0.2)
# The scores of plain faces from which on they count as covered, and up to which as uncovered.
LINEAR, OWN = (0.3, 0.57), (0.2, 0.85)
# How often a face with dark glasses is repeated, each time altered.
REPEATED = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pool", type=Path, help="the folder of the pool, with index.csv")
    parser.add_argument("--faces", type=int, default=24_000)
    parser.add_argument("--cache", type=Path, help="a folder for the cut faces")
    options = parser.parse_args()
    data = FaceDataset.from_archives(
        options.pool, input_size=SIDE, labeled_only=False, cache=options.cache
    )
    rng = np.random.default_rng(0)
    faces = data.images(np.arange(len(data)))
    chosen = rng.permutation(len(faces))[: options.faces]
    plain = ALTERED(np.stack([_seen(faces[index], rng) for index in chosen]), rng)
    pairs = [_covered(faces[i], faces[rng.integers(len(faces))], rng) for i in chosen]
    drawn, shares = ALTERED(np.stack([pair[0] for pair in pairs]), rng), [pair[1] for pair in pairs]
    # Without the counterexamples, among which a linear model sees no dark glasses.
    altered = ALTERED(faces[chosen], rng)
    scores, limits = _linear_scores(altered, drawn, np.array(shares), faces), LINEAR
    for fit in (1, 2):
        glasses = np.flatnonzero((scores[:, 0] > limits[1]) & (scores[:, 1] < limits[1]))
        clear = scores[chosen].max(axis=1) < limits[0]
        print(f"fit {fit}: {len(glasses):,} with dark glasses, {(~clear).mean():.1%} in doubt")
        real = ALTERED(np.repeat(faces[glasses], REPEATED, axis=0), rng)
        network = _fitted(
            np.concatenate([plain[clear], drawn, real]),
            np.concatenate(
                [np.zeros((clear.sum(), 2)), shares, np.tile([1.0, 0.0], (len(real), 1))]
            ),
        )
        scores, limits = _in_parts(partial(_predicted, network), faces), OWN
    names = [f"{layer}_{part}" for layer in ("first", "second", "last") for part in _PARTS]
    arrays = {
        name: array.astype(np.float16)
        for name, array in zip(names, network.get_weights(), strict=True)
    }
    safetensors_file.write(WEIGHTS, kind=KIND, version=1, header={}, arrays=arrays)
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size:,} bytes")


_PARTS = ("kernel", "bias")


def _fitted(faces: np.ndarray, shares: np.ndarray, epochs: int = 12) -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((32, 32, 3)),
            layers.Conv2D(12, 5, 2, activation="relu"),
            layers.Conv2D(24, 3, 2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(2, activation="sigmoid"),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(4e-3, epochs * len(faces) // 256)
    network.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4), "binary_crossentropy")
    network.fit(_in_parts(network_input, faces), shares, batch_size=256, epochs=epochs, verbose=2)
    return network


def _predicted(network: keras.Model, faces: np.ndarray) -> np.ndarray:
    inputs = network_input(faces)
    sides = [network.predict_on_batch(each) for each in (inputs, inputs[:, :, ::-1])]
    return np.mean(sides, axis=0)


def _linear_scores(
    plain: np.ndarray, drawn: np.ndarray, shares: np.ndarray, faces: np.ndarray
) -> np.ndarray:
    """Returns the scores of faces by a linear model that takes all plain faces for uncovered."""

    def pixels(some: np.ndarray) -> np.ndarray:
        small = network_input(some).reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4))
        return small.reshape(len(some), -1)

    inputs = np.concatenate([_in_parts(pixels, plain), _in_parts(pixels, drawn)])
    wanted = np.concatenate([np.zeros_like(shares), shares])
    clear = np.ones(len(plain), bool)
    for _ in range(2):
        used = np.concatenate([clear, np.ones(len(drawn), bool)])
        mean, base = inputs[used].mean(axis=0), wanted[used].mean(axis=0)
        square = (inputs[used] - mean).T @ (inputs[used] - mean)
        square += 1e-3 * np.trace(square) * np.eye(len(square))
        weights = np.linalg.solve(square, (inputs[used] - mean).T @ (wanted[used] - base))
        clear = ((inputs[: len(plain)] - mean) @ weights + base).max(axis=1) < LINEAR[1]
    return _in_parts(lambda some: (pixels(some) - mean) @ weights + base, faces)


def _in_parts(
    function: Callable[[np.ndarray], np.ndarray], faces: np.ndarray, size: int = 2000
) -> np.ndarray:
    return np.concatenate([function(faces[at : at + size]) for at in range(0, len(faces), size)])


def _seen(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws what covers nothing: rims of glasses, or a shadow."""
    if rng.random() < 0.3:
        face = _rims(face, rng)
    return _shaded(face, rng) if rng.random() < 0.2 else face


def _covered(
    face: np.ndarray, other: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Covers a face; returns it with the shares of the eyes and of the mouth below."""
    if rng.random() < 0.62:
        drawn = occlude(face, rng)
        where = (drawn != face).any(axis=2)
        color = np.median(drawn[where], axis=0) if where.any() else np.zeros(3)
        if rng.random() >= 0.15:
            drawn = _textured(face, color, where, other, rng)
    else:
        where, hand = _shape(rng)
        skin = np.median(face[int(POINTS[2, 1]) - 3 : int(POINTS[2, 1]) + 6, 20:44], axis=(0, 1))
        skin = skin * rng.uniform(0.75, 1.15) + rng.normal(0, 6, 3)
        color = skin if hand or rng.random() < 0.5 else rng.integers(0, 256, 3)
        drawn = _textured(face, color, where, other, rng)
    return (
        _shaded(drawn, rng) if rng.random() < 0.1 else drawn,
        np.array([where[EYES].mean(), where[MOUTH].mean()]),
    )


def _textured(
    face: np.ndarray,
    color: np.ndarray,
    where: np.ndarray,
    other: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Fills a shape with a color that varies like cloth, glass or skin, and softens its edge."""
    filled = np.broadcast_to(color, face.shape).astype(np.float32)
    if rng.random() < 0.35:
        x, y = rng.integers(0, SIDE // 2, 2)
        side = rng.integers(8, 32)
        share = rng.uniform(0.3, 1)
        piece = cv2.resize(other[y : y + side, x : x + side], (SIDE, SIDE))
        filled = filled * (1 - share) + piece * share
    filled += rng.uniform(0, 25) * _waves(rng)
    if rng.random() < 0.3:
        filled += rng.uniform(0, 60) * np.maximum(_waves(rng, 10), 0) ** 2  # reflections
    filled += rng.normal(size=face.shape) * rng.uniform(0, 8)
    if rng.random() < 0.3:
        light = cv2.GaussianBlur(face, (0, 0), 6).mean(axis=2, keepdims=True)
        filled *= 0.5 + 0.5 * light / max(light.mean(), 1)
    opaque = rng.uniform(0.8, 1) if rng.random() < 0.4 else 1.0
    edge = cv2.GaussianBlur(where.astype(np.float32), (0, 0), rng.uniform(0.4, 1.2))
    edge = opaque * edge[..., None]
    return np.clip(face * (1 - edge) + filled * edge, 0, 255).astype(np.uint8)


def _waves(rng: np.random.Generator, most: int = 7) -> np.ndarray:
    size = rng.integers(2, most)
    coarse = rng.normal(size=(size, size)).astype(np.float32)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)[..., None]


def _shape(rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Returns a bar, a disc or fingers somewhere, and whether it is a hand."""
    drawn, kind = np.zeros((SIDE, SIDE), np.uint8), rng.random()
    if kind < 0.35:
        top, height = rng.uniform(0.2, 1), rng.uniform(0.05, 0.5)
        cv2.rectangle(drawn, (0, int(top * SIDE)), (SIDE, int((top + height) * SIDE)), 1, -1)
        turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.normal(0, 10), 1)
        return cv2.warpAffine(drawn, turn, (SIDE, SIDE)) > 0, False
    if kind < 0.7:
        middle = (int(SIDE * rng.uniform(0, 1)), int(SIDE * rng.uniform(0.45, 1.1)))
        axes = (int(SIDE * rng.uniform(0.08, 0.4)), int(SIDE * rng.uniform(0.08, 0.35)))
        cv2.ellipse(drawn, middle, axes, rng.uniform(0, 180), 0, 360, 1, -1)
        return drawn > 0, False
    angle = np.deg2rad(rng.uniform(-60, 60) + rng.choice([0, 90]))
    along = np.array([np.cos(angle), np.sin(angle)])
    width = rng.uniform(0.06, 0.1) * SIDE
    palm = np.array([rng.uniform(0.2, 0.8), rng.uniform(0.35, 1)]) * SIDE
    for finger in range(4):
        base = palm + np.array([-along[1], along[0]]) * width * 1.05 * (finger - 1.5)
        ends = (
            base - along * SIDE * rng.uniform(0, 0.6),
            base + along * SIDE * rng.uniform(0.25, 0.6),
        )
        cv2.line(drawn, *(tuple(int(v) for v in end) for end in ends), 1, max(2, int(width)))
    return drawn > 0, True


def _rims(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws glasses that one can see through, with dark rims more often than others."""
    drawn = face.copy()
    color = [int(value) for value in rng.integers(0, 50 if rng.random() < 0.7 else 256, 3)]
    width, height = rng.uniform(0.34, 0.46) * UNIT, rng.uniform(0.2, 0.34) * UNIT
    thick, lower = max(1, round(rng.uniform(0.03, 0.13) * UNIT)), rng.normal(0, 0.04) * UNIT
    round_rims = rng.random() < 0.6
    lenses = POINTS[:2] + np.array([0, lower])
    half = np.array([width, height])
    for side, eye in zip((-1, 1), lenses, strict=True):
        if round_rims:
            cv2.ellipse(drawn, _whole(eye), _whole(half), 0, 0, 360, color, thick, cv2.LINE_AA)
        else:
            corners = _whole(eye - half), _whole(eye + half)
            cv2.rectangle(drawn, *corners, color, thick, cv2.LINE_AA)
        arm = (_whole(eye + np.array([side * far * UNIT, 0])) for far in (0.75, 0.4))
        cv2.line(drawn, *arm, color, thick, cv2.LINE_AA)
    opaque = rng.uniform(0.6, 1)
    mixed = face * (1 - opaque) + drawn * opaque
    if rng.random() < 0.3:  # a slight tint, or a reflection
        lens = 0.3 * cv2.GaussianBlur(EYES.astype(np.float32), (0, 0), 1)[..., None]
        mixed = mixed * (1 - lens) + lens * rng.integers(0, 256)
    return mixed.astype(np.uint8)


def _shaded(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Darkens the eyes, as a cap does, or the mouth, as a beard does."""
    if rng.random() < 0.7:
        light = np.clip(
            (ROWS - rng.uniform(0.38, 0.6) * SIDE) / (rng.uniform(0.02, 0.15) * SIDE), 0, 1
        )
    else:
        across = (COLUMNS - SIDE / 2) / (rng.uniform(0.3, 0.5) * SIDE)
        down = (ROWS - rng.uniform(0.7, 0.85) * SIDE) / (rng.uniform(0.12, 0.25) * SIDE)
        light = 1 - np.exp(-(across**2) - down**2)
    darkest = rng.uniform(0.25, 0.7)
    return (face * (darkest + (1 - darkest) * light)[..., None]).astype(np.uint8)


def _ellipse(middle: np.ndarray, width: float, height: float) -> np.ndarray:
    across, down = (COLUMNS - middle[0]) / width, (ROWS - middle[1]) / height
    return across**2 + down**2 <= 1


def _whole(point: tuple[float, float] | np.ndarray) -> tuple[int, int]:
    return int(point[0]), int(point[1])


EYES = _ellipse(POINTS[0], 0.32 * UNIT, 0.2 * UNIT) | _ellipse(POINTS[1], 0.32 * UNIT, 0.2 * UNIT)
MOUTH = _ellipse(POINTS[3:].mean(axis=0), 0.6 * UNIT, 0.28 * UNIT)


if __name__ == "__main__":
    main()
