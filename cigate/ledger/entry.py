"""One entry of the ledger: what is kept, what is hashed into the tree, and how both are written.

What is *kept* (a row of the store, a line of an export) is the whole entry as canonical JSON. What is
*hashed* is its leaf: the same public fields, a salted digest in place of the private ones, and the hash of
the leaf before. So a receipt can open the public part without the private one, nobody can guess the private
part from its digest, and the chain names the entry that was changed where a root only says that one was.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from attrs import field, frozen

from cigate.errors import CigateError, LedgerError
from cigate.ledger.tree import HASH_SIZE, leaf_hash
from cigate.wire import canonical
from cigate.wire.ijson import Limits, parse
from cigate.wire.times import parse_timestamp, timestamp

BIGGEST_ENTRY: Final = 1024 * 1024
"""Bytes of one entry as it is kept."""

NOTHING_BEFORE: Final = bytes(HASH_SIZE)
"""What the first entry has for the hash of the one before."""

SALT_SIZE: Final = 16
_LIMITS: Final = Limits(octets=BIGGEST_ENTRY, depth=64, items=BIGGEST_ENTRY)
_KIND: Final = re.compile(r"[a-z][a-z0-9.-]{0,63}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SALT: Final = re.compile(rf"[0-9a-f]{{{2 * SALT_SIZE}}}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ROW_NAMES: Final = {"index", "kind", "time", "previous", "public", "private", "salt"}
_LEAF_NAMES: Final = _ROW_NAMES - {"salt"}


def _new_salt() -> bytes:
    return os.urandom(SALT_SIZE)


def _frozen_map(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(given))


@frozen
class Draft:
    """An entry that has no place in the ledger yet; a retried commit may try to append it again.

    Args:
        kind: what happened: `decision`, `intent`, `outcome`, `halt` …
        public: what a receipt shows to anybody who holds it. JSON without floats.
        private: what stays with the ledger: facts, envelopes. JSON without floats; never a secret.
        salt: random, so that the digest of the private part tells nothing.
    """

    kind: str
    public: Mapping[str, Any] = field(factory=dict, converter=_frozen_map)
    private: Mapping[str, Any] = field(factory=dict, converter=_frozen_map, repr=False)
    salt: bytes = field(factory=_new_salt, repr=False)


@frozen
class Entry:
    """One entry in its place.

    Args:
        index: its place, from 0.
        kind, public, private, salt: as drafted.
        time: when it was appended, RFC 3339 in UTC.
        previous: the leaf hash of the entry before.

    Raises:
        LedgerError: `ledger.entry`, a field is not what it must be.
    """

    index: int
    kind: str
    time: str
    previous: bytes
    public: Mapping[str, Any] = field(converter=_frozen_map)
    private: Mapping[str, Any] = field(converter=_frozen_map, repr=False)
    salt: bytes = field(repr=False)

    def __attrs_post_init__(self) -> None:
        _check_common(self.index, self.kind, self.time)
        if len(self.previous) != HASH_SIZE or len(self.salt) != SALT_SIZE:
            raise _malformed("the hash of the entry before has 32 bytes, the salt 16")

    @classmethod
    def of(cls, draft: Draft, *, index: int, now: datetime, previous: bytes) -> Entry:
        """A draft in its place.

        Raises:
            LedgerError: `ledger.entry`.
        """
        return cls(
            index=index,
            kind=draft.kind,
            time=timestamp(now),
            previous=previous,
            public=draft.public,
            private=draft.private,
            salt=draft.salt,
        )

    @classmethod
    def read(cls, raw: bytes) -> Entry:
        """An entry as it was kept: exactly the canonical bytes, without a line end.

        Raises:
            LedgerError: `ledger.entry`.
        """
        document = _document(raw, _ROW_NAMES)
        salt, previous = document["salt"], document["previous"]
        if not isinstance(salt, str) or _SALT.fullmatch(salt) is None:
            raise _malformed("its salt is not 32 hexadecimal digits")
        if not isinstance(previous, str) or _HASH.fullmatch(previous) is None:
            raise _malformed("the hash of the entry before is not 64 hexadecimal digits")
        if not isinstance(document["public"], dict) or not isinstance(document["private"], dict):
            raise _malformed("its public and private parts are not both objects")
        entry = cls(
            index=document["index"],
            kind=document["kind"],
            time=document["time"],
            previous=bytes.fromhex(previous),
            public=document["public"],
            private=document["private"],
            salt=bytes.fromhex(salt),
        )
        if entry.row() != raw:
            raise _malformed("its bytes are not the canonical form of what they say")
        return entry

    def row(self) -> bytes:
        """The entry as it is kept: canonical JSON, without a line end.

        Raises:
            LedgerError: `ledger.entry`, it is not JSON without floats; `ledger.entry-too-large`.
        """
        # One level deeper than it is kept: a receipt will hold the leaf so, and must be writable as well.
        raw = _encoded([{**self._common(), "private": self.private, "salt": self.salt.hex()}])[1:-1]
        if len(raw) > BIGGEST_ENTRY:
            raise LedgerError(
                "ledger.entry-too-large",
                f"an entry of kind {self.kind} would have {len(raw)} bytes, more than {BIGGEST_ENTRY}",
                fix="keep the digest of what is large, not the thing",
            )
        return raw

    def leaf(self) -> Leaf:
        """What the tree commits to.

        Raises:
            LedgerError: `ledger.entry`.
        """
        private = "sha256:" + hashlib.sha256(self.salt + _encoded(self.private)).hexdigest()
        return Leaf({**self._common(), "private": private})

    def to_json(self) -> dict[str, Any]:
        """The entry as `ledger show` prints it: all of it."""
        return {**self._common(), "private": dict(self.private), "salt": self.salt.hex()}

    def _common(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "kind": self.kind,
            "time": self.time,
            "previous": self.previous.hex(),
            "public": dict(self.public),
        }


@frozen
class Leaf:
    """What the tree commits to for one entry: its public part, and a salted digest of the private one.

    Raises:
        LedgerError: `ledger.entry`, the document is not a leaf.
    """

    document: Mapping[str, Any] = field(converter=_frozen_map)

    def __attrs_post_init__(self) -> None:
        if set(self.document) != _LEAF_NAMES:
            raise _malformed(f"a leaf has exactly the names {', '.join(sorted(_LEAF_NAMES))}")
        _check_common(self.document["index"], self.document["kind"], self.document["time"])
        if not isinstance(self.document["public"], Mapping):
            raise _malformed("its public part is not an object")
        for name, grammar in (("previous", _HASH), ("private", _DIGEST)):
            if not isinstance(self.document[name], str) or grammar.fullmatch(self.document[name]) is None:
                raise _malformed(f"its {name} is not a digest")

    @property
    def index(self) -> int:
        found: int = self.document["index"]
        return found

    @property
    def kind(self) -> str:
        found: str = self.document["kind"]
        return found

    @property
    def time(self) -> datetime:
        return parse_timestamp(self.document["time"])

    @property
    def public(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document["public"]
        return found

    @property
    def hash(self) -> bytes:
        """The leaf hash: of the canonical bytes (RFC 6962, 2.1)."""
        return leaf_hash(_encoded(self.document))


def _check_common(index: object, kind: object, time: object) -> None:
    if type(index) is not int or not 0 <= index < 2**53:
        raise _malformed("its index is not a whole number from 0")
    if not isinstance(kind, str) or _KIND.fullmatch(kind) is None:
        raise _malformed("its kind is not a word of small letters, digits, dots and hyphens")
    try:
        canonical_time = isinstance(time, str) and timestamp(parse_timestamp(time)) == time
    except (ValueError, OverflowError):
        canonical_time = False
    if not canonical_time:
        raise _malformed("its time is not RFC 3339 in UTC as we write it")


def _document(raw: bytes, names: set[str]) -> dict[str, Any]:
    try:
        document = parse(raw, limits=_LIMITS)
    except CigateError as error:
        raise _malformed(f"it is not JSON: {error}") from error
    if not isinstance(document, dict) or set(document) != names:
        raise _malformed(f"it is not an object with exactly the names {', '.join(sorted(names))}")
    return document


def _encoded(value: object) -> bytes:
    try:
        return canonical.encode(value)
    except CigateError as error:
        raise _malformed(f"it has a value that canonical JSON can't hold: {error}") from error


def _malformed(message: str) -> LedgerError:
    return LedgerError("ledger.entry", f"not a ledger entry: {message}")
