"""Adds to the package's metadata what depends on where the repository is published.

``FACEKIT_REPOSITORY=https://host/owner/name`` gives the links of the package's page on an index,
and makes the relative links of its README absolute. Without it they become plain text, because they
lead nowhere outside the repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)]+)\)")
_PAGES = {
    "Documentation": "tree/main/docs",
    "Changelog": "blob/main/CHANGELOG.md",
    "Issues": "issues",
    "Security": "security/policy",
}


class Links(MetadataHookInterface):
    """Sets the project's links and its README."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Adds ``readme`` and, if the repository's address is known, ``urls``."""
        repository = os.environ.get("FACEKIT_REPOSITORY", "").rstrip("/")
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": readme_for_index(readme, repository),
        }
        if repository:
            pages = {name: f"{repository}/{path}" for name, path in _PAGES.items()}
            metadata["urls"] = {"Repository": repository} | pages


def readme_for_index(readme: str, repository: str = "") -> str:
    """Returns the README with links that hold outside the repository."""

    def link(found: re.Match[str]) -> str:
        image, text, target = found.groups()
        if repository:
            return f"{image}[{text}]({repository}/{'raw' if image else 'blob'}/main/{target})"
        return "" if image else text

    return _RELATIVE_LINK.sub(link, readme)
