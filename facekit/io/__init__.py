"""Files in and out: images, image folders, and the files that facekit writes."""
