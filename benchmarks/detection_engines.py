"""Compares engines that could run P-Net on the pyramid of an image.

    pip install onnx onnxruntime
    python benchmarks/detection_engines.py

runs P-Net of the ``mtcnn`` package on all levels of images of about 1024 × 768 pixels, with the
same weights and two threads: a TensorFlow function that takes any size, OpenCV's DNN module, ONNX
Runtime and OpenVINO likewise, and OpenVINO on facekit's mosaic of tiles of one size. Levels are
drawn before the clock starts. Two times are printed: for images of one size, and for images
each of a new size. What cannot be run here is left out.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from facekit.detection import tiling
from facekit.detection.networks import Network, proposal_network
from facekit.detection.pyramid import Level, draw_rows, plan_pyramid
from facekit.utils.openvino import ov

THREADS = 2
Levels = Sequence[np.ndarray]


def main() -> None:
    random = np.random.default_rng(0)
    same = [levels_of(768, 1024)] * 8
    new = [levels_of(768 - int(d), 1024 - int(e)) for d, e in random.permutation(40).reshape(20, 2)]
    print(f"P-Net on {len(same[0][0])} levels, milliseconds: one size, new sizes")
    for name, make in ENGINES.items():
        try:
            run = make()
            once, ever_new = measure(run, same), measure(run, new)
        except (ImportError, cv2.error) as error:
            print(f"  {name:28} left out: {str(error).strip()[:200]}")
            continue
        print(f"  {name:28} {once:6.1f} {ever_new:6.1f}")


def levels_of(height: int, width: int) -> tuple[Levels, Sequence[Level]]:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.float32)
    plan = plan_pyramid(height, width, 20, 0.709)
    return [draw_rows(image, level, 0, level.height) for level in plan], plan


def measure(
    run: Callable[[Levels, Sequence[Level]], object],
    images: Sequence[tuple[Levels, Sequence[Level]]],
) -> float:
    """Returns the median time of an image in milliseconds, the first one left out."""
    seconds = []
    for levels, plan in images:
        start = time.perf_counter()
        run(levels, plan)
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[1:])


def tensorflow() -> Callable[[Levels, Sequence[Level]], object]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf
    from mtcnn.stages import StagePNet

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    network = StagePNet().model
    signature = [tf.TensorSpec((1, None, None, 3), tf.float32)]
    function = tf.function(lambda x: network((x - 127.5) / 128.0), input_signature=signature)
    return lambda levels, _: [function(level[None])[1].numpy() for level in levels]


def onnx_runtime() -> Callable[[Levels, Sequence[Level]], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(
        onnx_of_proposal_network(), options, providers=["CPUExecutionProvider"]
    )
    return lambda levels, _: [session.run(None, {"pixels": level[None]}) for level in levels]


def opencv() -> Callable[[Levels, Sequence[Level]], object]:
    network = cv2.dnn.readNetFromONNX(np.frombuffer(onnx_of_proposal_network(), np.uint8))
    cv2.setNumThreads(THREADS)

    def run(levels: Levels, _: Sequence[Level]) -> object:
        answers = []
        for level in levels:
            network.setInput(level[None])
            answers.append(network.forward(["offsets", "scores"]))
        return answers

    return run


def openvino_any_size() -> Callable[[Levels, Sequence[Level]], object]:
    compiled = ov.Core().compile_model(
        ov.Core().read_model(onnx_of_proposal_network(), b""),
        "CPU",
        {"INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": THREADS},
    )
    workers = ThreadPoolExecutor(THREADS)

    def one(level: np.ndarray) -> object:
        return compiled.create_infer_request().infer([level[None]])

    return lambda levels, _: list(workers.map(one, levels))


def openvino_mosaic() -> Callable[[Levels, Sequence[Level]], object]:
    network = Network(proposal_network, (tiling.TILE_HEIGHT, tiling.TILE_WIDTH), THREADS)
    workers = ThreadPoolExecutor(THREADS)

    def run(levels: Levels, plan: Sequence[Level]) -> object:
        def one(tile: tiling.Tile) -> object:
            pixels, hidden = network.inputs()
            tiling.draw_tile(tile, levels, pixels, hidden)
            return tiling.read_tile(tile, network.run()[0], 0.4)

        return list(workers.map(one, tiling.plan_tiles(plan)))

    return run


def onnx_of_proposal_network() -> bytes:
    """Returns P-Net, for images of any size, in ONNX."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from facekit.detection.weights import read_weights

    arrays = iter(read_weights("pnet"))
    nodes, constants = [], []

    def constant(array: np.ndarray) -> str:
        name = f"constant{len(constants)}"
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def node(kind: str, inputs: list[str], output: str = "", **attributes: object) -> str:
        output = output or f"node{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(x: str, output: str = "") -> str:
        kernel, bias = next(arrays).transpose(3, 2, 0, 1), next(arrays)
        return node("Conv", [x, constant(kernel), constant(bias)], output)

    def prelu(x: str) -> str:
        return node("PRelu", [x, constant(next(arrays).reshape(-1, 1, 1))])

    x = node("Transpose", ["pixels"], perm=[0, 3, 1, 2])
    x = node("Mul", [node("Sub", [x, constant(np.array(127.5))]), constant(np.array(1 / 128))])
    x = prelu(convolution(x))
    x = node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    x = prelu(convolution(prelu(convolution(x))))
    convolution(x, "offsets")
    convolution(x, "scores")
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "pnet",
        [helper.make_tensor_value_info("pixels", float32, [1, "height", "width", 3])],
        [
            helper.make_tensor_value_info(name, float32, [1, channels, "rows", "columns"])
            for name, channels in (("offsets", 4), ("scores", 2))
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


ENGINES = {
    "TensorFlow function": tensorflow,
    "OpenCV DNN": opencv,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO, any size": openvino_any_size,
    "OpenVINO, facekit's mosaic": openvino_mosaic,
}


if __name__ == "__main__":
    main()
