"""An approval is one enrolled person's signed answer to one ticket, for us, now."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attest_scene import (
    ANSWER,
    APPROVER,
    AUDIENCE,
    CLAIMS,
    IAT,
    LAPTOP,
    NOW,
    RING,
    STRANGER,
    VERIFIERS,
    answered,
    seconds,
)

from cigate.attestation import SignedRefusal, Verdict, attest_approval
from cigate.errors import AttestationError
from cigate.money import Money
from cigate.signing import REQUEST_TYPE
from cigate.ticket import Clause, Ticket


def code(**given) -> str:
    with pytest.raises(AttestationError) as caught:
        answered(**given)
    return caught.value.code


TICKET = Ticket(
    id="t-0001",
    audience=AUDIENCE,
    action="create-infra",
    commit="ab" * 20,
    parameters={"size": 3},
    agent="agent-1234",
    agent_version="2.0.1",
    user="alice@example.com",
    device="laptop-1",
    purpose="",
    cost=Money(2500, "EUR"),
    risk=12,
    clauses=(Clause("r", 1, ("sre",), timedelta(minutes=30)),),
    created=NOW,
    expires=NOW + timedelta(minutes=30),
)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_the_signer_answers_is_attested(verdict):
    envelope = getattr(APPROVER, verdict)(TICKET)
    approval = attest_approval(envelope, RING, VERIFIERS, AUDIENCE, NOW)
    assert (approval.ticket, approval.digest, approval.verdict) == ("t-0001", TICKET.digest, verdict)
    assert approval.key.user == "bob@example.com"
    assert approval.replay_key == (RING["bob-1"].thumbprint, approval.signed.jti)
    assert approval.expires == seconds(300)
    assert (approval.format, approval.level, approval.envelope) == ("dsse", 1, envelope)


@pytest.mark.parametrize(
    "change",
    [
        *({name: ...} for name in (*ANSWER, *CLAIMS)),
        {"extra": 1},
        {"user": "bob@example.com"},
        {"ticket": ""},
        {"ticket": 1},
        {"ticket": "t 1"},
        {"ticket": "t\n"},
        {"ticket": "t" * 129},
        {"digest": "ab" * 32},
        {"digest": "sha256:" + "AB" * 32},
        {"digest": "sha256:" + "ab" * 31},
        {"digest": "sha1:" + "ab" * 20},
        {"digest": None},
        {"verdict": "APPROVE"},
        {"verdict": "yes"},
        {"verdict": True},
        {"verdict": None},
        {"verdict": ["approve"]},
        {"aud": [AUDIENCE]},
        {"iat": True},
        {"exp": float(IAT + 300)},
        {"jti": "short"},
    ],
)
def test_a_payload_that_is_not_exactly_an_answer_is_refused(change):
    assert code(**change) == "attestation.payload"


def test_audience_and_times_are_checked_as_for_requests():
    assert code(aud=AUDIENCE + "/") == "attestation.audience"
    assert code(exp=IAT + 301) == "attestation.lifetime"
    assert code(exp=IAT) == "attestation.lifetime"
    assert code(now=seconds(-61)) == "attestation.time"
    assert code(now=seconds(360)) == "attestation.time"
    assert answered(now=seconds(359.9)).verdict is Verdict.APPROVE


def test_agents_and_strangers_never_approve():
    assert code(by=LAPTOP) == "attestation.wrong-use"
    assert code(by=STRANGER) == "attestation.unknown-key"
    assert code(kind=REQUEST_TYPE) == "attestation.payload-type"


def test_a_refusal_of_what_a_key_signed_names_the_key():
    with pytest.raises(SignedRefusal) as caught:
        answered(verdict="yes")
    assert caught.value.key.id == "bob-1"
