"""Rows grouped by label."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def rows_by_label(labels: npt.NDArray[Any]) -> list[npt.NDArray[np.int64]]:
    """Returns the rows of each label, in the order of the labels; rows keep their order."""
    order = np.argsort(labels, kind="stable")
    starts = np.unique(labels[order], return_index=True)[1]
    return np.split(order, starts[1:]) if len(labels) else []
