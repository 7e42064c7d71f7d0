"""What we know of a public key: whose it is, what it may sign, and how its signatures are written.

The record names algorithm, encoding, owner, use and validity, so that a message never does (design, rule 5).
A key is known by its thumbprint, which depends on the key alone: enrolled under a second name, or written in
a second way, it is still the same key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NewType, TypeVar

from attrs import Attribute, evolve, field, frozen
from typing_extensions import override

from cigate.errors import ConfigError
from cigate.signing import base64
from cigate.signing.material import Algorithm, SignatureEncoding, algorithm_of, normalised, parsed
from cigate.wire.times import parse_timestamp, timestamp

KeyId = NewType("KeyId", str)
"""The name under which a key was enrolled. In a message it is a hint, which never chooses an identity."""

# threats A14: ids are ASCII, so that no two spellings look alike; the same grammar as a request's user id
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}")
# without a colon: `revoke agent:ID` and `revoke ID` must never mean the same
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")


class KeyUse(StrEnum):
    """The one kind of thing that a key may sign."""

    REQUEST = "request"
    APPROVAL = "approval"
    POLICY = "policy"
    OPERATOR = "operator"
    LEDGER = "ledger"


def is_key_id(text: str) -> bool:
    """Whether a key could be enrolled under this name: ASCII letters, digits and `._@+-`, at most 128."""
    return _KEY_ID.fullmatch(text) is not None


_E = TypeVar("_E", bound=StrEnum)


def _member(kind: type[_E], given: str, code: str) -> _E:
    try:
        return kind(given)
    except ValueError:
        raise ConfigError(code, f"{given!r} is none of {', '.join(kind)}") from None


def _use(given: str) -> KeyUse:
    return _member(KeyUse, given, "key.use")


def _algorithm(given: str) -> Algorithm:
    return _member(Algorithm, given, "key.algorithm")


def _encoding(given: str) -> SignatureEncoding:
    return _member(SignatureEncoding, given, "key.encoding")


def _check_id(_: object, __: Attribute[KeyId], value: object) -> None:
    if not isinstance(value, str) or not is_key_id(value):
        raise ConfigError(
            "key.id",
            f"{value!r} is not a key id",
            fix="start with a letter or digit; then letters, digits and ._@+- up to 128 in all",
        )


def _check_owner(_: object, attribute: Attribute[str | None], value: object) -> None:
    if value is not None and (not isinstance(value, str) or _ID.fullmatch(value) is None):
        raise ConfigError(f"key.{attribute.name}", f"{value!r} is not an id: ASCII letters, digits, ._:@+-")


def _check_moment(_: object, attribute: Attribute[datetime | None], value: object) -> None:
    if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
        raise ConfigError("key.validity", f"{attribute.name} must be an aware datetime, not {value!r}")


@frozen
class KeyRecord:
    """One enrolled public key. A record that exists has a sound key.

    Args:
        id: the name it was enrolled under.
        use: the one kind of thing that it may sign.
        algorithm: how it signs.
        encoding: how its signatures are written.
        public_key: SubjectPublicKeyInfo in DER, normalised (an uncompressed point).
        agent: the agent whose requests it signs (use `request`).
        user: the person it belongs to or acts for (uses `request` and `approval`).
        device: the device that holds it; None: not bound to one.
        valid_from: signatures count from this moment on; None: always did.
        valid_until: signatures count before this moment; None: no end is set.

    Raises:
        ConfigError: `key.id`, `key.use`, `key.algorithm`, `key.encoding`, `key.malformed`,
            `key.not-normalised`, `key.weak`, `key.agent`, `key.user`, `key.device`, `key.owner`,
            `key.validity`.
    """

    id: KeyId = field(validator=_check_id)
    use: KeyUse = field(converter=_use)
    algorithm: Algorithm = field(converter=_algorithm)
    encoding: SignatureEncoding = field(converter=_encoding)
    public_key: bytes = field(repr=False)
    agent: str | None = field(default=None, validator=_check_owner)
    user: str | None = field(default=None, validator=_check_owner)
    device: str | None = field(default=None, validator=_check_owner)
    valid_from: datetime | None = field(default=None, validator=_check_moment)
    valid_until: datetime | None = field(default=None, validator=_check_moment)

    def __attrs_post_init__(self) -> None:
        key = parsed(self.public_key)
        if algorithm_of(key) is not self.algorithm:
            raise ConfigError("key.algorithm", f"key {self.id} is not a key for {self.algorithm.value}")
        if self.algorithm is Algorithm.ED25519 and self.encoding is not SignatureEncoding.RAW:
            raise ConfigError("key.encoding", "Ed25519 signatures are always raw", fix="encoding: raw")
        if self.use is KeyUse.REQUEST and (self.agent is None or self.user is None):
            raise ConfigError("key.owner", f"key {self.id} signs requests, so it needs an agent and a user")
        if self.use is KeyUse.APPROVAL and self.user is None:
            raise ConfigError("key.owner", f"key {self.id} signs approvals, so it needs a user")
        if self.use is KeyUse.APPROVAL and self.agent is not None:
            raise ConfigError("key.owner", f"key {self.id} signs approvals, and an agent never approves")
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            raise ConfigError("key.validity", f"key {self.id} would end before it begins")

    @property
    def thumbprint(self) -> str:
        """Hex SHA-256 of the normalised public key: what tells keys apart, whatever they are called."""
        return hashlib.sha256(self.public_key).hexdigest()

    @classmethod
    def enrol(
        cls,
        pem_or_der: bytes | str,
        *,
        id: str,
        use: KeyUse | str,
        agent: str | None = None,
        user: str | None = None,
        device: str | None = None,
        encoding: SignatureEncoding | str = SignatureEncoding.DER,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
    ) -> KeyRecord:
        """A record for a public key as somebody handed it in: PEM (`BEGIN PUBLIC KEY`) or DER.

        `encoding` speaks of P-256 signatures only: Ed25519 has one.

        Raises:
            ConfigError: `key.private` if it is a private key, and whatever `KeyRecord` raises.
        """
        public_key = normalised(pem_or_der)
        algorithm = algorithm_of(parsed(public_key))
        return cls(
            id=KeyId(id),
            use=use,
            algorithm=algorithm,
            encoding=SignatureEncoding.RAW if algorithm is Algorithm.ED25519 else encoding,
            public_key=public_key,
            agent=agent,
            user=user,
            device=device,
            valid_from=valid_from,
            valid_until=valid_until,
        )

    def to_json(self) -> dict[str, Any]:
        """As the store and the ledger keep it; `from_json` reads it back."""
        return {
            "id": self.id,
            "use": self.use.value,
            "algorithm": self.algorithm.value,
            "encoding": self.encoding.value,
            "public_key": base64.encode(self.public_key),
            "agent": self.agent,
            "user": self.user,
            "device": self.device,
            "valid_from": timestamp(self.valid_from) if self.valid_from else None,
            "valid_until": timestamp(self.valid_until) if self.valid_until else None,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> KeyRecord:
        """Read `to_json` back: exactly its names, and every check again.

        Raises:
            ConfigError: `key.record`, and whatever `KeyRecord` raises.
        """
        if set(document) != _RECORD_NAMES:
            raise ConfigError("key.record", f"a key record has exactly {', '.join(sorted(_RECORD_NAMES))}")
        try:
            read = {name: document[name] and parse_timestamp(document[name]) for name in _MOMENTS}
            return cls(**{**document, **read, "public_key": base64.decode(document["public_key"])})
        except (TypeError, ValueError) as error:
            raise ConfigError("key.record", f"this is not a key record: {error}") from error


_MOMENTS = ("valid_from", "valid_until")
_RECORD_NAMES = {"id", "use", "algorithm", "encoding", "public_key", "agent", "user", "device", *_MOMENTS}


def _by_id(records: Mapping[str, KeyRecord]) -> Mapping[str, KeyRecord]:
    return MappingProxyType(dict(records))


@frozen
class Keyring(Mapping[str, KeyRecord]):
    """Enrolled keys by id; each public key is there once.

    Raises:
        ConfigError: `key.enrolled-already`.
    """

    records: Mapping[str, KeyRecord] = field(factory=dict, converter=_by_id)

    def __attrs_post_init__(self) -> None:
        names: dict[str, str] = {}
        for name, record in self.records.items():
            if name != record.id:
                raise ConfigError("key.record", f"the record of key {record.id} is filed under {name!r}")
            if (other := names.setdefault(record.thumbprint, record.id)) != record.id:
                raise ConfigError(
                    "key.enrolled-already",
                    f"the public key of {record.id} is enrolled as {other}",
                    fix="make a new key: a key has one name and one use",
                )

    @classmethod
    def of(cls, *records: KeyRecord) -> Keyring:
        """A keyring of these records.

        Raises:
            ConfigError: `key.enrolled-already`, two share an id or a public key.
        """
        ring = cls()
        for record in records:
            ring = ring.with_key(record)
        return ring

    def with_key(self, record: KeyRecord) -> Keyring:
        """This keyring and one key more.

        Raises:
            ConfigError: `key.enrolled-already`, by id or by public key.
        """
        if record.id in self.records:
            raise ConfigError(
                "key.enrolled-already", f"a key is enrolled as {record.id}", fix="choose another id"
            )
        return evolve(self, records={**self.records, record.id: record})

    @override
    def __getitem__(self, name: str) -> KeyRecord:
        return self.records[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    @override
    def __len__(self) -> int:
        return len(self.records)
