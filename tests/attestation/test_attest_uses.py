"""A key signs one kind of thing: of every use and every kind, only the diagonal passes (threats A8, A9)."""

from __future__ import annotations

import pytest
from attest_scene import ANSWER, ASKED, AUDIENCE, CLAIMS, NOW, VERIFIERS, enrolled, sealed, signer, wire

from cigate.attestation import attest, attest_approval
from cigate.errors import AttestationError
from cigate.request import Request
from cigate.signing import APPROVAL_TYPE, REQUEST_TYPE, Keyring, KeyUse

SIGNER = signer("the-key")
PAYLOADS = {"request": {**ASKED, **CLAIMS}, "approval": {**ANSWER, **CLAIMS}}
KINDS = {"request": REQUEST_TYPE, "approval": APPROVAL_TYPE, "other": "application/vnd.in-toto+json"}


def as_request(envelope, ring):
    return attest(Request.parse(wire(ASKED, envelope)), ring, VERIFIERS, AUDIENCE, NOW)


def as_approval(envelope, ring):
    return attest_approval(envelope, ring, VERIFIERS, AUDIENCE, NOW)


READERS = {"request": as_request, "approval": as_approval}


@pytest.mark.parametrize("use", list(KeyUse))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("reader", READERS)
def test_only_the_diagonal_of_use_type_payload_and_reader_passes(use, kind, payload, reader):
    ring = Keyring.of(enrolled(SIGNER, use.value))
    envelope = sealed(PAYLOADS[payload], SIGNER, kind=KINDS[kind])
    if use.value == kind == payload == reader:
        assert READERS[reader](envelope, ring).key.use is use
    else:
        with pytest.raises(AttestationError):
            READERS[reader](envelope, ring)


@pytest.mark.parametrize("recorded", ["der", "raw"])
@pytest.mark.parametrize("algorithm", ["ecdsa-p256-sha256", "ed25519"])
def test_the_record_alone_says_how_a_signature_is_verified(algorithm, recorded):
    """The signer writes DER for P-256; a record that says raw refuses it, though key and bytes are right."""
    by = signer("the-key", algorithm)
    ring = Keyring.of(enrolled(by, encoding=recorded))
    envelope = sealed(PAYLOADS["request"], by)
    if algorithm == "ed25519" or recorded == "der":
        assert as_request(envelope, ring).key.algorithm == algorithm
    else:
        with pytest.raises(AttestationError) as caught:
            as_request(envelope, ring)
        assert caught.value.code == "attestation.bad-signature"
