"""
Reject strangers
================

A classifier that knows two people gives every face one of the two names. facekit
names a face only if it is close enough to an enrolled photo; anyone else is *unknown*. This is
called open-set recognition. A low threshold rejects enrolled people, a high one accepts strangers.

With the folder that ``FACEKIT_DATA`` names (``five_celebrities`` and ``lfw`` in it, see
:doc:`/contributing`) the script enrolls five people and looks up strangers; without it, it uses
altered copies of three portraits.
"""

import os
import sys
from pathlib import Path
from typing import TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from facekit import Aligner, Detector, Embedder, IdentityClassifier
from facekit.demo import portrait_paths, stranger_path
from facekit.training import Augmentation

UInt8: TypeAlias = npt.NDArray[np.uint8]

detector = Detector()
data = Path(os.environ.get("FACEKIT_DATA", "."))
has_images = (data / "five_celebrities").is_dir() and (data / "lfw").is_dir()


def aligned_faces(images: Path | list[Path], aligner: Aligner) -> UInt8:
    """Crops the largest face of every photo that shows one."""
    cuts = []
    for result in detector.detect_stream(images):
        if result.image is not None and result.faces:
            face = max(result.faces, key=lambda found: found.area)
            cuts.append(aligner.align(result.image, [face])[0])
    return np.stack(cuts)


# %%
# Three kinds of faces
# --------------------
#
# There are people who are enrolled, other photos of the same people, and strangers.

embedder = Embedder()
aligner = embedder.aligner()

if has_images:
    celebrities = data / "five_celebrities"
    names = sorted(folder.name for folder in (celebrities / "train").iterdir())
    known = {name: aligned_faces(celebrities / "train" / name, aligner) for name in names}
    others = {name: aligned_faces(celebrities / "val" / name, aligner) for name in names}
    # Some of the five are in LFW, too: they are not strangers.
    both = {"Ben_Affleck", "Elton_John", "Jerry_Seinfeld", "Madonna", "Mindy_Kaling"}
    images = sorted((data / "lfw").glob("*/*_0001.jpg"))
    images = [image for image in images if image.parent.name not in both][:400]
    strangers = aligned_faces(images, aligner)
else:
    portraits, stranger = portrait_paths(), stranger_path()
    if len(portraits) < 2 or stranger is None:
        sys.exit("The portraits come with two packages: pip install matplotlib scikit-image")
    alter, rng = Augmentation(), np.random.default_rng(0)
    hopper, collins = (aligned_faces([path], aligner) for path in portraits.values())
    photographer = aligned_faces([stranger], aligner)
    known = {"Grace Hopper": hopper}
    others = {"Grace Hopper": alter(hopper.repeat(60, axis=0), rng)}
    strangers = alter(np.concatenate([collins, photographer]).repeat(30, axis=0), rng)
    print("Three portraits only: altered copies stand in for other photos of a person, which makes")
    print("the task easier than with real photos.")

enrolled = np.concatenate([embedder.embed(faces) for faces in known.values()])
labels = np.repeat(list(known), [len(faces) for faces in known.values()])
probes = np.concatenate([embedder.embed(faces) for faces in others.values()])
truth = np.repeat(list(others), [len(faces) for faces in others.values()])
stranger_probes = embedder.embed(strangers)
print(f"people enrolled: {len(known)}, in photos: {len(enrolled)}")
print(f"looked up: {len(probes)} other photos of them, {len(stranger_probes)} photos of strangers")

# %%
# What the threshold does
# -----------------------
#
# The record of the weights has thresholds for pairs: at the first one, one pair of strangers in a
# hundred is closer than the threshold, at the last, one in ten thousand.

classifier = IdentityClassifier("nearest", threshold=embedder.record.threshold())
classifier.fit(enrolled, labels)
own, foreign = classifier.identify(probes), classifier.identify(stranger_probes)

print("threshold   enrolled people named correctly   strangers named")
for rate, threshold in embedder.record.thresholds.items():
    right = np.mean((own.candidate == truth) & (own.distance <= threshold))
    wrong = np.mean(foreign.distance <= threshold)
    print(f"{threshold:9.3f}   {right:29.1%}   {wrong:15.1%}   (one pair in {1 / rate:,.0f})")

# %%
# A threshold is a line in this plot: faces on its left get a name. The overlap depends on the
# weights and the photos.

figure, ax = plt.subplots(figsize=(7, 4))
bins = np.linspace(0, 1.5, 46).tolist()
ax.hist(own.distance, bins, alpha=0.7, density=True, label="enrolled people")
ax.hist(foreign.distance, bins, alpha=0.7, density=True, label="strangers")
for rate, threshold in embedder.record.thresholds.items():
    ax.axvline(threshold, color="0.3", linestyle="--", linewidth=1)
    ax.text(threshold, 0.98 * ax.get_ylim()[1], f"1 : {1 / rate:,.0f}", rotation=90, va="top")
ax.set_xlabel("Distance to the nearest enrolled photo")
ax.set_ylabel("Density")
ax.legend(loc="upper left")
figure.tight_layout()
figure.savefig("strangers.png")

# %%
# A share of strangers instead of a distance
# ------------------------------------------
#
# A stranger is compared with everyone, and each person is another chance for a mistake, so the
# right distance depends on who is enrolled. ``fpir`` is the share of strangers' faces that may get
# a name; the threshold follows from it.

for fpir in (0.05, 0.01, 0.001):
    open_set = IdentityClassifier("centroid", fpir=fpir, distances=embedder.record.distances).fit(
        enrolled, labels
    )
    right = np.mean(open_set.predict(probes) == truth)
    wrong = np.mean([name is not None for name in open_set.predict(stranger_probes)])
    print(
        f"fpir={fpir}: threshold {open_set.threshold_:.3f}, {right:.1%} of the enrolled "
        f"people's faces named correctly, {wrong:.1%} of the strangers' named"
    )

# %%
# Inside a recognizer it is one argument:
# ``FaceRecognizer(classifier=IdentityClassifier("centroid", fpir=0.001))``. See
# :doc:`/recognition` for how to choose it.
