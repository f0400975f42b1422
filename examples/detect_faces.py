"""
Replace mtcnn in one line
=========================

:meth:`facekit.Detector.detect_faces` accepts the arguments of ``mtcnn.MTCNN().detect_faces`` and
returns the same faces, without TensorFlow and several times faster (:doc:`/performance`). In a
terminal it takes a photo of your own::

    python detect_faces.py photo.jpg
"""

import sys

from facekit.demo import portrait_paths, stranger_path

photo = sys.argv[1] if len(sys.argv) > 1 else stranger_path() or portrait_paths()["Grace Hopper"]

# %%
# Only the imports and the first line change. The first example of mtcnn's manual becomes:

# was: from mtcnn import MTCNN
#      from mtcnn.utils.images import load_image
from facekit import Detector, load_image

# Create a detector
detector = Detector()  # was: MTCNN(device="CPU:0")

# Load an image
image = load_image(photo)

# Detect the faces in it
result = detector.detect_faces(image)

print(result)

# %%
# Boxes and keypoints are whole pixels, and all numbers are plain Python numbers, so
# ``json.dumps(result)`` works. The other arguments of mtcnn, such as ``box_format`` and the three
# thresholds, work as well:

corners = detector.detect_faces(image, box_format="xyxy", threshold_onet=0.9)
print([face["box"] for face in corners])

# %%
# From dictionaries to the rest of facekit
# ----------------------------------------
#
# :meth:`facekit.Face.from_dict` reads these dictionaries, including those of mtcnn itself, for
# drawing, aligning and recognizing.

import matplotlib.pyplot as plt

from facekit import Aligner, Face
from facekit.visualization import plot_faces

faces = [Face.from_dict(dictionary) for dictionary in result]
aligned = Aligner(size=160).align(image, faces)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4.5))
plot_faces(image, faces, ax=left)
right.imshow(aligned[0] if len(aligned) else image)
right.set_title("aligned, 160 × 160 pixels")
right.set_axis_off()
figure.tight_layout()
figure.savefig("detected.png")
