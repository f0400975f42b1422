"""Measures how well faces are grouped into people, beside other ways of clustering.

    python benchmarks/clustering.py lfw five_celebrities/train --cache embeddings/
    python benchmarks/clustering.py --synthetic 20000

reads folders with one folder of photos per person, and takes of each photo the face nearest to the
middle to be that person's. Printed are, for several thresholds: precision and recall of pairs (of
the pairs of faces that are put together, how many are one person's; of one person's, how many are
put together), BCubed precision, recall and F (the same for each face and averaged, so that people
with many photos count no more than others), and the number of groups of two faces or more. A face
that is not grouped counts as a group of its own. The other methods are scikit-learn's HDBSCAN and
DBSCAN, SciPy's average linkage, and the package ``chinese-whispers`` if it is installed.

``--synthetic`` clusters this many random faces of people with 20 photos each, at the threshold for
their number, and prints the time, the largest memory of the process and the same scores.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from results import add_record, in_data, record_if_asked
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_matrix
from scipy.spatial.distance import pdist
from sklearn.cluster import DBSCAN, HDBSCAN

from facekit import Detector, Embedder, cluster, load_image
from facekit.clustering.groups import linking_threshold
from facekit.embedding.weights.registry import DEFAULT_WEIGHTS, REGISTRY
from facekit.io.folders import list_images
from facekit.utils.progress import track

SCORES = ("pairs P", "pairs R", "BCubed P", "BCubed R", "BCubed F")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep the embeddings here")
    parser.add_argument("--synthetic", type=int, metavar="FACES")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME")
    add_record(parser)
    options = parser.parse_args()
    results = {}
    if options.synthetic:
        measured = _measure_size(options.synthetic, options.weights)
        record_if_asked(options, f"{options.synthetic} random faces", measured)
    embedder = Embedder(options.weights) if options.folders else None
    for folder in options.folders:
        embeddings, people = _embedded(folder, embedder, options.cache)
        print(
            f"{folder}: {len(people):,} faces of {len(set(people)):,} people, "
            f"{(np.unique(people, return_counts=True)[1] > 1).sum():,} of them with two or more"
        )
        print(f"{'':30} pairs P   pairs R  BCubed P  BCubed R  BCubed F  groups  mixed   seconds")
        rows: dict[str, dict[str, float]] = {}
        for name, method in _methods(embeddings, linking_threshold(embedder.record, len(people))):
            start = time.perf_counter()
            labels = method()
            seconds = time.perf_counter() - start
            scores = _scores(labels, people)
            figures = " ".join(f"{value:9.3f}" for value in scores)
            groups = int((np.bincount(labels[labels >= 0]) > 1).sum())
            mixed = max(len(set(people[labels == label])) for label in set(labels[labels >= 0]))
            counts = {"groups": groups, "people in one group": mixed}
            rows[name] = {**dict(zip(SCORES, scores, strict=True)), **counts}
            print(f"{name:28} {figures} {groups:7,} {mixed:6} {seconds:9.1f}", flush=True)
        results[in_data(folder)] = {
            "faces": len(people),
            "people": len(set(people)),
            "default": next(row for name, row in rows.items() if name.endswith("(default)")),
            "rows": rows,
        }
    if embedder is not None:
        record_if_asked(options, embedder.record.name, results, embedder.record.identity)


def _methods(
    embeddings: np.ndarray, default: float
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    for threshold in (0.75, 0.80, default, 0.867, 0.90, 0.971):
        mark = " (default)" if threshold == default else ""
        yield (
            f"facekit {threshold:.3f}{mark}",
            lambda t=threshold: cluster(embeddings, threshold=t).labels,
        )
    whispers = _package_whispers(embeddings)
    if whispers is not None:
        for threshold in (0.80, 0.867):
            yield f"chinese-whispers {threshold:.3f}", lambda t=threshold: whispers(t)
    tree = linkage(pdist(embeddings.astype(np.float64), "sqeuclidean"), "average")
    for threshold in (0.80, 0.867, 0.90, 0.971):
        yield (
            f"average linkage {threshold:.3f}",
            lambda t=threshold: fcluster(tree, t**2, "distance") - 1,
        )
    for threshold in (0.70, 0.75, 0.80):
        yield (
            f"DBSCAN {threshold:.3f}",
            lambda t=threshold: DBSCAN(eps=t, min_samples=1).fit_predict(embeddings),
        )
    yield "HDBSCAN", lambda: HDBSCAN(min_cluster_size=2, copy=True).fit_predict(embeddings)


def _package_whispers(embeddings: np.ndarray) -> Callable[[float], np.ndarray] | None:
    try:
        import networkx
        from chinese_whispers import aggregate_clusters, chinese_whispers
    except ModuleNotFoundError:
        return None

    def run(threshold: float) -> np.ndarray:
        similarity = embeddings @ embeddings.T
        first, second = np.nonzero(np.triu(similarity >= 1 - threshold**2 / 2, 1))
        graph = networkx.Graph()
        graph.add_nodes_from(range(len(embeddings)))
        graph.add_weighted_edges_from(
            zip(first.tolist(), second.tolist(), similarity[first, second].tolist(), strict=True)
        )
        chinese_whispers(graph, weighting="top", seed=0)
        labels = np.empty(len(embeddings), dtype=np.int64)
        for label, members in enumerate(aggregate_clusters(graph).values()):
            labels[list(members)] = label
        return labels

    return run


def _scores(labels: np.ndarray, people: np.ndarray) -> tuple[float, float, float, float, float]:
    alone = labels < 0
    labels = labels.copy()
    labels[alone] = labels.max() + 1 + np.arange(alone.sum())
    _, labels = np.unique(labels, return_inverse=True)
    _, truth = np.unique(people, return_inverse=True)
    shared = coo_matrix((np.ones(len(labels)), (labels, truth))).tocsr().tocoo()
    sizes, true_sizes = np.bincount(labels), np.bincount(truth)

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1.0)).sum())

    precision = float((shared.data**2 / sizes[shared.row]).sum() / len(labels))
    recall = float((shared.data**2 / true_sizes[shared.col]).sum() / len(labels))
    return (
        pairs(shared.data) / max(1.0, pairs(sizes)),
        pairs(shared.data) / max(1.0, pairs(true_sizes)),
        precision,
        recall,
        2 * precision * recall / (precision + recall),
    )


def _embedded(
    folder: Path, embedder: Embedder, cache: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    kept = None if cache is None else cache / f"{'-'.join(folder.resolve().parts[-2:])}.npz"
    if kept is not None and kept.is_file():
        with np.load(kept, allow_pickle=False) as arrays:
            if str(arrays["weights"]) == embedder.record.identity:
                return arrays["embeddings"], arrays["people"]
    detector, aligner = Detector(), embedder.aligner()
    images = [
        image
        for person in sorted(folder.iterdir())
        if person.is_dir()
        for image in list_images(person).images
    ]
    people, aligned = [], []
    for image in track(images, "Finding faces", total=len(images), shown=True):
        pixels = load_image(image)
        middle = np.array(pixels.shape[1::-1]) / 2
        faces = detector.detect(pixels)
        if faces:
            face = min(faces, key=lambda face: np.hypot(*np.subtract(face.center, middle)))
            people.append(image.parent.name)
            aligned.append(aligner.align(pixels, [face])[0])
    embeddings = embedder.embed(aligned, progress=True)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            kept, weights=embedder.record.identity, embeddings=embeddings, people=np.array(people)
        )
    return embeddings, np.array(people)


def _measure_size(faces: int, weights: str) -> dict[str, float]:
    vectors, truth = _synthetic(faces)
    threshold = linking_threshold(REGISTRY[weights], faces)
    before, used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    start = time.perf_counter()
    found = cluster(vectors, threshold=threshold)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scores = dict(zip(SCORES, _scores(found.labels, truth), strict=True))
    print(
        f"{faces:,} random faces of {truth.max() + 1:,} people, threshold {threshold:.3f}: "
        f"{len(found.groups):,} groups, {seconds:.1f} s, {used:.1f} s of processor, "
        f"{(peak - before) / 1024:,.0f} MiB beside the {vectors.nbytes / 2**20:,.0f} MiB of "
        f"embeddings, {peak / 1024:,.0f} in all; "
        + ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    )
    return {
        "faces": faces,
        "groups": len(found.groups),
        "seconds": seconds,
        "processor seconds": used,
        "MiB beside the embeddings": (peak - before) / 1024,
        "MiB": peak / 1024,
        **scores,
    }


def _synthetic(faces: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns faces of people with 20 photos each, as far apart as those of real weights.

    The components differ in size, so that strangers come near each other as often as with
    ``facekit-small``; the distances of one person's faces lie between 0.65 and 0.97, mostly.
    """
    random = np.random.default_rng(0)
    sizes = np.exp(-np.arange(128) / 26).astype(np.float32)
    people = -(-faces // 20)

    def directions(count: int) -> np.ndarray:
        vectors = random.standard_normal((count, len(sizes)), dtype=np.float32) * sizes
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    centers, truth = directions(people), random.integers(0, people, faces)
    vectors = np.empty((faces, len(sizes)), dtype=np.float32)
    for start in range(0, faces, 100_000):
        part = slice(start, min(faces, start + 100_000))
        own = centers[truth[part]]
        vectors[part] = own + random.uniform(0.45, 0.95, (len(own), 1)) * directions(len(own))
        vectors[part] /= np.linalg.norm(vectors[part], axis=1, keepdims=True)
    return vectors, truth


if __name__ == "__main__":
    main()
