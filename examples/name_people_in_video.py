"""
Name people in a video
======================

This script reports who appears in a video and when, and writes a copy with names. In a terminal it
takes a folder with one folder per person, and a video::

    python name_people_in_video.py known/ party.mp4

Without arguments it generates a short video of two public-domain portraits: they pass each other,
and after a cut one of them leaves. One of the two people is enrolled. It needs the extra ``video``.
``facekit camera`` does the same live.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from facekit import FaceRecognizer, load_image
from facekit.demo import portrait_paths
from facekit.video import VideoFile, VideoFrame, draw_timeline, write_annotated, write_frames

# %%
# A video to work on
# ------------------


def party(pictures: Iterable[Path]) -> Iterator[VideoFrame]:
    """Yields frames in which the first portrait passes before the second, which leaves later."""
    front, back = (load_image(picture)[:512:2, :512:2] for picture in pictures)
    for number in range(84):
        if number < 48:  # they pass each other
            shade, places = 90, (384 - 8 * number, 8 * number)
        else:  # after a cut, the second one leaves
            shade, places = 160, (12 * (number - 26), 0)
        image = np.full((256, 640, 3), shade, dtype=np.uint8)
        for picture, left in zip((back, front), places, strict=True):
            part = picture[:, : max(0, 640 - left)]
            image[: len(part), left : left + part.shape[1]] = part
        yield VideoFrame(number, number / 12, image)


if len(sys.argv) == 3:
    recognizer = FaceRecognizer().fit(sys.argv[1])
    source = sys.argv[2]
else:
    portraits = portrait_paths()
    if len(portraits) < 2:
        sys.exit("The portraits come with two packages: pip install matplotlib scikit-image")
    enrolled, *_ = portraits
    recognizer = FaceRecognizer().fit({enrolled: portraits[enrolled]})
    source = "portraits.mp4"
    write_frames(source, party(portraits.values()), rate=12, overwrite=True)

# %%
# Who appears when
# ----------------
#
# Faces are detected about eight times a second and followed in between. Each person is named once,
# by the mean of all their faces.

result = recognizer.recognize_video(source)
for seen, track in result.appearances():
    print(f"{seen.start:.1f} to {seen.end:.1f} s: {track.label}, {track.images} faces")

# %%
# A copy with names
# -----------------
#
# ``blur="unknown"`` makes strangers unrecognizable instead.

write_annotated(result, "named.mp4", overwrite=True)
frames = list(VideoFile("named.mp4").frames(lambda index, time: index % 21 == 10))[:4]
figure, axes = plt.subplots(2, 2, figsize=(9, 4.5))
for ax, frame in zip(axes.flat, frames, strict=False):
    ax.imshow(frame.image)
    ax.set_title(f"{frame.time:.1f} s", loc="left")
for ax in axes.flat:
    ax.axis("off")
figure.tight_layout()

# %%
# The same as a timeline
# ----------------------

figure, ax = plt.subplots(figsize=(9, 1.8))
ax.imshow(draw_timeline(result, width=900))
ax.axis("off")
figure.tight_layout()
