"""Checkpoints: the size and root of the ledger, signed (C2SP tlog-checkpoint, in a C2SP signed note).

Whoever holds one outside can see later whether the ledger still begins with what it began with then.
"""

from __future__ import annotations

import re
from typing import Any, Final

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cigate.errors import ConfigError, LedgerError
from cigate.ledger.tree import HASH_SIZE
from cigate.signing import base64
from cigate.signing.material import normalised, parsed
from cigate.signing.note import NoteSigner, verify_note

_ORIGIN: Final = re.compile(r"[!-*,-~]{1,255}")  # printable ASCII without space and plus
_SIZE: Final = re.compile(r"[1-9][0-9]{0,15}")


def _check_origin(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str) or _ORIGIN.fullmatch(value) is None:
        raise LedgerError(
            "checkpoint.origin",
            f"{value!r} can't name a ledger",
            fix="use 1 to 255 printable ASCII characters without space and plus, such as ci.example.com/1",
        )


@frozen
class Checkpoint:
    """What a ledger was, when it was `size` entries large.

    Args:
        origin: which ledger; also the name of the key that signs.
        size: entries; at least 1, since a ledger begins with its genesis.
        root: the root hash of the tree.

    Raises:
        LedgerError: `checkpoint.origin`, `checkpoint.malformed`.
    """

    origin: str = field(validator=_check_origin)
    size: int
    root: bytes

    def __attrs_post_init__(self) -> None:
        if type(self.size) is not int or not 0 < self.size < 2**53 or len(self.root) != HASH_SIZE:
            raise _malformed("it has a size from 1 and a root of 32 bytes")

    @property
    def text(self) -> str:
        """The text that is signed: origin, size and root, a line each."""
        return f"{self.origin}\n{self.size}\n{base64.encode(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read `text` back. Extension lines are refused: we write none, and nobody could audit them.

        Raises:
            LedgerError: `checkpoint.origin`, `checkpoint.malformed`.
        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or _SIZE.fullmatch(lines[1]) is None:
            raise _malformed("it is not the three lines origin, size and root")
        try:
            root = base64.decode(lines[2])
        except ValueError as error:
            raise _malformed(f"its root: {error}") from error
        return cls(lines[0], int(lines[1]), root)

    def sign(self, signer: NoteSigner) -> str:
        """The signed note.

        Raises:
            LedgerError: `checkpoint.origin`, the key signs for another ledger.
        """
        if signer.name != self.origin:
            raise LedgerError(
                "checkpoint.origin", f"a key named {signer.name} does not sign for the ledger {self.origin}"
            )
        return signer.sign(self.text)


def open_checkpoint(note: str, *, origin: str, public_key: Ed25519PublicKey) -> Checkpoint:
    """The checkpoint in a signed note, once its signature by this key, under this name, is verified.

    Raises:
        LedgerError: `note.…`, `checkpoint.origin`, `checkpoint.malformed`.
    """
    checkpoint = Checkpoint.parse(verify_note(note, name=origin, public_key=public_key))
    if checkpoint.origin != origin:
        raise LedgerError("checkpoint.origin", f"it is of the ledger {checkpoint.origin}, not of {origin}")
    return checkpoint


def claimed(note: str) -> Checkpoint:
    """What a signed note says before its signature is verified: which name and size to look at.

    Raises:
        LedgerError: `checkpoint.origin`, `checkpoint.malformed`.
    """
    text, blank, _ = note.rpartition("\n\n")
    if not blank:
        raise _malformed("there is no blank line between text and signatures")
    return Checkpoint.parse(text + "\n")


def ledger_key(public_key: bytes | Ed25519PublicKey) -> Ed25519PublicKey:
    """The key of a ledger, from the PEM in its `ledger.pub` (SubjectPublicKeyInfo).

    Raises:
        LedgerError: `ledger.public-key`, it is no Ed25519 public key.
    """
    if isinstance(public_key, Ed25519PublicKey):
        return public_key
    try:
        key = parsed(normalised(public_key))
    except ConfigError as error:
        raise LedgerError("ledger.public-key", error.message, fix="give the ledger's ledger.pub") from error
    if not isinstance(key, Ed25519PublicKey):
        raise LedgerError("ledger.public-key", "the key of a ledger is an Ed25519 key; this is another kind")
    return key


def _malformed(message: str) -> LedgerError:
    return LedgerError("checkpoint.malformed", f"not a checkpoint: {message}")
