"""The request, as one enrolled key signed it: all that later steps know of the message."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from attrs import field, frozen

from cigate.attestation.verifier import (
    MAX_LIFETIME,
    MOST_SKEW,
    AttestationVerifier,
    Keys,
    SignedRefusal,
    authenticate,
    check_claims,
)
from cigate.errors import AttestationError, RequestError
from cigate.request import Request, Signed, first_difference
from cigate.signing import REQUEST_TYPE, KeyRecord, KeyUse


@frozen
class Attestation:
    """One enrolled key signed this request, for this gateway, within its lifetime.

    Args:
        request: as signed; the outer fields are gone.
        key: the record of the key, as it was when this was verified.
        signed: audience, times and the single-use id that were signed with it.
        level: 0 none, 1 a software key, 2 vouched for by an issuer or MDM, 3 hardware-backed.
        format: the name of the verifier, `dsse`.
        chain: who vouched for the key, nearest first.
        envelope: the bytes as received, for the ledger.
    """

    request: Request
    key: KeyRecord
    signed: Signed
    level: int
    format: str
    chain: tuple[str, ...]
    envelope: bytes = field(repr=False)

    @property
    def replay_key(self) -> tuple[str, str]:
        """What must be unique until `expires` and the skew: (the key's thumbprint, jti). Threats A2."""
        return self.key.thumbprint, self.signed.jti

    @property
    def expires(self) -> datetime:
        """When the signature ends."""
        return datetime.fromtimestamp(self.signed.exp, UTC)

    def age(self, now: datetime) -> timedelta:
        """How long ago it was signed; nothing is younger than now, whatever the signer's clock said."""
        return max(now - datetime.fromtimestamp(self.signed.iat, UTC), timedelta(0))


def attest(
    request: Request,
    keyring: Keys,
    verifiers: Mapping[str, AttestationVerifier],
    audience: str,
    now: datetime,
    *,
    max_lifetime: timedelta = MAX_LIFETIME,
    skew: timedelta = MOST_SKEW,
) -> Attestation:
    """The one place that checks who signed a request, for whom, when, whose key it was, and every field.

    Args:
        request: as it came; its fields are compared with the signed ones and used for nothing else.
        keyring: enrolled keys; it answers None for an unknown or a revoked one.
        verifiers: formats by name, tried in this order.
        audience: this gateway's own name; the signed one must be exactly it.
        now: aware.
        max_lifetime: the longest that a signature may live.
        skew: how far clocks may differ, at most a minute.

    Raises:
        AttestationError: `attestation.missing`, and what `authenticate` raises.
        SignedRefusal: `attestation.payload`, `attestation.audience`, `attestation.lifetime`,
            `attestation.time`, `attestation.owner`, `attestation.mismatch` (`where` is the field).
        ConfigError: `attestation.settings`.
    """
    envelope = request.attestation
    if envelope is None:
        raise AttestationError("attestation.missing", "this request is not signed", where="/attestation")
    found = authenticate(envelope, keyring, verifiers, use=KeyUse.REQUEST, payload_type=REQUEST_TYPE, now=now)
    key = found.key
    try:
        inner, signed = Request.from_signed(found.verified.payload)
    except RequestError as error:
        message = f"{error.code}: {error.message}"
        raise SignedRefusal("attestation.payload", message, key=key, where=error.where) from error
    check_claims(signed, key, audience, now, max_lifetime=max_lifetime, skew=skew)
    if inner.agent_id != key.agent:
        message = f"key {key.id} belongs to agent {key.agent}"
        raise SignedRefusal("attestation.owner", message, key=key, where="/agent_id")
    if inner.user_id != key.user:
        message = f"key {key.id} belongs to user {key.user}"
        raise SignedRefusal("attestation.owner", message, key=key, where="/user_id")
    if (where := first_difference(request, inner)) is not None:
        message = "the request says something else than what was signed"
        raise SignedRefusal("attestation.mismatch", message, key=key, where=where)
    verified = found.verified
    return Attestation(inner, key, signed, verified.level, found.format, verified.chain, envelope)
