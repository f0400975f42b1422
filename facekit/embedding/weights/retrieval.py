"""The way from a record of weights to a checked file of it on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from facekit.embedding.weights import registry as weights
from facekit.embedding.weights.download import download
from facekit.embedding.weights.registry import WeightsFile, WeightsRecord
from facekit.errors import WeightsError, WeightsNotFoundError
from facekit.io.safetensors_file import sha256
from facekit.utils.home import home

BUNDLED = Path(__file__).parent / "bundled"
"""The folder of the weights that come with the package."""


def locate(record: WeightsRecord) -> tuple[Path, WeightsFile]:
    """Finds a file of the weights on this machine, or fetches it, and checks it.

    The package's own folder and the folders ``weights/<name>`` under ``FACEKIT_HOME`` and under
    ``FACEKIT_DATA`` are searched first. Only if none holds a file, and ``FACEKIT_OFFLINE`` is not
    set, it is downloaded.

    Args:
        record: Which weights.

    Returns:
        The path, and which of the record's files it is.

    Raises:
        WeightsError: If the file found is not the published one, bit for bit.
        WeightsNotFoundError: If there is none and it cannot be fetched.

    Example:
        >>> from facekit.embedding.weights.retrieval import locate
        >>> from facekit.embedding.weights.registry import record_for
        >>> path, file = locate(record_for("facekit-small"))
        >>> path.name, file.layout
        ('facekit-small.safetensors', 'facekit')
    """
    found = find(record)
    if found is None:
        return fetch(record)
    check(*found)
    return found


def find(record: WeightsRecord) -> tuple[Path, WeightsFile] | None:
    """Finds a file of the weights on this machine, without checking or fetching it.

    Args:
        record: Which weights.

    Returns:
        The path, and which of the record's files it is; ``None`` if none is here.

    Example:
        >>> from facekit.embedding.weights.retrieval import find
        >>> from facekit.embedding.weights.registry import record_for
        >>> path, file = find(record_for("facekit-small"))
        >>> path.name == file.name
        True
    """
    for folder in folders(record):
        for file in record.files:
            if (folder / file.name).is_file():
                return folder / file.name, file
    return None


def bundled() -> list[str]:
    """Returns the names of the weights that come with facekit."""
    return [
        record.name
        for record in weights.REGISTRY.values()
        if any((BUNDLED / file.name).is_file() for file in record.files)
    ]


def fetch(record: WeightsRecord) -> tuple[Path, WeightsFile]:
    """Downloads a file of the weights; one that is there already, unaltered, is kept.

    Args:
        record: Which weights.

    Returns:
        The path, and which of the record's files it is.

    Raises:
        WeightsNotFoundError: If it cannot be fetched; the message says from where, and where to put
            it by hand.

    Example:
        >>> from facekit import WeightsNotFoundError
        >>> from facekit.embedding.weights.retrieval import fetch
        >>> from facekit.embedding.weights.registry import record_for
        >>> path, file = fetch(record_for("facenet-20180402-vggface2"))  # doctest: +SKIP
        >>> try:  # a file without a published checksum is not fetched
        ...     fetch(record_for("deepface-facenet"))
        ... except WeightsNotFoundError as error:
        ...     print("no checksum is published" in str(error))
        True
    """
    folder = home() / "weights" / record.name
    missing = f"the weights {record.name!r} are not on this machine"
    for file in record.files:
        if file.url is None:
            continue
        by_hand = (
            f"download {file.url} yourself and put it at {folder / file.name}, or use weights that "
            f"come with facekit ({', '.join(bundled())})"
        )
        if file.sha256 is None:
            raise WeightsNotFoundError(
                f"{missing}, and facekit does not fetch them, because no checksum is published "
                f"for {file.name}; {by_hand}"
            )
        if os.environ.get("FACEKIT_OFFLINE"):
            raise WeightsNotFoundError(f"{missing} and FACEKIT_OFFLINE is set; {by_hand}")
        try:
            return download(file.url, folder / file.name, file.sha256), file
        except (OSError, ValueError) as error:
            raise WeightsNotFoundError(
                f"{missing} and could not be fetched ({_first_line(error)}); {by_hand}"
            ) from error
    raise WeightsNotFoundError(f"{missing} and are published nowhere")


def identify(path: Path) -> tuple[WeightsRecord, WeightsFile]:
    """Returns which weights a file holds, by its checksum, or by its name if none is published.

    Args:
        path: The file.

    Returns:
        The record, and which of its files it is.

    Raises:
        WeightsError: If it holds none of them.

    Example:
        >>> from facekit.embedding.weights.retrieval import find, identify
        >>> from facekit.embedding.weights.registry import record_for
        >>> path, _ = find(record_for("facekit-small"))
        >>> record, file = identify(path)
        >>> record.name
        'facekit-small'
    """
    checksum = sha256(path)
    files = [(record, file) for record in weights.REGISTRY.values() for file in record.files]
    for record, file in files:
        if file.sha256 == checksum or (file.sha256 is None and file.name == path.name):
            return record, file
    raise WeightsError(
        f"{path}: is none of the published weights that facekit knows (SHA-256 {checksum}); it was "
        "altered, truncated, or is of another kind. facekit reads those and its own .safetensors. "
        "`facekit weights list` names them; fetch the file again"
    )


def check(path: Path, file: WeightsFile) -> None:
    """Checks a file's checksum, if one is published.

    Args:
        path: The file on this machine.
        file: Which published file it should be.

    Raises:
        WeightsError: If it differs from the published one.

    Example:
        >>> from facekit.embedding.weights.retrieval import check, find
        >>> from facekit.embedding.weights.registry import record_for
        >>> check(*find(record_for("facekit-small")))  # says nothing: it is as published
    """
    checksum = file.sha256 and sha256(path)
    if checksum != file.sha256:
        raise WeightsError(
            f"{path}: has SHA-256 {checksum}, expected {file.sha256}; the file is truncated or was "
            "altered. Delete it and fetch it again"
        )


def file_in(folder: Path) -> Path:
    """Returns the weights file in a folder: a published one, or one that facekit wrote.

    Args:
        folder: The folder; only what lies right inside it counts.

    Raises:
        WeightsNotFoundError: If there is none.
    """
    published = {file.name for record in weights.REGISTRY.values() for file in record.files}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" or path.name in published:
            return path
    raise WeightsNotFoundError(f"{folder}: the folder holds no weights file")


def folders(record: WeightsRecord) -> list[Path]:
    """Returns the folders in which the weights are looked for, in that order."""
    roots = [home()]
    if os.environ.get("FACEKIT_DATA"):
        roots.append(Path(os.environ["FACEKIT_DATA"]))
    return [BUNDLED, *(root / "weights" / record.name for root in roots)]


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
