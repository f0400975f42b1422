"""Draws the README's picture: one enrolled person is named, another one is not.

    python images/hero.py

needs the default weights and scikit-image (for the second portrait), and writes images/hero.png.
Both portraits are in the public domain: Grace Hopper (United States Navy, carried by matplotlib)
and Eileen Collins (NASA, carried by scikit-image).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from facekit import FaceRecognizer, load_image
from facekit.demo import portrait_paths
from facekit.visualization import draw_faces, label_font, save_image

HEIGHT = 460
GAP = 56
INK = (33, 37, 41)
MUTED = (108, 117, 125)


def main() -> None:
    hopper, collins = (load_image(path) for path in portrait_paths().values())
    recognizer = FaceRecognizer()
    recognizer.fit({"Eileen Collins": collins[:, ::-1]}, progress=False)
    photo = _side_by_side(_scaled(collins), _scaled(hopper[:620]))
    people = recognizer.recognize(photo)
    faces = [person.face for person in people]
    aligned = recognizer.aligner.align(photo, faces)
    panels = [
        ("one photo", photo),
        ("faces and keypoints", draw_faces(photo, faces)),
        ("aligned", _stacked([aligned[index] for index in _left_to_right(faces)])),
        ("names, or unknown", draw_faces(photo, people, keypoints=False)),
    ]
    save_image(Path(__file__).with_suffix(".png"), _row(panels))


def _scaled(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    picture = Image.fromarray(pixels)
    size = (round(width * HEIGHT / height), HEIGHT)
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS))


def _side_by_side(*pictures: np.ndarray) -> np.ndarray:
    # The middle of each, so that the two stand close together as on one photo.
    cut = [p[:, (p.shape[1] - 330) // 2 : (p.shape[1] + 330) // 2] for p in pictures]
    return np.hstack(cut)


def _stacked(pictures: list[np.ndarray]) -> np.ndarray:
    gap = np.full((HEIGHT - 2 * 220, 220, 3), 255, dtype=np.uint8)
    first, second = (
        np.asarray(Image.fromarray(p).resize((220, 220), Image.Resampling.LANCZOS))
        for p in pictures
    )
    return np.vstack([first, gap, second])


def _left_to_right(faces: list) -> list[int]:
    return sorted(range(len(faces)), key=lambda index: faces[index].box[0])


def _row(panels: list[tuple[str, np.ndarray]]) -> np.ndarray:
    width = sum(p.shape[1] for _, p in panels) + GAP * (len(panels) - 1) + 2 * 24
    # A card of its own colour looks the same on a light and on a dark page.
    sheet = Image.new("RGB", (width, HEIGHT + 92), (255, 255, 255))
    canvas = ImageDraw.Draw(sheet)
    x = 24
    for index, (title, pixels) in enumerate(panels):
        sheet.paste(Image.fromarray(pixels), (x, 24))
        middle = x + pixels.shape[1] / 2
        canvas.text((middle, HEIGHT + 56), title, fill=INK, font=label_font(28), anchor="mm")
        x += pixels.shape[1] + GAP
        if index < len(panels) - 1:
            font = label_font(40)
            canvas.text((x - GAP / 2, 24 + HEIGHT / 2), "→", fill=MUTED, font=font, anchor="mm")
    return np.asarray(sheet)


if __name__ == "__main__":
    main()
