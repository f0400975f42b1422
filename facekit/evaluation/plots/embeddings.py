"""A two-dimensional map of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from facekit.errors import InvalidArgumentError
from facekit.evaluation.plots.names import checked_names, in_order
from facekit.utils.figures import GRAY, MARKERS, PALETTE, add_legend, axes_or_new, plain
from facekit.utils.validation import STRANGER, choice, vectors, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]

_FEWEST = 3
_MOST_IN_LEGEND = 24
_PERPLEXITY = 30.0
# Up to this size, exact gradients are faster than the tree-based approximation.
_EXACT = 400


def plot_embeddings(
    embeddings: npt.ArrayLike,
    labels: Sequence[str | None],
    *,
    method: Literal["pca", "tsne"] = "pca",
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draws embeddings as a two-dimensional map.

    ``"pca"`` shows the two directions in which the embeddings differ most; points that are far
    apart on the map are far apart in the embedding, but not vice versa. ``"tsne"`` shows which
    embeddings are neighbors; the sizes of groups and distances between them are meaningless.

    Each person has a color and a marker; strangers are gray crosses. With many people, names are
    written above their points instead of in a legend.

    Args:
        embeddings: float ``(n, d)``, at least 3 of at least 2 dimensions.
        labels: The person of each embedding, ``None`` if unknown.
        method: ``"pca"`` or ``"tsne"``. The perplexity of t-SNE is 30, or a third of ``n - 1`` if
            that is less.
        seed: The same seed gives the same map.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes drawn on. Their collections are the people in alphabetical order, then strangers.

    Raises:
        InvalidArgumentError: If the embeddings are too few, all equal, not finite or of another
            shape, the labels do not match, or the method or seed is invalid.

    Example:
        >>> from facekit.evaluation import plot_embeddings
        >>> ax = plot_embeddings([[1, 0], [0.8, 0.6], [-1, 0]], ["Ada", "Ada", None])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['Ada', 'unknown']

    References:
        ``sklearn.decomposition.PCA``; ``sklearn.manifold.TSNE``, after L. van der Maaten and
        G. Hinton, "Visualizing Data using t-SNE", Journal of Machine Learning Research 9, 2008.
    """
    values = _checked(embeddings)
    people = checked_names("labels", labels)
    if len(people) != len(values):
        raise InvalidArgumentError(
            f"labels must be one for each embedding, got {len(people)} for {len(values)}"
        )
    choice(method, "method", ("pca", "tsne"))
    seed = whole(seed, "seed", least=0, most=2**32 - 1)
    places, axis_labels = (_pca if method == "pca" else _tsne)(values, seed)
    ax = axes_or_new(ax, 6, 4.5)
    groups = in_order(people)
    with_legend = len(groups) <= _MOST_IN_LEGEND
    for index, name in enumerate(groups):
        points = places[[person == name for person in people]]
        if name is None:
            ax.scatter(
                points[:, 0], points[:, 1], s=22, marker="x", color=GRAY, linewidths=1, zorder=1.5
            )
            continue
        ax.scatter(
            points[:, 0],
            points[:, 1],
            s=36,
            marker=MARKERS[index % len(MARKERS)],
            color=PALETTE[index % len(PALETTE)],
            edgecolors="white",
            linewidths=0.5,
        )
        if not with_legend:
            x, y = np.median(points, axis=0).tolist()
            ax.annotate(
                plain(name), (x, y), (0, 5), textcoords="offset points", size=7, ha="center"
            )
    ax.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
    ax.set_aspect("equal", adjustable="datalim")
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)
    if method == "tsne":
        ax.tick_params(labelbottom=False, labelleft=False, length=0)
    if with_legend:
        shown = [STRANGER if name is None else name for name in groups]
        beside = {
            "loc": "center left",
            "bbox_to_anchor": (1.01, 0.5),
            "ncols": 1 + (len(shown) > 14),
        }
        add_legend(ax, ax.collections[-len(groups) :], shown, **beside)
    return ax


def _pca(values: FloatArray, seed: int) -> tuple[FloatArray, tuple[str, str]]:
    from sklearn.decomposition import PCA

    model = PCA(n_components=2, random_state=seed)
    places = model.fit_transform(values)
    first, second = (
        f"{which} principal component ({100 * share:.0f} % of the variance)"
        for which, share in zip(
            ("First", "Second"), model.explained_variance_ratio_.tolist(), strict=True
        )
    )
    return places, (first, second)


def _tsne(values: FloatArray, seed: int) -> tuple[FloatArray, tuple[str, str]]:
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, max(1.0, (len(values) - 1) / 3))
    model = TSNE(
        n_components=2,
        perplexity=perplexity,
        method="exact" if len(values) <= _EXACT else "barnes_hut",
        random_state=seed,
    )
    places: FloatArray = model.fit_transform(values).astype(np.float64)
    return places, ("t-SNE, first dimension", "t-SNE, second dimension")


def _checked(embeddings: npt.ArrayLike) -> FloatArray:
    values = vectors(embeddings, None, "embeddings").astype(np.float64)
    if len(values) < _FEWEST or values.shape[1] < 2:
        raise InvalidArgumentError(
            f"embeddings must be at least {_FEWEST} of at least 2 components for a map, got "
            f"{values.shape}"
        )
    if np.ptp(values, axis=0).max() <= 1e-12 * np.abs(values).max():
        raise InvalidArgumentError(f"embeddings must differ, got the same one {len(values)} times")
    return values
