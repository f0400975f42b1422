"""Finds, downloads and checks the file of a weights record."""

from __future__ import annotations

from pathlib import Path

from facekit.embedding.weights import registry as weights
from facekit.embedding.weights.registry import WeightsFile, WeightsRecord
from facekit.errors import WeightsError, WeightsNotFoundError
from facekit.io import downloads
from facekit.io.downloads import check_sha256, weights_folders
from facekit.io.safetensors_file import sha256

BUNDLED = Path(__file__).parent / "bundled"
"""The folder of the weights that come with the package."""


def locate(record: WeightsRecord) -> tuple[Path, WeightsFile]:
    """Finds a file of the weights on this machine, or downloads it, and checks it."""
    found = find(record)
    if found is None:
        return fetch(record)
    check(*found)
    return found


def find(record: WeightsRecord) -> tuple[Path, WeightsFile] | None:
    """Finds a file of the weights on this machine, without checking or fetching it."""
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
    """Downloads a file of the weights; an existing unaltered file is kept."""
    otherwise = f", or use weights that come with facekit ({', '.join(bundled())})"
    for file in record.files:
        if file.url is not None:
            path = downloads.fetch(record.name, file.name, file.url, file.sha256, otherwise)
            return path, file
    raise WeightsNotFoundError(
        f"the weights {record.name!r} are not on this machine and are published nowhere"
    )


def identify(path: Path) -> tuple[WeightsRecord, WeightsFile]:
    """Identifies the weights in a file by checksum, or by name if none is published."""
    checksum = sha256(path)
    files = [(record, file) for record in weights.REGISTRY.values() for file in record.files]
    for record, file in files:
        if file.sha256 == checksum or (file.sha256 is None and file.name == path.name):
            return record, file
    raise WeightsError(
        f"{path}: is not one of the published weights known to facekit (SHA-256 "
        f"{checksum}); it was altered or truncated, or is of another kind. facekit reads those and "
        "its own .safetensors. `facekit weights list` names them; fetch the file again"
    )


def check(path: Path, file: WeightsFile) -> None:
    """Checks a file's checksum, if one is published."""
    if file.sha256 is not None:
        check_sha256(path, file.sha256)


def file_in(folder: Path) -> Path:
    """Returns the weights file in a folder, published or written by facekit."""
    published = {file.name for record in weights.REGISTRY.values() for file in record.files}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" or path.name in published:
            return path
    raise WeightsNotFoundError(f"{folder}: the folder holds no weights file")


def folders(record: WeightsRecord) -> list[Path]:
    """Returns the folders searched for the weights, in order."""
    return [BUNDLED, *weights_folders(record.name)]
