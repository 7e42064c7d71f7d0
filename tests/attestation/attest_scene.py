"""A gateway, a laptop and an approver, for the tests of this room."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cigate.attestation import Approval, Attestation, DSSEVerifier, attest, attest_approval
from cigate.request import Request
from cigate.signing import APPROVAL_TYPE, REQUEST_TYPE, Envelope, KeyRecord, Keyring, Signer

AUDIENCE = "https://ci.example.com"
IAT = 1795507200
NOW = datetime.fromtimestamp(IAT, UTC)
ASKED: dict[str, Any] = {
    "agent_id": "agent-1234",
    "agent_version": "2.0.1",
    "user_id": "alice@example.com",
    "action": "run-test-suite",
    "commit": "sha256:" + "ab" * 32,
    "parameters": {"test_suite": "integration-qa", "shards": 1, "fast": True},
    "purpose": "nightly",
}
CLAIMS: dict[str, Any] = {"aud": AUDIENCE, "iat": IAT, "exp": IAT + 300, "jti": "jti-0001"}
ANSWER: dict[str, Any] = {"ticket": "t-0001", "digest": "sha256:" + "ab" * 32, "verdict": "approve"}
VERIFIERS = {"dsse": DSSEVerifier()}


def signer(key_id: str, algorithm: str = "ecdsa-p256-sha256") -> Signer:
    return Signer.generate(algorithm, key_id=key_id, audience=AUDIENCE, clock=lambda: NOW)


def enrolled(by: Signer, use: str = "request", **change: Any) -> KeyRecord:
    owner: dict[str, Any] = {"user": "alice@example.com"}
    if use == "request":
        owner |= {"agent": "agent-1234", "device": "laptop-1"}
    return KeyRecord.enrol(by.public_pem(), **{"id": by.key_id, "use": use, **owner, **change})


LAPTOP, APPROVER, STRANGER = signer("laptop-1"), signer("bob-1"), signer("nobody-knows")
RING = Keyring.of(enrolled(LAPTOP), enrolled(APPROVER, "approval", user="bob@example.com"))


def sealed(payload: bytes | Mapping[str, Any], *by: Signer, kind: str = REQUEST_TYPE) -> bytes:
    """An envelope around whatever these signers were made to sign."""
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Envelope.sign(kind, content, *((each.key_id, each.sign_bytes) for each in by)).to_bytes()


def wire(outer: Mapping[str, Any], envelope: bytes) -> bytes:
    return json.dumps({**outer, "attestation": base64.b64encode(envelope).decode()}).encode()


def received(raw: bytes, ring: Any = RING, now: datetime = NOW, **settings: Any) -> Attestation:
    """What the gateway makes of these bytes."""
    return attest(Request.parse(raw), ring, VERIFIERS, AUDIENCE, now, **settings)


def signed_request(
    by: Signer = LAPTOP, asked: Mapping[str, Any] = ASKED, kind: str = REQUEST_TYPE, **claims: Any
) -> bytes:
    payload = {**asked, **CLAIMS, **claims}
    return wire(
        asked, sealed({name: value for name, value in payload.items() if value is not ...}, by, kind=kind)
    )


def answered(
    by: Signer = APPROVER, ring: Any = RING, now: datetime = NOW, kind: str = APPROVAL_TYPE, **change: Any
) -> Approval:
    """What the gateway makes of an approver's envelope."""
    payload = {**ANSWER, **CLAIMS, **change}
    content = {name: value for name, value in payload.items() if value is not ...}
    return attest_approval(sealed(content, by, kind=kind), ring, VERIFIERS, AUDIENCE, now)


def seconds(count: float) -> datetime:
    """A moment so many seconds after the signature."""
    return NOW + timedelta(seconds=count)
