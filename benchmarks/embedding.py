"""Measures embedders beside other ways of running the same networks.

    python benchmarks/embedding.py
    python benchmarks/embedding.py photos/known photo.jpg --start

The first times faces per second at batches of 1, 8, 32 and 128 for ``facekit-small``,
``inception-resnet-v2``, FaceNet and the full Inception-ResNet-v2 (random weights), each in
facekit's two engines, beside ``keras.Model.predict`` of the network that is not folded, a frozen
TensorFlow graph of it, and ``facenet-pytorch`` if it is installed; twice, where the embedding is a
mean with that of the mirror image. All run in one process, taking turns; medians are printed, and
the share of what the processor can do, measured by a product of two matrices in OpenVINO.

``--start`` instead times ``facekit recognize`` from the start of the process to its end, after one
run that is not counted.

``--engine`` instead compares another engine with the default one, by processor time on one thread,
and on aligned faces of the photos in the folder.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from detection import floating_point_limit
from results import add_record, record_if_asked

from facekit import Architecture, Detector, Embedder, load_image
from facekit.embedding.engines import Engine
from facekit.errors import RandomWeightsWarning

BATCHES = (1, 8, 32, 128)
Run = Callable[[np.ndarray], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("known", type=Path, nargs="?", help="a folder with one folder per person")
    parser.add_argument("photo", type=Path, nargs="?", help="a photo of one of them")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--engine", choices=get_args(Engine))
    parser.add_argument("--start", action="store_true")
    add_record(parser)
    options = parser.parse_args()
    if options.engine:
        record_if_asked(options, options.engine, beside_the_default(options.engine, options.known))
        return
    if options.start:
        record_if_asked(options, "start", start_to_end(options.known, options.photo))
        return
    limit = floating_point_limit()
    print(f"matrix product: {limit / 1e9:.0f} GFLOP/s; faces per second, share of that")
    warnings.simplefilter("ignore", RandomWeightsWarning)
    rows: dict[str, dict[str, Any]] = {}
    embedders = {
        "facekit-small": Embedder("facekit-small"),
        "inception-resnet-v2": Embedder("inception-resnet-v2"),
        "FaceNet": Embedder("facenet-20180402-vggface2"),
        "full Inception-ResNet-v2": Embedder(None, architecture=Architecture()),
    }
    for name, embedder in embedders.items():
        network, _ = embedder.to_network()
        flops = operations(network) * (2 if embedder.record.mirrored else 1)
        print(f"{name}: {embedder.record.name}, {flops / 1e9:.2f} GFLOP a face")
        runs = {"facekit": embedder.embed, **others(embedder, network)}
        rows[name] = {"GFLOP": flops / 1e9}
        if name == "FaceNet":
            runs.update(facenet_pytorch())
        for batch in BATCHES:
            side = embedder.input_size
            faces = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
            times = alternately(runs, faces, options.repeat)
            rows[name][str(batch)] = {
                "facekit ms": 1e3 * times["facekit"] / batch,
                **{way: seconds / times["facekit"] for way, seconds in times.items()},
            }
            for way, seconds in times.items():
                share = flops * batch / seconds / limit
                print(
                    f"  batch {batch:3}  {way:24} {batch / seconds:7.1f}/s  "
                    f"{1e3 * seconds / batch:6.1f} ms  {share:4.0%}"
                )
    results = {"GFLOP a second": limit / 1e9, "networks": rows}
    record_if_asked(options, "engines", results, embedders["facekit-small"].record.identity)


def beside_the_default(engine: Engine, folder: Path) -> dict[str, float]:
    """Returns an engine's times as shares of the default one's, and how far embeddings move."""
    exact, quick = Embedder(threads=1), Embedder(threads=1, engine=engine)
    detector, aligner = Detector(max_faces=1), exact.aligner()
    images = [load_image(image) for image in sorted(folder.glob("*/*.jpg"))]
    aligned = [aligner.align(image, detector.detect(image)) for image in images]
    faces = np.concatenate(aligned)
    found = {}
    for batch in (1, 32):
        part, shares = np.resize(faces, (batch, *faces.shape[1:])), []
        for _ in range(10):
            seconds = []
            for embedder in (exact, quick):
                start = time.process_time()
                embedder.embed(part)
                seconds.append(time.process_time() - start)
            shares.append(seconds[1] / seconds[0])
        found[f"share of the time, batch {batch}"] = statistics.median(shares)
    moved = np.linalg.norm(exact.embed(faces) - quick.embed(faces), axis=1)
    found |= {"faces": len(faces), "farthest moved": float(moved.max())}
    print(found)
    return found


def operations(network: Any) -> int:
    """Returns the multiplications and additions of the convolutions for a face."""
    convolutions = [layer for layer in network.layers if layer.__class__.__name__ == "Conv2D"]
    return sum(
        2 * int(np.prod(layer.output.shape[1:])) * int(np.prod(layer.kernel.shape[:-1]))
        for layer in convolutions
    )


def others(embedder: Embedder, network: Any) -> Mapping[str, Run]:
    """Returns other ways to run an embedder's network."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    with tempfile.TemporaryDirectory() as folder:
        embedder.save(Path(folder) / "same.safetensors")
        in_keras = Embedder(Path(folder) / "same.safetensors", engine="keras")
    shape = (None, *network.input_shape[1:])
    function = tf.function(lambda x: network(x, training=False)).get_concrete_function(
        tf.TensorSpec(shape, tf.float32)
    )
    frozen = convert_variables_to_constants_v2(function)

    def mirrored_too(run: Run) -> Run:
        return (lambda faces: (run(faces), run(faces[:, :, ::-1]))) if both else run

    both = embedder.record.mirrored
    return {
        "facekit, engine keras": in_keras.embed,
        "Keras predict": mirrored_too(
            lambda faces: network.predict(faces, batch_size=32, verbose=0)
        ),
        "frozen TensorFlow graph": mirrored_too(
            lambda faces: frozen(tf.constant(faces, tf.float32))
        ),
    }


