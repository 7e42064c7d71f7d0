"""One transaction: rows change and the ledger grows, together or not at all.

Everything that a gateway changes goes through `Journal.write`, so that no state moves without an entry
that says so, in the same durable commit. What failed before a signature verified is only counted, and
the counts ride along with the next commit: strangers can't buy one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from attrs import evolve, field, frozen

from cigate.controls import CLOCK, FENCE, advance, check_clock, read_fence
from cigate.errors import BackendError, LedgerError, StoreUnavailable, StoreUncertain
from cigate.ledger import HEAD, Anchor, Appended, Draft, append
from cigate.signing import NoteSigner
from cigate.stores import Change, Key, Put, Rows, Store
from cigate.strangers import Strangers
from cigate.wire import ijson

log = logging.getLogger("cigate")

T = TypeVar("T")


@frozen
class Step(Generic[T]):
    """What one transaction does: rows to write, entries to append, and the result to hand back."""

    result: T
    puts: Mapping[Key, Put] = field(factory=dict)
    drafts: Sequence[Draft] = ()


_ROW_LIMITS: Final = ijson.Limits(octets=4 * 1024 * 1024, items=1024 * 1024)


class Journal:
    """Transactions over a store that also append to its ledger. Safe to use from many threads.

    Args:
        store: where rows and ledger live.
        signer: signs each checkpoint.
        anchor: the file beside the store that tells a rolled-back copy; None for a store in memory.
        skew: how far the clock may be behind the latest time that the store has seen.
    """

    def __init__(self, store: Store, signer: NoteSigner, anchor: Anchor | None, *, skew: timedelta) -> None:
        self.store = store
        self._signer = signer
        self._anchor = anchor
        self._skew = skew
        self.strangers = Strangers.beside(store)
        self._unsynced = threading.Event()

    def write(
        self,
        keys: Collection[Key],
        work: Callable[[Rows], Step[T]],
        *,
        now: datetime,
        strict_clock: bool = True,
        proof: Key | None = None,
    ) -> tuple[T, Appended | None]:
        """Run `work`, make its rows and entries durable in one commit, and move the anchor on.

        `work` is pure and may run more than once. A step without puts and drafts commits nothing. With
        `strict_clock` a clock that is behind refuses; without, what must be recorded whatever the time (a halt,
        the end of a run) is recorded.

        `proof` is a row that exists only if this very step was committed: when the store is uncertain, it tells.

        Raises:
            BackendError: `clock.behind`; StoreUnavailable, StoreUncertain; whatever `work` raises.
        """
        counts = self.strangers.claim()

        def change(rows: Rows) -> Change[tuple[T, Appended | None]]:
            if strict_clock:
                check_clock(rows, now, self._skew)
            step = work(rows)
            if not step.puts and not step.drafts:
                return Change(result=(step.result, None))
            strangers = [Draft("strangers", {"refused": dict(sorted(counts.items()))}, {})] if counts else []
            drafts = [_fenced(draft, rows, step.puts) for draft in (*strangers, *step.drafts)]
            appended = append(rows, drafts, now=now, signer=self._signer)
            return Change({**step.puts, **advance(rows, now), **appended.puts}, (step.result, appended))

        try:
            result, appended = self._transact({*keys, FENCE, HEAD, CLOCK}, change, now, proof)
        except BaseException:
            self.strangers.give_back(counts)
            raise
        if appended is None:
            self.strangers.give_back(counts)
        elif self._anchor is not None:
            self._anchor.advance(appended.head.size, appended.head.root, appended.head.epoch)
            self._unsynced.set()
        return result, appended

    def _transact(
        self, keys: Collection[Key], change: Callable[[Rows], Change[T]], now: datetime, proof: Key | None
    ) -> T:
        made: list[T] = []

        def remembering(rows: Rows) -> Change[T]:
            changed = change(rows)
            made[:] = [changed.result]
            return changed

        try:
            return self.store.transact(keys, remembering, now=now)
        except StoreUncertain:
            if proof is None or not made or not self._is_there(proof):
                raise
            return made[0]

    def _is_there(self, proof: Key) -> bool:
        """Whether a row is surely there. A store that can't be asked leaves it uncertain."""
        try:
            return proof in self.store.read([proof])
        except BackendError as error:
            log.error("whether %s was committed can't be looked up: %s", proof.id, error)
            return False

    def close(self) -> None:
        """Leave nothing behind in this process alone."""
        self.strangers.leave()
        self.sync()

    def sync(self) -> None:
        """Make the anchor as durable as the store, if it was moved here since: who only looked pays nothing."""
        if self._anchor is not None and self._unsynced.is_set():
            self._unsynced.clear()
            try:
                self._anchor.sync()
            except LedgerError:
                self._unsynced.set()
                raise


def _fenced(draft: Draft, rows: Rows, puts: Mapping[Key, Put]) -> Draft:
    """The draft with the generation of the fence that holds once it is committed."""
    moved = puts.get(FENCE)
    fence = read_fence(rows if moved is None or moved.value is None else {FENCE: moved.value})
    return evolve(draft, public={**draft.public, "fence": fence.generation})


def read_row(value: bytes) -> dict[str, Any]:
    """A row that we wrote, as the map that it holds."""
    found = ijson.parse(value, limits=_ROW_LIMITS)
    if not isinstance(found, dict):
        raise StoreUnavailable("store.corrupt", "a row does not hold a map")
    return found


def scan_rows(store: Store, family: str) -> Iterator[dict[str, Any]]:
    """Every row of a family that we wrote, in order of id."""
    after = ""
    while page := store.scan(family, after=after, limit=500):
        for _, value in page:
            yield read_row(value)
        after = page[-1][0].id
