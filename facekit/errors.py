"""The errors and warnings of facekit, in one hierarchy; each message says what to do next.

Every error derives from :class:`FacekitError` and, where Python or scikit-learn has a customary
class for the same mistake (``ValueError``, ``FileNotFoundError``), from that one too, so that
existing ``except`` clauses keep working. The usual ones can be imported from ``facekit``, all of
them from ``facekit.errors``.
"""

from __future__ import annotations

from typing import Any


class FacekitError(Exception):
    """Base of every error that facekit raises on purpose.

    Example:
        >>> from facekit import FacekitError, load_image
        >>> try:
        ...     load_image("no_such_photo.jpg")
        ... except FacekitError as error:
        ...     print(error)
        no_such_photo.jpg: no such file; relative paths start at the working directory
    """


class InvalidArgumentError(FacekitError, ValueError):
    """An argument has an invalid value; the message names both."""


class ImageError(FacekitError, ValueError):
    """An image cannot be read, or the input is not an image; the message names the file."""


class BatchError(ImageError):
    """Some images of a batch cannot be read; the results of the others are in the error.

    Args:
        results: The result of each image, ``None`` for those that cannot be read.
        errors: The reasons, by index in the batch.
    """

    def __init__(self, results: list[Any], errors: dict[int, ImageError]) -> None:
        self.results = results
        self.errors = errors
        reasons = "; ".join(str(error) for error in errors.values())
        super().__init__(
            f"{len(errors)} of {len(results)} images cannot be used: {reasons}. What was found in "
            "the others is in this error's results"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception goes from process to process as its class and the message alone.
        return (type(self), (self.results, self.errors))


class WeightsError(FacekitError, ValueError):
    """A weights file is damaged, altered, or does not fit the network it should fill."""


class WeightsNotFoundError(WeightsError, FileNotFoundError):
    """The weights are not on this machine and could not be downloaded."""


class FileFormatError(FacekitError, ValueError):
    """A file is truncated, altered, of another kind, or from a newer version."""


class EnrollmentError(FacekitError, ValueError):
    """None of the images given can be enrolled, or a person is not enrolled."""


class ArchiveError(FacekitError, RuntimeError):
    """An archive is in use by another process, or a cluster lacks resources."""


class GalleryBusyError(FacekitError, TimeoutError):
    """Another process kept a gallery locked for too long; nothing was changed."""


class GalleryServerError(FacekitError, ConnectionError):
    """The database server of a gallery cannot be reached, or refuses a request."""


class MissingExtraError(FacekitError, ImportError):
    """A part of facekit needs a package that is not installed; the message names the extra."""


class NoFaceError(FacekitError, ValueError):
    """The detector finds no face in an image that should show one."""


class NotFittedError(FacekitError, ValueError, AttributeError):
    """A recognizer was asked for names before anyone was enrolled."""


class TrainingDataError(FacekitError, ValueError):
    """The faces given cannot be trained on: there are none, or too few people or images."""


class TrainingError(FacekitError, RuntimeError):
    """Training stopped, because continuing would ruin the network; the message says why."""


class FacekitWarning(UserWarning):
    """Base of every warning that facekit issues."""


class ImageWarning(FacekitWarning):
    """An image was used although part of its file is damaged; the message names the file."""


class EnrollmentWarning(FacekitWarning):
    """Some of the images given were left out or need a look; the message names them."""


class TrainingDataWarning(FacekitWarning):
    """The faces given can be trained on, but are of limited use; the message says why."""


class CalibrationWarning(FacekitWarning):
    """The enrolled people resemble each other more than the weights' table predicts."""


class RandomWeightsWarning(FacekitWarning):
    """An embedder runs with random weights because ``weights=None`` asked for them."""
