"""Published files: found on this machine or downloaded once if allowed, and checked."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from facekit.errors import WeightsError, WeightsNotFoundError
from facekit.io.files import public_mode
from facekit.io.safetensors_file import sha256
from facekit.utils.home import home
from facekit.utils.progress import progress_bar

_LOGGER = logging.getLogger("facekit")
_RETRIES = 3


class RefusedError(OSError):
    """The server refused the file; pooch retries after errors of requests and ValueErrors only."""


def weights_folders(name: str) -> list[Path]:
    """Returns the folders searched for weights of that name, in order."""
    roots = [home()]
    if os.environ.get("FACEKIT_DATA"):
        roots.append(Path(os.environ["FACEKIT_DATA"]).expanduser())
    return [root / "weights" / name for root in roots]


def check_sha256(path: Path, checksum: str) -> None:
    """Checks a file's content."""
    found = sha256(path)
    if found != checksum:
        raise WeightsError(
            f"{path}: has SHA-256 {found}, expected {checksum}; the file is truncated or was "
            "altered. Delete it and fetch it again"
        )


def fetch(name: str, file: str, url: str, checksum: str | None, otherwise: str = "") -> Path:
    """Downloads weights into ``FACEKIT_HOME``, if allowed and if they can be verified."""
    path = home() / "weights" / name / file
    missing = f"the weights {name!r} are not on this machine"
    by_hand = f"download {url} yourself and put it at {path}{otherwise}"
    if checksum is None:
        raise WeightsNotFoundError(
            f"{missing}, and facekit does not download them, because no checksum is published "
            f"for {file}; {by_hand}"
        )
    if os.environ.get("FACEKIT_OFFLINE"):
        raise WeightsNotFoundError(f"{missing} and FACEKIT_OFFLINE is set; {by_hand}")
    try:
        return download(url, path, checksum)
    except (OSError, ValueError) as error:
        lines = str(error).splitlines()
        reason = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
        raise WeightsNotFoundError(
            f"{missing} and could not be fetched ({reason}); {by_hand}"
        ) from None  # a chain of errors of four libraries would only bury this sentence


def download(url: str, path: Path, checksum: str) -> Path:
    """Downloads a file unless it exists, and checks it.

    It gets its final name only when it is complete and verified, so that concurrent downloads end
    with one good file. Broken connections and damaged files are retried. Proxies are set by
    ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``.
    """
    import pooch

    if path.is_file() and sha256(path) == checksum:
        return path
    _LOGGER.warning("Downloading %s to %s", url, path)
    # Pooch would log the same again on standard error.
    pooch.get_logger().setLevel(logging.WARNING)
    fetcher = pooch.create(
        path=path.parent,
        base_url="",
        registry={path.name: f"sha256:{checksum}"},
        urls={path.name: url},
        retry_if_failed=_RETRIES,
    )
    fetcher.fetch(path.name, downloader=_deliver)
    return path


def _deliver(url: str, target: str, fetcher: Any) -> None:
    import pooch

    with progress_bar(f"Downloading {url.rpartition('/')[2]}") as bar:
        try:
            pooch.HTTPDownloader(progressbar=bar or False)(url, target, fetcher)
        except OSError as error:
            # The response of a requests error, if any.
            status = getattr(getattr(error, "response", None), "status_code", 0)
            # 408 and 429 ask to retry later; other codes from 400 on are final.
            if 400 <= status < 500 and status not in (408, 429):
                raise RefusedError(str(error)) from error
            raise
    # The temporary file is private to its owner, but others may share FACEKIT_HOME.
    Path(target).chmod(public_mode())
