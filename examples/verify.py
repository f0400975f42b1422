"""Says whether two photos show the same person.

    python verify.py one.jpg other.jpg

Needs the default weights: see the page on weights in the documentation.
"""

import sys

from facekit import FaceRecognizer

if len(sys.argv) != 3:
    sys.exit(__doc__)

result = FaceRecognizer().verify(sys.argv[1], sys.argv[2])
answer = "the same person" if result.same else "different persons"
print(f"{answer}: distance {result.distance:.3f}, threshold {result.threshold:.3f}")