def facenet_pytorch() -> Mapping[str, Run]:
    """Returns the network of ``facenet-pytorch``, or nothing if it is not installed."""
    try:
        import torch
        from facenet_pytorch import InceptionResnetV1
    except ImportError:
        print("  facenet-pytorch: not installed")
        return {}
    network = InceptionResnetV1().eval()

    def run(faces: np.ndarray) -> Any:
        with torch.no_grad():
            return network(torch.from_numpy(faces).permute(0, 3, 1, 2).float())

    return {"facenet-pytorch": run}


def alternately(runs: Mapping[str, Run], faces: np.ndarray, repeat: int) -> dict[str, float]:
    """Returns the median seconds of each, all taking turns."""
    seconds: dict[str, list[float]] = {way: [] for way in runs}
    for turn in range(repeat + 1):
        for way, run in runs.items():
            start = time.perf_counter()
            run(faces)
            if turn:
                seconds[way].append(time.perf_counter() - start)
    return {way: statistics.median(times) for way, times in seconds.items()}


def start_to_end(known: Path, image: Path) -> dict[str, float]:
    """Returns the seconds that ``facekit recognize`` takes, and its processor seconds."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "people.facekit"
        # As after an installation, the byte code of all modules is there, from the second run on.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}

        def run(*words: str | Path) -> tuple[float, resource.struct_rusage]:
            command = [sys.executable, "-m", "facekit", *words]
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
            _, process.returncode, usage = os.wait4(process.pid, 0)
            assert process.returncode == 0, command
            return time.perf_counter() - start, usage

        run("fit", known, model)
        runs = [run("recognize", model, image) for _ in range(8)][1:]
    found = {
        "seconds": statistics.median(seconds for seconds, _ in runs),
        "processor seconds": statistics.median(used.ru_utime + used.ru_stime for _, used in runs),
        "MiB": statistics.median(used.ru_maxrss / 1024 for _, used in runs),
    }
    print(found)
    return found


if __name__ == "__main__":
    main()
