"""Learns people from a folder with one folder of photos a person, and names them in other photos.

    python name_people.py known/ party.jpg [more.jpg ...]

Needs the default weights: see the page on weights in the documentation.
"""

import sys

from facekit import FaceRecognizer
from facekit.visualization import draw_faces, save_image

if len(sys.argv) < 3:
    sys.exit(__doc__)
known, *photos = sys.argv[1:]

recognizer = FaceRecognizer().fit(known)
print(recognizer.report_.summary())

for number, photo in enumerate(photos, start=1):
    people = recognizer.recognize(photo)
    print(f"{photo}: {', '.join(person.label for person in people) or 'no face found'}")
    save_image(f"named-{number}.png", draw_faces(photo, people))

recognizer.save("people.facekit")  # FaceRecognizer.load("people.facekit") needs no photos
