"""What a client's program does: its key stays in its file, and it signs everything it says."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import subprocess
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from cigate.errors import ConfigError, RequestError
from cigate.request import Request
from cigate.signing import (
    APPROVAL_TYPE,
    REQUEST_TYPE,
    Envelope,
    KeyRecord,
    Signer,
    load_private_key,
    pae,
    verify_signature,
    write_key_pair,
)
from cigate.ticket import Ticket

NOW = datetime(2026, 11, 24, 8, 0, 0, 700_000, tzinfo=UTC)
ALGORITHMS = ["ecdsa-p256-sha256", "ed25519"]
ASKED = {
    "agent_id": "agent-1234",
    "agent_version": "2.0.1",
    "user_id": "alice@example.com",
    "action": "run-test-suite",
    "commit": "sha256:" + "ab" * 32,
    "parameters": {"test_suite": "integration-qa", "shards": 2, "fast": True},
    "purpose": "nightly",
}
TICKET = {
    "ticket": "t-0001",
    "audience": "https://ci.example.com",
    "action": "create-infra",
    "commit": "ab" * 20,
    "parameters": {"size": 3},
    "agent": "agent-1234",
    "agent_version": "2.0.1",
    "user": "alice@example.com",
    "device": "laptop-1",
    "purpose": "",
    "cost": {"amount": 2500, "currency": "EUR"},
    "risk": 12,
    "clauses": [
        {"rule": "infra-needs-a-person", "count": 1, "roles": ["sre"], "ttl": "1800s", "message": ""}
    ],
    "created": "2026-11-24T08:00:00Z",
    "expires": "2026-11-24T08:30:00Z",
}


def signer(algorithm: str = ALGORITHMS[0]) -> Signer:
    return Signer.generate(algorithm, key_id="laptop-1", audience="https://ci.example.com", clock=lambda: NOW)


def opened(envelope: bytes, by: Signer) -> tuple[str, dict[str, object]]:
    """The payload, after the signature has been checked."""
    read = Envelope.parse(envelope)
    record = KeyRecord.enrol(by.public_pem(), id="k", use="ledger")
    assert verify_signature(record, pae(read.payload_type, read.payload), read.signatures[0].sig)
    assert read.signatures[0].keyid == "laptop-1"
    return read.payload_type, json.loads(read.payload)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signed_request_says_the_same_inside_and_outside(algorithm):
    by = signer(algorithm)
    outer = json.loads(by.sign(ASKED))
    kind, inner = opened(base64.b64decode(outer.pop("attestation"), validate=True), by)
    assert kind == REQUEST_TYPE
    assert outer == ASKED
    jti = inner.pop("jti")
    assert inner == {**ASKED, "aud": "https://ci.example.com", "iat": 1795507200, "exp": 1795507500}
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", jti)


def test_each_signature_is_a_new_request():
    by = signer()
    jtis = {opened(Request.parse(by.sign(ASKED)).attestation, by)[1]["jti"] for _ in range(20)}
    assert len(jtis) == 20


def test_a_request_and_a_dict_are_signed_alike():
    by = signer()
    signed = Request.parse(by.sign(Request.of(ASKED)))
    assert signed.fields() == Request.parse(by.sign(ASKED)).fields() == ASKED


def test_the_lifetime_is_what_was_asked_for():
    by = signer()
    _, inner = opened(Request.parse(by.sign(ASKED, lifetime=timedelta(seconds=30))).attestation, by)
    assert inner["exp"] - inner["iat"] == 30


def test_what_is_no_request_or_a_dict_that_was_signed_already_is_not_signed():
    by = signer()
    for wrong in (
        {},
        {**ASKED, "extra": 1},
        {**ASKED, "attestation": "AAAA"},
        {**ASKED, "parameters": {"x": 1.5}},
    ):
        with pytest.raises(RequestError):
            by.sign(wrong)


def test_a_parsed_request_is_signed_anew():
    by, other = signer(), signer("ed25519")
    first = Request.parse(by.sign(ASKED))
    again = Request.parse(other.sign(first))
    assert again.fields() == ASKED
    assert opened(again.attestation, other)[1]["jti"] != opened(first.attestation, by)[1]["jti"]


@pytest.mark.parametrize("verdict", ["approve", "reject"])
@pytest.mark.parametrize("shape", [Ticket.from_json, dict], ids=["ticket", "mapping"])
def test_an_answer_is_over_the_summary_that_was_rendered_here(verdict, shape):
    by = signer()
    misleading = {**TICKET, "digest": "sha256:" + "00" * 32, "summary": "nothing to see"}
    kind, payload = opened(getattr(by, verdict)(shape(misleading)), by)
    assert kind == APPROVAL_TYPE
    payload.pop("jti")
    assert payload == {
        "ticket": "t-0001",
        "digest": Ticket.from_json(TICKET).digest,
        "verdict": verdict,
        "aud": "https://ci.example.com",
        "iat": 1795507200,
        "exp": 1795507500,
    }


@frozen
class Held:
    """As an outcome or a status carries its ticket."""

    ticket: Ticket | None


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_what_carries_a_ticket_is_answered_like_the_ticket(verdict):
    by = signer()
    _, payload = opened(getattr(by, verdict)(Held(Ticket.from_json(TICKET))), by)
    assert payload["digest"] == Ticket.from_json(TICKET).digest


@pytest.mark.parametrize("wrong", ["t-0001", b"t-0001", None, 7, Held(None)])
def test_an_answer_to_something_unread_is_refused_and_says_what_to_give(wrong):
    with pytest.raises(RequestError) as caught:
        signer().approve(wrong)
    assert caught.value.code == "ticket.malformed"
    assert "gateway.status(ID).ticket" in str(caught.value)


def test_a_ticket_of_another_gateway_is_not_answered():
    with pytest.raises(RequestError) as caught:
        signer().approve({**TICKET, "audience": "https://ci.example.com/"})
    assert caught.value.code == "ticket.audience"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_pair_is_two_files_and_only_the_owner_reads_the_private_one(tmp_path, algorithm):
    path = tmp_path / "agent.pem"
    old = os.umask(0)
    try:
        public = write_key_pair(path, algorithm=algorithm)
    finally:
        os.umask(old)
    assert public == tmp_path / "agent.pem.pub"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    loaded = Signer.from_pem(path, key_id="k", audience="a")
    assert loaded.public_pem() == public.read_bytes()
    assert KeyRecord.enrol(public.read_bytes(), id="k", use="ledger").algorithm == algorithm
    shown = subprocess.run(["openssl", "pkey", "-in", path, "-pubout"], capture_output=True, check=True)
    assert shown.stdout == public.read_bytes()


@pytest.mark.parametrize("existing", ["agent.pem", "agent.pem.pub"])
def test_no_key_file_is_ever_written_over(tmp_path, existing):
    (tmp_path / existing).write_text("precious")
    with pytest.raises(ConfigError) as caught:
        write_key_pair(tmp_path / "agent.pem")
    assert caught.value.code == "key.file"
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {existing: "precious"}


def test_a_dangling_link_is_not_followed_when_a_key_is_made(tmp_path):
    (tmp_path / "agent.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        write_key_pair(tmp_path / "agent.pem")
    assert not (tmp_path / "elsewhere").exists()


def test_a_signature_is_issued_now():
    by = Signer.generate(key_id="laptop-1", audience="https://ci.example.com")
    before = int(datetime.now(UTC).timestamp())
    _, inner = opened(Request.parse(by.sign(ASKED)).attestation, by)
    assert before <= inner["iat"] <= datetime.now(UTC).timestamp()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o620, 0o602, 0o601, 0o644, 0o660, 0o777])
def test_a_key_file_that_others_may_use_is_refused(tmp_path, mode):
    path = tmp_path / "agent.pem"
    write_key_pair(path)
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        Signer.from_pem(path, key_id="k", audience="a")
    assert caught.value.code == "key.file-mode"


PKCS8, SEC1 = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "key.malformed"),
        (b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWJ5dGVz\n-----END PRIVATE KEY-----\n", "key.malformed"),
        (
            ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.PEM, PKCS8, NoEncryption()),
            "key.algorithm",
        ),
        (
            rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, SEC1, NoEncryption()),
            "key.algorithm",
        ),
        (
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.PEM, PKCS8, BestAvailableEncryption(b"x")
            ),
            "key.malformed",
        ),
    ],
    ids=["empty", "garbage", "p384", "rsa", "encrypted"],
)
def test_a_file_without_a_usable_key_is_refused_and_not_repeated(tmp_path, content, code):
    path = tmp_path / "agent.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        Signer.from_pem(path, key_id="k", audience="a")
    assert caught.value.code == code
    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__cause__ is None


def pem_of(algorithm, folder):
    write_key_pair(folder / "own.pem", algorithm=algorithm)
    return (folder / "own.pem").read_text()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("shape", [str, str.encode], ids=["text", "bytes"])
def test_the_pem_itself_is_taken_as_well_as_its_file(tmp_path, algorithm, shape):
    by = Signer.from_pem(shape(pem_of(algorithm, tmp_path)), key_id="k", audience="a")
    assert by.public_pem() == (tmp_path / "own.pem.pub").read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        Path,
        lambda pem: pem.replace("-----BEGIN PRIVATE KEY-----", ""),
        lambda pem: pem.replace("-----END PRIVATE KEY-----", ""),
        lambda pem: pem.replace("-----BEGIN PRIVATE KEY-----", "").encode(),
        lambda pem: " " + pem.replace("M", "N"),
        lambda pem: pem.splitlines()[1] + "\0",
    ],
    ids=["path", "headless", "footless", "bytes", "damaged", "nul"],
)
def test_a_key_where_a_path_should_be_is_never_repeated(tmp_path, wrong):
    pem = pem_of("ed25519", tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_private_key(wrong(pem))
    assert caught.value.code in ("key.file", "key.malformed")
    shown = "".join(traceback.format_exception(caught.value))
    assert pem.splitlines()[1][24:] not in shown


def test_a_missing_file_and_a_bad_name_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"agent\.pem"):
        Signer.from_pem(tmp_path / "agent.pem", key_id="k", audience="a")
    with pytest.raises(ConfigError) as caught:
        Signer.generate(key_id="two words", audience="a")
    assert caught.value.code == "key.id"
    with pytest.raises(ConfigError) as caught:
        Signer.generate("rsa", key_id="k", audience="a")
    assert caught.value.code == "key.algorithm"


def test_the_private_key_is_not_shown():
    by = signer()
    assert repr(by) == "Signer(key_id='laptop-1', audience='https://ci.example.com')"
