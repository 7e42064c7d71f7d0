"""Appending, as a pure function over store rows: the gateway runs it inside its own transaction.

So a decision, what it took and its entry become durable together, or none of it does. The head row is the
only one that is read; entries and the nodes of the tree are inserts, which fail if they exist: no index is
ever given twice, whoever writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cigate.errors import CigateError, LedgerError
from cigate.ledger.checkpoint import Checkpoint, claimed, ledger_key, open_checkpoint
from cigate.ledger.entry import NOTHING_BEFORE, Draft, Entry, Leaf
from cigate.ledger.receipt import Receipt
from cigate.ledger.tree import HASH_SIZE, Frontier, inclusion_proof
from cigate.signing.note import NoteSigner
from cigate.stores.store import Key, Put, Rows
from cigate.wire import canonical
from cigate.wire.ijson import parse
from cigate.wire.times import parse_timestamp, timestamp

HEAD: Final = Key("ledger", "head")
LEDGER_KEYS: Final = frozenset({HEAD})
"""What a transaction must read to append."""

GENESIS: Final = "genesis"
ADOPT: Final = "adopt"
_EPOCH: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAMES: Final = {"size", "frontier", "root", "last", "origin", "epoch", "checkpoint", "last_time"}


def entry_key(index: int) -> Key:
    """The row of an entry; ids sort as indices do."""
    return Key("entry", f"{index:016d}")


def node_key(level: int, index: int) -> Key:
    """The row of a perfect subtree's hash. Level 0 is a leaf."""
    return Key("node", f"{level:02d}.{index:016d}")


def _check_epoch(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str) or _EPOCH.fullmatch(value) is None:
        raise LedgerError("ledger.epoch", f"{value!r} is not an epoch: 1 to 64 letters, digits and ._-")


