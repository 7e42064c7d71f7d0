"""Named locks among all processes of a machine: open-file-description locks on files in one folder.

Theory of operation. Each acquisition opens its file anew, so the lock belongs to that one opening: threads
exclude each other as processes do, and the kernel lets go when the process dies, however it dies. Byte 0 is
the lock. Byte 1 is the turnstile: a waiting EXCLUSIVE holds it, and a SHARED looks whether anybody does (it
never takes it, so a stream of SHARED can't keep an EXCLUSIVE from it) before it tries byte 0. `flock` has no
way to look without taking, which is why these are not flocks.

A file is deleted while it is held EXCLUSIVE, so that names used once (`owner/<id>`) leave nothing behind;
whoever then gets a lock on a file that has no name any more, opens the name again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cigate.errors import StoreUnavailable
from cigate.stores.store import LockMode

_FLOCK: Final = (
    "@hhqqi0q"  # struct flock with 64-bit offsets: type, whence, start, length, pid (0, as OFD asks)
)
_LOCK, _TURNSTILE = 0, 1
_FIRST_WAIT, _LONGEST_WAIT = 0.0005, 0.01  # seconds between two looks
_LONGEST_NAME: Final = 200

_guard = threading.Lock()
_open: set[_Opening] = set()


class _Opening:
    """One open file of one acquisition; a forked child closes its copy and knows that it holds nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _guard:  # a fork in between would leave the child a file that nobody closes
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            _open.add(self)

    def take(self, kind: int, byte: int) -> bool:
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, byte, 1, 0))
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: somebody else holds it
            return False
        return True

    def give_back(self, byte: int, length: int = 1) -> None:
        given = struct.pack(_FLOCK, fcntl.F_UNLCK, os.SEEK_SET, byte, length, 0)
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, given)

    def somebody_waits(self) -> bool:
        asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, _TURNSTILE, 1, 0)
        found: int = struct.unpack(_FLOCK, fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, asked))[0]
        return found != fcntl.F_UNLCK

    def has_no_name(self) -> bool:
        return os.fstat(self._fd).st_nlink == 0

    def retire(self) -> None:
        """Delete the file; only who holds it EXCLUSIVE may, and not a child's copy of it."""
        if self in _open:
            self._path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Close a child's copy; the parent goes on holding the lock."""
        os.close(self._fd)

    def close(self) -> None:
        with _guard:
            if self not in _open:  # a child's copy of what its parent holds
                return
            _open.discard(self)
            try:
                # A child forked from C may share this opening: closing alone would not let go.
                self.give_back(_LOCK, 2)
            finally:
                os.close(self._fd)


class FileLocks:
    """Locks by name in a folder, which is made when the first one is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, name: str, mode: LockMode, timeout: timedelta) -> Iterator[None]:
        """Hold the lock; a timeout of nothing tries once.

        Raises:
            StoreUnavailable: `store.lock-timeout`; `store.lock-failed`, the folder or the system refuses.
        """
        until = time.monotonic() + timeout.total_seconds()
        try:
            opening = self._acquire(name, mode, until)
        except OSError as error:
            raise StoreUnavailable(
                "store.lock-failed", f"the lock {name!r} can't be taken: {error}"
            ) from error
        if opening is None:
            raise StoreUnavailable(
                "store.lock-timeout", f"the lock {name!r} could not be had ({mode.value}) within {timeout}"
            )
        try:
            yield
        finally:
            if mode is LockMode.EXCLUSIVE:
                opening.retire()
            opening.close()

    def _acquire(self, name: str, mode: LockMode, until: float) -> _Opening | None:
        path = self._folder / _file_name(name)
        while True:
            try:
                opening = _Opening(path)
            except FileNotFoundError:
                self._folder.mkdir(mode=0o700, exist_ok=True)
                opening = _Opening(path)
            try:
                had = _share(opening, until) if mode is LockMode.SHARED else _exclude(opening, until)
                stale = had and opening.has_no_name()
            except BaseException:
                opening.close()
                raise
            if had and not stale:
                return opening
            opening.close()
            if not stale:
                return None


def _share(opening: _Opening, until: float) -> bool:
    wait = _FIRST_WAIT
    while opening.somebody_waits() or not opening.take(fcntl.F_RDLCK, _LOCK):
        if not _rest(wait, until):
            return False
        wait = min(wait * 2, _LONGEST_WAIT)
    return True


def _exclude(opening: _Opening, until: float) -> bool:
    for byte in (_TURNSTILE, _LOCK):
        wait = _FIRST_WAIT
        while not opening.take(fcntl.F_WRLCK, byte):
            if not _rest(wait, until):
                return False
            wait = min(wait * 2, _LONGEST_WAIT)
    opening.give_back(_TURNSTILE)
    return True


def _rest(wait: float, until: float) -> bool:
    """Wait a little; False when there is no time left."""
    left = until - time.monotonic()
    if left <= 0:
        return False
    time.sleep(min(wait, left))
    return True


def _file_name(name: str) -> str:
    """A file name that two lock names never share."""
    quoted = quote(name, safe="")
    if len(quoted) > _LONGEST_NAME:
        return f"{hashlib.sha256(name.encode()).hexdigest()}.hashed"
    return f"{quoted}.lock"


def _close_in_child() -> None:
    global _guard
    _guard = threading.Lock()
    for opening in _open:
        opening.abandon()
    _open.clear()


os.register_at_fork(
    before=lambda: _guard.acquire(), after_in_parent=lambda: _guard.release(), after_in_child=_close_in_child
)
