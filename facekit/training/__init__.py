"""Training an embedder: faces, batches, augmentation.

The names are imported when they are first used, so that preparing faces does not load Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Augmentation": "facekit.training.augmentation",
    "BalancedBatches": "facekit.training.batches",
    "DatasetReport": "facekit.training.report",
    "FaceDataset": "facekit.training.dataset",
    "FaceOutcome": "facekit.training.report",
    "ShuffledBatches": "facekit.training.batches",
}

__all__ = [*_HOMES]

if TYPE_CHECKING:
    from facekit.training.augmentation import Augmentation as Augmentation
    from facekit.training.batches import BalancedBatches as BalancedBatches
    from facekit.training.batches import ShuffledBatches as ShuffledBatches
    from facekit.training.dataset import FaceDataset as FaceDataset
    from facekit.training.report import DatasetReport as DatasetReport
    from facekit.training.report import FaceOutcome as FaceOutcome


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
