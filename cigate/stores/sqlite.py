"""State in one SQLite file: many threads and processes of one machine.

Theory of operation. One table holds every row. `transact` is one `BEGIN IMMEDIATE` transaction in WAL mode
with `synchronous=FULL`, so a commit is one sync of the write-ahead log. Threads of a process queue on a lock
before they compete with other processes, because SQLite's own waiting is by sleeping. The log is moved into
the database every few thousand pages by whichever commit crosses that line, and when the last connection
closes; those, and the first commit into a fresh log, cost more syncs than one.

The file is never made, remade or repaired on the way: only `create` makes one. It is never opened but
through SQLite either, since closing any other descriptor of it would drop this process's file locks.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self, TypeVar

from cigate.errors import StoreUnavailable, StoreUncertain
from cigate.stores.forks import GATE
from cigate.stores.locks import FileLocks
from cigate.stores.sqlitefile import Connection, connect, make, open_ours, sync, typed, unavailable
from cigate.stores.store import Change, Key, LockMode, Put, Rows

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_IDLE: Final = 16
_MOST_SWEPT: Final = 20

_READ: Final = "SELECT value FROM rows WHERE family = ? AND id = ?"
_READ_LIVE: Final = f"{_READ} AND (expires IS NULL OR expires > ?)"
_SCAN: Final = "SELECT family, id, value FROM rows WHERE family = ? AND id > ? ORDER BY id LIMIT ?"
_INSERT: Final = "INSERT INTO rows (family, id, value, expires) VALUES (?, ?, ?, ?) ON CONFLICT (family, id) "
_REPLACE: Final = f"{_INSERT} DO UPDATE SET value = excluded.value, expires = excluded.expires"
_INSERT_NEW: Final = f"{_REPLACE} WHERE rows.expires <= ?"
_DELETE: Final = "DELETE FROM rows WHERE family = ? AND id = ?"
_SWEEP: Final = """
DELETE FROM rows WHERE (family, id) IN
    (SELECT family, id FROM rows WHERE expires <= ? ORDER BY expires LIMIT ?)
