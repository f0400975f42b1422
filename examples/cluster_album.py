"""
Group the people of an album
============================

:func:`facekit.cluster_images` groups the faces in an album, so that you name groups instead of
photos. In a terminal it takes a folder of your own::

    python cluster_album.py photos/

Without a folder it makes an album of altered copies of public-domain portraits.
"""

import os
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from facekit import Embedder, cluster_images, load_image
from facekit.demo import portrait_paths, stranger_path
from facekit.evaluation import plot_embeddings
from facekit.visualization import plot_face_grid, save_image

embedder = Embedder()
if len(sys.argv) == 2:
    album = Path(sys.argv[1])
else:
    album = Path(tempfile.mkdtemp())
    for name, path in {**portrait_paths(), "a photographer": stranger_path()}.items():
        if path is None:
            continue
        portrait = load_image(path).astype(float)
        copies = {
            "original": portrait,
            "mirrored": portrait[:, ::-1],
            "darker": portrait * 0.5,
            "lighter": 128 + portrait / 2,
            "without color": portrait.mean(axis=2, keepdims=True).repeat(3, axis=2),
            "smaller": portrait[::2, ::2],
        }
        for how, pixels in copies.items():
            save_image(album / f"{name}, {how}.png", pixels.astype(np.uint8))

# %%
# Find the groups
# ---------------
#
# Faces within a threshold are linked. By default the threshold is strict: a split group costs a
# second look, a mixed group enrolls a wrong face.

found = cluster_images(album, embedder=embedder)
print(f"{found.images} photos, {len(found.groups)} groups, linked up to {found.threshold:.3f}")
for number, group in enumerate(found.groups, start=1):
    print(f"group {number}: {len(group)} faces, spread {group.spread:.2f}")
    for source in group.sources:
        print("  ", Path(source).name)
print(f"not grouped: {len(found.ungrouped)} faces, of poor quality: {len(found.poor)}")

# %%
# Look at them
# ------------
#
# The most typical face of each group comes first.

aligner = embedder.aligner()
shown = [(number, face) for number, group in enumerate(found.groups, 1) for face in group.faces]
cuts = [aligner.align(face.source, [face.face])[0] for _, face in shown[:48]]
if cuts:
    figure, ax = plt.subplots(figsize=(8, 1.6 * -(-len(cuts) // 6)))
    captions = [f"group {number}" for number, _ in shown[:48]]
    plot_face_grid(np.stack(cuts), captions=captions, columns=6, ax=ax)
    figure.tight_layout()
    figure.savefig("groups.png")
    print("Wrote groups.png")

# %%
# :func:`facekit.clustering.export.write_groups` writes a folder of faces for each group, to be
# named and enrolled, as ``facekit cluster`` does: see :doc:`/clustering`. In Python
# :meth:`facekit.FaceRecognizer.enroll_group` enrolls a group at once.
#
# An album of real photos
# -----------------------
#
# With the folder that ``FACEKIT_DATA`` names, 92 photos of five people are grouped, whose folders
# reveal the truth. In an album of few people with many photos each, a larger threshold than the
# default is better; here it is that of verification.

celebrities = Path(os.environ.get("FACEKIT_DATA", ".")) / "five_celebrities" / "train"
if celebrities.is_dir():
    threshold = embedder.record.threshold()
    found = cluster_images(celebrities, embedder=embedder, threshold=threshold)
    people = sorted(folder.name for folder in celebrities.iterdir())
    print("group   faces   of person " + " ".join(f"{number:4}" for number in range(1, 6)))
    for number, group in enumerate(found.groups, start=1):
        owners = [Path(source).parent.name for source in group.sources]
        counts = " ".join(f"{owners.count(person):4}" for person in people)
        print(f"{number:5}   {len(group):5}             {counts}")
    print(f"not grouped: {len(found.ungrouped)} faces, of poor quality: {len(found.poor)}")

    embeddings = np.concatenate([group.embeddings for group in found.groups])
    numbers = [f"group {n}" for n, group in enumerate(found.groups, 1) for _ in group.faces]
    figure, ax = plt.subplots(figsize=(7, 4.5))
    plot_embeddings(embeddings, numbers, method="tsne", ax=ax)
    figure.tight_layout()
else:
    print("Set FACEKIT_DATA to a folder with five_celebrities/train to group it.")
