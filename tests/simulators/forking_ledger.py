"""A hostile gateway with the real key: from one state it goes on twice, a history for each side."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from cigate.ledger import LEDGER_KEYS, Draft, Ledger, append
from cigate.signing.note import NoteSigner
from cigate.stores.memory import MemoryStore
from cigate.stores.store import Change, Key, Put, Rows


class ForkingLedger:
    """Two histories from one state, both signed by the one key.

    Args:
        common: the state from which both go on.
        signer: the ledger's own key: each history alone verifies.
        public_key: what everybody knows of it.
    """

    def __init__(self, common: MemoryStore, signer: NoteSigner, public_key: bytes) -> None:
        self._signer = signer
        self._stores = (_copied(common), _copied(common))
        self.left, self.right = (Ledger(store, public_key) for store in self._stores)

    def go_on(self, left: Draft, right: Draft, now: datetime) -> None:
        """One entry more on both sides, each its own."""
        for store, draft in zip(self._stores, (left, right), strict=True):
            store.transact(LEDGER_KEYS, self._appending(draft, now), now=now)

    def _appending(self, draft: Draft, now: datetime) -> Callable[[Rows], Change[None]]:
        return lambda rows: Change(append(rows, [draft], now=now, signer=self._signer).puts)


def _copied(store: MemoryStore) -> MemoryStore:
    other = MemoryStore()
    rows: dict[Key, Put] = {
        key: Put(value)
        for family in ("ledger", "entry", "node")
        for key, value in store.scan(family, limit=10**9)
    }
    other.transact(rows.keys(), lambda _: Change(rows), now=datetime.fromisoformat("2026-11-24T00:00:00Z"))
    return other
