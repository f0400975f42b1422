"""facekit's own folder, for what is downloaded or cached."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Returns the folder for what is downloaded or cached: ``FACEKIT_HOME``, or the user's own."""
    if os.environ.get("FACEKIT_HOME"):
        return Path(os.environ["FACEKIT_HOME"])
    import platformdirs

    return platformdirs.user_cache_path("facekit")
