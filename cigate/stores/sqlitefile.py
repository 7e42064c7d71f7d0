"""The file of a SQLite store: made once, opened as it was left or refused, its errors in our words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cigate.errors import StoreUnavailable
from cigate.stores.store import CREATED

APPLICATION_ID: Final = 0x63696761
"""What the header of our files says they are (`ciga`): no other program's database is taken for state."""

_VERSION: Final = 1
_RESTORE: Final = "restore a backup and `adopt` it"
_OWN: Final = "run as the user who may write both"
_FIXES: Final = {"store.corrupt": _RESTORE, "store.read-only": _OWN}
_TABLE: Final = """
CREATE TABLE rows (
    family TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL, expires INTEGER, PRIMARY KEY (family, id)
) STRICT, WITHOUT ROWID
"""
_INDEX: Final = "CREATE INDEX rows_by_expiry ON rows (expires) WHERE expires IS NOT NULL"


class Connection(sqlite3.Connection):
    """A connection that knows which process it belongs to, and which files (device and inode) it has open."""

    file: tuple[int, int]
    log: tuple[int, int]

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__(*args, **named)  # type: ignore[arg-type]  # handed through as sqlite3.connect gives them
        self._pid = os.getpid()

    def in_its_process(self) -> bool:
        """Whether this is the process that opened it; a forked child must not even close it."""
        return self._pid == os.getpid()

    def check_process(self) -> None:
        """Refuse in a forked child.

        Raises:
            StoreUnavailable: `store.forked`.
        """
        if not self.in_its_process():
            raise StoreUnavailable(
                "store.forked", "`work` forked; the child can't finish its parent's transaction"
            )

    def is_in_place(self, path: Path) -> bool:
        """Whether the files under the store's names are still those that it has open."""
        return (_identity(path), _identity(_log(path))) == (self.file, self.log)

    def roll_back(self) -> None:
        """End a transaction, keeping nothing; there may be none any more."""
        if self.in_its_process() and self.in_transaction:
            try:
                self.execute("ROLLBACK")
            except sqlite3.Error:
                self.close()  # which rolls back as well


def connect(path: Path, timeout: float) -> Connection:
    """A connection to a database that is there, ours or not."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw",  # never creates
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,  # one thread at a time uses it, not always the same
        factory=Connection,
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


def open_ours(path: Path, timeout: float) -> Connection:
    """A connection to a store's file.

    Raises:
        StoreUnavailable: `store.missing`, `store.corrupt`, `store.foreign`, `store.read-only` …
    """
    with typed(path):
        _check_file(path)
        connection = connect(path, timeout)
        try:
            _check_ours(connection, path)
            connection.file, connection.log = _identity(path), _identity(_log(path))
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
        raise StoreUnavailable("store.corrupt", f"{path} is not a file", fix=_RESTORE)
    if path.stat().st_size == 0:
        raise StoreUnavailable("store.corrupt", f"{path} is empty", fix=_RESTORE)
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise StoreUnavailable(
            "store.read-only", f"{path}, or its folder, can't be written by this process", fix=_OWN
        )


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that is not ours; SQLite itself refuses one that is cut short."""
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mark != APPLICATION_ID or version != _VERSION or mode != "wal":
        raise StoreUnavailable("store.foreign", f"{path} is not cigate state of version {_VERSION}")
    connection.execute("SELECT family, id, value, expires FROM rows LIMIT 1").fetchone()


def _log(path: Path) -> Path:
    return Path(f"{path}-wal")


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def make(path: Path, timeout: float) -> None:
    """Make the file, of mode 0600, with an empty table.

    Raises:
        StoreUnavailable: `store.exists`, or it can't be made.
    """
    for left_over in (_log(path), Path(f"{path}-journal")):
        if left_over.exists():  # SQLite would read the rows of a lost store into the new one
            raise StoreUnavailable(
                "store.exists", f"{left_over} is left from another store", fix="move it away"
            )
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError as error:
        raise StoreUnavailable(
            "store.exists", f"{path} is there already", fix="open it, or move it away"
        ) from error
    except OSError as error:
        raise StoreUnavailable("store.unreadable", f"{path} can't be made: {error}") from error
    with typed(path):
        connection = connect(path, timeout)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_TABLE)
            connection.execute(_INDEX)
            connection.execute("INSERT INTO rows VALUES (?, ?, ?, NULL)", (*CREATED, b"{}"))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            path.unlink()
            raise
        connection.close()
    sync(path.parent)


@contextmanager
def typed(path: Path) -> Iterator[None]:
    """SQLite's errors, and the system's, as ours; nothing is committed under it."""
    try:
        yield
    except sqlite3.Error as error:
        raise unavailable(error, path) from error
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


def unavailable(error: sqlite3.Error, path: Path) -> StoreUnavailable:
    """SQLite's error as ours."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else -1
    name = _CODES.get(primary, "store.failed")
    return StoreUnavailable(name, f"{path}: {error}", fix=_FIXES.get(name, ""))


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
