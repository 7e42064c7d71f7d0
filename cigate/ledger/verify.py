"""Is this still the ledger that was signed, and if not, which entry is the first that is wrong?

Theory of operation. The root in the signed checkpoint says *whether* anything changed; the chain of leaf
hashes says *where*. If entry k+1 does not name the hash of entry k, then either k was changed, or the one
field of k+1 that names it. In the second case k+1 with that field put right is what its own follower (or, at
the end, the signed root) vouches for; so one entry of lookahead tells the two apart. Whoever rewrote
everything after a change and had the key to sign it again is caught by an outside checkpoint only, and that
is what `anchored` says.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from attrs import evolve, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cigate.errors import CigateError, LedgerError
from cigate.ledger.checkpoint import Checkpoint, claimed, ledger_key, open_checkpoint
from cigate.ledger.entry import BIGGEST_ENTRY, NOTHING_BEFORE, Entry
from cigate.ledger.log import ADOPT, GENESIS
from cigate.ledger.tree import Completed, Frontier
from cigate.wire import canonical
from cigate.wire.ijson import Limits, parse

_LONGEST_LINE: Final = BIGGEST_ENTRY + 1


@frozen
class Verification:
    """What a verification found.

    Args:
        ok: nothing is wrong.
        size: entries that were read before it ended.
        root: the root hash over them, hex.
        anchored: an outside checkpoint was given, and the ledger begins with what it signed. Without one,
            whoever can write the gateway folder could have signed another history.
        code: `ledger.verified`, or what is wrong.
        message: the same in words.
        first_bad: the index of the first entry that is wrong or missing; None: there is none, or a root alone
            can't tell.
    """

    ok: bool
    size: int
    root: str
    anchored: bool
    code: str
    message: str
    first_bad: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "size": self.size,
            "root": self.root,
            "anchored": self.anchored,
            "code": self.code,
            "message": self.message,
            **({"first_bad": self.first_bad} if self.first_bad is not None else {}),
        }


@frozen
class Fault(Exception):
    """What is wrong, and with which entry. Stays inside this room."""

    code: str
    message: str
    first_bad: int | None = None


@frozen
class _Suspicion:
    """Entry `index + 1` does not name the hash of entry `index`: one of the two was changed.

    Args:
        index: the first of the two.
        before: the tree up to and with it.
        mended: the leaf hash of the second, if it named the first as it is.
        given: the leaf hash of the second as it is.
    """

    index: int
    before: Frontier
    mended: bytes
    given: bytes

    def fault(self, *, second_is_bad: bool) -> Fault:
        bad = self.index + 1 if second_is_bad else self.index
        return Fault("ledger.chain", f"entry {bad} is not the one that was signed", bad)


def verify_export(
    lines: BinaryIO | bytes,
    *,
    public_key: bytes | Ed25519PublicKey | None = None,
    checkpoint: str | None = None,
) -> Verification:
    """Verify an export: JSON Lines, byte for byte, with the signed checkpoint last.

    Args:
        lines: the export.
        public_key: the ledger's key, as PEM. None: the one that the export itself names, which shows that
            it is whole, and not whose it is.
        checkpoint: a signed checkpoint held outside, of this size or an earlier one.

    Raises:
        LedgerError: `ledger.public-key`, the key given is none. All else that is wrong is in the result.
    """
    key = ledger_key(public_key) if public_key is not None else None
    return verify_lines(io.BytesIO(lines) if isinstance(lines, bytes) else lines, Walk(key, checkpoint))


class Walk:
    """Entries in order, from the first, checked one against the other; then the checkpoint at the end."""

    def __init__(self, key: Ed25519PublicKey | None, outside: str | None) -> None:
        self._key = key
        self._outside = outside
        self._frontier = Frontier()
        self._last = NOTHING_BEFORE
        self._origins: tuple[tuple[int, str], ...] = ()  # from which size on, under which origin
        self._suspicion: _Suspicion | None = None
        self._outside_root: bytes | None = None
        self._epoch = ""
        self._anchored = False
        try:
            self._outside_size = claimed(outside).size if outside is not None else None
        except LedgerError:
            self._outside_size = None  # `finish` says what is wrong with it

    @property
    def size(self) -> int:
        """How many entries were taken: the place of the next."""
        return self._frontier.size + (1 if self._suspicion else 0)

    @property
    def suspicious(self) -> bool:
        """An entry is wrong, and it is not settled yet which one."""
        return self._suspicion is not None

    @property
    def frontier(self) -> Frontier:
        return self._frontier

    @property
    def last(self) -> bytes:
        """The leaf hash of the last entry."""
        return self._last

    @property
    def origin(self) -> str:
        """The origin in force; empty before the first entry."""
        return self._origins[-1][1] if self._origins else ""

    @property
    def epoch(self) -> str:
        """The epoch in force; empty before the first entry."""
        return self._epoch

    def take(self, raw: bytes) -> tuple[Completed, ...]:
        """Check the next entry; what it completes in the tree.

        Raises:
            Fault: it is wrong, or an earlier one is.
        """
        index = self.size
        if self._suspicion is not None:
            raise self._resolved(self._named_by(raw))
        try:
            entry = Entry.read(raw)
        except LedgerError as error:
            raise Fault(error.code, f"entry {index}: {error.message}", index) from None
        if entry.index != index:
            raise Fault("ledger.order", f"where entry {index} belongs, entry {entry.index} stands", index)
        if entry.previous != self._last:
            if index == 0:
                raise Fault("ledger.chain", "the first entry names an entry before it", 0)
            mended = evolve(entry, previous=self._last).leaf().hash
            self._suspicion = _Suspicion(index - 1, self._frontier, mended, entry.leaf().hash)
            return ()
        self._note_origin(entry)
        self._last = entry.leaf().hash
        self._frontier, completed = self._frontier.append(self._last)
        if self._frontier.size == self._outside_size:
            self._outside_root = self._frontier.root
        return completed

    def finish(self, note: str) -> None:
        """Check the signed checkpoint at the end, and the outside one.

        Raises:
            Fault: one of them is wrong, or shows that an entry is.
        """
        size = self.size
        if size == 0:
            raise Fault("ledger.truncated", "there is no entry: a ledger begins with its genesis", 0)
        key = self._signing_key()
        try:
            end = open_checkpoint(note, origin=self.origin, public_key=key)
        except LedgerError as error:
            if self._suspicion is not None:
                raise self._resolved(None) from None
            raise Fault("ledger.checkpoint", f"the checkpoint at the end: {error}") from None
        if end.size > size:
            raise Fault("ledger.truncated", f"{end.size} entries were signed, and {size} are here", size)
        if end.size < size:
            raise Fault("ledger.unsigned", f"{end.size} entries were signed, and {size} are here", end.size)
        if self._suspicion is not None:
            mended, _ = self._suspicion.before.append(self._suspicion.mended)
            raise self._suspicion.fault(second_is_bad=mended.root == end.root)
        if end.root != self._frontier.root:
            raise Fault(
                "ledger.root",
                f"these entries were not signed: the last, {size - 1}, was changed, or an earlier one with "
                "every hash after it",
                size - 1,
            )
        if self._outside is not None:
            self._compare_outside(self._outside, key)
            self._anchored = True

    def verdict(self, fault: Fault | None) -> Verification:
        """What was found, as a value."""
        size, root = self._frontier.size, self._frontier.root.hex()
        if fault is not None:
            return Verification(False, size, root, False, fault.code, fault.message, fault.first_bad)
        held = (
            "an outside checkpoint vouches for it"
            if self._anchored
            else (
                "without an outside checkpoint this shows that it is whole, not that it was never signed anew"
            )
        )
        return Verification(
            True,
            size,
            root,
            self._anchored,
            "ledger.verified",
            f"{size} entries are as they were signed; {held}",
        )

    def _named_by(self, raw: bytes) -> bytes | None:
        try:
            return Entry.read(raw).previous
        except LedgerError:
            return None

    def _resolved(self, named: bytes | None) -> Fault:
        assert self._suspicion is not None
        return self._suspicion.fault(second_is_bad=named == self._suspicion.mended)

    def _note_origin(self, entry: Entry) -> None:
        if (entry.kind == GENESIS) is not (entry.index == 0):
            raise Fault("ledger.kind", "the first entry, and no other, is a genesis", entry.index)
        if entry.kind not in (GENESIS, ADOPT):
            return
        origin, epoch = entry.public.get("origin"), entry.public.get("epoch")
        if not isinstance(origin, str) or not isinstance(epoch, str):
            raise Fault(
                "ledger.kind", f"entry {entry.index}, {entry.kind}, names no origin and epoch", entry.index
            )
        self._epoch = epoch
        self._origins = (*self._origins, (entry.index + 1, origin))
        if entry.kind == GENESIS:
            try:
                pem = entry.public.get("public_key")
                named = ledger_key(pem.encode() if isinstance(pem, str) else b"")
            except LedgerError as error:
                raise Fault("ledger.public-key", f"the genesis names no key: {error.message}", 0) from None
            if self._key is not None and named.public_bytes_raw() != self._key.public_bytes_raw():
                raise Fault("ledger.public-key", "the genesis names another key than the one given", 0)
            self._key = named

    def _signing_key(self) -> Ed25519PublicKey:
        assert self._key is not None  # the genesis was taken
        return self._key

    def _compare_outside(self, note: str, key: Ed25519PublicKey) -> None:
        try:
            outside = open_checkpoint(note, origin=self._origin_at(claimed(note)), public_key=key)
        except LedgerError as error:
            raise Fault("ledger.outside-checkpoint", f"the outside checkpoint: {error}") from None
        if outside.size > self._frontier.size:
            raise Fault(
                "ledger.rolled-back",
                f"the outside checkpoint is of {outside.size} entries, and {self._frontier.size} are here",
                self._frontier.size,
            )
        if outside.root != self._outside_root:
            raise Fault(
                "ledger.forked",
                f"the first {outside.size} entries are not those that the outside checkpoint signed: history "
                "was written anew",
            )

    def _origin_at(self, checkpoint: Checkpoint) -> str:
        in_force = [origin for since, origin in self._origins if since <= checkpoint.size]
        return in_force[-1]


def verify_lines(stream: BinaryIO, walk: Walk) -> Verification:
    """Verify the rest of an export, whose entries so far were taken by `walk`."""
    try:
        end = ""
        for line, is_last in _lines(stream):
            if is_last:
                end = _signed_end(line, walk)
            else:
                walk.take(_without_newline(line, walk))
        walk.finish(end)
    except Fault as fault:
        return walk.verdict(fault)
    return walk.verdict(None)


def _lines(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Each line with its end, and whether it is the last."""
    line = stream.readline(_LONGEST_LINE)
    while line:
        following = stream.readline(_LONGEST_LINE)
        yield line, not following
        line = following


def _without_newline(line: bytes, walk: Walk) -> bytes:
    if not line.endswith(b"\n"):
        raise Fault("ledger.entry", f"entry {walk.size} is longer than {BIGGEST_ENTRY} bytes", walk.size)
    return line[:-1]


def _signed_end(line: bytes, walk: Walk) -> str:
    """The note in the last line. A suspicion that it can't settle is settled by `finish`."""
    try:
        document: Any = parse(line.removesuffix(b"\n"), limits=Limits(octets=64 * 1024))
        note = document["checkpoint"]
        if line != canonical.encode({"checkpoint": note}) + b"\n" or not isinstance(note, str):
            raise ValueError("it is not canonical")
    except (CigateError, ValueError, TypeError, KeyError):
        if walk.suspicious:
            return ""
        raise Fault(
            "ledger.truncated",
            "the last line is not a signed checkpoint: the end is missing or was changed",
            None if _whole(line) else walk.size,
        ) from None
    return str(note)


def _whole(line: bytes) -> bool:
    """Is this a checkpoint's line, however wrong, or an entry that only has no followers?"""
    if line.startswith(b'{"checkpoint":'):
        return True
    try:
        Entry.read(line.removesuffix(b"\n"))
    except LedgerError:
        return False
    return True
