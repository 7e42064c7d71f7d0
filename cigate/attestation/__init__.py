"""Who signed exactly these bytes, for us, now?

In: a well-formed request whose fields nobody has vouched for, or an approval's envelope; enrolled keys; the
time. Out: an `Attestation` that holds the request *as signed*, or an `Approval`; otherwise an
`AttestationError`, which strangers see as `OUTWARD_CODE` whatever the cause. What always holds: one enrolled
key of the right use signed every field; the owner named in the payload is the owner in the key's record.
"""

from __future__ import annotations

from cigate.attestation.approval import Approval, Verdict, attest_approval
from cigate.attestation.attestation import Attestation, attest
from cigate.attestation.dsse import DSSEVerifier
from cigate.attestation.verifier import (
    NOBODY,
    OUTWARD_CODE,
    AttestationVerifier,
    Keys,
    SignedRefusal,
    Verified,
)

__all__ = [
    "NOBODY",
    "OUTWARD_CODE",
    "Approval",
    "Attestation",
    "AttestationVerifier",
    "DSSEVerifier",
    "Keys",
    "SignedRefusal",
    "Verdict",
    "Verified",
    "attest",
    "attest_approval",
]
