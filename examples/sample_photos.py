"""
Sample photos
=============

The first steps need photos of two people. This script writes them into the folder ``photos``, from
two public-domain portraits that come with other packages: Grace Hopper (United States Navy) with
matplotlib, Eileen Collins (NASA) with scikit-image::

    pip install matplotlib scikit-image
    python sample_photos.py
"""

# sphinx_gallery_thumbnail_path = "../images/hero.png"

import sys
from pathlib import Path
from shutil import copy

from PIL import Image, ImageOps

from facekit.demo import portrait_paths

portraits = portrait_paths()
if len(portraits) < 2:
    sys.exit("the portraits come with two packages: pip install matplotlib scikit-image")

# %%
# One folder for each person, named after the person
# --------------------------------------------------

for name, portrait in portraits.items():
    folder = Path("photos/known", name)
    folder.mkdir(parents=True, exist_ok=True)
    copy(portrait, folder / f"1{portrait.suffix}")

# %%
# A photo that shows both, and a mirrored portrait
# ------------------------------------------------

left, right = (Image.open(portrait).convert("RGB") for portrait in portraits.values())
party = Image.new("RGB", (left.width + right.width, max(left.height, right.height)))
party.paste(left, (0, 0))
party.paste(right, (left.width, 0))
party.save("photos/party.jpg", quality=95)
ImageOps.mirror(right).save("photos/mirrored.jpg", quality=95)
print(*sorted(path.as_posix() for path in Path("photos").rglob("*.*")), sep="\n")
