"""A confusion matrix of names."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from facekit.errors import InvalidArgumentError
from facekit.evaluation.plots.names import checked_names, in_order
from facekit.utils.figures import axes_or_new, plain
from facekit.utils.validation import STRANGER, choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# With more cells, the numbers would be illegible.
_MOST_WITH_NUMBERS = 25


def plot_confusion(
    names: Sequence[str | None],
    predicted: Sequence[str | None],
    *,
    normalize: Literal["true", "pred", "all"] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws how often each person is named correctly, mistaken for another, or not named.

    Rows are people, columns are the names given. Strangers and unnamed faces are in the last row
    and column.

    Args:
        names: The person in each face, ``None`` for a stranger.
        predicted: The name given to each, as :meth:`facekit.IdentityClassifier.predict` returns it,
            ``None`` for none.
        normalize: ``None`` shows numbers of faces; ``"true"`` shares of the row, ``"pred"`` of the
            column, ``"all"`` of the total.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes drawn on.

    Raises:
        InvalidArgumentError: If there are no names, ``predicted`` has another length, an item is
            not a name, or ``normalize`` is invalid.

    Example:
        >>> from facekit.evaluation import plot_confusion
        >>> ax = plot_confusion(["Ada", "Ada", "Grace", None], ["Ada", None, "Grace", None])
        >>> [label.get_text() for label in ax.get_xticklabels()]
        ['Ada', 'Grace', 'unknown']

    References:
        ``sklearn.metrics.ConfusionMatrixDisplay``, which draws it.
    """
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    shown, given = checked_names("names", names), checked_names("predicted", predicted)
    if not shown or len(shown) != len(given):
        raise InvalidArgumentError(
            "names and predicted must be equally long and not empty, got "
            f"{len(shown)} and {len(given)}"
        )
    if normalize is not None:
        choice(normalize, "normalize", ("true", "pred", "all"))
    # By number, because a person may also be called "unknown".
    people = in_order([*shown, *given])
    numbers = {name: number for number, name in enumerate(people)}
    with warnings.catch_warnings():
        # For a single label, scikit-learn warns about missing labels although they are given.
        warnings.filterwarnings("ignore", "A single label was found")
        matrix = confusion_matrix(
            [numbers[name] for name in shown],
            [numbers[name] for name in given],
            labels=range(len(people)),
            normalize=normalize,
        )
    with_numbers = len(people) <= _MOST_WITH_NUMBERS
    side = min(max(3.5, 1.5 + 0.45 * len(people)), 14.0)
    ax = axes_or_new(ax, side if with_numbers else 1.15 * side, side)
    ConfusionMatrixDisplay(
        matrix, display_labels=[STRANGER if name is None else plain(name) for name in people]
    ).plot(
        ax=ax,
        include_values=with_numbers,
        values_format="d" if normalize is None else ".2f",
        xticks_rotation="vertical" if len(people) > 3 else "horizontal",
        cmap="Blues",
        colorbar=not with_numbers,
    )
    ax.set(xlabel="Name given", ylabel="Person shown")
    return ax
