"""Private folders on disk for what jobs are shown, and their removal, after a crash too."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import weakref
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Final

_PREFIX: Final = "cigate-jobs-"
_SETTLED: Final = 60.0
"""Seconds after which a folder without a lock is one whose process died, not one that is being made."""


class Scratch:
    """Folders that only this process writes, and only it and `group` may enter.

    Args:
        parent: where they are made; None: the system's folder for temporary files.
        group: the group of the unprivileged user that jobs run as; None: jobs run as ourselves.
    """

    def __init__(self, parent: Path | None, group: int | None) -> None:
        self._parent = parent
        self._group = group
        self._root: Path | None = None

    def folder(self) -> Path:
        """A new empty folder.

        Raises:
            OSError: the disk failed.
        """
        if self._root is None or not self._root.is_dir():
            # the second: a cleaner of temporary files was here
            self._root = self._claim()
        return self._private(Path(mkdtemp(dir=self._root)))

    @staticmethod
    def remove(folder: Path) -> bool:
        """Remove a folder and all that is in it, without following links. False: something is left."""
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    def _claim(self) -> Path:
        parent = self._parent or Path(gettempdir())
        for left in parent.glob(f"{_PREFIX}*"):
            _remove_if_abandoned(left)
        root = Path(mkdtemp(prefix=_PREFIX, dir=parent))
        # held as long as we live: the lock is how others know that we do
        lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_SH)
        weakref.finalize(self, _remove_own, root, os.getpid(), lock)
        return self._private(root)

    def _private(self, folder: Path) -> Path:
        if self._group is not None:
            os.chown(folder, -1, self._group)
            folder.chmod(0o750)
        return folder


def _remove_own(root: Path, owner: int, lock: int) -> None:
    # a forked child has a copy of this, and the folder is not the child's
    if os.getpid() == owner:
        shutil.rmtree(root, ignore_errors=True)
    os.close(lock)


def _remove_if_abandoned(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < _SETTLED:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
