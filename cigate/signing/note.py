"""C2SP signed notes with Ed25519: a text that people can read, and who signed it.

Byte-strict in both directions: a note has one spelling, since a checkpoint is compared by its bytes.
https://c2sp.org/signed-note
"""

from __future__ import annotations

import hashlib
import re

from attrs import field, frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cigate.errors import LedgerError
from cigate.signing import base64

MOST_SIGNATURES = 16
LONGEST_NOTE = 1024 * 1024

_ED25519 = b"\x01"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_LINE = re.compile(r"— ([^ ]+) ([A-Za-z0-9+/]+={0,2})")


def key_hash(name: str, public_key: Ed25519PublicKey) -> bytes:
    """The four bytes by which a signature line names its key: a hint, like DSSE's keyid.

    Raises:
        LedgerError: `note.name`.
    """
    _check_name(name)
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key.public_bytes_raw()).digest()[:4]


@frozen
class NoteSigner:
    """Signs notes under a name.

    Args:
        name: who signs, by convention a URL without a scheme; no space, no plus sign.
        private_key: the Ed25519 key.

    Raises:
        LedgerError: `note.name`.
    """

    name: str
    private_key: Ed25519PrivateKey = field(repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        _check_name(self.name)

    @property
    def vkey(self) -> str:
        """Name and public key as one line, as verifiers of other projects take it."""
        public_key = self.private_key.public_key()
        encoded = base64.encode(_ED25519 + public_key.public_bytes_raw())
        return f"{self.name}+{key_hash(self.name, public_key).hex()}+{encoded}"

    def sign(self, text: str) -> str:
        """The note: the text, an empty line, the signature's line.

        Raises:
            LedgerError: `note.text`, the text can't be a note's: it must end in a newline, without controls.
        """
        content = _checked_text(text)
        blob = key_hash(self.name, self.private_key.public_key()) + self.private_key.sign(content)
        return f"{text}\n— {self.name} {base64.encode(blob)}\n"


def verify_note(note: str | bytes, *, name: str, public_key: Ed25519PublicKey) -> str:
    """The text of a note that this key signed under this name, exactly once.

    Lines of other signers (witnesses) may stand beside it if they are well formed; they are not verified.

    Raises:
        LedgerError: `note.malformed`, `note.text`, `note.name`, `note.duplicate`; `note.unsigned` if this
            key's line is missing; `note.bad-signature`.
    """
    text, lines = _parts(note)
    content = _checked_text(text)
    own = key_hash(name, public_key)
    signatures = [blob[4:] for signer, blob in map(_read_line, lines) if signer == name and blob[:4] == own]
    if not signatures:
        raise LedgerError("note.unsigned", f"{name} did not sign this note with that key")
    if len(signatures) > 1:
        raise LedgerError("note.duplicate", f"{name} signed this note more than once with that key")
    try:
        public_key.verify(signatures[0], content)
    except InvalidSignature:
        raise LedgerError("note.bad-signature", f"the signature of {name} is not over this text") from None
    return text


def _parts(note: str | bytes) -> tuple[str, list[str]]:
    if len(note) > LONGEST_NOTE:
        raise LedgerError("note.malformed", f"a note is not longer than {LONGEST_NOTE} bytes")
    try:
        whole = note if isinstance(note, str) else note.decode("utf-8")
    except UnicodeDecodeError:
        raise LedgerError("note.malformed", "a note is UTF-8") from None
    text, gap, tail = whole.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise LedgerError("note.malformed", "a note is a text, an empty line, and lines of signatures")
    lines = tail.removesuffix("\n").split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise LedgerError("note.malformed", f"a note has at most {MOST_SIGNATURES} signatures")
    return text + "\n", lines


def _read_line(line: str) -> tuple[str, bytes]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise LedgerError("note.malformed", "a signature's line is an em dash, a name, and base64")
    _check_name(match[1])
    try:
        blob = base64.decode(match[2])
    except ValueError as error:
        raise LedgerError("note.malformed", f"in the line of {match[1]}: {error}") from None
    if len(blob) < 5:
        raise LedgerError("note.malformed", f"the line of {match[1]} is too short for a signature")
    return match[1], blob


def _checked_text(text: str) -> bytes:
    if not text.endswith("\n") or _CONTROL.search(text):
        raise LedgerError("note.text", "a note's text ends in a newline and has no other control character")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise LedgerError("note.text", "a note's text has no UTF-8 form") from None


def _check_name(name: str) -> None:
    if not name or "+" in name or any(each.isspace() or not each.isprintable() for each in name):
        raise LedgerError("note.name", f"{name!r} is not a signer's name: no space, no plus, not empty")
