"""
Do two photos show the same person?
===================================

:meth:`facekit.FaceRecognizer.verify` compares two photos. No one needs to be enrolled. In a
terminal it takes two photos of your own::

    python verify.py one.jpg other.jpg

Without photos it compares public-domain portraits.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np

from facekit import FaceRecognizer, load_image
from facekit.demo import portrait_paths
from facekit.visualization import plot_faces

recognizer = FaceRecognizer()
if len(sys.argv) == 3:
    pairs = [(sys.argv[1], sys.argv[2])]
else:
    portraits = portrait_paths()
    if len(portraits) < 2:
        sys.exit("The second portrait comes with scikit-image: pip install scikit-image")
    hopper, collins = map(load_image, portraits.values())
    # There is one portrait of each. The second photo of Grace Hopper is her first one, mirrored
    # and darker; two real photos of a person lie further apart than that.
    darker = (hopper[:, ::-1] * 0.6).astype(np.uint8)
    pairs = [(hopper, darker), (hopper, collins)]

# %%
# Compare
# -------
#
# The distance is the Euclidean one between the two embeddings, from 0 to 2. Up to the threshold it
# counts as the same person. The threshold belongs to the weights: at this one they take one pair
# of strangers in a thousand for one person. :doc:`/recognition` says how to choose another.

answers = [recognizer.verify(first, second) for first, second in pairs]
for answer in answers:
    verdict = "the same person" if answer.same else "different persons"
    print(f"{verdict}: distance {answer.distance:.3f}, threshold {answer.threshold:.3f}")

# %%
# See what was compared
# ---------------------
#
# Of several faces in a photo the largest counts. The answer holds the face that was used in each.

figure, axes = plt.subplots(len(pairs), 2, figsize=(7, 4 * len(pairs)), squeeze=False)
for row, pair, answer in zip(axes, pairs, answers, strict=True):
    for ax, photo, face in zip(row, pair, answer.faces, strict=True):
        plot_faces(photo, [face], ax=ax)
    sign = "≤" if answer.same else ">"
    verdict = "same person" if answer.same else "different persons"
    row[0].set_title(f"{answer.distance:.2f} {sign} {answer.threshold:.2f}: {verdict}", loc="left")
figure.tight_layout()
figure.savefig("verified.png")
print("Wrote verified.png")
