"""What tensorflow-addons 0.23.0 answered, committed, so that any backend is held to it.

``FACEKIT_ADDONS_PYTHON=.venv-addons/bin/python python tests/golden_losses.py`` writes the file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).with_name("parity")))

from addons_session import AddonsSession, Case, embeddings_of

FILE = Path(__file__).with_name("golden_losses.npz")
_FIELDS = ("loss", "labels", "embeddings", "dtype", "distance_metric", "margin", "soft")


def golden_cases() -> Iterator[tuple[Case, float, np.ndarray]]:
    """Yields each case with the loss and the gradient of tensorflow-addons."""
    with np.load(FILE, allow_pickle=False) as arrays:
        for index in range(int(arrays["count"])):
            fields = {name: arrays[f"{index}/{name}"] for name in _FIELDS}
            fields = {name: x if x.ndim else x.item() for name, x in fields.items()}
            yield Case(**fields), arrays[f"{index}/value"].item(), arrays[f"{index}/gradient"]


def _write(session: AddonsSession) -> None:
    random, arrays, count = np.random.default_rng(0), {}, 0
    for loss, soft in (("semihard", False), ("hard", False), ("hard", True)):
        for metric in ("L2", "squared-L2", "angular"):
            for kind, dtype in (
                ("random", "float32"),
                ("unit", "float32"),
                ("unit", "float16"),
                ("unit", "bfloat16"),
            ):
                for margin in (0.2, 1.0):
                    size = int(random.integers(2, 17))
                    embeddings = embeddings_of(kind, size, 6, random)
                    case = Case(
                        loss,
                        # At least one pair of one label, without which the answer may be NaN.
                        np.append(random.integers(size // 4 + 1, size=size - 2), [0, 0]),
                        embeddings.astype("float16" if dtype == "float16" else "float32"),
                        dtype,
                        metric,
                        margin,
                        soft,
                    )
                    answer = session.ask(case)
                    named = {name: getattr(case, name) for name in _FIELDS}
                    named |= {"value": answer["loss"], "gradient": answer["gradient"]}
                    arrays |= {f"{count}/{name}": np.asarray(x) for name, x in named.items()}
                    count += 1
    np.savez_compressed(FILE, count=count, **arrays)
    print(f"{count} cases, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    _write(AddonsSession(os.environ["FACEKIT_ADDONS_PYTHON"]))
