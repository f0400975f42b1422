"""What tests of galleries share: one PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_server import running_server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """How to connect to a server with pgvector."""
    with running_server() as conninfo:
        yield conninfo
