"""Finds the faces in a photo, prints them, and writes a copy with boxes and keypoints.

python detect_and_draw.py [photo.jpg]
"""

import sys

from matplotlib.cbook import get_sample_data

from facekit import Detector
from facekit.visualization import draw_faces, save_image

photo = sys.argv[1] if len(sys.argv) > 1 else get_sample_data("grace_hopper.jpg", asfileobj=False)

faces = Detector().detect(photo)
for face in faces:
    print(f"confidence {face.confidence:.3f}, box {face.to_dict()['box']}")
    for name, (x, y) in face.keypoints._asdict().items():
        print(f"  {name:12} ({x:.1f}, {y:.1f})")

save_image("faces.png", draw_faces(photo, faces))
print("Wrote faces.png")
