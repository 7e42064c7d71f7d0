"""Reading a ledger that lives in a store: entries, proofs, exports, and whether all of it still agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cigate.errors import LedgerError
from cigate.ledger.checkpoint import ledger_key, open_checkpoint
from cigate.ledger.entry import Entry
from cigate.ledger.log import LEDGER_KEYS, Head, entry_key, node_key
from cigate.ledger.receipt import Receipt
from cigate.ledger.tree import (
    EMPTY_ROOT,
    HASH_SIZE,
    Completed,
    Node,
    consistency_proof,
    inclusion_proof,
    root_of,
)
from cigate.ledger.verify import Fault, Verification, Walk
from cigate.stores.store import Store
from cigate.wire import canonical

T = TypeVar("T")
_ENTRIES: Final = entry_key(0).family
_PAGE: Final = 500


class Ledger:
    """The ledger in a store, to read. Safe to use from many threads, while others append.

    Args:
        store: where it lives.
        public_key: its key, as PEM (SubjectPublicKeyInfo).
        origin: which ledger it must be; None: the one that is there.

    Raises:
        LedgerError: `ledger.public-key`.
    """

    def __init__(self, store: Store, public_key: bytes | Ed25519PublicKey, origin: str | None = None) -> None:
        self._store = store
        self._key = ledger_key(public_key)
        self._origin = origin

    def public_pem(self) -> bytes:
        """Its public key (SPKI, PEM)."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def size(self) -> int:
        """How many entries there are.

        Raises:
            LedgerError: as `head`.
        """
        return self.head().size

    def head(self) -> Head:
        """Where the ledger stands, once its checkpoint's signature is verified.

        Raises:
            LedgerError: `ledger.missing`, `ledger.corrupt`, `note.…`, `checkpoint.origin` (another ledger).
            StoreUnavailable: it could not be read.
        """
        head = Head.of(self._store.read(LEDGER_KEYS))
        if self._origin is not None and head.origin != self._origin:
            raise LedgerError("checkpoint.origin", f"this is the ledger {head.origin}, not {self._origin}")
        open_checkpoint(head.checkpoint, origin=head.origin, public_key=self._key)
        return head

    def checkpoint(self) -> str:
        """The signed checkpoint: keep it outside, and nobody can rewrite what came before it unseen.

        Raises:
            LedgerError: as `head`.
        """
        return self.head().checkpoint

    def entry(self, index: int) -> Entry:
        """One entry.

        Raises:
            LedgerError: `ledger.no-entry`; `ledger.entry`, it can't be read; `ledger.order`, it is another one.
        """
        key = entry_key(index) if 0 <= index < self.size else None
        raw = self._store.read([key]).get(key) if key is not None else None
        if raw is None:
            raise LedgerError("ledger.no-entry", f"there is no entry {index}")
        return _in_place(Entry.read(raw), index)

    def entries(self, after: int = -1) -> Iterator[Entry]:
        """Entries in order: all, or those after an index.

        Raises:
            LedgerError: `ledger.entry`, one can't be read; `ledger.order`, one is missing.
        """
        for index, raw in enumerate(self._rows(after, self.size), start=after + 1):
            yield _in_place(Entry.read(raw), index)

    def prove(self, index: int) -> Receipt:
        """That an entry, of any kind, is in the ledger as it now stands.

        Raises:
            LedgerError: `ledger.no-entry`, and as `head`.
        """
        head = self.head()
        if not 0 <= index < head.size:
            raise LedgerError("ledger.no-entry", f"there is no entry {index}")
        proof = self._over_nodes(lambda node: inclusion_proof(index, head.size, node))
        return Receipt(self.entry(index).leaf(), head.size, proof, head.checkpoint)

    def consistency(self, first: int, second: int) -> tuple[bytes, ...]:
        """That the ledger of `second` entries begins with that of `first` (RFC 9162, 2.1.4.1).

        Raises:
            LedgerError: `ledger.no-entry`, not 0 < first <= second <= size.
        """
        if not 0 < first <= second <= self.size:
            raise LedgerError("ledger.no-entry", f"there is no proof from {first} to {second} entries")
        return self._over_nodes(lambda node: consistency_proof(first, second, node))

    def root_at(self, size: int) -> bytes:
        """The root when the ledger was `size` entries large, for an anchor or an old checkpoint.

        Raises:
            LedgerError: `ledger.no-entry`, it is not that large.
        """
        if not 0 <= size <= self.size:
            raise LedgerError("ledger.no-entry", f"the ledger has fewer than {size} entries")
        return self._over_nodes(lambda node: root_of(size, node))

    def export(self, into: BinaryIO) -> None:
        """Write all entries as JSON Lines, and the signed checkpoint last: what `verify_export` reads.

        Raises:
            LedgerError: as `head`; `ledger.order`, an entry is missing.
        """
        head = self.head()
        for raw in self._rows(-1, head.size):
            into.write(raw + b"\n")
        into.write(canonical.encode({"checkpoint": head.checkpoint}) + b"\n")

    def verify(self, checkpoint: str | None = None) -> Verification:
        """Verify every entry, the kept nodes of the tree, and the head; and an outside checkpoint, if given.

        Raises:
            StoreUnavailable: it could not be read.
        """
        walk = Walk(self._key, checkpoint)
        try:
            self._walk(walk)
        except Fault as fault:
            return walk.verdict(fault)
        except LedgerError as error:
            missing = walk.size if error.code == "ledger.order" else None
            return walk.verdict(Fault(error.code, error.message, missing))
        return walk.verdict(None)

    def _walk(self, walk: Walk) -> None:
        head = self.head()
        completed: list[Completed] = []
        for raw in self._rows(-1, head.size):
            completed.extend(walk.take(raw))
            if len(completed) >= _PAGE:
                self._compare_nodes(completed)
                completed.clear()
        self._compare_nodes(completed)
        walk.finish(head.checkpoint)
        found = (walk.frontier, walk.last, walk.origin, walk.epoch)
        if found != (head.frontier, head.last, head.origin, head.epoch):
            raise Fault("ledger.corrupt", "the head of the ledger does not fit its entries")
        beyond = self._store.scan(_ENTRIES, after=entry_key(head.size - 1).id, limit=1)
        if beyond and beyond[0][0] >= entry_key(self.size):  # not what somebody appended meanwhile
            raise Fault("ledger.unsigned", "there are entries beyond those that were signed", head.size)

    def _compare_nodes(self, completed: Sequence[Completed]) -> None:
        wanted = {node_key(level, index): (level, index, each) for level, index, each in completed}
        kept = self._store.read(wanted.keys())
        for key, (level, index, each) in wanted.items():
            if kept.get(key) != each:
                first_bad = index if level == 0 else None
                raise Fault("ledger.node", f"the hash kept as {key.id} is not that of its entries", first_bad)

    def _rows(self, after: int, size: int) -> Iterator[bytes]:
        """The rows of the entries after `after` and below `size`; a missing one raises `ledger.order`."""
        at = after + 1
        while at < size:
            page = self._store.scan(
                _ENTRIES, after=entry_key(at - 1).id if at else "", limit=min(_PAGE, size - at)
            )
            for key, raw in page:
                if key != entry_key(at):
                    break
                yield raw
                at += 1
            else:
                if page:
                    continue
            raise LedgerError("ledger.order", f"entry {at} is missing")

    def _over_nodes(self, proof: Callable[[Node], T]) -> T:
        """Run `proof` twice: once to learn which nodes it asks for, once with all of them, read together."""
        asked: set[tuple[int, int]] = set()

        def noted(level: int, index: int) -> bytes:
            asked.add((level, index))
            return EMPTY_ROOT

        proof(noted)
        kept = self._store.read([node_key(level, index) for level, index in asked])

        def read(level: int, index: int) -> bytes:
            found = kept.get(node_key(level, index))
            if found is None or len(found) != HASH_SIZE:
                raise LedgerError("ledger.node", f"the hash of the tree's node {level}.{index} is missing")
            return found

        return proof(read)


def _in_place(entry: Entry, index: int) -> Entry:
    if entry.index != index:
        raise LedgerError("ledger.order", f"where entry {index} belongs, entry {entry.index} stands")
    return entry
