"""Locks that a fork waits for: no child finds one held by a thread that it does not have, or half a change."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager


def lock_over_forks() -> AbstractContextManager[object]:
    """A lock for the life of the process. Its thread may enter it anew, for a signal's handler may fork within."""
    lock = threading.RLock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
