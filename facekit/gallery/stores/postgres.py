"""A gallery on a PostgreSQL server, for several processes and machines at once."""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from facekit.errors import (
    EnrollmentError,
    FileFormatError,
    GalleryBusyError,
    GalleryServerError,
    InvalidArgumentError,
)
from facekit.gallery.protocol import Batch, Erasure
from facekit.gallery.records import EnrolledImage, FaceSource, Match
from facekit.utils.extras import import_extra
from facekit.utils.terminal import printable
from facekit.utils.validation import choice, number, same_weights, text, unit_rows, whole

Search: TypeAlias = Literal["exact", "hnsw"]
"""How a :class:`PostgresStore` searches: exhaustively, or in an approximate graph index."""

_VERSION = 1
_MOST_COMPONENTS = 16_000  # of a vector; and of a vector in an hnsw index:
_MOST_INDEXED = 2_000
_OLDEST_PGVECTOR = (0, 8)
# The server computes in single precision: its nearest ones are compared again in double.
_CANDIDATES_BEYOND = 16
_ROWS_AT_A_TIME = 2_000
_LEAST_EFFORT, _MOST_EFFORT = 200, 1_000
_SURROGATE = re.compile("[\ud800-\udfff\\\\]")
_ESCAPED = re.compile(r"\\u([0-9a-f]{4})")


