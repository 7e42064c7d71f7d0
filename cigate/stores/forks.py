"""What a fork must not carry over: open SQLite connections.

SQLite counts its file locks per process, in memory. A forked child inherits the counts but not the locks:
were it to open the same file while an inherited connection is there, it would believe to hold a lock that it
does not, and the parent's last close would delete the write-ahead log under the child's feet; rows that the
child acknowledged would be gone. Closing the inherited connection in the child is no way out either. So every
connection of the process is closed *before* it forks, when no operation is under way, and both sides open
their own afterwards. A process that got here without that (a fork from C, or from inside an operation)
refuses.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol
from weakref import WeakSet

from cigate.errors import StoreUnavailable

_LONGEST_WAIT: Final = 30.0  # seconds that a fork waits for operations under way


class Connected(Protocol):
    """Something that keeps connections between operations, and can close them while none is under way."""

    def disconnect(self) -> None:
        """Close every idle connection."""

    def connections(self) -> Sequence[object]:
        """Those still open."""


class ForkGate:
    """Operations pass through it, forks wait until none is inside."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._stores: WeakSet[Connected] = WeakSet()
        self._quiet = threading.Condition(threading.Lock())
        self._inside = 0
        self._forking = False
        self._mine = threading.local()
        self._carried: list[object] = []

    def watch(self, store: Connected) -> None:
        """Have this store's connections closed before the process forks."""
        with self._quiet:
            self._stores.add(store)

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Hold forks back while a connection is in use.

        Raises:
            StoreUnavailable: `store.forked`, this process inherited connections.
        """
        if self._carried or self._pid != os.getpid():
            raise StoreUnavailable(
                "store.forked",
                "this process was forked with connections open that must not be used in it",
                fix="fork with os.fork, outside of any transaction, or open the store after the fork",
            )
        pid = self._pid
        with self._quiet:
            while self._forking:
                self._quiet.wait()
            self._inside += 1
        self._mine.depth = getattr(self._mine, "depth", 0) + 1
        try:
            yield
        finally:
            if pid == self._pid:
                self._mine.depth -= 1
                with self._quiet:
                    self._inside -= 1
                    if not self._inside:
                        self._quiet.notify_all()

    def before(self) -> None:
        """Close what is open; from here until after the fork nothing new opens."""
        self._quiet.acquire()
        if getattr(
            self._mine, "depth", 0
        ):  # forked from inside a transaction: waiting for it would never end
            return
        self._forking = True  # or new operations would keep it waiting
        until = time.monotonic() + _LONGEST_WAIT
        while self._inside and (left := until - time.monotonic()) > 0:
            self._quiet.wait(left)
        if not self._inside:
            for store in self._stores:
                store.disconnect()

    def after_in_parent(self) -> None:
        self._forking = False
        self._quiet.notify_all()
        self._quiet.release()

    def after_in_child(self) -> None:
        self._pid = os.getpid()
        for store in self._stores:
            self._carried.extend(store.connections())  # kept for good, so that nothing ever closes them here
        self._quiet = threading.Condition(threading.Lock())
        self._inside = 0
        self._forking = False
        self._mine = threading.local()


GATE: Final = ForkGate()

os.register_at_fork(
    before=GATE.before, after_in_parent=GATE.after_in_parent, after_in_child=GATE.after_in_child
)
