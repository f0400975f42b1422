"""Which layers are trained: the head, the last blocks, or all; the others are frozen."""

from __future__ import annotations

from typing import Any

from facekit.embedding.networks.names import BATCH_NORMALIZATION_SUFFIX, HEAD_LAYER
from facekit.errors import InvalidArgumentError

HEAD = "head"
LAST_BLOCKS = "last-blocks"
ALL = "all"

# The last reduction: after it come the C blocks, and the head.
_LAST_REDUCTION = "Mixed_7a"


def set_trainable(network: Any, what: str, *, freeze_batch_normalization: bool = False) -> None:
    """Makes the end of a network trainable; a frozen batch normalization stays in inference."""
    first = _first_trainable(network, what)
    for index, layer in enumerate(network.layers):
        normalizes = layer.name.endswith(BATCH_NORMALIZATION_SUFFIX)
        layer.trainable = index >= first and not (freeze_batch_normalization and normalizes)


def _first_trainable(network: Any, what: str) -> int:
    # Layers are in the order in which data flows, so that whatever follows a block comes after it.
    names = [layer.name for layer in network.layers]
    if what == ALL:
        return 0
    if what == HEAD:
        return names.index(HEAD_LAYER)
    block = _LAST_REDUCTION if what == LAST_BLOCKS else what
    of_block = [
        index for index, name in enumerate(names) if name == block or name.startswith(f"{block}_")
    ]
    if not of_block:
        blocks = [name.removesuffix("_Add") for name in names if name.endswith("_Add")]
        raise InvalidArgumentError(
            f'trainable must be "{HEAD}", "{LAST_BLOCKS}", "{ALL}" or the name of a block, got '
            f"{what!r}; this network's blocks are {', '.join(blocks)}"
        )
    return of_block[-1] + 1 if what == LAST_BLOCKS else of_block[0]