@frozen
class Head:
    """Where the ledger stands.

    Args:
        frontier: size and right edge of the tree.
        last: the leaf hash of the last entry.
        origin: which ledger this is, as its checkpoints say.
        epoch: changes when a restored copy is adopted, and never otherwise.
        checkpoint: the signed checkpoint of this size.
        last_time: the latest time of any entry.

    Raises:
        LedgerError: `ledger.epoch`.
    """

    frontier: Frontier
    last: bytes
    origin: str
    epoch: str = field(validator=_check_epoch)
    checkpoint: str
    last_time: datetime

    @property
    def size(self) -> int:
        return self.frontier.size

    @property
    def root(self) -> bytes:
        return self.frontier.root

    @classmethod
    def of(cls, rows: Rows) -> Head:
        """The head among rows that were read.

        Raises:
            LedgerError: `ledger.missing`, `ledger.corrupt`.
        """
        raw = rows.get(HEAD)
        if raw is None:
            raise LedgerError(
                "ledger.missing",
                "this store holds no ledger",
                fix="only `init` makes a ledger; if there was one, the store is not the one it was",
            )
        return cls.read(raw)

    @classmethod
    def read(cls, raw: bytes) -> Head:
        """Read `row` back, and check that its parts agree with each other.

        Raises:
            LedgerError: `ledger.corrupt`.
        """
        try:
            document: Any = parse(raw)
            if not isinstance(document, dict) or set(document) != _NAMES:
                raise ValueError(f"it has not exactly the names {', '.join(sorted(_NAMES))}")
            frontier = Frontier(document["size"], [bytes.fromhex(each) for each in document["frontier"]])
            head = cls(
                frontier=frontier,
                last=bytes.fromhex(document["last"]),
                origin=document["origin"],
                epoch=document["epoch"],
                checkpoint=document["checkpoint"],
                last_time=parse_timestamp(document["last_time"]),
            )
            said = claimed(head.checkpoint)
            if (said.origin, said.size, said.root) != (head.origin, head.size, head.root):
                raise ValueError("its checkpoint is of another size, root or origin")
            if document["root"] != head.root.hex() or len(head.last) != HASH_SIZE:
                raise ValueError("its root is not the one of its frontier")
        except (CigateError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise LedgerError("ledger.corrupt", f"the head of the ledger can't be read: {error}") from error
        return head

    def row(self) -> bytes:
        """As the store keeps it: canonical JSON."""
        return canonical.encode(
            {
                "size": self.size,
                "frontier": [each.hex() for each in self.frontier.hashes],
                "root": self.root.hex(),
                "last": self.last.hex(),
                "origin": self.origin,
                "epoch": self.epoch,
                "checkpoint": self.checkpoint,
                "last_time": timestamp(self.last_time),
            }
        )


@frozen
class Appended:
    """What an append would make true, and the writes that do.

    Args:
        entries: the new entries, in order.
        head: where the ledger stands then; `head.checkpoint` is signed.
        puts: the writes: they belong into the transaction that read `LEDGER_KEYS`.
    """

    entries: tuple[Entry, ...]
    head: Head
    puts: Mapping[Key, Put] = field(repr=False)
    _leaves: tuple[Leaf, ...] = field(repr=False)
    _nodes: Mapping[tuple[int, int], bytes] = field(repr=False)

    @property
    def checkpoint(self) -> str:
        return self.head.checkpoint

    def receipt(self, index: int) -> Receipt:
        """The receipt of one of these entries, by its index. It holds once the puts are durable.

        The path of a new leaf runs along the old right edge and through nodes made by the same append, so
        nothing needs to be read for it.

        Raises:
            LedgerError: `ledger.no-entry`, it is not one of these.
        """
        for leaf in self._leaves:
            if leaf.index == index:
                proof = inclusion_proof(index, self.head.size, lambda level, at: self._nodes[level, at])
                return Receipt(leaf, self.head.size, proof, self.checkpoint)
        raise LedgerError("ledger.no-entry", f"entry {index} was not appended here")


def append(rows: Rows, drafts: Sequence[Draft], *, now: datetime, signer: NoteSigner) -> Appended:
    """One or more entries, after those that are there, and a signed checkpoint over all. Pure.

    Args:
        rows: what was read of `LEDGER_KEYS`.
        drafts: in order; they share one checkpoint.
        now: the time of these entries. It may lie a little before the last one's: it is kept as it is.
        signer: the ledger's key, under the name of its origin.

    Raises:
        LedgerError: `ledger.missing`, `ledger.corrupt`, `ledger.entry`, `ledger.entry-too-large`,
            `ledger.kind`, `checkpoint.origin`.
    """
    for draft in drafts:
        if draft.kind in (GENESIS, ADOPT):
            raise LedgerError("ledger.kind", f"an entry of kind {draft.kind} is not appended like others")
    head = Head.of(rows)
    return _extended(head.frontier, head.last, head, drafts, now=now, signer=signer)


def genesis(
    rows: Rows,
    drafts: Sequence[Draft],
    *,
    epoch: str,
    public_key: bytes | Ed25519PublicKey,
    now: datetime,
    signer: NoteSigner,
) -> Appended:
    """The beginning of a ledger: the first draft, of kind `genesis`, is given origin, epoch and public key.

    Args:
        rows: what was read of `LEDGER_KEYS`: nothing.
        drafts: the genesis draft, then any others.
        epoch: a name for this life of the store; random is best.
        public_key: what belongs to the signer's key; it is stated in the entry, as SPKI PEM.
        now: the time of these entries.
        signer: the ledger's key; its name becomes the origin.

    Raises:
        LedgerError: `ledger.exists`, `ledger.kind`, `ledger.public-key`, and as `append`.
    """
    if HEAD in rows:
        raise LedgerError("ledger.exists", "this store holds a ledger already")
    key = ledger_key(public_key)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    first = _stated(drafts, GENESIS, signer, epoch, {"vkey": signer.vkey, "public_key": pem})
    blank = _Beginning(origin=signer.name, epoch=epoch, last_time=now)
    made = _extended(Frontier(), NOTHING_BEFORE, blank, (first, *drafts[1:]), now=now, signer=signer)
    try:
        open_checkpoint(made.checkpoint, origin=signer.name, public_key=key)
    except LedgerError as error:
        raise LedgerError("ledger.public-key", "this is not the public half of the signer's key") from error
    return made


def adopt(rows: Rows, drafts: Sequence[Draft], *, epoch: str, now: datetime, signer: NoteSigner) -> Appended:
    """Go on with a restored copy under a new epoch and a new origin (threats G5b).

    Two copies of one ledger may both go on; with an origin each, nobody takes one for the other. The first
    draft, of kind `adopt`, is given the new origin and epoch and the old ones.

    Raises:
        LedgerError: `ledger.epoch`, the epoch or the origin is the old one; `ledger.kind`, and as `append`.
    """
    head = Head.of(rows)
    if epoch == head.epoch or signer.name == head.origin:
        raise LedgerError("ledger.epoch", "a restored copy goes on under a new epoch and a new origin")
    before = {"previous_origin": head.origin, "previous_epoch": head.epoch}
    first = _stated(drafts, ADOPT, signer, epoch, before)
    renamed = _Beginning(origin=signer.name, epoch=epoch, last_time=head.last_time)
    return _extended(head.frontier, head.last, renamed, (first, *drafts[1:]), now=now, signer=signer)


@frozen
class _Beginning:
    """What an append carries over into the new head."""

    origin: str
    epoch: str = field(validator=_check_epoch)
    last_time: datetime


def _stated(
    drafts: Sequence[Draft], kind: str, signer: NoteSigner, epoch: str, more: Mapping[str, str]
) -> Draft:
    if not drafts or drafts[0].kind != kind or any(other.kind in (GENESIS, ADOPT) for other in drafts[1:]):
        raise LedgerError("ledger.kind", f"the first entry here, and no other, is of kind {kind}")
    public = {**drafts[0].public, "origin": signer.name, "epoch": epoch, **more}
    return evolve(drafts[0], public=public)


def _extended(
    frontier: Frontier,
    last: bytes,
    before: Head | _Beginning,
    drafts: Sequence[Draft],
    *,
    now: datetime,
    signer: NoteSigner,
) -> Appended:
    if not drafts:
        raise ValueError("there is nothing to append")
    entries, leaves = [], []
    nodes = dict(frontier.nodes)
    puts = {}
    for draft in drafts:
        entry = Entry.of(draft, index=frontier.size, now=now, previous=last)
        puts[entry_key(entry.index)] = Put(entry.row())
        leaf = entry.leaf()
        last = leaf.hash
        frontier, completed = frontier.append(last)
        for level, index, each in completed:
            nodes[level, index] = each
            puts[node_key(level, index)] = Put(each)
        entries.append(entry)
        leaves.append(leaf)
    head = Head(
        frontier=frontier,
        last=last,
        origin=before.origin,
        epoch=before.epoch,
        checkpoint=Checkpoint(before.origin, frontier.size, frontier.root).sign(signer),
        last_time=max(before.last_time, now),
    )
    puts[HEAD] = Put(head.row())
    return Appended(tuple(entries), head, MappingProxyType(puts), tuple(leaves), MappingProxyType(nodes))
