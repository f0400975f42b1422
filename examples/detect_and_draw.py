"""
Find the faces in a photo
=========================

:class:`facekit.Detector` finds faces, each with five keypoints. This script prints them and writes
a copy of the photo with boxes and keypoints. In a terminal it takes photos of your own::

    python detect_and_draw.py photo.jpg [more.jpg ...]

Without arguments it takes three public-domain pictures that come with other packages.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from facekit import Detector
from facekit.demo import portrait_paths, stranger_path
from facekit.visualization import draw_faces, plot_faces, save_image

photos = sys.argv[1:] or list(filter(None, [*portrait_paths().values(), stranger_path()]))

# %%
# Detect
# ------
#
# A face has a ``box`` (x, y, width, height), a ``confidence`` and ``keypoints``, all in pixels of
# the photo. *Left* and *right* refer to the image.

detector = Detector()
found = [detector.detect(photo) for photo in photos]
for photo, faces in zip(photos, found, strict=True):
    for face in faces:
        print(f"{Path(photo).name}: confidence {face.confidence:.3f}, box {face.to_dict()['box']}")
        for name, (x, y) in face.keypoints._asdict().items():
            print(f"  {name:12} ({x:.1f}, {y:.1f})")

# %%
# Draw
# ----
#
# :func:`~facekit.visualization.draw_faces` draws on a full-size copy and returns an array.

for number, (photo, faces) in enumerate(zip(photos, found, strict=True), start=1):
    save_image(f"faces-{number}.png", draw_faces(photo, faces))
    print(f"Wrote faces-{number}.png")

# %%
# :func:`~facekit.visualization.plot_faces` does the same on the axes of a matplotlib figure.

figure, axes = plt.subplots(1, len(photos), figsize=(4 * len(photos), 4.5), squeeze=False)
for ax, photo, faces in zip(axes[0], photos, found, strict=True):
    plot_faces(photo, faces, ax=ax)
figure.tight_layout()

# %%
# Search less
# -----------
#
# Time grows with the number of pixels and face sizes. ``min_face_size`` and ``max_image_side`` skip
# small faces, ``region`` skips the rest of the image: see :doc:`/detection`.

quick = Detector(min_face_size=40, max_image_side=400)
for photo in photos:
    print(f"{Path(photo).name}: {len(quick.detect(photo))} faces in a copy of 400 pixels")
