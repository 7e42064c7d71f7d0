"""From an envelope to the one enrolled key that signed it, and the checks that every signed thing must pass.

The message offers hints; the keyring says whose key it is, what it may sign and how. An unknown key costs as
many verifications as a known one, and is refused as a bad signature is (threats A19): the operator's code
tells them apart, `OUTWARD_CODE` does not. Time is alike for P-256 only: a live Ed25519 key refuses about a tenth
of a millisecond sooner, so that whoever can measure that may learn that such a key is enrolled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from attrs import field, frozen
from typing_extensions import override

from cigate.errors import AttestationError, ConfigError
from cigate.request import Signed
from cigate.signing import KeyId, KeyRecord, KeyUse

OUTWARD_CODE = "attestation.refused"
"""What strangers see of every refusal here, whichever it is."""

MOST_HINTS = 8
MOST_SKEW = timedelta(seconds=60)
MAX_LIFETIME = timedelta(minutes=5)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A point that nobody chose: x is SHA-256 of "cigate: nobody's key 2", the first on the curve.
_NOBODYS_KEY = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004bf6d1187fda84f76101b8bbe17049e3d826925ef0d"
    "627a256fb0d4dfc1ad0c05cc23f82dc102bd6587a5ecb14a855d67f54065f702d9d2ddfb2609206e0b8ea0"
)
NOBODY = KeyRecord.enrol(_NOBODYS_KEY, id="nobody", use=KeyUse.LEDGER)
"""Stands in for a key that is not enrolled, wherever work must be done all the same."""


@frozen
class Verified:
    """What one key signed.

    Args:
        payload: the bytes under the signature; nothing else of the message may be used.
        payload_type: their media type, under the signature too.
        level: 0 none, 1 a software key, 2 vouched for by an issuer or MDM, 3 hardware-backed.
        chain: who vouched for the key, nearest first; empty when nobody did.
    """

    payload: bytes = field(repr=False)
    payload_type: str
    level: int
    chain: tuple[str, ...] = ()


class AttestationVerifier(Protocol):
    """Verifies one format of envelope. Pure: no store, no clock; safe to call from many threads."""

    def hints(self, envelope: bytes) -> Sequence[KeyId]:
        """The ids of keys that may have signed this, as the message claims: they only choose what is tried.

        Raises:
            AttestationError: this is not an envelope of this format.
        """

    def verify(self, envelope: bytes, key: KeyRecord) -> Verified:
        """What this key signed, by the algorithm and encoding that its record names.

        Does one verification, whether or not the envelope names this key.

        Raises:
            AttestationError: this key did not sign this.
        """


class Keys(Protocol):
    """Where keys are looked up by id: a `Keyring`, or a view that leaves out the revoked."""

    def get(self, name: str, /) -> KeyRecord | None: ...


class SignedRefusal(AttestationError):
    """An enrolled key did sign this, and it is refused all the same, so it may be recorded under that key.

    Any other `AttestationError` of this room is about bytes that anybody could have sent: it is counted, and
    never recorded singly (threats A18c).
    """

    def __init__(self, code: str, message: str, *, key: KeyRecord, where: str = "", fix: str = "") -> None:
        super().__init__(code, message, where=where, fix=fix)
        self.key = key

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.code, self.message, self.key, self.where, self.fix))


def _rebuild(code: str, message: str, key: KeyRecord, where: str, fix: str) -> SignedRefusal:
    return SignedRefusal(code, message, key=key, where=where, fix=fix)


@frozen
class Authenticated:
    """One enrolled key, of the right use, signed this payload of the right type."""

    format: str
    key: KeyRecord
    verified: Verified


def authenticate(
    envelope: bytes,
    keys: Keys,
    verifiers: Mapping[str, AttestationVerifier],
    *,
    use: KeyUse,
    payload_type: str,
    now: datetime,
) -> Authenticated:
    """Find the one enrolled key that signed this envelope.

    Signatures by keys that are not enrolled are ignored, as DSSE has it; those by enrolled keys must all be
    right, and there must be exactly one.

    Raises:
        AttestationError: the format's own codes for what is no envelope; `attestation.unknown-key`,
            `attestation.bad-signature`, `attestation.several-keys`.
        SignedRefusal: `attestation.wrong-use`, `attestation.payload-type`, `attestation.not-yet-valid`,
            `attestation.expired-key`.
    """
    name, hints = _recognise(envelope, verifiers)
    tried = [(key, _try(verifiers[name], envelope, key or NOBODY)) for key in map(keys.get, hints)]
    if not tried:
        _try(verifiers[name], envelope, NOBODY)
    known = [(key, verified) for key, verified in tried if key is not None]
    if not known:
        raise AttestationError(
            "attestation.unknown-key", f"no key is enrolled as {', '.join(hints) or 'nothing'}"
        )
    key, verified = known[0]
    if verified is None or any(other is None for _, other in known):
        names = ", ".join(each.id for each, _ in known)
        raise AttestationError("attestation.bad-signature", f"not all of these keys signed this: {names}")
    if len(known) > 1:
        raise AttestationError("attestation.several-keys", "more than one enrolled key signed this")
    if key.use is not use:
        message = f"key {key.id} is for use {key.use}, not {use}"
        raise SignedRefusal("attestation.wrong-use", message, key=key)
    if verified.payload_type != payload_type:
        message = f"expected the type {payload_type}, found {verified.payload_type!r}"
        raise SignedRefusal("attestation.payload-type", message, key=key)
    if key.valid_from is not None and now < key.valid_from:
        raise SignedRefusal("attestation.not-yet-valid", f"key {key.id} is not valid yet", key=key)
    if key.valid_until is not None and now >= key.valid_until:
        raise SignedRefusal("attestation.expired-key", f"key {key.id} is not valid any more", key=key)
    return Authenticated(name, key, verified)


def check_claims(
    signed: Signed, key: KeyRecord, audience: str, now: datetime, *, max_lifetime: timedelta, skew: timedelta
) -> None:
    """Was this signed for us, for now, and not for long? Times are half-open: iat - skew ≤ now < exp + skew.

    Raises:
        SignedRefusal: `attestation.audience`, `attestation.lifetime`, `attestation.time`.
        ConfigError: `attestation.settings`, an empty audience or a skew beyond a minute.
    """
    if not audience or not timedelta(0) <= skew <= MOST_SKEW:
        raise ConfigError("attestation.settings", f"audience must not be empty, skew at most {MOST_SKEW}")
    if signed.aud != audience:
        raise SignedRefusal("attestation.audience", f"this is for {signed.aud!r}", key=key, where="/aud")
    if not 0 < signed.exp - signed.iat <= max_lifetime // timedelta(seconds=1):
        message = f"it must live for 1 second to {max_lifetime // timedelta(seconds=1)} seconds"
        raise SignedRefusal("attestation.lifetime", message, key=key, where="/exp")
    since_epoch = now - _EPOCH
    # seconds as integers: a time too far for a datetime is refused here, and is no error
    if (since_epoch + skew) // timedelta(seconds=1) < signed.iat:
        raise SignedRefusal("attestation.time", "it was signed in the future", key=key, where="/iat")
    if (since_epoch - skew) // timedelta(seconds=1) >= signed.exp:
        raise SignedRefusal("attestation.time", "it has expired", key=key, where="/exp")


def _recognise(
    envelope: bytes, verifiers: Mapping[str, AttestationVerifier]
) -> tuple[str, tuple[KeyId, ...]]:
    refusal = AttestationError("attestation.format", "no format of attestation is accepted here")
    for name, verifier in verifiers.items():
        try:
            return name, tuple(verifier.hints(envelope))[:MOST_HINTS]
        except AttestationError as error:
            refusal = error
    raise refusal


def _try(verifier: AttestationVerifier, envelope: bytes, key: KeyRecord) -> Verified | None:
    try:
        return verifier.verify(envelope, key)
    except AttestationError:
        return None
