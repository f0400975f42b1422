"""
Do two photos show the same person?
===================================

:meth:`facekit.FaceRecognizer.verify` compares two photos. Enrollment is not needed. In a
terminal it takes two photos of your own::

    python verify.py one.jpg other.jpg

Without photos it compares public-domain portraits.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

from facekit import FaceRecognizer, load_image
from facekit.demo import portrait_paths, stranger_path
from facekit.io.images import ImageSource
from facekit.visualization import plot_faces

recognizer = FaceRecognizer()
pairs: list[tuple[ImageSource, ImageSource]]
if len(sys.argv) == 3:
    pairs = [(sys.argv[1], sys.argv[2])]
else:
    portraits, photographer = portrait_paths(), stranger_path()
    if len(portraits) < 2 or photographer is None:
        sys.exit("The portraits come with two packages: pip install matplotlib scikit-image")
    collins = load_image(portraits["Eileen Collins"])
    # The second photo of Eileen Collins is the first one, mirrored and darker; two real photos of a
    # person are further apart.
    darker = (collins[:, ::-1] * 0.6).astype(np.uint8)
    pairs = [(collins, darker), (collins, load_image(photographer))]

# %%
# Compare
# -------
#
# The distance between the two embeddings is Euclidean, from 0 to 2. Up to the threshold, the photos
# count as the same person. At this threshold, one pair of strangers in a thousand does, too.
# :doc:`/recognition` explains how to choose another.

answers = [recognizer.verify(first, second) for first, second in pairs]
for answer in answers:
    verdict = "the same person" if answer.same else "different people"
    print(f"{verdict}: distance {answer.distance:.3f}, threshold {answer.threshold:.3f}")

# %%
# Show the compared faces
# -----------------------
#
# If a photo shows several faces, the largest counts. The answer holds the faces that were used.

figure, axes = plt.subplots(len(pairs), 2, figsize=(7, 4 * len(pairs)), squeeze=False)
for row, pair, answer in zip(axes, pairs, answers, strict=True):
    for ax, image, face in zip(row, pair, answer.faces, strict=True):
        plot_faces(image, [face], ax=ax)
    sign = "≤" if answer.same else ">"
    verdict = "same person" if answer.same else "different people"
    row[0].set_title(f"{answer.distance:.2f} {sign} {answer.threshold:.2f}: {verdict}", loc="left")
figure.tight_layout()
figure.savefig("verified.png")
print("Wrote verified.png")
