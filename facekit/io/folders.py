"""The images of a folder, and what is skipped and why."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from facekit.errors import ImageError, InvalidArgumentError
from facekit.io.files import exists, is_folder, real_path, without_nul
from facekit.io.images import HEIC_SUFFIXES, image_suffixes
from facekit.utils.reasons import why
from facekit.utils.terminal import printable

UNREADABLE_FOLDER = "an unreadable folder"
"""The reason for which a subfolder is passed over that may hold images."""

_NAMED = 3


@dataclass(frozen=True)
class PassedOver:
    """A file or folder that is not read, and why.

    Args:
        path: Where it is.
        reason: Why it is not read, e.g. ``"not an image, by its name"``.

    Example:
        >>> from pathlib import Path
        >>> from facekit.io.folders import PassedOver
        >>> PassedOver(Path("notes.txt"), "not an image, by its name").path.name
        'notes.txt'
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class ImageListing:
    """The images of a folder.

    Args:
        folder: The folder.
        images: The files with the endings of images, sorted; files of a folder come before those of
            its subfolders.
        passed_over: Everything else except hidden files, in the same order.

    Example:
        >>> from pathlib import Path
        >>> from facekit.io.folders import ImageListing, PassedOver
        >>> listing = ImageListing(
        ...     Path("album"),
        ...     images=(Path("album/a.jpg"),),
        ...     passed_over=(PassedOver(Path("album/b.mov"), "not an image, by its name"),))
        >>> listing.summary()
        'album: 1 passed over: 1 not an image, by its name (b.mov)'
    """

    folder: Path
    images: tuple[Path, ...]
    passed_over: tuple[PassedOver, ...] = ()

    def summary(self) -> str:
        """Returns a sentence on what was skipped; empty if nothing was."""
        if not self.passed_over:
            return ""
        reasons = Counter(item.reason for item in self.passed_over)
        parts = []
        for reason, number in reasons.items():
            names = [item.path.name for item in self.passed_over if item.reason == reason]
            more = ", …" if number > _NAMED else ""
            parts.append(f"{number} {reason} ({', '.join(names[:_NAMED])}{more})")
        total = len(self.passed_over)
        return printable(f"{self.folder}: {total} passed over: {'; '.join(parts)}")

    def checked(self) -> ImageListing:
        """Returns the listing itself if it has images.

        Raises:
            ImageError: If it has none; the message is the summary.
        """
        if self.images:
            return self
        raise ImageError(self.summary() or f"{self.folder}: the folder holds no images")


def check_output_folder(
    output: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]], *, deep: bool = False
) -> None:
    """Checks that an output can be a folder and, if ``deep``, is not below those to be read."""
    try:
        target = real_path(without_nul(Path(output)))
    except OSError as error:
        raise InvalidArgumentError(f"{printable(output)}: is not a valid path ({error})") from error
    there = next(path for path in (target, *target.parents) if exists(path))
    if not there.is_dir():
        raise InvalidArgumentError(f"{output}: is not a folder, nor can it be one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidArgumentError(f"{output}: cannot be written; {there} is read-only")
    for path in map(Path, inputs):
        folder = real_path(path if is_folder(path) else path.parent)
        if target == folder or (deep and is_folder(path) and folder in target.parents):
            raise InvalidArgumentError(
                f"{output}: would mix results with the images in {folder}, to be read or "
                "overwritten later; use a new folder"
            )


def list_images(folder: str | os.PathLike[str], *, recursive: bool = False) -> ImageListing:
    """Lists the images in a folder by the endings of their names.

    Hidden files and folders are left out. A link to a file is followed, a link to a folder is not.
    Only regular files are images. HEIC files are images if the extra ``heic`` is installed. Names
    that are not UTF-8 are kept as Python keeps them (``surrogateescape``), and can be opened.

    Args:
        folder: The folder.
        recursive: Whether to search subfolders as well.

    Returns:
        The images, and everything that was skipped, such as files that are not images, HEIC files
        without the extra, folders that cannot be read, links to folders, and anything but regular
        files. Without ``recursive``, subfolders are not mentioned.

    Raises:
        ImageError: If the folder is missing, is not a folder or cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> from facekit.io.folders import list_images
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> (folder / "2024").mkdir()
        >>> for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "2024/c.jpg"):
        ...     (folder / name).touch()
        >>> [path.name for path in list_images(folder).images]
        ['a.JPG', 'b.png']
        >>> listing = list_images(folder, recursive=True)
        >>> [path.relative_to(folder).as_posix() for path in listing.images]
        ['a.JPG', 'b.png', '2024/c.jpg']
        >>> [item.path.name for item in listing.passed_over]
        ['notes.txt']
    """
    top = Path(folder)
    images: list[Path] = []
    passed_over: list[PassedOver] = []
    waiting = [top]
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except (OSError, ValueError) as error:
            if current == top:
                raise ImageError(f"{printable(top, limit=200)}: {why_no_folder(error)}") from error
            passed_over.append(PassedOver(current, UNREADABLE_FOLDER))
            continue
        folders = []
        for entry in found:
            if entry.name.startswith("."):
                continue
            path = current / entry.name
            if is_folder(path):
                if not recursive:
                    continue
                if entry.is_symlink():
                    passed_over.append(PassedOver(path, "a link to a folder"))
                else:
                    folders.append(path)
            elif reason := _why_passed_over(entry):
                passed_over.append(PassedOver(path, reason))
            else:
                images.append(path)
        waiting += reversed(folders)
    return ImageListing(top, tuple(images), tuple(passed_over))


def _why_passed_over(entry: os.DirEntry[str]) -> str | None:
    suffix = Path(entry.name).suffix.lower()
    if suffix not in image_suffixes():
        if suffix in HEIC_SUFFIXES:
            return "HEIC, which needs the extra: pip install 'facekit-recognition[heic]'"
        return "not an image, by its name"
    try:
        return None if stat.S_ISREG(entry.stat().st_mode) else "not a regular file"
    except OSError:
        return "a broken link"


def why_no_folder(error: Exception) -> str:
    """Returns why a folder cannot be listed."""
    if isinstance(error, FileNotFoundError):
        return "no such folder"
    if isinstance(error, NotADirectoryError):
        return "is a file, not a folder"
    return f"the folder cannot be read ({why(error)})"