class PostgresStore:
    """Stores a gallery in a schema of a PostgreSQL database, with the extension pgvector.

    Any number of processes and machines may use it at once. Each change is one transaction. Results
    equal those of a gallery in a file; ``"hnsw"`` misses a few of the nearest images.

    Removed images no longer appear in results when the method returns, but are not gone from disk:
    their bytes stay in the table and the index until :meth:`compact`, in the write-ahead log until
    the server reuses it, and in backups and replicas as long as these are kept. So :attr:`erasure`
    is ``"logical"``.

    Args:
        conninfo: How to connect, as libpq takes it: ``"postgresql://user@host/database"``. Keep
            passwords out of it, in ``~/.pgpass`` or a service file: it is part of a pickle.
        name: The gallery's schema in the database; one database may hold several.
        weights: The identity of the weights that the caller uses, for comparison.
        search: ``"exact"``, or ``"hnsw"`` for galleries of a hundred thousand images and more.
        timeout: How long a change waits for the lock of another, in seconds.

    Attributes:
        weights: The identity of the weights that make the embeddings.
        embedding_size: The number of components of an embedding.
        erasure: ``"logical"``.

    Raises:
        FileFormatError: If the gallery does not exist, or is of a later version.
        GalleryServerError: If the server cannot be reached, refuses, or has no pgvector 0.8.
        InvalidArgumentError: If the gallery belongs to other weights, or an argument cannot be
            used.
        MissingExtraError: If psycopg or pgvector is not installed.

    Example:
        >>> from facekit import Gallery
        >>> from facekit.gallery import PostgresStore
        >>> def shared_gallery(conninfo):
        ...     return Gallery.of(PostgresStore(conninfo, search="hnsw"))

    References:
        Y. Malkov and D. Yashunin, "Efficient and robust approximate nearest neighbor search using
        Hierarchical Navigable Small World graphs", 2018. https://github.com/pgvector/pgvector
    """

    erasure: Erasure = "logical"

    def __init__(
        self,
        conninfo: str,
        name: str = "facekit",
        *,
        weights: str | None = None,
        search: Search = "exact",
        timeout: float = 10.0,
    ) -> None:
        self._server = _Server(conninfo, name, timeout)
        weakref.finalize(self, self._server.close)
        self._name = self._server.name
        self._search = choice(search, "search", get_args(Search))
        with self._server.session() as session:
            found = session.one("SELECT to_regclass(%s)::text", f"{_quoted(self._name)}.gallery")
            if found == (None,):
                raise FileFormatError(
                    f"{self._name}: the database has no gallery of that name; "
                    "create one with PostgresStore.create"
                )
            version, kept, size = session.one("SELECT version, weights, size FROM {}.gallery")
        if version != _VERSION:
            raise FileFormatError(
                f"{self._name}: is a gallery of version {version}, made by a later facekit"
            )
        self.weights, self.embedding_size = _unescaped(kept), int(size)
        if weights is not None:
            same_weights(self.weights, weights, f"{self._name}: was made")

    @classmethod
    def create(
        cls,
        conninfo: str,
        weights: str,
        embedding_size: int,
        name: str = "facekit",
        *,
        search: Search = "exact",
        timeout: float = 10.0,
    ) -> PostgresStore:
        """Creates an empty gallery in a new schema, which only its owner can read.

        Args:
            conninfo: As for the class.
            weights: The identity of the weights that make the embeddings.
            embedding_size: The number of components of an embedding.
            name: As for the class.
            search: As for the class; the index for ``"hnsw"`` is created at once. To load very many
                images, create the gallery with ``"exact"`` and call :meth:`build_index` afterwards.
            timeout: As for the class.

        Returns:
            The store.

        Raises:
            FileFormatError: If a schema of that name already exists.
            GalleryServerError: If the server cannot be reached or refuses.
            InvalidArgumentError: If an argument cannot be used.
        """
        size = whole(embedding_size, "embedding_size", least=1, most=_MOST_COMPONENTS)
        choice(search, "search", get_args(Search))
        server = _Server(conninfo, name, timeout)
        with server.session(vectors=False) as session:
            session.run("CREATE EXTENSION IF NOT EXISTS vector")
            there = session.one("SELECT count(*) FROM pg_namespace WHERE nspname = %s", server.name)
            if there != (0,):
                raise FileFormatError(
                    f"{server.name}: the database has a schema of that name already"
                )
            session.run("CREATE SCHEMA {}")
            session.run(
                "CREATE TABLE {}.gallery (version int NOT NULL, weights text NOT NULL, "
                "size int NOT NULL)"
            )
            session.run(
                "INSERT INTO {}.gallery VALUES (%s, %s, %s)", _VERSION, _escaped(str(weights)), size
            )
            # No statistics of the vectors: they would contain copies of some.
            session.run(
                "CREATE TABLE {}.photos (id bigserial PRIMARY KEY, person text NOT NULL, "
                "source text NOT NULL, sha256 text, box float8[], "
                f"embedding vector({size}) NOT NULL)"
            )
            session.run("ALTER TABLE {}.photos ALTER embedding SET STATISTICS 0")
        server.close()
        store = cls(conninfo, name, search=search, timeout=timeout)
        if search == "hnsw":
            store.build_index()
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        how: dict[str, Any] = {"search": self._search, "timeout": self._server.timeout}
        opened = partial(PostgresStore, weights=self.weights, **how)
        return opened, (self._server.conninfo, self._name)

    def __repr__(self) -> str:
        return f"PostgresStore(name={self._name!r}, weights={self.weights!r})"

    def close(self) -> None:
        """Closes the connections; the next call reconnects."""
        self._server.close()

    def add(
        self,
        names: Sequence[str],
        embeddings: npt.NDArray[np.float32],
        sources: Sequence[FaceSource],
    ) -> list[int]:
        """Adds images, all of them or none.

        Args:
            names: The person of each, n of them; checked and normalized.
            embeddings: float32 ``(n, d)``, of unit L2 norm.
            sources: The source of each, n of them.

        Returns:
            The number of each.

        Raises:
            GalleryBusyError: If another change keeps the gallery locked.
            GalleryServerError: If the server cannot be reached or refuses.
        """
        rows = unit_rows(embeddings, self.embedding_size)
        with self._server.session() as session:
            numbers = [
                int(found[0])
                for found in session.all(
                    "SELECT nextval(%s) FROM generate_series(1, %s)",
                    f"{_quoted(self._name)}.photos_id_seq",
                    len(rows),
                )
            ]
            session.copy(
                "COPY {}.photos (id, person, source, sha256, box, embedding) "
                "FROM STDIN WITH (FORMAT BINARY)",
                ["int8", "text", "text", "text", "float8[]", "vector"],
                (
                    (
                        place,
                        _escaped(name),
                        _escaped(source.source),
                        source.sha256,
                        None if source.box is None else list(source.box),
                        row,
                    )
                    for place, name, source, row in zip(numbers, names, sources, rows, strict=True)
                ),
            )
        return numbers

    def remove(self, numbers: Sequence[int]) -> None:
        """Removes images, all of them or none.

        Args:
            numbers: What :meth:`add` returned for them.

        Raises:
            EnrollmentError: If one of them is not enrolled; then nothing changes.
            GalleryBusyError: If another change keeps the gallery locked.
            GalleryServerError: If the server cannot be reached or refuses.
        """
        wanted = {int(one) for one in numbers}
        with self._server.session() as session:
            deleted = session.all(
                "DELETE FROM {}.photos WHERE id = ANY(%s) RETURNING id", sorted(wanted)
            )
            unknown = wanted - {row[0] for row in deleted}
            if unknown:
                raise EnrollmentError(f"no photo number {min(unknown)} is enrolled")

    def search(self, probes: npt.NDArray[Any], count: int) -> list[list[Match]]:
        """Finds the enrolled images that are nearest to each probe.

        Args:
            probes: Embeddings, ``(n, d)``.
            count: How many images to return for each, at most.

        Returns:
            For each probe the images, the nearest first.

        Raises:
            GalleryServerError: If the server cannot be reached or refuses.
        """
        rows = unit_rows(probes, self.embedding_size, "probes")
        count = whole(count, "count", least=1)
        candidates = count + _CANDIDATES_BEYOND
        with self._server.session() as session:
            if self._search == "exact":
                session.run("SET LOCAL enable_indexscan = off")
            else:
                effort = min(max(2 * candidates, _LEAST_EFFORT), _MOST_EFFORT)
                session.run(f"SET LOCAL hnsw.ef_search = {effort}")
                # Continues the search if removed images are among those found.
                session.run("SET LOCAL hnsw.iterative_scan = relaxed_order")
            found = [
                session.all(
                    "SELECT id, person, embedding FROM {}.photos "
                    "ORDER BY embedding <-> %s LIMIT %s",
                    row,
                    candidates,
                )
                for row in rows
            ]
        exact = np.asarray(probes, np.float64)
        return [_matches(probe, near, count) for probe, near in zip(exact, found, strict=True)]

    def snapshot(self) -> Iterator[Batch]:
        """Yields a consistent snapshot of everything enrolled, batch by batch.

        Yields:
            Images and their embeddings, in the order of their numbers.

        Raises:
            GalleryServerError: If the server cannot be reached or refuses.
        """
        with self._server.session() as session:
            for rows in session.batches(
                "SELECT id, person, source, sha256, box, embedding FROM {}.photos ORDER BY id",
                _ROWS_AT_A_TIME,
            ):
                images = [
                    EnrolledImage(
                        _unescaped(source),
                        sha256,
                        None if box is None else tuple(box),
                        id=place,
                        person=_unescaped(person),
                    )
                    for place, person, source, sha256, box, _ in rows
                ]
                yield images, np.stack([_array(row[-1]) for row in rows])

    def build_index(self, memory: str = "256MB") -> None:
        """Creates the index for ``search="hnsw"``, unless it exists.

        Args:
            memory: What the server may use meanwhile, its ``maintenance_work_mem``. An index that
                does not fit, of about a kilobyte an image for 128 components, takes much longer.

        Raises:
            GalleryServerError: If the server cannot be reached or refuses.
            InvalidArgumentError: If embeddings are too long for such an index.
        """
        memory = text(memory, "memory", empty=False)
        if self.embedding_size > _MOST_INDEXED:
            raise InvalidArgumentError(
                f"hnsw supports up to {_MOST_INDEXED:,} components, the embeddings have "
                f'{self.embedding_size:,}; use search="exact"'
            )
        with self._server.session() as session:
            session.run("SELECT set_config('maintenance_work_mem', %s, true)", memory)
            session.run(
                "CREATE INDEX IF NOT EXISTS photos_near ON {}.photos "
                "USING hnsw (embedding vector_l2_ops)"
            )

    def compact(self, memory: str = "256MB") -> None:
        """Rewrites table and index without removed images, and flushes the server's buffers.

        Other users wait meanwhile. The write-ahead log keeps removed data until the server reuses
        its files, and backups and replicas keep it longer.

        Args:
            memory: As for :meth:`build_index`: the index is rebuilt as well.

        Raises:
            GalleryBusyError: If another change keeps the gallery locked.
            GalleryServerError: If the server cannot be reached or refuses; a checkpoint needs the
                role ``pg_checkpoint``.
        """
        memory = text(memory, "memory", empty=False)
        with self._server.session(transaction=False) as session:
            session.run("SELECT set_config('maintenance_work_mem', %s, false)", memory)
            session.run("VACUUM (FULL) {}.photos")
            session.run("CHECKPOINT")
            session.run("RESET maintenance_work_mem")


