"""
Name the people in photos
=========================

:class:`facekit.FaceRecognizer` enrolls people from a folder with one folder of photos for each, and
names them in other photos. In a terminal it takes folders and photos of your own::

    python name_people.py known/ party.jpg [more.jpg ...]

Without photos it makes such a folder of public-domain portraits.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from facekit import FaceRecognizer, load_image
from facekit.demo import portrait_paths, stranger_path
from facekit.visualization import draw_faces, plot_faces, save_image

if len(sys.argv) > 2:
    known, *images = map(Path, sys.argv[1:])
else:
    portraits = portrait_paths()
    folder = Path(tempfile.mkdtemp())
    known, images = folder / "known", [folder / "party.png"]
    for name, portrait in portraits.items():
        (known / name).mkdir(parents=True)
        shutil.copy(portrait, known / name)
    # The party is a photo in which all stand side by side, mirrored, with a stranger.
    everyone = filter(None, [*portraits.values(), stranger_path()])
    pictures = [load_image(portrait)[:512, ::-1] for portrait in everyone]
    save_image(images[0], np.concatenate(pictures, axis=1))

# %%
# Enroll
# ------
#
# One photo per person is enough to start, several are better. The report names every photo that
# could not be used, and why.

recognizer = FaceRecognizer().fit(known)
print(recognizer.report_.summary())
print(recognizer.people)

# %%
# Name
# ----
#
# There is one result per face. The distance says how much the face differs from the person's
# enrolled photos; above the threshold the label is ``unknown``.

people = recognizer.recognize_batch(images)
for number, (image, found) in enumerate(zip(images, people, strict=True), start=1):
    print(f"{image.name}: {', '.join(person.label for person in found) or 'no face found'}")
    for person in found:
        print(f"  {person.label}: distance {person.distance:.2f}, up to {person.threshold:.2f}")
    save_image(f"named-{number}.png", draw_faces(image, found))
    print(f"Wrote named-{number}.png")

# %%
# The plot shows the name and the distance.

figure, axes = plt.subplots(len(images), 1, figsize=(8, 4.2 * len(images)), squeeze=False)
for ax, image, found in zip(axes[:, 0], images, people, strict=True):
    plot_faces(image, found, ax=ax)
figure.tight_layout()

# %%
# Keep
# ----
#
# The file holds the embeddings of the people and the settings, but no photos. It is biometric data:
# see :doc:`/files`.

recognizer.save("people.facekit")
again = FaceRecognizer.load("people.facekit")
print(again)
