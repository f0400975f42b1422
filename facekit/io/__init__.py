"""Files in and out: images, photo folders, and the files that facekit writes."""