class _Server:
    """Connections to a server, each used by one thread at a time; a forked child opens its own."""

    def __init__(self, conninfo: str, name: str, timeout: float) -> None:
        self.conninfo, self.name = text(conninfo, "conninfo"), _checked_name(name)
        self.timeout = number(timeout, "timeout", 0)
        self._idle: list[tuple[int, Any]] = []

    def close(self) -> None:
        while self._idle:
            process, connection = self._idle.pop()
            if process == os.getpid():
                connection.close()

    @contextmanager
    def session(self, *, transaction: bool = True, vectors: bool = True) -> Iterator[_Session]:
        psycopg = import_extra("psycopg")
        try:
            connection = self._connection(psycopg, vectors)
            try:
                if transaction:
                    with connection.transaction():
                        yield _Session(connection, self.name)
                else:
                    yield _Session(connection, self.name)
            except BaseException:
                connection.close()
                raise
            self._idle.append((os.getpid(), connection))
        except psycopg.Error as error:
            reason = printable(str(error).strip().partition("\n")[0], limit=500)
            busy = psycopg.errors
            if isinstance(
                error,
                busy.LockNotAvailable
                | busy.QueryCanceled
                | busy.DeadlockDetected
                | busy.SerializationFailure,
            ):
                raise GalleryBusyError(
                    f"{self.name}: another change is under way ({reason})"
                ) from error
            raise GalleryServerError(f"{self.name}: the server says: {reason}") from error

    def _connection(self, psycopg: Any, vectors: bool) -> Any:
        while self._idle:
            process, connection = self._idle.pop()
            if process != os.getpid():
                continue  # the parent's
            try:
                connection.execute("")
            except psycopg.OperationalError:  # the server was restarted
                connection.close()
            else:
                return connection
        connection = psycopg.connect(self.conninfo, autocommit=True)
        try:
            connection.execute(f"SET lock_timeout = {round(1000 * self.timeout)}")
            if vectors:
                _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


