"""OpenVINO: the one place that imports it, and how graphs are compiled for the processor."""

from __future__ import annotations

import os
import sys
from typing import Any


def _import_runtime() -> tuple[Any, Any]:
    """Imports the runtime without the tools, which write an identifier and send usage data."""
    # Importing openvino imports openvino.tools.ovc, if it can, and that reports the import to
    # Google, whatever the environment says. None in sys.modules makes an import fail.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    tools = "openvino.tools.ovc"
    hidden = sys.modules.setdefault(tools, None) is None  # type: ignore[arg-type]
    try:
        import openvino
        from openvino import opset13
    finally:
        if hidden:
            del sys.modules[tools]
    if not hasattr(openvino, "convert_model"):
        # Other code of this process may want the tools. They work, and still send nothing.
        openvino.__getattr__ = _tool
    return openvino, opset13


def _tool(name: str) -> Any:
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    from openvino.tools.ovc import convert_model

    return convert_model


ov, ops = _import_runtime()


def available_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compile_graph(model: Any, *, threads: int, streams: int) -> Any:
    """Compiles a graph for the processor.

    Args:
        model: The graph, an ``openvino.Model``.
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
