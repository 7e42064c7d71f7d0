"""Receipts: proof, on one page and offline, that something is in the ledger.

A receipt holds the leaf (so the public part of the entry), its path to the root, and the signed checkpoint
over that root. It needs the ledger's public key and nothing else; the private part stays closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cigate.errors import CigateError, LedgerError
from cigate.ledger.checkpoint import ledger_key, open_checkpoint
from cigate.ledger.entry import BIGGEST_ENTRY, Leaf
from cigate.ledger.tree import verify_inclusion
from cigate.signing import base64
from cigate.wire import canonical
from cigate.wire.ijson import Limits, parse
from cigate.wire.times import timestamp

FUTURE_ALLOWED: Final = timedelta(seconds=60)
"""How far a receipt's time may lie ahead of the checker's clock: the skew that the gateway allows as well."""

_LONGEST_PROOF: Final = 64
_LIMITS: Final = Limits(octets=BIGGEST_ENTRY + 64 * 1024, depth=66, items=BIGGEST_ENTRY)
_NAMES: Final = {"leaf", "size", "proof", "checkpoint"}
_TEXTS: Final = ("decision_id", "effect", "code", "action", "commit", "audience", "origin")


def _tuple(given: tuple[bytes, ...] | list[bytes]) -> tuple[bytes, ...]:
    return tuple(given)


@frozen
class Receipt:
    """A leaf, and why it is in the ledger.

    Args:
        leaf: what the tree commits to: public fields, and a digest of the private ones.
        size: the size of the tree in which it is proved.
        proof: its audit path there.
        checkpoint: the signed checkpoint of that size.
    """

    leaf: Leaf
    size: int
    proof: tuple[bytes, ...] = field(converter=_tuple)
    checkpoint: str

    @classmethod
    def read(cls, raw: bytes) -> Receipt:
        """A receipt as `to_bytes` wrote it, or as somebody indented it: the proof is over what it says.

        Raises:
            LedgerError: `receipt.malformed`.
        """
        try:
            document = parse(raw, limits=_LIMITS)
            if not isinstance(document, dict) or set(document) != _NAMES:
                raise _refused("malformed", f"a receipt has exactly the names {', '.join(sorted(_NAMES))}")
            leaf, size, proof, checkpoint = (
                document[name] for name in ("leaf", "size", "proof", "checkpoint")
            )
            if not isinstance(leaf, dict) or type(size) is not int or not isinstance(checkpoint, str):
                raise _refused(
                    "malformed", "its leaf, size and checkpoint are an object, an integer and a text"
                )
            if not isinstance(proof, list) or len(proof) > _LONGEST_PROOF:
                raise _refused("malformed", f"its proof is not a list of at most {_LONGEST_PROOF} hashes")
            return cls(Leaf(leaf), size, [base64.decode(_text(each)) for each in proof], checkpoint)
        except LedgerError as error:
            if error.code == "receipt.malformed":
                raise
            raise _refused("malformed", str(error)) from error
        except (CigateError, ValueError) as error:
            raise _refused("malformed", str(error)) from error

    def to_json(self) -> dict[str, Any]:
        return {
            "leaf": dict(self.leaf.document),
            "size": self.size,
            "proof": [base64.encode(each) for each in self.proof],
            "checkpoint": self.checkpoint,
        }

    def to_bytes(self) -> bytes:
        """Canonical JSON: what a job finds under `CIGATE_RECEIPT`."""
        return canonical.encode(self.to_json())

    def verify(self, public_key: bytes | Ed25519PublicKey, *, origin: str) -> None:
        """Check that this leaf is in the ledger `origin`, whose key this is.

        Raises:
            LedgerError: `receipt.signature`, `receipt.inclusion`, `ledger.public-key`.
        """
        key = ledger_key(public_key)
        try:
            checkpoint = open_checkpoint(self.checkpoint, origin=origin, public_key=key)
        except LedgerError as error:
            raise _refused(
                "signature", f"this key did not sign its checkpoint for {origin}: {error}"
            ) from error
        if checkpoint.size != self.size:
            raise _refused("inclusion", f"the proof is for {self.size} entries, signed are {checkpoint.size}")
        if not verify_inclusion(self.leaf.index, self.size, self.leaf.hash, self.proof, checkpoint.root):
            raise _refused("inclusion", f"entry {self.leaf.index} as given here is not in the signed ledger")


@frozen
class ReceiptReport:
    """What a good receipt proves: this decision is in the ledger `origin`, at `index`.

    It does not say that the effect is the one you hoped for, unless you asked `check_receipt` to expect it.
    """

    index: int
    time: datetime
    decision_id: str
    effect: str
    code: str
    action: str
    commit: str
    audience: str
    origin: str

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "time": timestamp(self.time),
            **{name: getattr(self, name) for name in _TEXTS},
        }


def check_receipt(
    raw: bytes,
    *,
    public_key: bytes | Ed25519PublicKey,
    now: datetime,
    expect: str | None = None,
    audience: str | None = None,
    commit: str | None = None,
    decision: str | None = None,
    max_age: timedelta | None = None,
) -> ReceiptReport:
    """Check the receipt of a decision, offline. Whatever is given here must be matched exactly.

    Args:
        raw: the receipt.
        public_key: the ledger's, as PEM (SubjectPublicKeyInfo): what all else rests on.
        now: the checker's clock (matters only with `max_age`).
        expect: the effect (`allow`).
        audience: the gateway that decided.
        commit: the commit, as the request wrote it.
        decision: the decision's id.
        max_age: how long ago it may have been decided.

    Raises:
        LedgerError: `receipt.malformed`, `.signature`, `.inclusion`, `.kind`, `.effect`, `.audience`,
            `.commit`, `.decision`, `.age`; `ledger.public-key`.
    """
    receipt = Receipt.read(raw)
    public = receipt.leaf.public
    origin = public.get("origin")
    if not isinstance(origin, str):
        raise _refused("malformed", "its leaf names no origin")
    receipt.verify(public_key, origin=origin)
    if receipt.leaf.kind != "decision":
        raise _refused("kind", f"entry {receipt.leaf.index} is of kind {receipt.leaf.kind}, not a decision")
    report = _report(receipt.leaf, public)
    for name, wanted in (
        ("effect", expect),
        ("audience", audience),
        ("commit", commit),
        ("decision_id", decision),
    ):
        if wanted is not None and getattr(report, name) != str(wanted):
            raise _refused(
                name.removesuffix("_id"),
                f"the {name} in the ledger is {getattr(report, name)!r}, expected was {str(wanted)!r}",
            )
    if max_age is not None and not -FUTURE_ALLOWED <= now - report.time <= max_age:
        raise _refused("age", f"it was decided at {timestamp(report.time)}, which is not within {max_age}")
    return report


def _report(leaf: Leaf, public: Mapping[str, Any]) -> ReceiptReport:
    texts = {name: public.get(name) for name in _TEXTS}
    if absent := [name for name, value in texts.items() if not isinstance(value, str)]:
        raise _refused("malformed", f"the decision in its leaf has no {', '.join(absent)}")
    return ReceiptReport(
        index=leaf.index, time=leaf.time, **{name: str(value) for name, value in texts.items()}
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _refused("malformed", "a hash in its proof is not a text")
    return value


def _refused(code: str, message: str) -> LedgerError:
    return LedgerError(f"receipt.{code}", message)
