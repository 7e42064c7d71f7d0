"""The anchor: a small file beside the store that remembers how far the ledger had come (threats G5b).

A store that was copied without its journal, or restored from an old copy, looks whole; beside its anchor it
is behind, and refused. The record is written after the store's own durable commit, so that it is never ahead
of what was acknowledged, and not synced on that path: a power cut may leave it behind, which is harmless.
Each call opens the file anew, so an Anchor may be made before a fork and used from many threads.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from cigate.errors import CigateError, LedgerError
from cigate.ledger.log import Head
from cigate.ledger.tree import HASH_SIZE
from cigate.wire import canonical
from cigate.wire.ijson import parse

_RECORD: Final = 320
"""Bytes of the file: below a disk sector, so that one write of it is all or nothing."""

_NAMES: Final = {"size", "root", "epoch", "checksum"}


@frozen
class Mark:
    """How far the ledger had come: size, root, and the epoch in which that was."""

    size: int
    root: bytes
    epoch: str

    def record(self) -> bytes:
        """The file: one line of canonical JSON, padded with spaces to one length whatever the values."""
        fields = {"size": self.size, "root": self.root.hex(), "epoch": self.epoch}
        line = canonical.encode({**fields, "checksum": hashlib.sha256(canonical.encode(fields)).hexdigest()})
        return line.ljust(_RECORD - 1) + b"\n"

    @classmethod
    def read(cls, raw: bytes) -> Mark:
        """Read `record` back.

        Raises:
            ValueError: these are not the bytes of any record.
        """
        try:
            document: Any = parse(raw)
            if not isinstance(document, dict) or set(document) != _NAMES:
                raise ValueError(f"it has not exactly the names {', '.join(sorted(_NAMES))}")
            mark = cls(document["size"], bytes.fromhex(document["root"]), document["epoch"])
            if type(mark.size) is not int or mark.size < 0 or len(mark.root) != HASH_SIZE:
                raise ValueError("its size or its root is not what it must be")
            if mark.record() != raw:
                raise ValueError("its checksum or its form is wrong")
        except (CigateError, TypeError) as error:
            raise ValueError(str(error)) from error
        return mark


class Anchor:
    """The anchor file at a path. Safe to use from many threads and processes.

    Args:
        path: the file, by convention the store's path and `.anchor`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def create(self, size: int, root: bytes, epoch: str) -> None:
        """Make the file, durably. Only `init` does.

        Raises:
            LedgerError: `anchor.exists`; `anchor.unwritable`.
        """
        self._write_anew(Mark(size, root, epoch), os.O_EXCL)

    def replace(self, size: int, root: bytes, epoch: str) -> None:
        """Make the file say this, whatever it said, durably. Only `adopt` does, for a copy under a new epoch.

        Raises:
            LedgerError: `anchor.unwritable`.
        """
        self._write_anew(Mark(size, root, epoch), 0)

    def read(self) -> Mark:
        """What the anchor remembers.

        Raises:
            LedgerError: `anchor.missing`, `anchor.corrupt`.
        """
        with self._opened(os.O_RDONLY) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return self._marked(descriptor)

    def advance(self, size: int, root: bytes, epoch: str) -> None:
        """Remember a commit that is durable. It never goes back: of commits that race, the largest stays.

        Raises:
            LedgerError: `anchor.missing`, `anchor.corrupt`; `ledger.rolled-back`, the anchor remembers
                another root at this size, or another epoch.
        """
        with self._opened(os.O_RDWR) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            remembered = self._marked(descriptor)
            if remembered.epoch != epoch or (remembered.size == size and remembered.root != root):
                raise self._rolled_back(remembered, f"the store committed {size} entries of epoch {epoch}")
            if remembered.size < size:
                _write(descriptor, Mark(size, root, epoch).record())

    def check(self, read_head: Callable[[], Head], root_at: Callable[[int], bytes] | None = None) -> None:
        """Refuse a store that is behind its anchor, or not the one that it was.

        Args:
            read_head: tells where the store's ledger stands (`Ledger.head`). It is asked after the anchor is
                read, or what others commit in between would look like a rollback.
            root_at: gives the root at an earlier size (`Ledger.root_at`); with it, a store that is ahead must
                also begin with what the anchor remembers.

        Raises:
            LedgerError: `ledger.rolled-back`, `anchor.missing`, `anchor.corrupt`.
        """
        remembered = self.read()
        head = read_head()
        found = f"the store has {head.size} entries of epoch {head.epoch}"
        if head.epoch != remembered.epoch or head.size < remembered.size:
            raise self._rolled_back(remembered, found)
        if head.size == remembered.size:
            root = head.root
        elif root_at is not None:
            root = root_at(remembered.size)
        else:
            return
        if root != remembered.root:
            raise self._rolled_back(remembered, f"{found}, and other ones")

    def sync(self) -> None:
        """Make what the file says durable: on a load, halt, resume or revocation, at a backup, on closing.

        Raises:
            LedgerError: `anchor.missing`; `anchor.unwritable`.
        """
        with self._opened(os.O_RDWR) as descriptor:
            os.fsync(descriptor)

    @contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        try:
            descriptor = os.open(self._path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise LedgerError(
                "anchor.missing",
                f"there is no anchor file {self._path.name} beside the store",
                fix="put the folder back as it was, or open a restored copy with `adopt`",
            ) from None
        except OSError as error:
            raise LedgerError("anchor.unwritable", f"{self._path.name}: {error.strerror}") from error
        try:
            yield descriptor
        except OSError as error:
            raise LedgerError("anchor.unwritable", f"{self._path.name}: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def _marked(self, descriptor: int) -> Mark:
        try:
            return Mark.read(os.pread(descriptor, _RECORD + 1, 0))
        except ValueError as error:
            raise LedgerError(
                "anchor.corrupt",
                f"the anchor file {self._path.name} can't be read: {error}",
                fix="restore the folder from a backup, and open it with `adopt`",
            ) from error

    def _write_anew(self, mark: Mark, exclusive: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | exclusive
        try:
            descriptor = os.open(self._path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _write(descriptor, mark.record())
                os.ftruncate(descriptor, _RECORD)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except FileExistsError:
            raise LedgerError("anchor.exists", f"there is an anchor file {self._path.name} already") from None
        except OSError as error:
            raise LedgerError("anchor.unwritable", f"{self._path.name}: {error.strerror}") from error

    def _rolled_back(self, remembered: Mark, found: str) -> LedgerError:
        return LedgerError(
            "ledger.rolled-back",
            f"the anchor remembers {remembered.size} entries of epoch {remembered.epoch}; {found}",
            fix="this is another copy of the state: put the right one back, or open this one with `adopt`",
        )


def _write(descriptor: int, record: bytes) -> None:
    if os.pwrite(descriptor, record, 0) != len(record):
        raise OSError(0, "the record was written in part")
