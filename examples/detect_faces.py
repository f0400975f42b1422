"""Does what ``mtcnn.MTCNN().detect_faces`` does, with one line changed.

python detect_faces.py [photo.jpg]
"""

import json
import sys

from matplotlib.cbook import get_sample_data

from facekit import Detector, load_image

photo = sys.argv[1] if len(sys.argv) > 1 else get_sample_data("grace_hopper.jpg", asfileobj=False)

detector = Detector()  # was: MTCNN()
image = load_image(photo)  # was: cv2.cvtColor(cv2.imread(photo), cv2.COLOR_BGR2RGB)
print(json.dumps(detector.detect_faces(image), indent=2))