"""


class SQLiteStore:
    """Transactions over rows in a SQLite file that `create` made.

    Args:
        path: the database file.
        timeout: how long an operation waits for other writers before it refuses with `store.busy`.

    Raises:
        StoreUnavailable: `store.missing`, `store.corrupt` (empty or cut short too), `store.foreign` (another
            program's, or another version's), `store.read-only`, `store.unreadable`. Operations raise these as
            well, and `store.replaced` when the file is no longer the one that was opened, `store.busy`,
            `store.full`, `store.failed`, `store.closed`, `store.forked`.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: timedelta = timedelta(seconds=10)) -> None:
        self._path = Path(path).absolute()
        self._timeout = timeout.total_seconds()
        self._idle: list[Connection] = []
        self._every: set[Connection] = set()
        self._writer = threading.Lock()
        self._locks = FileLocks(Path(f"{self._path}.locks"))
        self._within = threading.local()
        self._closed = False
        self._file: tuple[int, int] | None = None
        self._replaced = False
        GATE.watch(self)
        weakref.finalize(self, _close_all, self._idle)
        with GATE.operation():
            self._idle.append(self._connect())

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, timeout: timedelta = timedelta(seconds=10)) -> Self:
        """Make a new, empty store: a file of mode 0600 where none is yet.

        Raises:
            StoreUnavailable: `store.exists`, or the file can't be made.
        """
        file = Path(path).absolute()
        with GATE.operation():
            make(file, timeout.total_seconds())
        return cls(path, timeout=timeout)

    @classmethod
    def from_uri(cls, rest: str, *, folder: Path) -> Self:
        """Open what a `sqlite:` URI names, relative to the folder of the configuration."""
        return cls(folder / rest)

    @classmethod
    def create_from_uri(cls, rest: str, *, folder: Path) -> Self:
        """Make what a `sqlite:` URI names."""
        return cls.create(folder / rest)

    @property
    def path(self) -> Path:
        """Where the database file is."""
        return self._path

    def read(self, keys: Collection[Key]) -> Rows:
        """See `Store.read`."""
        rows: dict[Key, bytes] = {}
        with self._connected() as connection, typed(self._path):
            self._check_place(connection)
            connection.execute("BEGIN")
            try:
                for key in keys:
                    found = connection.execute(_READ, key).fetchone()
                    if found is not None:
                        rows[key] = found[0]
            finally:
                connection.execute("ROLLBACK")
        return MappingProxyType(rows)

    def transact(self, keys: Collection[Key], work: Callable[[Rows], Change[T]], *, now: datetime) -> T:
        """See `Store.transact`."""
        at = _micros(now)
        asked = frozenset(keys)
        with self._connected() as connection, self._queued():
            with typed(self._path):
                self._check_place(connection)
                connection.execute("BEGIN IMMEDIATE")
            try:
                with typed(self._path):
                    self._check_place(connection)  # again: it may have been replaced while this one waited
                    rows = _live(connection, asked, at)
                change = work(MappingProxyType(rows))
                connection.check_process()
                with typed(self._path):
                    _write(connection, asked, change.puts, at)
            except BaseException:
                connection.roll_back()
                raise
            if change.puts:
                self._commit(connection)
            else:
                connection.roll_back()
            return change.result

    def scan(self, family: str, *, after: str = "", limit: int = 1000) -> Sequence[tuple[Key, bytes]]:
        """See `Store.scan`."""
        with self._connected() as connection, typed(self._path):
            self._check_place(connection)
            found = connection.execute(_SCAN, (family, after, max(limit, 0))).fetchall()
        return [(Key(row[0], row[1]), row[2]) for row in found]

    def lock(self, name: str, mode: LockMode, *, timeout: timedelta) -> AbstractContextManager[None]:
        """See `Store.lock`."""
        return self._locks.hold(name, mode, timeout)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy, as of now, to a new file of mode 0600; writers go on meanwhile.

        The copy appears under its name only when it is whole and durable.

        Raises:
            StoreUnavailable: `store.exists`, or it could not be read or written.
        """
        target = Path(path).absolute()
        partial = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.partial")
        try:
            os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            try:
                with self._connected() as connection, typed(self._path):
                    self._check_place(connection)
                    copy = connect(partial, self._timeout)
                    try:
                        connection.backup(copy)
                    finally:
                        copy.close()
                sync(partial)
                os.link(partial, target)  # unlike a rename it never replaces
                sync(target.parent)
            finally:
                partial.unlink()
        except FileExistsError as error:
            raise StoreUnavailable(
                "store.exists", f"{error.filename2 or error.filename} is there already"
            ) from error
        except OSError as error:
            raise StoreUnavailable("store.failed", f"the copy {target} can't be written: {error}") from error

    def close(self) -> None:
        """Close every connection that is not in use; operations afterwards are refused.

        The last close on a file moves the write-ahead log into it.
        """
        self._closed = True
        self.disconnect()

    def disconnect(self) -> None:
        """Close every idle connection (the next operation opens its own)."""
        while self._idle:
            self._discard(self._idle.pop())

    def connections(self) -> Sequence[object]:
        """Those still open."""
        return tuple(self._every)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection for one operation of one thread."""
        if getattr(self._within, "busy", False):
            raise StoreUnavailable(
                "store.nested", "an operation was started from inside `work`, which must be pure"
            )
        with GATE.operation():
            if self._closed:
                raise StoreUnavailable("store.closed", f"{self._path} was closed")
            if self._replaced:
                raise self._replacement()
            self._within.busy = True
            connection = None
            try:
                connection = self._take()
                yield connection
            except (StoreUnavailable, StoreUncertain, sqlite3.Error):
                if connection is not None:  # whatever state it is in, nobody meets it again
                    self._discard(connection)
                    connection = None
                raise
            finally:
                self._within.busy = False
                if connection is not None:
                    self._give_back(connection)

    def _take(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _give_back(self, connection: Connection) -> None:
        if self._closed or len(self._idle) >= _MOST_IDLE:
            self._discard(connection)
        else:
            self._idle.append(connection)

    def _discard(self, connection: Connection) -> None:
        if connection.in_its_process():
            connection.close()
            self._every.discard(connection)

    @contextmanager
    def _queued(self) -> Iterator[None]:
        if not self._writer.acquire(timeout=max(self._timeout, 0)):
            raise StoreUnavailable(
                "store.busy", f"{self._path} was busy for {self._timeout} s", fix="try again"
            )
        try:
            yield
        finally:
            self._writer.release()

    def _commit(self, connection: Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.roll_back()
            refused = unavailable(error, self._path)
            if refused.code == "store.full":  # the frame that commits is written last, so it was not
                raise refused from error
            raise StoreUncertain(
                "store.uncertain",
                f"{self._path}: the commit failed: {error}",
                fix="look up the decision first",
            ) from error

    def _connect(self) -> Connection:
        connection = open_ours(self._path, self._timeout)
        if self._file not in (None, connection.file):
            connection.close()
            raise self._replacement()
        self._file = connection.file
        self._every.add(connection)
        return connection

    def _check_place(self, connection: Connection) -> None:
        """Refuse, for good, when the files under our names are not the ones that this connection has open.

        A new connection would take whatever is there now for the state, and rows that were acknowledged would
        be gone without a word.
        """
        if not connection.is_in_place(self._path):
            raise self._replacement()

    def _replacement(self) -> StoreUnavailable:
        self._replaced = True
        return StoreUnavailable(
            "store.replaced",
            f"{self._path}, or its -wal, was moved, deleted or replaced while it was open",
            fix="put it back, or adopt the copy, and start again",
        )


def _close_all(idle: list[Connection]) -> None:
    """Close what a store that nobody refers to any more left open."""
    for connection in idle:
        if connection.in_its_process():
            connection.close()


def _live(connection: sqlite3.Connection, keys: frozenset[Key], at: int) -> dict[Key, bytes]:
    rows: dict[Key, bytes] = {}
    for key in keys:
        found = connection.execute(_READ_LIVE, (key.family, key.id, at)).fetchone()
        if found is not None:
            rows[key] = found[0]
    return rows


def _write(connection: sqlite3.Connection, asked: frozenset[Key], puts: Mapping[Key, Put], at: int) -> None:
    if not puts:
        return
    for key, put in puts.items():
        expires = None if put.expires is None else _micros(put.expires)
        if put.value is None:
            if key not in asked:
                raise StoreUnavailable(
                    "store.conflict", f"{key} was to be deleted but was not among the rows read"
                )
            connection.execute(_DELETE, key)
        elif key in asked:
            connection.execute(_REPLACE, (key.family, key.id, put.value, expires))
        elif connection.execute(_INSERT_NEW, (key.family, key.id, put.value, expires, at)).rowcount != 1:
            raise StoreUnavailable("store.conflict", f"{key} was to be inserted but is there")
    connection.execute(_SWEEP, (at, _MOST_SWEPT))


def _micros(moment: datetime) -> int:
    """Microseconds since 1970 (UTC), exactly.

    Raises:
        TypeError: the time is not aware.
    """
    return (moment - _EPOCH) // _MICROSECOND
