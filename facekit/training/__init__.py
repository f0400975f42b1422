"""Training an embedder: faces, batches, augmentation, losses, mining, and the trainers.

Names are imported on first use, so that preparing faces does not load Keras.
"""

from __future__ import annotations

from facekit.utils.extras import keep_files_at_home
from facekit.utils.lazy import attach

keep_files_at_home()

__getattr__, __dir__, __all__ = attach(__name__, __file__)
