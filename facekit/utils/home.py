"""facekit's own folder, for downloads and caches."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Returns the folder for downloads and caches: ``FACEKIT_HOME``, or the user's cache folder."""
    if os.environ.get("FACEKIT_HOME"):
        return Path(os.environ["FACEKIT_HOME"]).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("facekit")
