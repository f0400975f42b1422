"""OpenVINO: its only import, and graphs that any thread and any process may run."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib
import io
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from facekit import __version__
from facekit.errors import FacekitError
from facekit.utils.forking import ForkLock

_Result = TypeVar("_Result")

# In seconds: how long a fork waits for running calls, and how long a forked process waits for a
# graph to be compiled.
_PATIENCE, _COMPILING = 20.0, 60.0
_UNUSABLE = (
    "this process was forked while other threads of its parent were computing, and OpenVINO does "
    'not work in it; start it with multiprocessing\'s "spawn" or "forkserver"'
)


def _runtime() -> tuple[Any, Any]:
    """Returns the runtime and its operations, imported by the first thread that asks."""
    with _importing:
        return _imported()


_importing = ForkLock()


@functools.cache
def _imported() -> tuple[Any, Any]:
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
        # Other code in this process may use the tools. They work, and still send nothing.
        openvino.__getattr__ = _tool
    return openvino, opset13


def _tool(name: str) -> Any:
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    from openvino.tools.ovc import convert_model

    return convert_model


ov: Any
ops: Any


def __getattr__(name: str) -> Any:
    """Provides ``ov``, the runtime, and ``ops``, its operations, imported on first use."""
    if name in ("ov", "ops"):
        return _runtime()[("ov", "ops").index(name)]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bfloat16() -> bool:
    """Returns whether the processor supports bfloat16."""
    capabilities = _runtime()[0].Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


class Graph:
    """A graph that any thread and any forked process may run; each process compiles it once."""

    def __init__(
        self,
        build: Callable[[], Any],  # returns the graph, an `openvino.Model`
        *,
        threads: int,
        streams: int,  # how many calls run at once, sharing the threads
        # Keeps what was compiled; its name changes with the weights, the shape and the precision.
        cache: Path | None = None,
        precision: str = "f32",  # or "bf16", where `has_bfloat16`
    ) -> None:
        self._build = build
        self._cache = cache
        self._config = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
            # Some processors would otherwise compute in half precision.
            "INFERENCE_PRECISION_HINT": precision,
            # The threads share the cores with those of the user's program.
            "ENABLE_CPU_PINNING": False,
        }
        self._compiled: Any = None
        self.renew()
        _GRAPHS.add(self)

    def renew(self) -> None:
        """Discards the compiled graph, whose threads exist only in the parent process."""
        if self._compiled is not None:
            # Its destructor would wait for these threads; a leaked reference prevents it.
            for parts in (self._compiled, self._requests.__dict__):
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(parts))
        self._compiled = None
        self._requests: Any = threading.local()
        self._compiling = threading.Lock()

    @property
    def compiled(self) -> Any:
        """The compiled graph, an ``openvino.CompiledModel``."""
        if self._compiled is None:
            with self._compiling:
                if self._compiled is None:
                    with _GATE:
                        self._compiled = _GATE.guarded(self._compile)
        return self._compiled

    def request(self) -> Any:
        """Returns the calling thread's request, an ``openvino.InferRequest``."""
        if not hasattr(self._requests, "request"):
            compiled = self.compiled
            with _GATE:
                self._requests.request = compiled.create_infer_request()
        return self._requests.request

    def infer(self, *inputs: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Runs the graph on arrays, or without arguments on the request's own tensors."""
        request = self.request()
        with _GATE:
            if inputs:
                # Without sharing, a request cannot accept a batch larger than its first one.
                request.infer(dict(enumerate(inputs)), share_inputs=True)
            else:
                request.infer()
        return [tensor.data for tensor in request.output_tensors]

    def _compile(self) -> Any:
        core = _runtime()[0].Core()
        if self._cache is None:
            return core.compile_model(self._build(), "CPU", self._config)
        name = core.get_property("CPU", "FULL_DEVICE_NAME")
        versions = f"{_runtime()[0].__version__}|{name}|{__version__}"
        key = hashlib.sha256(versions.encode()).hexdigest()[:16]
        path = self._cache.with_name(f"{self._cache.name}-{key}.blob")
        stored = _read_blob(path)
        if stored is not None:
            try:
                return core.import_model(stored, "CPU", self._config)
            except RuntimeError:
                pass  # from another build of OpenVINO: compile and write again
        compiled = core.compile_model(self._build(), "CPU", self._config)
        blob = io.BytesIO()
        compiled.export_model(blob)
        # Not "*", which would match the files of a graph whose name continues this one.
        _write_blob(path, blob.getvalue(), old=f"{self._cache.name}-{'?' * len(key)}.blob")
        return compiled


def _read_blob(path: Path) -> Any:
    """Returns what :func:`_write_blob` wrote; nothing if it is not there, or damaged."""
    try:
        state = path.stat()
        return _mapped(path, state.st_ino, state.st_size, state.st_mtime_ns)
    except (OSError, ValueError):  # it went away, or is empty
        return None


# Kept as long as the process: what was compiled reads its weights there.
@functools.cache
def _mapped(path: Path, *_: int) -> Any:
    """Maps a blob into memory, which is faster than to read it, and checks it."""
    content = np.memmap(path, np.uint8, "c")
    if hashlib.sha256(content[32:].data).digest() != content[:32].tobytes():
        return None
    return _runtime()[0].Tensor(content[32:], shared_memory=True)


def _write_blob(path: Path, blob: bytes, *, old: str) -> None:
    """Writes a file and removes older ones if the folder is writable; otherwise does nothing."""
    temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(hashlib.sha256(blob).digest() + blob)
        temporary.replace(path)
        for other in path.parent.glob(old):
            if other != path:
                other.unlink(missing_ok=True)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


class _Gate:
    """Prevents forks while a thread is inside OpenVINO: the child would inherit a lock and hang."""

    def __init__(self) -> None:
        self.reset()
        self._unsafe = self._doubtful = False

    def reset(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._closed = False

    def __enter__(self) -> None:
        if self._unsafe:
            raise FacekitError(_UNUSABLE)
        with self._condition:
            self._condition.wait_for(lambda: not self._closed)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._inside -= 1
            self._condition.notify_all()

    def guarded(self, function: Callable[[], _Result]) -> _Result:
        """Calls a function, with a time limit in a process that was forked while threads ran."""
        if not self._doubtful:
            return function()
        future: Future[_Result] = Future()

        def call() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  # the waiting thread raises it
                future.set_exception(error)

        # OpenVINO's own threads may have held a lock. A daemon thread does not block the process's
        # exit.
        threading.Thread(target=call, daemon=True).start()
        try:
            return future.result(_COMPILING)
        except FutureTimeoutError:
            self._unsafe = True
            raise FacekitError(_UNUSABLE) from None

    def before_fork(self) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            self._condition.acquire()
            self._closed = True
            # A thread that forks inside a call would wait for itself, so it continues after a
            # while.
            self._quiet = self._condition.wait_for(lambda: not self._inside, _PATIENCE)
            if not _others_import() or time.monotonic() > end:
                break
            self.after_fork_in_parent()
            time.sleep(0.005)
        self._alone = threading.active_count() == 1

    def after_fork_in_parent(self) -> None:
        self._closed = False
        self._condition.notify_all()
        self._condition.release()

    def after_fork_in_child(self) -> None:
        self._unsafe = self._unsafe or not self._quiet
        self._doubtful = self._doubtful or not self._alone
        self.reset()
        for graph in _GRAPHS:
            graph.renew()


def _others_import() -> bool:
    """Returns whether another thread is importing; a child would wait forever for that as well."""
    # Python resets its other locks in the child, but not these, and has no public name for them.
    held = (
        reference() for reference in vars(importlib)["_bootstrap"]._module_locks.copy().values()
    )
    me = threading.get_ident()
    return any(lock is not None and lock.owner not in (None, me) for lock in held)


_GRAPHS: weakref.WeakSet[Graph] = weakref.WeakSet()
_GATE = _Gate()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_GATE.before_fork,
        after_in_parent=_GATE.after_fork_in_parent,
        after_in_child=_GATE.after_fork_in_child,
    )
