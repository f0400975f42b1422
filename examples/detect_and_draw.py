"""
Find the faces in an image
==========================

:class:`facekit.Detector` finds faces, each with five keypoints. This script prints them and writes
a copy of the photo with boxes and keypoints. In a terminal it takes photos of your own::

    python detect_and_draw.py photo.jpg [more.jpg ...]

Without arguments it takes three public-domain pictures that come with other packages.
"""

# sphinx_gallery_thumbnail_number = 2

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from facekit import Detector
from facekit.demo import portrait_paths, stranger_path
from facekit.visualization import draw_faces, plot_faces, save_image

images = [Path(name) for name in sys.argv[1:]]
if not images:
    images = [path for path in (*portrait_paths().values(), stranger_path()) if path]

# %%
# Detect
# ------
#
# A face has a ``box`` (x, y, width, height), a ``confidence`` and ``keypoints``, all in pixels of
# the image. *Left* and *right* refer to the image.

detector = Detector()
found = [detector.detect(image) for image in images]
for image, faces in zip(images, found, strict=True):
    for face in faces:
        print(f"{image.name}: confidence {face.confidence:.3f}, box {face.to_dict()['box']}")
        for name, (x, y) in face.keypoints._asdict().items():
            print(f"  {name:12} ({x:.1f}, {y:.1f})")

# %%
# Draw
# ----
#
# :func:`~facekit.visualization.draw_faces` draws on a full-size copy and returns an array.

for number, (image, faces) in enumerate(zip(images, found, strict=True), start=1):
    save_image(f"faces-{number}.png", draw_faces(image, faces))
    print(f"Wrote faces-{number}.png")

# %%
# :func:`~facekit.visualization.plot_faces` does the same on the axes of a matplotlib figure.

figure, axes = plt.subplots(1, len(images), figsize=(4 * len(images), 4.5), squeeze=False)
for ax, image, faces in zip(axes[0], images, found, strict=True):
    plot_faces(image, faces, ax=ax)
figure.tight_layout()

# %%
# A drawn crowd
# -------------
#
# MTCNN also finds most drawn faces, if they have eyes, a nose, a mouth and some shading. These are
# drawn at random, in rows that shrink with the distance.


def draw_person(rng: np.random.Generator) -> Image.Image:
    """Draws the head and shoulders of a person who does not exist, 240 × 240 pixels."""
    image = Image.new("RGB", (960, 960), (150, 170, 190))
    draw = ImageDraw.Draw(image)
    skin = np.array([225, 180, 150]) * rng.uniform(0.5, 1.05)
    hair = np.array([[40, 30, 25], [90, 60, 35], [170, 130, 70], [120, 120, 125]])[rng.integers(4)]
    width = rng.uniform(0.2, 0.25)

    def ellipse(
        x: float, y: float, half_width: float, half_height: float, color: npt.ArrayLike
    ) -> None:
        corners = [(x - half_width, y - half_height), (x + half_width, y + half_height)]
        red, green, blue = np.clip(color, 0, 255).astype(int).tolist()
        draw.ellipse([(960 * x, 960 * y) for x, y in corners], fill=(red, green, blue))

    ellipse(0.5, 0.98, 0.33, 0.2, rng.integers(30, 180, 3))  # shoulders
    ellipse(0.5, 0.8, 0.1, 0.16, 0.72 * skin)  # neck
    ellipse(0.5, 0.42, width + 0.05, 0.33, hair)
    ellipse(0.5, 0.5, width, 0.3, skin)
    ellipse(0.5, 0.24, 0.95 * width, 0.1, hair)
    for x in (0.405, 0.595):
        ellipse(x, 0.4, 0.055, 0.012, 0.8 * hair)  # brow
        ellipse(x, 0.46, 0.052, 0.036, 0.72 * skin)
        ellipse(x, 0.465, 0.042, 0.022, [245, 245, 245])
        ellipse(x, 0.465, 0.02, 0.021, 0.6 * hair)
        ellipse(x, 0.465, 0.009, 0.009, [5, 5, 5])
    ellipse(0.5, 0.565, 0.034, 0.045, 0.72 * skin)  # nose
    ellipse(0.5, 0.552, 0.028, 0.045, skin)
    for x in (0.482, 0.518):
        ellipse(x, 0.595, 0.009, 0.006, 0.35 * skin)
    ellipse(0.5, 0.685, 0.075, 0.022, [150, 60, 60])  # mouth
    ellipse(0.5, 0.678, 0.06, 0.006, [90, 30, 30])
    return image.filter(ImageFilter.GaussianBlur(6)).resize((240, 240))


rng = np.random.default_rng(3)
rows = []
for people in (10, 6, 4):
    row = np.concatenate([np.asarray(draw_person(rng)) for _ in range(people)], axis=1)
    height = 240 * 960 // row.shape[1]
    rows.append(np.asarray(Image.fromarray(row).resize((960, height))))
crowd = np.concatenate(rows)
crowd = np.clip(crowd + rng.normal(0, 4, crowd.shape), 0, 255).astype(np.uint8)
faces = Detector(thresholds=(0.5, 0.6, 0.6)).detect(crowd)
print(f"{len(faces)} of 20 drawn faces found")
figure, ax = plt.subplots(figsize=(8, 4.6))
plot_faces(crowd, faces, ax=ax)
figure.tight_layout()

# %%
# Search less
# -----------
#
# Time grows with the number of pixels and face sizes. ``min_face_size`` and ``max_image_side`` skip
# small faces, ``region`` skips the rest of the image: see :doc:`/detection`.

quick = Detector(min_face_size=40, max_image_side=400)
for image in images:
    print(f"{image.name}: {len(quick.detect(image))} faces in a copy of 400 pixels")
