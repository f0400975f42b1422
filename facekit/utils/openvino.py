"""Compiling graphs for the processor, the same way for the detector and the embedder."""

from __future__ import annotations

import os

import openvino as ov


def available_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compile_graph(model: ov.Model, *, threads: int, streams: int) -> ov.CompiledModel:
    """Compiles a graph for the processor.

    Args:
        model: The graph.
        threads: How many cores it uses.
        streams: How many calls run at once, sharing the threads.

    Returns:
        The compiled graph. Each request made of it may run in one thread at a time.
    """
    return ov.Core().compile_model(
        model,
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
            # Some processors would otherwise compute in half precision.
            "INFERENCE_PRECISION_HINT": "f32",
            # The threads share the cores with those of the user's program.
            "ENABLE_CPU_PINNING": False,
        },
    )
