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
from urllib.parse import quote

from cigate.errors import StoreUnavailable, StoreUncertain
from cigate.stores.forks import GATE
from cigate.stores.locks import FileLocks
from cigate.stores.store import CREATED, Change, Key, LockMode, Put, Rows

T = TypeVar("T")

APPLICATION_ID: Final = 0x63696761
"""What the header of our files says they are (`ciga`): no other program's database is taken for state."""

_VERSION: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_IDLE: Final = 16
_MOST_SWEPT: Final = 20

_TABLE: Final = """
CREATE TABLE rows (
    family TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL, expires INTEGER, PRIMARY KEY (family, id)
) STRICT, WITHOUT ROWID
"""
_INDEX: Final = "CREATE INDEX rows_by_expiry ON rows (expires) WHERE expires IS NOT NULL"
_READ: Final = "SELECT value FROM rows WHERE family = ? AND id = ?"
_READ_LIVE: Final = f"{_READ} AND (expires IS NULL OR expires > ?)"
_SCAN: Final = "SELECT family, id, value FROM rows WHERE family = ? AND id > ? ORDER BY id LIMIT ?"
_INSERT: Final = (
    "INSERT INTO rows (family, id, value, expires) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (family, id) "
)
_REPLACE: Final = f"{_INSERT} DO UPDATE SET value = ?3, expires = ?4"
_INSERT_NEW: Final = f"{_REPLACE} WHERE rows.expires <= ?5"
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
        self._log = Path(f"{self._path}-wal")
        self._timeout = timeout.total_seconds()
        self._idle: list[_Connection] = []
        self._every: set[_Connection] = set()
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
        for left_over in (Path(f"{file}-wal"), Path(f"{file}-journal")):
            if left_over.exists():  # SQLite would read the rows of a lost store into the new one
                raise StoreUnavailable(
                    "store.exists", f"{left_over} is left from another store", fix="move it away"
                )
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError as error:
            raise StoreUnavailable(
                "store.exists", f"{file} is there already", fix="open it, or move it away"
            ) from error
        except OSError as error:
            raise StoreUnavailable("store.unreadable", f"{file} can't be made: {error}") from error
        with GATE.operation(), _typed(file):
            connection = _connection(file, timeout.total_seconds())
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_TABLE)
                connection.execute(_INDEX)
                connection.execute(_REPLACE, (*CREATED, b"{}", None))
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                file.unlink()
                raise
            connection.close()
        _sync_folder(file.parent)
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
        with self._connected() as connection, _typed(self._path):
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
            with _typed(self._path):
                self._check_place(connection)
                connection.execute("BEGIN IMMEDIATE")
            try:
                with _typed(self._path):
                    self._check_place(connection)  # again: it may have been replaced while this one waited
                    rows = _live(connection, asked, at)
                change = work(MappingProxyType(rows))
                connection.check_process()
                with _typed(self._path):
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
        with self._connected() as connection, _typed(self._path):
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
                with self._connected() as connection, _typed(self._path):
                    self._check_place(connection)
                    copy = _connection(partial, self._timeout)
                    try:
                        connection.backup(copy)
                    finally:
                        copy.close()
                _sync_file(partial)
                os.link(partial, target)  # unlike a rename it never replaces
                _sync_folder(target.parent)
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
    def _connected(self) -> Iterator[_Connection]:
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

    def _take(self) -> _Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _give_back(self, connection: _Connection) -> None:
        if self._closed or len(self._idle) >= _MOST_IDLE:
            self._discard(connection)
        else:
            self._idle.append(connection)

    def _discard(self, connection: _Connection) -> None:
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

    def _commit(self, connection: _Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.roll_back()
            unavailable = _unavailable(error, self._path)
            if (
                unavailable.code == "store.full"
            ):  # the frame that would commit is the last one written: it was not
                raise unavailable from error
            raise StoreUncertain(
                "store.uncertain",
                f"{self._path}: the commit failed: {error}",
                fix="look up the decision first",
            ) from error

    def _connect(self) -> _Connection:
        with _typed(self._path):
            _check_file(self._path)
            connection = _connection(self._path, self._timeout)
            try:
                _check_ours(connection, self._path)
                connection.place = (_identity(self._path), _identity(self._log))
                if self._file not in (None, connection.place[0]):
                    self._replaced = True
                    raise self._replacement()
            except BaseException:
                connection.close()
                raise
        self._file = connection.place[0]
        self._every.add(connection)
        return connection

    def _check_place(self, connection: _Connection) -> None:
        """Refuse, for good, when the files under our names are not the ones that this connection has open.

        A new connection would take whatever is there now for the state, and rows that were acknowledged would
        be gone without a word.
        """
        if (_identity(self._path), _identity(self._log)) != connection.place:
            self._replaced = True
            raise self._replacement()

    def _replacement(self) -> StoreUnavailable:
        return StoreUnavailable(
            "store.replaced",
            f"{self._path}, or its -wal, was moved, deleted or replaced while it was open",
            fix="put it back, or adopt the copy, and start again",
        )


class _Connection(sqlite3.Connection):
    """A connection that knows which process and which files it belongs to."""

    place: tuple[tuple[int, int], tuple[int, int]]

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__(*args, **named)  # type: ignore[arg-type]  # handed through as sqlite3.connect gives them
        self._pid = os.getpid()

    def in_its_process(self) -> bool:
        return self._pid == os.getpid()

    def check_process(self) -> None:
        if not self.in_its_process():
            raise StoreUnavailable(
                "store.forked", "`work` forked; the child can't finish its parent's transaction"
            )

    def roll_back(self) -> None:
        if self.in_its_process() and self.in_transaction:
            try:
                self.execute("ROLLBACK")
            except sqlite3.Error:
                self.close()  # which rolls back as well


def _close_all(idle: list[_Connection]) -> None:
    """Close what a store that nobody refers to any more left open."""
    for connection in idle:
        if connection.in_its_process():
            connection.close()


def _connection(path: Path, timeout: float) -> _Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",  # never creates
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,  # one thread at a time uses it, not always the same
        factory=_Connection,
    )
    try:
        for pragma in (
            "synchronous = FULL",
            "wal_autocheckpoint = 4000",
            "trusted_schema = OFF",
            "cell_size_check = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_file(path: Path) -> None:
    if not path.exists():
        raise StoreUnavailable(
            "store.missing",
            f"{path} is not there",
            fix="`init` makes new state, `adopt` opens a restored copy",
        )
    if not path.is_file():
        raise StoreUnavailable("store.corrupt", f"{path} is not a file")
    if path.stat().st_size == 0:
        raise StoreUnavailable("store.corrupt", f"{path} is empty", fix="restore a backup and `adopt` it")
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise StoreUnavailable("store.read-only", f"{path}, or its folder, can't be written by this process")


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that is not ours; SQLite itself refuses one that is cut short."""
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mark != APPLICATION_ID or version != _VERSION or mode != "wal":
        raise StoreUnavailable("store.foreign", f"{path} is not cigate state of version {_VERSION}")
    connection.execute("SELECT family, id, value, expires FROM rows LIMIT 1").fetchone()


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


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


@contextmanager
def _typed(path: Path) -> Iterator[None]:
    """SQLite's errors, and the system's, as ours; nothing is committed under it."""
    try:
        yield
    except sqlite3.Error as error:
        raise _unavailable(error, path) from error
    except OSError as error:
        raise StoreUnavailable("store.unreadable", f"{path}: {error}") from error


_CODES: Final = {
    sqlite3.SQLITE_BUSY: "store.busy",
    sqlite3.SQLITE_LOCKED: "store.busy",
    sqlite3.SQLITE_FULL: "store.full",
    sqlite3.SQLITE_READONLY: "store.read-only",
    sqlite3.SQLITE_CORRUPT: "store.corrupt",
    sqlite3.SQLITE_NOTADB: "store.corrupt",
    sqlite3.SQLITE_SCHEMA: "store.corrupt",
    sqlite3.SQLITE_CANTOPEN: "store.unreadable",
    sqlite3.SQLITE_PERM: "store.unreadable",
}


def _unavailable(error: sqlite3.Error, path: Path) -> StoreUnavailable:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else -1
    return StoreUnavailable(_CODES.get(primary, "store.failed"), f"{path}: {error}")


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    _sync_file(path)
