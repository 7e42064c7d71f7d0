"""Rows in, writes out: the one interface behind everything that must be unique or bounded.

A rule over state is a pure function `work(rows) -> Change`. An engine only has to run it as if nothing
else ran between its reads and its writes, and to make the writes durable together; so every rule is
written once, and engines know none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from attrs import field, frozen

T = TypeVar("T")


class Key(NamedTuple):
    """A row's name: the family it belongs to (`nonce`, `entry`), and its id there."""

    family: str
    id: str


Rows = Mapping[Key, bytes]
"""The rows that exist among the keys asked for. A row that has expired does not exist."""


def _bytes_or_none(_: object, __: object, value: bytes | None) -> None:
    if value is not None and type(value) is not bytes:
        raise TypeError(f"a row holds bytes, not {type(value).__name__}")


def _aware_or_none(_: object, __: object, value: datetime | None) -> None:
    if value is not None and value.tzinfo is None:
        raise TypeError("a row expires at an aware datetime, or never (None)")


CREATED: Final = Key("store", "created")
"""The row that a new store is born with; whoever founds something on it deletes it. A store without it that
holds nothing else has lost what it held."""


@frozen
class Put:
    """One write: a value, or None to delete; `expires` is when the row stops to exist (None: never).

    Raises:
        TypeError: the value is not bytes, or the time is not aware.
    """

    value: bytes | None = field(validator=_bytes_or_none)
    expires: datetime | None = field(default=None, validator=_aware_or_none)


@frozen
class Change(Generic[T]):
    """What `work` wants: writes that become durable together, and the result to hand back."""

    puts: Mapping[Key, Put] = field(factory=dict)
    result: T = None  # type: ignore[assignment]  # a Change with no result is a Change[None]


class LockMode(Enum):
    SHARED = "shared"
    EXCLUSIVE = "exclusive"


class Store(Protocol):
    """Transactions over rows. Safe to use from many threads, and after a fork."""

    def read(self, keys: Collection[Key]) -> Rows:
        """One consistent snapshot of these rows, as they are stored.

        It knows no time, so a row that has expired but is not yet swept is still in it: whoever acts upon a
        row does so in `transact`, which is given the time.

        Raises:
            StoreUnavailable: it could not be read.
        """

    def transact(self, keys: Collection[Key], work: Callable[[Rows], Change[T]], *, now: datetime) -> T:
        """Run `work` over exactly these rows, and make its writes durable, as if nothing ran between.

        `work` is pure and may run more than once. A put outside `keys` is an insert, which fails if the row
        is there. If `work` raises, nothing is kept and the error passes through. `now` is the time by which
        rows expire. Returns only when the writes are durable.

        Raises:
            StoreUnavailable: nothing happened; `store.conflict` is an insert onto a row that is there.
            StoreUncertain: it may have happened.
        """

    def scan(self, family: str, *, after: str = "", limit: int = 1000) -> Sequence[tuple[Key, bytes]]:
        """Up to `limit` rows of a family with an id greater than `after`, in order of id (by code point).

        Like `read`, it gives rows as they are stored.

        Raises:
            StoreUnavailable: it could not be read.
        """

    def lock(self, name: str, mode: LockMode, *, timeout: timedelta) -> AbstractContextManager[None]:
        """Hold a named lock among all processes on this store. It dies with its process.

        A waiting EXCLUSIVE holds back new SHARED holders, so it can't be starved.

        Raises:
            StoreUnavailable: `store.lock-timeout`, it could not be had in `timeout`.
        """
