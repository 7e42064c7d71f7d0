"""State in the memory of one process, for tests and notebooks: it dies with the process.

A forked child would have a copy in which every nonce and every budget could be spent again, so it refuses.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Self, TypeVar

from attrs import define, field

from cigate.errors import ConfigError, StoreUnavailable
from cigate.stores.store import CREATED, Change, Key, LockMode, Put, Rows

T = TypeVar("T")


@define
class _Named:
    """Who holds a named lock, and how many wait for it EXCLUSIVE."""

    shared: int = 0
    exclusive: bool = False
    waiting: int = 0


@define(eq=False)
class MemoryStore:
    """Transactions over rows in a dict: all that a store promises, but for durability and other processes."""

    _rows: dict[Key, Put] = field(factory=lambda: {CREATED: Put(b"{}")}, init=False, repr=False)
    _names: dict[str, _Named] = field(factory=dict, init=False, repr=False)
    _guard: threading.RLock = field(factory=threading.RLock, init=False, repr=False)
    _turn: threading.Condition = field(factory=threading.Condition, init=False, repr=False)
    _working: bool = field(default=False, init=False, repr=False)
    _pid: int = field(factory=os.getpid, init=False, repr=False)

    @classmethod
    def from_uri(cls, rest: str, *, folder: Path) -> Self:
        """What `memory:` names: a new, empty store.

        Raises:
            ConfigError: `store.uri`, something follows the colon.
        """
        if rest:
            raise ConfigError("store.uri", f"memory: takes nothing after the colon, not {rest!r}")
        return cls()

    @classmethod
    def create_from_uri(cls, rest: str, *, folder: Path) -> Self:
        """The same: memory is always new."""
        return cls.from_uri(rest, folder=folder)

    def read(self, keys: Collection[Key]) -> Rows:
        """See `Store.read`."""
        with self._alone():
            return MappingProxyType({key: value for key in keys if (value := self._value(key)) is not None})

    def transact(self, keys: Collection[Key], work: Callable[[Rows], Change[T]], *, now: datetime) -> T:
        """See `Store.transact`."""
        at = now.astimezone(UTC) if now.tzinfo is not None else _refuse_naive()
        asked = frozenset(keys)
        with self._alone():
            self._working = True
            try:
                rows = {key: value for key in asked if (value := self._value(key, at)) is not None}
                change = work(MappingProxyType(rows))
            finally:
                self._working = False
            for key, put in change.puts.items():
                self._check(key, put, asked, at)
            for key, put in change.puts.items():
                if put.value is None:
                    self._rows.pop(key, None)
                else:
                    self._rows[key] = put
            return change.result

    def scan(self, family: str, *, after: str = "", limit: int = 1000) -> Sequence[tuple[Key, bytes]]:
        """See `Store.scan`."""
        with self._alone():
            found = sorted(key for key in self._rows if key.family == family and key.id > after)
            return [(key, self._value(key) or b"") for key in found[: max(limit, 0)]]

    @contextmanager
    def lock(self, name: str, mode: LockMode, *, timeout: timedelta) -> Iterator[None]:
        """See `Store.lock`."""
        self._check_process()
        until = monotonic() + timeout.total_seconds()
        with self._turn:
            named = self._names.setdefault(name, _Named())
            if not self._enter(named, mode, until):
                raise StoreUnavailable(
                    "store.lock-timeout",
                    f"the lock {name!r} could not be had ({mode.value}) within {timeout}",
                )
        try:
            yield
        finally:
            with self._turn:
                if mode is LockMode.SHARED:
                    named.shared -= 1
                else:
                    named.exclusive = False
                if named == _Named():
                    self._names.pop(name, None)
                self._turn.notify_all()

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Memory has no copies.

        Raises:
            StoreUnavailable: `store.no-backup`.
        """
        raise StoreUnavailable("store.no-backup", f"a store in memory can't be copied to {os.fspath(path)}")

    def close(self) -> None:
        """There is nothing to close: the rows go with the object."""

    def _enter(self, named: _Named, mode: LockMode, until: float) -> bool:
        if mode is LockMode.SHARED:
            if not self._wait(lambda: not named.exclusive and not named.waiting, until):
                return False
            named.shared += 1
            return True
        named.waiting += 1
        try:
            if not self._wait(lambda: not named.exclusive and not named.shared, until):
                return False
            named.exclusive = True
            return True
        finally:
            named.waiting -= 1
            self._turn.notify_all()

    def _wait(self, free: Callable[[], bool], until: float) -> bool:
        return self._turn.wait_for(free, timeout=max(until - monotonic(), 0))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._check_process()
        with self._guard:
            if self._working:  # the guard is ours already: `work` called back
                raise StoreUnavailable(
                    "store.nested", "an operation was started from inside `work`, which must be pure"
                )
            yield

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise StoreUnavailable(
                "store.forked", "a store in memory serves one process", fix="use sqlite: for many processes"
            )

    def _value(self, key: Key, at: datetime | None = None) -> bytes | None:
        put = self._rows.get(key)
        if put is None or (at is not None and put.expires is not None and put.expires <= at):
            return None
        return put.value

    def _check(self, key: Key, put: Put, asked: frozenset[Key], at: datetime) -> None:
        if key in asked:
            return
        if put.value is None:
            raise StoreUnavailable(
                "store.conflict", f"{key} was to be deleted but was not among the rows read"
            )
        if self._value(key, at) is not None:
            raise StoreUnavailable("store.conflict", f"{key} was to be inserted but is there")


def _refuse_naive() -> datetime:
    raise TypeError("`now` must be an aware datetime")
