"""facekit recognizes people in images: detect, align, embed and identify faces.

The public names are imported when they are first used, so that ``import facekit`` costs next to
nothing and loads neither TensorFlow nor OpenCV.

Example:
    >>> import facekit
    >>> sorted(facekit.__all__)[:3]
    ['Aligner', 'Architecture', 'BatchError']
"""

from __future__ import annotations

import facekit.utils.forking  # noqa: F401  # before anything that a child might use
from facekit.utils.lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__)
__all__ += ["__version__"]
