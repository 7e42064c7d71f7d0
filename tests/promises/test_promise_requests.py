"""Promises about what comes in: nothing unsigned, altered, repeated, misread or oversized has an effect."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cigate.request import Request
from cigate.signing import Algorithm, Envelope, KeyRecord, Signer
from cigate.testing import AUDIENCE
from tests.promises.promise_scene import Stage, closed, codes, opened, stage, together

OTHERS: dict[str, Any] = {
    "agent_id": "agent-5678",
    "agent_version": "2.0.2",
    "user_id": "bob@example.com",
    "action": "create-infra",
    "commit": "b" * 40,
    "parameters": {"test_suite": "other"},
    "purpose": "another purpose",
}
"""For each field of a request another value that is a good one."""
CLAIMS: dict[str, Any] = {"aud": "other.example", "iat": 1, "exp": 9_999_999_999, "jti": "another-nonce"}
_SHARED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Stage]:
    made = stage(tmp_path)
    yield made
    made.bench.gateway.close()


def _altered(signed: bytes) -> Iterator[tuple[str, bytes]]:
    """The signed request with one thing changed, outside, inside the signature, or on both sides."""
    outer, envelope, payload = opened(signed)
    for name, other in OTHERS.items():
        yield f"outer {name}", closed({**outer, name: other}, envelope)
        yield f"signed {name}", closed(outer, envelope, {**payload, name: other})
        yield f"both {name}", closed({**outer, name: other}, envelope, {**payload, name: other})
        yield f"without {name}", closed({each: outer[each] for each in outer if each != name}, envelope)
    for name, other in CLAIMS.items():
        yield f"claim {name}", closed(outer, envelope, {**payload, name: other})
    yield "one parameter more", closed({**outer, "parameters": {**outer["parameters"], "x": 1}}, envelope)
    yield "one field more", closed({**outer, "environment": "production"}, envelope)
    yield "one space in the payload", closed(outer, envelope, payload)
    yield "no signature", closed(outer, {**envelope, "signatures": []})
    yield "no attestation", json.dumps(outer).encode()


def test_promise_every_field_bound(at: Stage) -> None:
    fields = {field.name for field in attrs.fields(Request)} - {"attestation"}
    assert fields == set(OTHERS), "a field of a request that this test does not alter"
    request = {**at.bench.request(), "purpose": "a purpose"}
    signed = at.bench.agent.sign(request)
    for what, altered in _altered(signed):
        outcome = at.bench.gateway.submit(altered)
        assert (outcome.effect, at.jobs, at.vendor.issued) == ("deny", [], 0), what
    assert at.bench.gateway.submit(signed).code == "run.succeeded"
    assert [job.parameters for job in at.jobs] == [request["parameters"]]


@pytest.mark.parametrize("approved", [False, True], ids=["a request", "an approval"])
def test_promise_at_most_once(tmp_path: Path, approved: bool) -> None:
    at = stage(tmp_path, on_disk=True)
    other = at.bench.rebuild()
    gateways = (at.bench.gateway, other)
    signed = at.bench.signed("create-infra") if approved else at.bench.signed()
    if approved:
        ticket = other.submit(signed).ticket
        assert ticket is not None
        signed = at.bench.people["bob@example.com"].approve(ticket)
    outcomes = together(
        16, lambda at: (gateways[at % 2].approve if approved else gateways[at % 2].submit)(signed)
    )
    assert len(at.jobs) == 1
    assert codes(outcomes) == {
        "run.succeeded": 1,
        "attestation.replayed": 15,
    }
    for gateway in gateways:
        gateway.close()
    restarted = at.bench.rebuild()
    again = restarted.approve(signed) if approved else restarted.submit(signed)
    assert again.effect == "deny"
    assert len(at.jobs) == 1
    restarted.close()


def test_promise_alg_from_key(at: Stage) -> None:
    kinds = {
        "p256-der": (Algorithm.P256, "der"),
        "p256-raw": (Algorithm.P256, "raw"),
        "ed25519": (Algorithm.ED25519, None),
    }
    signers = {}
    for name, (algorithm, encoding) in kinds.items():
        signer = Signer.generate(algorithm, key_id=name, audience=AUDIENCE, clock=at.bench.clock)
        owner = {"agent": "agent-1234", "user": "alice@example.com", "device": "laptop-1"}
        encoded = {"encoding": encoding} if encoding else {}
        record = KeyRecord.enrol(signer.public_pem(), id=name, use="request", **owner, **encoded)
        at.bench.gateway.enrol(record)
        signers[name] = signer
    good = [signers["p256-der"], signers["ed25519"]]  # a Signer writes P-256 in DER
    for key in signers.values():
        for named in signers.values():
            forged = attrs.evolve(key, key_id=named.key_id)
            outcome = at.bench.gateway.submit(forged.sign(at.bench.request()))
            assert outcome.allowed == (key is named and key in good), (key.key_id, named.key_id)
    ran = len(at.jobs)
    assert ran == len(good)
    outer, envelope, _ = opened(signers["ed25519"].sign(at.bench.request()))
    signature = envelope["signatures"][0]
    for claimed in ("none", "HS256", "ES256", "p256"):
        for altered in (
            {**envelope, "alg": claimed},
            {**envelope, "signatures": [{**signature, "alg": claimed}]},
            {**envelope, "signatures": [{**signature, "alg": claimed, "sig": ""}]},
            {**envelope, "payloadType": "application/vnd.cigate.approval.v1+json"},
        ):
            assert at.bench.gateway.submit(closed(outer, altered)).effect == "deny"
    for person in at.bench.people.values():  # a key has one use
        assert at.bench.gateway.submit(person.sign(at.bench.request())).effect == "deny"
    assert len(at.jobs) == ran


HOSTILE = (
    "$(reboot)", "`id`", "a;b", "a|b", "a&b", "a\nb", "a\rb", "a\u2028b", "a\x00b", "a\x1b[0m", "${{ x }}", "{{ x }}",
    "-rf", "--help", "../x", "a/../b", ".git", "a b", "é", "а", "A", "", " unit", "unit ", "unit\n", "a" * 42,
    "unit\u200b", "LD_PRELOAD=x", "::set-env", "%0a", "'x'", '"x"', "\\x", "*", "~", "#x", "!x",
)  # fmt: skip


def _only_the_grammar(at: Stage, parameters: dict[str, Any]) -> None:
    """From a genuine key, such parameters start nothing."""
    outer, envelope, payload = opened(at.bench.signed())
    content = json.dumps({**payload, "parameters": parameters}).encode()
    again = Envelope.sign(
        envelope["payloadType"], content, (at.bench.agent.key_id, at.bench.agent.sign_bytes)
    )
    before = len(at.jobs)
    outcome = at.bench.gateway.submit(
        closed({**outer, "parameters": parameters}, json.loads(again.to_bytes()))
    )
    assert outcome.effect == "deny", parameters
    assert len(at.jobs) == before


def test_promise_inert_parameters(at: Stage) -> None:
    for hostile in HOSTILE:
        _only_the_grammar(at, {"test_suite": hostile})
    for hostile in (1, True, None, ["unit"], {"a": "unit"}):
        _only_the_grammar(at, {"test_suite": hostile})
    for hostile in ({}, {"test_suite": "unit", "PATH": "/x"}, {"Test_suite": "unit"}):
        _only_the_grammar(at, hostile)
    assert at.jobs == []
    assert at.bench.gateway.submit(at.bench.signed(test_suite="unit-2")).code == "run.succeeded"
    assert [dict(job.parameters) for job in at.jobs] == [{"test_suite": "unit-2"}]


@_SHARED
@given(text=st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=12))
def test_promise_inert_parameters_of_any_text(at: Stage, text: str) -> None:
    if re.fullmatch(r"[a-z][a-z0-9-]{0,40}", text) is None:
        _only_the_grammar(at, {"test_suite": text})


def _bombs() -> dict[str, bytes]:
    return {
        "a megabyte of brackets": b"[" * 1_048_576,
        "brackets within the cap": b"[" * 60_000,
        "a number of a million digits": b'{"a":' + b"9" * 1_000_000 + b"}",
        "a number within the cap": b'{"a":' + b"9" * 60_000 + b"}",
        "a hundred thousand names": b"{" + b",".join(b'"k%d":0' % at for at in range(100_000)) + b"}",
        "one name twice": b'{"action":"a","action":"b"}',
        "no JSON": b"\xff\xfe\x00",
        "nothing": b"",
        "NaN": b'{"a":NaN}',
        "a lone surrogate": b'{"a":"\\ud800"}',
        "much base64": b'{"attestation":"' + b"A" * 60_000 + b'"}',
    }


@pytest.mark.parametrize("what", _bombs())
def test_promise_bounded_intake(at: Stage, what: str) -> None:
    commits = at.commits
    began = time.process_time()
    outcome = at.bench.gateway.submit(_bombs()[what])
    assert time.process_time() - began < 0.5
    assert (outcome.effect, outcome.exit_code, at.jobs) == ("deny", 2, [])
    assert outcome.code.startswith("request.")
    assert at.commits == commits


def test_promise_bounded_intake_of_a_good_request_that_is_too_long(at: Stage) -> None:
    signed = at.bench.signed()
    assert at.bench.gateway.submit(signed + b" " * 65_536).code == "request.too-large"
    assert at.bench.gateway.submit(signed + b" " * (65_536 - len(signed))).code == "run.succeeded"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@_SHARED
@given(raw=st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_promise_bounded_intake_of_anything(at: Stage, raw: bytes) -> None:
    outcome = at.bench.gateway.submit(raw)
    assert outcome.effect == "deny"
    assert outcome.code.startswith("request.")


@_SHARED
@given(value=_JSON, name=st.sampled_from([*OTHERS, *CLAIMS, "signatures", "payloadType", "keyid", "sig"]))
def test_promise_bounded_intake_of_altered_requests(at: Stage, value: Any, name: str) -> None:
    outer, envelope, payload = opened(at.bench.signed())
    signature = dict(envelope["signatures"][0])
    if name in ("signatures", "payloadType"):
        envelope[name] = value
    elif name in ("keyid", "sig"):
        envelope["signatures"] = [{**signature, name: value}]
    elif name in CLAIMS:
        payload[name] = value
    else:
        outer[name] = value
    jobs = len(at.jobs)
    outcome = at.bench.gateway.submit(closed(outer, envelope, payload))
    assert outcome.effect == "deny"
    assert outcome.code.startswith(("request.", "attestation."))
    assert len(at.jobs) == jobs