class _Session:
    """Statements on a connection; ``{}`` in one stands for the gallery's schema."""

    def __init__(self, connection: Any, name: str) -> None:
        self._connection, self._schema = connection, _quoted(name)

    def run(self, statement: str, *values: Any) -> Any:
        return self._connection.execute(statement.replace("{}", self._schema), values or None)

    def all(self, statement: str, *values: Any) -> list[Any]:
        found = self._connection.cursor(binary=True)
        rows: list[Any] = found.execute(statement.replace("{}", self._schema), values).fetchall()
        return rows

    def one(self, statement: str, *values: Any) -> Any:
        return self.run(statement, *values).fetchone()

    def copy(self, statement: str, types: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
        with (
            self._connection.cursor() as cursor,
            cursor.copy(statement.replace("{}", self._schema)) as copy,
        ):
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def batches(self, statement: str, size: int) -> Iterator[list[Any]]:
        # One statement sees one snapshot, whatever changes while its rows are fetched.
        with self._connection.cursor(name="facekit_snapshot", binary=True) as cursor:
            cursor.execute(statement.replace("{}", self._schema))
            while rows := cursor.fetchmany(size):
                yield rows


def _prepare(connection: Any) -> None:
    """Registers the vector type with a connection."""
    found = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    version = found.fetchone()
    if version is None or tuple(map(int, version[0].split(".")[:2])) < _OLDEST_PGVECTOR:
        raise GalleryServerError(
            "the database needs the extension vector (pgvector) 0.8 or later, and has "
            f"{'none' if version is None else version[0]}"
        )
    import_extra("pgvector.psycopg").register_vector(connection)


def _matches(probe: npt.NDArray[np.float64], near: list[Any], count: int) -> list[Match]:
    rows = np.array([_array(row) for *_, row in near], np.float64).reshape(len(near), len(probe))
    distances = np.linalg.norm(rows - probe, axis=1)
    found = [
        Match(_unescaped(person), float(distance), place)
        for (place, person, _), distance in zip(near, distances, strict=True)
    ]
    return sorted(found, key=lambda match: (match.distance, match.image))[:count]


def _array(vector: Any) -> npt.NDArray[np.float32]:
    """Converts pgvector's value for a vector, an array or an object depending on its version."""
    array = vector.to_numpy() if hasattr(vector, "to_numpy") else vector
    return np.asarray(array, np.float32)


def _checked_name(name: str) -> str:
    checked = text(name, "name", empty=False)
    if len(checked.encode("utf-8", "surrogatepass")) > 63 or not checked.isprintable():
        raise InvalidArgumentError(
            f"name must be printable and at most 63 bytes long, got {checked!r:.80}"
        )
    return checked


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escaped(value: str) -> str:
    """Returns a string that is valid UTF-8: file names may hold bytes that are not."""
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value)
