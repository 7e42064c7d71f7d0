"""The answer of one person about one held request: a signed yes or no to exactly what they read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

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
from cigate.decision import TicketId
from cigate.errors import CigateError
from cigate.request import Signed
from cigate.signing import APPROVAL_TYPE, KeyRecord, KeyUse
from cigate.wire import ijson

_NAMES = {"ticket", "digest", "verdict", "aud", "iat", "exp", "jti"}
_TICKET = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Verdict(StrEnum):
    """What a person says to a held request."""

    APPROVE = "approve"
    REJECT = "reject"


@frozen
class Approval:
    """One enrolled person's key signed this answer, for this gateway, within its lifetime.

    Whether the ticket is still open, the digest is its own, and this person counts, is for others to say.

    Args:
        ticket: the ticket that is answered.
        digest: of the summary that the person read (`Ticket.digest`).
        verdict: yes or no.
        key: the record of the person's key; `key.user` is who answered.
        signed: audience, times and the single-use id.
        level, format, chain: as in an `Attestation`.
        envelope: the bytes as received, for the ledger.
    """

    ticket: TicketId
    digest: str
    verdict: Verdict
    key: KeyRecord
    signed: Signed
    level: int
    format: str
    chain: tuple[str, ...]
    envelope: bytes = field(repr=False)

    @property
    def replay_key(self) -> tuple[str, str]:
        """What must be unique until `expires` and the skew: (the key's thumbprint, jti)."""
        return self.key.thumbprint, self.signed.jti

    @property
    def expires(self) -> datetime:
        """When the signature ends."""
        return datetime.fromtimestamp(self.signed.exp, UTC)


def attest_approval(
    envelope: bytes,
    keyring: Keys,
    verifiers: Mapping[str, AttestationVerifier],
    audience: str,
    now: datetime,
    *,
    max_lifetime: timedelta = MAX_LIFETIME,
    skew: timedelta = MOST_SKEW,
) -> Approval:
    """What `attest` is for requests: the one place that checks who answered a ticket, for whom and when.

    Raises:
        AttestationError: what `authenticate` raises.
        SignedRefusal: `attestation.payload`, `attestation.audience`, `attestation.lifetime`,
            `attestation.time`.
        ConfigError: `attestation.settings`.
    """
    found = authenticate(
        envelope, keyring, verifiers, use=KeyUse.APPROVAL, payload_type=APPROVAL_TYPE, now=now
    )
    key, verified = found.key, found.verified
    try:
        ticket, digest, verdict, signed = _read(verified.payload)
    except CigateError as error:
        message = f"{error.code}: {error.message}"
        raise SignedRefusal("attestation.payload", message, key=key, where=error.where) from error
    except ValueError as error:
        raise SignedRefusal("attestation.payload", str(error), key=key) from error
    check_claims(signed, key, audience, now, max_lifetime=max_lifetime, skew=skew)
    return Approval(
        ticket, digest, verdict, key, signed, verified.level, found.format, verified.chain, envelope
    )


def _read(payload: bytes) -> tuple[TicketId, str, Verdict, Signed]:
    document = ijson.parse(payload)
    if not isinstance(document, dict) or set(document) != _NAMES:
        raise ValueError(f"an approval is an object of exactly {', '.join(sorted(_NAMES))}")
    ticket, digest, verdict = document["ticket"], document["digest"], document["verdict"]
    if not isinstance(ticket, str) or _TICKET.fullmatch(ticket) is None:
        raise ValueError("ticket is not a ticket's id")
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise ValueError("digest is not sha256: and 64 lower-case hex digits")
    if verdict not in list(Verdict):
        raise ValueError(f"verdict is none of {', '.join(Verdict)}")
    claims = {name: document[name] for name in ("aud", "iat", "exp", "jti")}
    return TicketId(ticket), digest, Verdict(str(verdict)), Signed(**claims)  # type: ignore[arg-type]  # its validators check
