"""Events that TensorBoard shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from facekit.errors import InvalidArgumentError


class EventWriter:
    """Writes the rows of a history as events, one for each value.

    Args:
        folder: Where they go; ``tensorboard --logdir`` reads them there.

    Raises:
        InvalidArgumentError: If the package ``tensorboard`` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboard.summary import Writer
        except ImportError as error:
            raise InvalidArgumentError(
                "tensorboard=True needs the package tensorboard; pip install tensorboard"
            ) from error
        self._writer = Writer(str(folder))

    def write(self, row: Mapping[str, float]) -> None:
        """Writes the values of an epoch."""
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()
