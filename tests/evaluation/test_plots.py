"""The plots: axes in, axes out, and nothing left open."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from facekit import InvalidArgumentError, load_image
from facekit.evaluation import plot_confusion, plot_distances, plot_embeddings, plot_roc
from facekit.evaluation.verification import RocCurve, roc
from facekit.utils.figures import GRAY, MARKERS
from tests.plotting import check_that_pyplot_is_left_alone

DISTANCES = [0.4, 0.6, 0.9, 0.5, 1.1, 1.3, 1.2, 0.8]
SAME = [True, True, True, False, False, False, False, False]


def legend_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plot_roc({"example": roc(DISTANCES, SAME)}, ax=ax),
        lambda ax: plot_distances(DISTANCES, SAME, threshold=0.9, ax=ax),
        lambda ax: plot_confusion(["Ada", None], ["Ada", "Ada"], ax=ax),
        lambda ax: plot_embeddings(np.eye(4), ["Ada", "Ada", "Grace", None], ax=ax),
    ],
    ids=["roc", "distances", "confusion", "embeddings"],
)
def test_axes_are_drawn_on_and_pyplot_is_left_alone(draw: Any) -> None:
    check_that_pyplot_is_left_alone(draw)


# ROC curves.


@pytest.fixture
def curve() -> RocCurve:
    return roc(DISTANCES, SAME)


def test_the_axes_are_labeled(curve: RocCurve) -> None:
    ax = plot_roc({"example": curve})
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("False-match rate", "True-accept rate")


def test_the_false_accept_rate_is_logarithmic_from_the_smallest_rate(curve: RocCurve) -> None:
    ax = plot_roc({"example": curve})
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert ax.get_xlim() == (pytest.approx(1 / 5), 1.0)


def test_every_curve_has_its_name_and_numbers(curve: RocCurve) -> None:
    other = roc(DISTANCES[::-1], SAME)
    ax = plot_roc({"first": curve, "second": other})
    assert legend_of(ax) == ["first", "second"]
    assert ax.lines[0].get_color() != ax.lines[1].get_color()
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    for line, drawn in zip(ax.lines, (curve, other), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), drawn.false_match_rate)
        np.testing.assert_array_equal(line.get_ydata(), drawn.true_accept_rate)


def test_a_plot_can_be_written(curve: RocCurve, tmp_path: Path) -> None:
    path = tmp_path / "roc.png"
    plot_roc({"example": curve}).figure.savefig(path)
    assert load_image(path).std() > 0


def test_a_single_pair_of_strangers_is_enough() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plot_roc({"example": roc([0.1, 0.5], [True, False])})
    left, right = ax.get_xlim()
    assert 0 < left < right == 1.0


@pytest.mark.parametrize("curves", [{}, {"a": [0.1]}, roc(DISTANCES, SAME), [], "roc", np.eye(2)])
def test_what_are_no_curves_is_refused(curves: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="curves must"):
        plot_roc(curves)


# Distances.

distance = st.floats(0, 2)


def heights_of(patch: Any) -> set[float]:
    return {float(y) for _, y in patch.get_xy()}


@given(
    pairs=st.lists(st.tuples(distance, st.booleans()), min_size=1, max_size=40),
    bins=st.integers(1, 30),
)
def test_each_histogram_is_a_share_of_its_kind(pairs: Any, bins: int) -> None:
    distances, same = (np.array(column) for column in zip(*pairs, strict=True))
    ax = plot_distances(distances, same, bins=bins, ax=Figure().add_subplot())
    assert len(ax.patches) == len(set(same.tolist()))
    edges = np.linspace(distances.min(), distances.max(), bins + 1)
    for patch, kind in zip(ax.patches, [k for k in (True, False) if k in same], strict=True):
        if np.ptp(distances) > 1e-3:
            counts, _ = np.histogram(distances[same == kind], edges)
            share = counts.max() / (same == kind).sum()
            assert max(heights_of(patch)) == pytest.approx(share)
        number = int((same == kind).sum())
        assert any(f"({number:,} pair" in text for text in legend_of(ax))


@given(threshold=st.floats(-5, 5))
def test_the_threshold_stands_where_it_is(threshold: float) -> None:
    ax = plot_distances(DISTANCES, SAME, threshold=threshold, ax=Figure().add_subplot())
    (line,) = ax.lines
    assert set(line.get_xdata()) == {threshold}
    assert legend_of(ax)[-1] == f"threshold {threshold:.4g}"


def test_without_a_threshold_there_is_no_line() -> None:
    ax = plot_distances(DISTANCES, SAME)
    assert not ax.lines
    assert legend_of(ax) == ["one person (3 pairs)", "two people (5 pairs)"]
    assert ax.get_xlabel() == "Distance"


def test_the_kinds_differ_in_more_than_the_color() -> None:
    one, two = plot_distances(DISTANCES, SAME).patches
    assert one.get_edgecolor() != two.get_edgecolor()
    assert (one.get_hatch(), one.get_fill()) != (two.get_hatch(), two.get_fill())


def test_edges_may_be_given() -> None:
    one, _ = plot_distances([0.1, 0.2, 0.7, 5.0], [1, 1, 1, 0], bins=[0, 0.5, 1]).patches
    assert {float(x) for x, _ in one.get_xy()} == {0.0, 0.5, 1.0}
    assert sorted(heights_of(one)) == pytest.approx([0, 1 / 3, 2 / 3])


@pytest.mark.parametrize("distances", [[0.5, 0.5], [1.0, np.nextafter(1.0, 2)], [0, 0]])
def test_equal_distances_have_a_histogram(distances: Any) -> None:
    assert len(plot_distances(distances, [True, False]).patches) == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (([], []), "distances must hold at least one pair"),
        (([0.1, 0.2], [True]), r"equally long, got \(2,\) and \(1,\)"),
        (([[0.1]], [[True]]), r"one-dimensional.*\(1, 1\)"),
        (([0.1, np.nan], [True, False]), "distances must be finite numbers, got nan at 1"),
        (([np.inf], [True]), "got inf at 0"),
        ((["far"], [True]), "distances must hold real numbers"),
        (([1, 0], [0.4, 1.3]), r"same must hold true and false only, got \[0.4, 1.3\]"),
    ],
)
def test_pairs_that_cannot_be_drawn(arguments: Any, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        plot_distances(*arguments)


@pytest.mark.parametrize("threshold", [np.nan, np.inf, "0.9"])
def test_a_threshold_must_be_a_number(threshold: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"threshold must be .*{threshold}"):
        plot_distances(DISTANCES, SAME, threshold=threshold)


@pytest.mark.parametrize("bins", [0, -1, True, [1.0], [1, 0], [0, np.nan], "auto", 2.5, [[0, 1]]])
def test_bins_must_be_usable(bins: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="bins must"):
        plot_distances(DISTANCES, SAME, bins=bins)


# Confusion.


def matrix_of(ax: Any) -> Any:
    return np.asarray(ax.images[0].get_array())


name = st.sampled_from(["Ada", "Grace", "unknown", "$x$", None])


@given(st.lists(st.tuples(name, name), min_size=1, max_size=30))
def test_every_face_is_counted_once(pairs: Any) -> None:
    shown, predicted = zip(*pairs, strict=True)
    ax = plot_confusion(shown, predicted, ax=Figure().add_subplot())
    people = sorted({*shown, *predicted} - {None}) + [None] * (None in {*shown, *predicted})
    matrix = matrix_of(ax)
    assert matrix.shape == (len(people), len(people))
    for i, person in enumerate(people):
        for j, other in enumerate(people):
            assert matrix[i, j] == pairs.count((person, other))


def test_unknown_comes_last_and_names_are_as_they_are() -> None:
    ax = plot_confusion(["Zoe", None, "$Ada$"], [None, None, "Zoe"])
    labels = [r"\$Ada\$", "Zoe", "unknown"]
    assert [label.get_text() for label in ax.get_xticklabels()] == labels
    assert [label.get_text() for label in ax.get_yticklabels()] == labels
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Name given", "Person shown")
    assert [text.get_text() for text in ax.texts] == ["0", "1", "0", "0", "0", "1", "0", "0", "1"]


@pytest.mark.parametrize(
    ("normalize", "sums"),
    [("true", {"axis": 1}), ("pred", {"axis": 0}), ("all", {})],
)
def test_shares_add_up_to_one(normalize: Any, sums: dict[str, int]) -> None:
    shown, predicted = ["Ada", "Ada", "Bo", None], ["Ada", "Bo", "Bo", None]
    ax = plot_confusion(shown, predicted, normalize=normalize)
    np.testing.assert_allclose(matrix_of(ax).sum(**sums), 1)
    assert all("." in text.get_text() for text in ax.texts)


def test_many_people_have_a_scale_instead_of_numbers() -> None:
    people = [f"person {index}" for index in range(30)]
    ax = plot_confusion(people, people)
    assert not ax.texts
    assert len(ax.figure.axes) == 2
    assert len(plot_confusion(people[:5], people[:5]).figure.axes) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (([], []), "equally long and not empty, got 0 and 0"),
        ((["Ada"], ["Ada", None]), "got 1 and 2"),
        (("Ada", ["Ada"]), "names must be a sequence of names, got 'Ada'"),
        ((["Ada"], None), "predicted must be a sequence of names, got None"),
        ((["Ada"], [3]), "predicted must hold strings and None, got 3"),
        (([float("nan")], ["Ada"]), "names must hold strings and None, got nan"),
    ],
)
def test_names_that_cannot_be_drawn(arguments: Any, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        plot_confusion(*arguments)


def test_an_unknown_normalization_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"normalize must be .* got 'rows'"):
        plot_confusion(["Ada"], ["Ada"], normalize="rows")  # type: ignore[arg-type]


# A map of embeddings.


def embeddings_of(number: int, size: int = 8) -> Any:
    return np.random.default_rng(number).normal(size=(number, size))


@given(st.lists(st.sampled_from(["Ada", "Grace", "_x", "Zoe", None]), min_size=3, max_size=30))
def test_every_embedding_is_a_point_of_its_person(labels: list[str | None]) -> None:
    ax = plot_embeddings(embeddings_of(len(labels)), labels, ax=Figure().add_subplot())
    people = sorted({label for label in labels if label is not None})
    groups = [*people, *([None] if None in labels else [])]
    assert legend_of(ax) == ["unknown" if group is None else group for group in groups]
    counts = [len(points.get_offsets()) for points in ax.collections]
    assert counts == [labels.count(group) for group in groups]


def test_pca_keeps_what_lies_in_a_plane() -> None:
    plane = np.linalg.qr(embeddings_of(9, 2).T @ embeddings_of(9, 9))[1][:2]
    flat = embeddings_of(20, 2)
    axes = np.linalg.svd(plane, full_matrices=False)[2]
    ax = plot_embeddings(flat @ axes, ["Ada"] * 20)
    places = np.asarray(ax.collections[0].get_offsets())
    before, after = (np.linalg.norm(p[:, None] - p[None], axis=2) for p in (flat, places))
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert ax.get_xlabel().startswith("First principal component (")


@pytest.mark.parametrize("number", [3, 5, 40])
def test_tsne_takes_few_points_and_gives_the_same_map_again(number: int) -> None:
    embeddings, labels = embeddings_of(number), ["Ada", "Grace", None] * number
    first, second = (
        plot_embeddings(embeddings, labels[:number], method="tsne", seed=1) for _ in range(2)
    )
    for one, other in zip(first.collections, second.collections, strict=True):
        assert np.isfinite(one.get_offsets()).all()
        np.testing.assert_array_equal(one.get_offsets(), other.get_offsets())
    assert first.get_xlabel() == "t-SNE, first dimension"


def test_people_differ_in_color_and_marker_and_strangers_are_gray() -> None:
    labels = [f"person {index}" for index in range(len(MARKERS))] + [None]
    ax = plot_embeddings(embeddings_of(len(labels)), labels)
    *people, strangers = ax.collections
    shapes = {points.get_paths()[0].vertices.tobytes() for points in ax.collections}
    assert len(shapes) == len(labels)
    assert to_hex(strangers.get_edgecolor()[0]) == GRAY.lower()
    assert GRAY.lower() not in {to_hex(points.get_facecolor()[0]) for points in people}
    assert people[0].get_facecolor().tolist() != people[1].get_facecolor().tolist()


def test_names_of_many_people_stand_at_their_points() -> None:
    labels = [f"person {index}" for index in range(30)] * 3
    ax = plot_embeddings(embeddings_of(90), labels)
    assert ax.get_legend() is None
    assert [text.get_text() for text in ax.texts] == sorted(set(labels))
    for text, points in zip(ax.texts, ax.collections, strict=True):
        np.testing.assert_allclose(text.xy, np.median(np.asarray(points.get_offsets()), axis=0))


@pytest.mark.parametrize(
    ("embeddings", "labels", "problem"),
    [
        (embeddings_of(2), ["a", "b"], r"at least 3 of .* for a map, got \(2, 8\)"),
        (np.empty((0, 4)), [], r"at least 3 of .* for a map, got \(0, 4\)"),
        (embeddings_of(3, 1), ["a"] * 3, r"at least 2 components .* got \(3, 1\)"),
        (np.zeros(4), ["a"] * 4, r"must be \(n, d\).*got \(4,\)"),
        ([["x", "y"]] * 3, ["a"] * 3, "embeddings must hold real numbers"),
        ([[0, 1], [np.nan, 0], [1, 0]], ["a"] * 3, "finite numbers, row 1 does not"),
        (np.ones((5, 4)), ["a"] * 5, "must differ, got the same one 5 times"),
        (np.zeros((3, 4)), ["a"] * 3, "must differ, got the same one 3 times"),
        (embeddings_of(3), ["a", "b"], "labels must be one for each embedding, got 2 for 3"),
        (embeddings_of(3), "abc", "labels must be a sequence of names, got 'abc'"),
        (embeddings_of(3), ["a", "b", 3], "labels must hold strings and None, got 3"),
    ],
)
def test_embeddings_that_cannot_be_drawn(embeddings: Any, labels: Any, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        plot_embeddings(embeddings, labels)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"method": "umap"}, 'method must be "pca" or "tsne", got .umap'),
        ({"seed": -1}, "seed must be .* got -1"),
        ({"seed": 0.5}, "seed must be .* got 0.5"),
    ],
)
def test_method_and_seed_must_be_known(arguments: Any, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        plot_embeddings(embeddings_of(3), ["a"] * 3, **arguments)
