"""
Name people in a video or at a camera
=====================================

A loop over the frames of a video or of a webcam that finds faces, names them, and writes a copy of
the video with names on it. In a terminal it takes a folder with one folder of photos a person, and
a video or the number of a camera::

    python name_people_in_video.py known/ party.mp4
    python name_people_in_video.py known/ 0

A camera is read until Ctrl+C is pressed. Without arguments the script writes a short video itself,
in which a camera glides over two public-domain portraits.
"""

import sys
import tempfile
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np

from facekit import Detector, FaceRecognizer, load_image
from facekit.demo import portrait_paths
from facekit.visualization import draw_faces, plot_faces

# %%
# A video to work on
# ------------------


def video_writer(path, frame, frames_per_second=12):
    """Opens a video of motion JPEG, which OpenCV has everywhere, for frames of a size."""
    code = cv2.VideoWriter.fourcc(*"MJPG")
    return cv2.VideoWriter(path, code, frames_per_second, frame.shape[1::-1])


def glide(pictures, frames=48, width=480, height=360):
    """Yields what a camera sees that glides over pictures side by side and comes nearer."""
    wall = np.concatenate([load_image(picture)[:512] for picture in pictures], axis=1)
    for moment in np.linspace(0, 1, frames):
        zoom = 0.7 + 0.3 * moment
        seen_width, seen_height = int(512 / zoom), int(384 / zoom)
        left = int(moment * (wall.shape[1] - seen_width))
        part = wall[: min(seen_height, len(wall)), left : left + seen_width]
        yield cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)


if len(sys.argv) == 3:
    recognizer = FaceRecognizer().fit(sys.argv[1])
    source = int(sys.argv[2]) if sys.argv[2].isdecimal() else sys.argv[2]
else:
    enrolled, *_ = portraits = portrait_paths()
    recognizer = FaceRecognizer().fit({enrolled: portraits[enrolled]})
    source = str(Path(tempfile.mkdtemp()) / "portraits.avi")
    frames = list(glide(portraits.values()))
    writer = video_writer(source, frames[0])
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()

# %%
# Only find faces
# ---------------
#
# :meth:`~facekit.Detector.detect_stream` goes through a video or a camera and reads ahead while it
# searches. ``every=4`` searches each fourth frame, which is often enough to see who comes and goes.

if len(sys.argv) != 3:
    for result in Detector(min_face_size=40).detect_stream(source, every=4):
        print(f"frame {result.index:2}: {len(result.faces)} faces")

# %%
# Name them
# ---------
#
# For names each frame goes through the recognizer. A smaller copy is searched, and only faces of 40
# pixels or more, so that the loop keeps up with a camera.


def frames_of(source):
    """Yields the frames of a video or a camera, RGB uint8."""
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        sys.exit(f"{source}: is not a video or camera that OpenCV can open")
    try:
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


recognizer.detector = Detector(min_face_size=40, max_image_side=640)
writer, named, shown = None, [], []
try:
    for number, frame in enumerate(frames_of(source)):
        people = recognizer.recognize(frame)
        if writer is None:
            writer = video_writer("named.avi", frame)
        writer.write(cv2.cvtColor(draw_faces(frame, people), cv2.COLOR_RGB2BGR))
        named.append(people)
        if number % 12 == 6:
            labels = [f"{person.label} {person.distance:.2f}" for person in people]
            print(f"frame {number:2}: {', '.join(labels) or 'no faces'}")
            shown = [*shown, (number, frame, people)][:4]
except KeyboardInterrupt:
    print("Stopped.")
if writer is not None:
    writer.release()
    print("Wrote named.avi")

# %%
# Four of the frames
# ------------------

figure, axes = plt.subplots(2, 2, figsize=(8, 6))
for ax, (number, frame, people) in zip(axes.flat, shown, strict=False):
    plot_faces(frame, people, keypoints=False, ax=ax)
    ax.set_title(f"frame {number}", loc="left")
figure.tight_layout()

# %%
# The distance over time
# ----------------------
#
# A single frame is easily misjudged, so a program that acts on a name should wait until several
# frames agree. A face below the threshold that is *unknown* all the same was flagged by the quality
# gate, for instance because it is cut by the border: see :doc:`/quality`.

figure, ax = plt.subplots(figsize=(7, 3.5))
for marker, label in (("o", "named"), ("x", "unknown")):
    points = [
        (number, person.distance)
        for number, people in enumerate(named)
        for person in people
        if (person.name is None) == (label == "unknown")
    ]
    if points:
        ax.plot(*zip(*points, strict=True), marker, label=label)
ax.axhline(recognizer.threshold, color="0.3", linestyle="--", label="threshold")
ax.set_xlabel("Frame")
ax.set_ylabel("Distance to the nearest enrolled photo")
ax.legend()
figure.tight_layout()
