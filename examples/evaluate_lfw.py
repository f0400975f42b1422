"""
Evaluate on pairs of photos
===========================

How well does an embedder tell people apart? *Verification* measures it on pairs of photos of which
it is known whether they show one person, usually those of Labeled Faces in the Wild (LFW). In a
terminal the script takes LFW's folder, with one folder of photos per person and a file
``pairs*.txt``, and the name or the path of weights::

    python evaluate_lfw.py lfw/ facekit-small

Without arguments it takes the folder ``lfw`` in the one that ``FACEKIT_DATA`` names. If there is
none, it judges pairs of altered portraits, to show the same plots; their numbers say nothing about
the weights.
"""

import os
import sys
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from facekit import Detector, Embedder
from facekit.demo import portrait_paths
from facekit.evaluation import (
    evaluate_lfw,
    evaluate_verification,
    plot_distances,
    plot_roc,
    read_pairs,
)
from facekit.evaluation.verification import roc
from facekit.training import Augmentation

# %%
# The distance of each pair
# -------------------------
#
# :func:`facekit.evaluation.evaluate_lfw` sends each photo through detector, aligner and embedder.
# Nothing is trained.

lfw = Path(os.environ.get("FACEKIT_DATA", "."), "lfw")
weights, folds = "facekit-small", 2  # more would take longer than an example may
if len(sys.argv) == 3:
    lfw, weights, folds = Path(sys.argv[1]), sys.argv[2], 10
embedder = Embedder(weights)
detector = Detector()

if lfw.is_dir():
    pairs = [pair for pair in read_pairs(next(lfw.glob("pairs*.txt"))) if pair.fold < folds]
    aligners = {"lfw": embedder.aligner()}
    result = evaluate_lfw(lfw, pairs, detector=detector, embedder=embedder, aligners=aligners)[
        "lfw"
    ]
    report, distances, same = result.report, result.distances, result.same
    print(f"{report.pairs:,} pairs of LFW in {len(report.fold_accuracies)} folds")
else:
    print("LFW not found. Pass its folder, or set FACEKIT_DATA to the folder that holds lfw/.")
    print("Altered copies of two portraits show the plots instead, but not the accuracy.")
    portraits = portrait_paths()
    if len(portraits) < 2:
        sys.exit("The second portrait comes with scikit-image: pip install scikit-image")
    alter, rng = Augmentation(rotation=25, brightness=0.3, contrast=0.8), np.random.default_rng(0)
    faces = [embedder.aligner().align(p, detector.detect(p)[:1]) for p in portraits.values()]
    embeddings = embedder.embed(alter(np.concatenate(faces).repeat(30, axis=0), rng))
    person = np.arange(60) // 30
    first, second = np.array(list(combinations(range(60), 2))).T
    distances = np.linalg.norm(embeddings[first] - embeddings[second], axis=1)
    same = person[first] == person[second]
    report = evaluate_verification(distances, same, folds=np.arange(len(same)) % 3)

# %%
# The figures
# -----------
#
# Each fold is judged with the best threshold of the others. :doc:`/accuracy` defines the figures.

print(f"accuracy {report.accuracy:.2%} ± {report.standard_error:.2%}")
print(f"equal error rate {report.eer:.2%}, area under the ROC curve {report.auc:.4f}")
for rate, accepted in report.tar_at_fmr.items():
    print(f"true-accept rate {accepted:.2%} at a false-match rate of {rate:.1%}")

# %%
# Distances
# ---------
#
# Where the two histograms overlap, every threshold makes mistakes. The line is the mean threshold
# of the folds. If most of the people you look up are strangers, use a lower one.

figure, ax = plt.subplots(figsize=(7, 4))
plot_distances(distances, same, threshold=float(np.mean(report.fold_thresholds)), ax=ax)
figure.tight_layout()
figure.savefig("distances.png")

# %%
# The ROC curve
# -------------
#
# A threshold is a point on the ROC curve: a higher one accepts more pairs of one person, and more
# pairs of two.

figure, ax = plt.subplots(figsize=(6, 4.5))
plot_roc({embedder.record.name: roc(distances, same)}, ax=ax)
figure.tight_layout()
figure.savefig("roc.png")
print("Wrote distances.png and roc.png")
