"""Nothing is attested unless one live enrolled key signed every field of it, for us, now."""

from __future__ import annotations

import base64
import json
import pickle
from datetime import timedelta
from types import SimpleNamespace

import attrs
import pytest
from attest_scene import (
    APPROVER,
    ASKED,
    AUDIENCE,
    CLAIMS,
    IAT,
    LAPTOP,
    NOW,
    RING,
    STRANGER,
    VERIFIERS,
    enrolled,
    received,
    sealed,
    seconds,
    signed_request,
    signer,
    wire,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from cigate.attestation import SignedRefusal, attest
from cigate.errors import AttestationError, ConfigError, RequestError
from cigate.request import Request
from cigate.signing import APPROVAL_TYPE, REQUEST_TYPE, Envelope, EnvelopeSignature, Keyring
from cigate.signing.signature import P256_ORDER


def refusal(raw: bytes, **given) -> AttestationError:
    with pytest.raises(AttestationError) as caught:
        received(raw, **given)
    return caught.value


def code(raw: bytes, **given) -> str:
    return refusal(raw, **given).code


@pytest.mark.parametrize("algorithm", ["ecdsa-p256-sha256", "ed25519"])
def test_a_signed_request_is_attested_with_its_signed_fields(algorithm):
    by = signer("laptop-9", algorithm)
    raw = by.sign(ASKED)
    attestation = received(raw, ring=Keyring.of(enrolled(by)))
    assert attestation.request == Request.of(ASKED)
    assert attestation.request.attestation is None
    assert (attestation.format, attestation.level, attestation.chain) == ("dsse", 1, ())
    assert attestation.key == enrolled(by)
    assert attestation.signed.aud == AUDIENCE
    assert attestation.replay_key == (enrolled(by).thumbprint, attestation.signed.jti)
    assert attestation.envelope == Request.parse(raw).attestation
    assert attestation.expires == seconds(300)
    assert attestation.age(seconds(90)) == timedelta(seconds=90)
    assert attestation.age(seconds(-30)) == timedelta(0)


# -- threats A6, A7: every field is bound ------------------------------------------------------------------

CHANGES = {
    "agent_id": "agent-1235",
    "agent_version": "2.0.10",
    "user_id": "bob@example.com",
    "action": "create-infra",
    "commit": "ab" * 32,
    "parameters": {**ASKED["parameters"], "shards": True},
    "purpose": None,
}


def without_none(fields):
    return {name: value for name, value in fields.items() if value is not None}


def test_every_field_of_a_request_is_signed_and_has_a_change_here():
    """A field added to Request and not to what is signed, or not to these tests, fails."""
    fields = {each.name for each in attrs.fields(Request)} - {"attestation"}
    assert set(Request.of(ASKED).fields()) == fields
    assert set(CHANGES) == fields


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_changed_outside_the_signature_is_a_mismatch(name):
    envelope = sealed({**ASKED, **CLAIMS}, LAPTOP)
    error = refusal(wire(without_none({**ASKED, name: CHANGES[name]}), envelope))
    assert error.code == "attestation.mismatch"
    assert error.where in (f"/{name}", "/parameters/shards")


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_changed_inside_the_signature_is_a_mismatch_or_not_the_owners(name):
    envelope = sealed(without_none({**ASKED, **CLAIMS, name: CHANGES[name]}), LAPTOP)
    owned = name in ("agent_id", "user_id")
    assert code(wire(ASKED, envelope)) == ("attestation.owner" if owned else "attestation.mismatch")


SCALARS = st.one_of(
    st.booleans(), st.integers(-5, 5), st.text(max_size=6), st.none(), st.floats(allow_nan=False)
)


def leaves(value, path=()):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    yield path


def changed(document, path, value):
    if not path:
        return value
    inner = changed(document[path[0]], path[1:], value) if path[0] in document else value
    return {**document, path[0]: inner}


def same(one, other):
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([path for path in leaves(ASKED) if path]), SCALARS, st.booleans())
def test_no_leaf_can_change_on_either_side(path, value, outside):
    other = changed(ASKED, path, value)
    if same(other, ASKED):
        return
    outer, inner = (other, ASKED) if outside else (ASKED, other)
    with pytest.raises((AttestationError, RequestError)):
        received(wire(outer, sealed({**inner, **CLAIMS}, LAPTOP)))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_byte_of_the_payload_can_change_after_signing(data):
    envelope = Envelope.parse(sealed({**ASKED, **CLAIMS}, LAPTOP))
    payload = bytearray(envelope.payload)
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    other = Envelope(envelope.payload_type, bytes(payload), envelope.signatures).to_bytes()
    assert code(wire(ASKED, other)) == "attestation.bad-signature"


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (1, True),
        (1, "1"),
        (True, "true"),
        (0, False),
        ("", False),
        ("\u00e9", "e\u0301"),
        ("\u212b", "\u00c5"),
        ("a", "A"),
        ("a", "a "),
        ("a", "\u0430"),
    ],
)
def test_values_that_only_look_equal_differ(outer, inner):
    for one, other in ((outer, inner), (inner, outer)):
        asked = {**ASKED, "parameters": {"p": one}}
        error = refusal(wire(asked, sealed({**asked, **CLAIMS, "parameters": {"p": other}}, LAPTOP)))
        assert (error.code, error.where) == ("attestation.mismatch", "/parameters/p")


def test_the_order_of_names_and_the_spelling_of_characters_say_nothing():
    asked = {**ASKED, "purpose": "caf\u00e9"}
    shuffled = dict(reversed({**asked, **CLAIMS}.items()))
    envelope = sealed(json.dumps(shuffled, indent=2, ensure_ascii=False).encode(), LAPTOP)
    assert received(wire(asked, envelope)).request.purpose == "caf\u00e9"


# -- threats A5, A12: the payload --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "audience",
    [
        AUDIENCE + "/",
        AUDIENCE.upper(),
        AUDIENCE[:-1],
        AUDIENCE + " ",
        " " + AUDIENCE,
        AUDIENCE + "\0",
        "https://ci.example.org",
        "http://ci.example.com",
        "https://c\u0456.example.com",
        "",
        "*",
    ],
)
def test_a_request_for_another_audience_is_refused(audience):
    assert code(signed_request(aud=audience)) == "attestation.audience"


@pytest.mark.parametrize(
    "claims",
    [
        *({name: ...} for name in CLAIMS),
        {"aud": [AUDIENCE]},
        {"aud": None},
        {"aud": 1},
        *(
            {name: value}
            for name in ("iat", "exp")
            for value in (True, float(IAT), str(IAT), None, -1, 1e400, [IAT])
        ),
        {"jti": "short"},
        {"jti": "x" * 129},
        {"jti": "not a jti"},
        {"jti": "line\nfeed-1"},
        {"jti": 12345678},
        {"nbf": IAT},
        {"alg": "none"},
        {"attestation": "AAAA"},
        {"key": "laptop-1"},
    ],
)
def test_a_payload_with_other_claims_than_the_four_is_refused(claims):
    assert code(signed_request(**claims)) == "attestation.payload"


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b"[]",
        b"null",
        b"not json",
        json.dumps({**ASKED, **CLAIMS}).encode() + b"{}",
        json.dumps({**ASKED, **CLAIMS}).encode()[:-1] + b', "action": "create-infra"}',
        b"\xef\xbb\xbf" + json.dumps({**ASKED, **CLAIMS}).encode(),
        json.dumps({**ASKED, **CLAIMS}).encode("utf-16"),
    ],
    ids=["empty", "array", "null", "text", "trailing", "doubled", "bom", "utf-16"],
)
def test_a_payload_that_is_not_one_request_is_refused(payload):
    assert code(wire(ASKED, sealed(payload, LAPTOP))) == "attestation.payload"


def test_a_request_without_attestation_is_refused():
    assert code(json.dumps(ASKED).encode()) == "attestation.missing"


@pytest.mark.parametrize("envelope", [b"x", b"{}", b"null", b"[" * 1000])
def test_what_is_no_envelope_is_refused(envelope):
    assert code(wire(ASKED, envelope)).startswith("dsse.")


def test_without_an_accepted_format_nothing_is_attested():
    with pytest.raises(AttestationError) as caught:
        attest(Request.parse(signed_request()), RING, {}, AUDIENCE, NOW)
    assert caught.value.code == "attestation.format"


# -- threats A15: times ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "skew", "expected"),
    [
        (-61, 60, "attestation.time"),
        (-60.000001, 60, "attestation.time"),
        (-60, 60, None),
        (-59, 60, None),
        (0, 60, None),
        (299, 60, None),
        (300, 60, None),
        (359, 60, None),
        (359.999999, 60, None),
        (360, 60, "attestation.time"),
        (361, 60, "attestation.time"),
        (-1, 0, "attestation.time"),
        (-0.000001, 0, "attestation.time"),
        (0, 0, None),
        (299.999999, 0, None),
        (300, 0, "attestation.time"),
        (10**8, 60, "attestation.time"),
        (-(10**8), 60, "attestation.time"),
    ],
)
def test_a_request_holds_from_iat_less_skew_until_exp_and_skew(at, skew, expected):
    raw, settings = signed_request(), {"now": seconds(at), "skew": timedelta(seconds=skew)}
    if expected is None:
        assert received(raw, **settings).signed.iat == IAT
    else:
        assert code(raw, **settings) == expected


@pytest.mark.parametrize(
    ("lifetime", "most", "expected"),
    [
        (-1, 300, "attestation.lifetime"),
        (0, 300, "attestation.lifetime"),
        (1, 300, None),
        (299, 300, None),
        (300, 300, None),
        (301, 300, "attestation.lifetime"),
        (31, 30, "attestation.lifetime"),
        (2**52, 300, "attestation.lifetime"),
    ],
)
def test_a_request_lives_from_one_second_to_the_most(lifetime, most, expected):
    raw, settings = signed_request(exp=IAT + lifetime), {"max_lifetime": timedelta(seconds=most)}
    if expected is None:
        assert received(raw, **settings).signed.exp == IAT + lifetime
    else:
        assert code(raw, **settings) == expected


def test_times_too_far_for_a_calendar_are_refused():
    for iat in (0, 2**53 - 2):
        assert code(signed_request(iat=iat, exp=iat + 1)) == "attestation.time"


@pytest.mark.parametrize("settings", [{"skew": timedelta(seconds=61)}, {"skew": timedelta(seconds=-1)}])
def test_a_skew_beyond_a_minute_is_the_operators_mistake(settings):
    with pytest.raises(ConfigError):
        received(signed_request(), **settings)


def test_an_empty_audience_of_the_gateway_is_the_operators_mistake():
    with pytest.raises(ConfigError):
        attest(Request.parse(signed_request(aud="")), RING, VERIFIERS, "", NOW)


# -- threats A10: owner; validity --------------------------------------------------------------------------


@pytest.mark.parametrize("key_agent", ["agent-1234", "agent-1235"])
@pytest.mark.parametrize("key_user", ["alice@example.com", "bob@example.com"])
@pytest.mark.parametrize("agent", ["agent-1234", "agent-1235"])
@pytest.mark.parametrize("user", ["alice@example.com", "bob@example.com"])
def test_a_key_speaks_for_its_own_agent_and_user_only(key_agent, key_user, agent, user):
    ring = Keyring.of(enrolled(LAPTOP, agent=key_agent, user=key_user))
    raw = signed_request(asked={**ASKED, "agent_id": agent, "user_id": user})
    if (key_agent, key_user) == (agent, user):
        assert received(raw, ring=ring).request.agent_id == agent
    else:
        assert code(raw, ring=ring) == "attestation.owner"


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (9.999999, "attestation.not-yet-valid"),
        (10, None),
        (19.999999, None),
        (20, "attestation.expired-key"),
    ],
)
def test_a_key_is_valid_from_one_moment_until_another(at, expected):
    ring = Keyring.of(enrolled(LAPTOP, valid_from=seconds(10), valid_until=seconds(20)))
    if expected is None:
        assert received(signed_request(), ring=ring, now=seconds(at)).key.id == "laptop-1"
    else:
        assert code(signed_request(), ring=ring, now=seconds(at)) == expected


# -- threats A2: what makes a request unique ---------------------------------------------------------------


def test_every_way_to_write_one_signed_request_has_one_replay_key():
    payload = {**ASKED, **CLAIMS}
    envelopes = [sealed(payload, LAPTOP) for _ in range(4)]
    first = Envelope.parse(envelopes[0])
    r, s = decode_dss_signature(first.signatures[0].sig)
    flipped = EnvelopeSignature("laptop-1", encode_dss_signature(r, P256_ORDER - s))
    stranger = Envelope.parse(sealed(payload, STRANGER)).signatures[0]
    url_safe = json.loads(envelopes[0])
    url_safe["payload"] = url_safe["payload"].replace("+", "-").replace("/", "_")
    url_safe["signatures"][0]["sig"] = base64.urlsafe_b64encode(first.signatures[0].sig).decode()
    envelopes += [
        attrs.evolve(first, signatures=(flipped,)).to_bytes(),
        attrs.evolve(first, signatures=(*first.signatures, stranger)).to_bytes(),
        attrs.evolve(first, signatures=(stranger, flipped)).to_bytes(),
        json.dumps(url_safe, indent=3).encode(),
        json.dumps(json.loads(envelopes[0]), indent=4).encode(),
        sealed(json.dumps(payload, indent=4).encode(), LAPTOP),
    ]
    attestations = [received(wire(ASKED, each)) for each in envelopes]
    assert len({each.envelope for each in attestations}) == 10
    assert {each.replay_key for each in attestations} == {(enrolled(LAPTOP).thumbprint, "jti-0001")}


def test_the_same_key_under_another_name_has_the_same_replay_key():
    renamed = enrolled(LAPTOP, id="other")
    envelope = Envelope.parse(sealed({**ASKED, **CLAIMS}, LAPTOP))
    other = attrs.evolve(envelope, signatures=(EnvelopeSignature("other", envelope.signatures[0].sig),))
    again = received(wire(ASKED, other.to_bytes()), ring=Keyring.of(renamed))
    assert again.replay_key == received(signed_request()).replay_key


# -- threats A9, A20: who signed ---------------------------------------------------------------------------


def test_a_request_key_and_a_stranger_are_as_good_as_the_request_key_alone():
    raw = wire(ASKED, sealed({**ASKED, **CLAIMS}, STRANGER, LAPTOP))
    assert received(raw).key.id == "laptop-1"


def test_two_enrolled_signers_are_one_too_many():
    second = signer("laptop-2")
    ring = RING.with_key(enrolled(second))
    payload = {**ASKED, **CLAIMS}
    for pair in ((LAPTOP, second), (second, LAPTOP), (LAPTOP, APPROVER), (APPROVER, LAPTOP)):
        assert code(wire(ASKED, sealed(payload, *pair)), ring=ring) == "attestation.several-keys"


def test_an_enrolled_key_named_beside_a_good_signature_must_have_signed_too():
    good = Envelope.parse(sealed({**ASKED, **CLAIMS}, LAPTOP))
    forged = EnvelopeSignature("bob-1", b"forged")
    for signatures in ((*good.signatures, forged), (forged, *good.signatures)):
        raw = wire(ASKED, attrs.evolve(good, signatures=signatures).to_bytes())
        assert code(raw) == "attestation.bad-signature"


def test_a_hint_chooses_no_identity():
    """A key that signs under another's name is a bad signature; under none or a strange one, unknown."""
    good = Envelope.parse(sealed({**ASKED, **CLAIMS}, LAPTOP))
    for keyid, expected in (
        ("bob-1", "attestation.bad-signature"),
        ("", "attestation.unknown-key"),
        ("LAPTOP-1", "attestation.unknown-key"),
        ("laptop-1 ", "attestation.unknown-key"),
        ("\u0131aptop-1", "attestation.unknown-key"),
    ):
        signatures = (EnvelopeSignature(keyid, good.signatures[0].sig),)
        assert code(wire(ASKED, attrs.evolve(good, signatures=signatures).to_bytes())) == expected


def test_another_payload_type_is_another_message():
    for kind in (APPROVAL_TYPE, "application/vnd.in-toto+json", REQUEST_TYPE.upper(), REQUEST_TYPE + " "):
        assert code(signed_request(kind=kind)) == "attestation.payload-type"
    relabelled = attrs.evolve(
        Envelope.parse(sealed({**ASKED, **CLAIMS}, LAPTOP, kind="text/plain")), payload_type=REQUEST_TYPE
    )
    assert code(wire(ASKED, relabelled.to_bytes())) == "attestation.bad-signature"


# -- threats A19, A18c: what strangers learn ---------------------------------------------------------------


@pytest.mark.parametrize("signers", [1, 2, 5, 8])
def test_an_unknown_key_costs_as_many_verifications_as_a_known_one(monkeypatch, signers):
    import cigate.attestation.dsse as dsse

    verified, real = [], dsse.verify_signature
    monkeypatch.setattr(
        dsse, "verify_signature", lambda *call: verified.append(call[0].algorithm) or real(*call)
    )
    names = [f"k{at}" for at in range(signers)]
    forged = Envelope(REQUEST_TYPE, b"{}", tuple(EnvelopeSignature(name, name.encode()) for name in names))
    raw = wire(ASKED, forged.to_bytes())
    counts = {}
    for known in range(signers + 1):
        verified.clear()
        ring = Keyring.of(*(enrolled(signer(name)) for name in names[:known]))
        code(raw, ring=ring)
        counts[known] = len(verified)
    assert set(counts.values()) == {signers}
    verified.clear()
    nameless = Envelope(REQUEST_TYPE, b"{}", (EnvelopeSignature("", b"x"),))
    assert code(wire(ASKED, nameless.to_bytes())) == "attestation.unknown-key"
    assert len(verified) == 1


def test_a_malformed_signature_costs_a_verification_too(monkeypatch):
    import cigate.signing.signature as signature

    calls, real = [], signature._verifies
    monkeypatch.setattr(signature, "_verifies", lambda verify: calls.append(1) or real(verify))
    for bad in (b"x", b"\0" * 64, b"\x30\x06\x02\x01\x01\x02\x01\x01"):
        for keyid in ("laptop-1", "never-enrolled"):
            calls.clear()
            forged = Envelope(REQUEST_TYPE, b"{}", (EnvelopeSignature(keyid, bad),))
            code(wire(ASKED, forged.to_bytes()))
            assert len(calls) == 1


def test_what_anybody_could_have_sent_is_told_from_what_a_key_did_sign():
    anybody = [
        wire(ASKED, b"x"),
        signed_request(STRANGER),
        json.dumps(ASKED).encode(),
        wire(ASKED, Envelope(REQUEST_TYPE, b"{}", (EnvelopeSignature("laptop-1", b"x"),)).to_bytes()),
    ]
    assert not any(isinstance(refusal(raw), SignedRefusal) for raw in anybody)
    signed = [
        signed_request(aud="other"),
        signed_request(exp=IAT),
        signed_request(jti="x"),
        signed_request(kind="text/plain"),
        signed_request(APPROVER),
        signed_request(asked={**ASKED, "user_id": "eve"}),
        wire({**ASKED, "purpose": "other"}, sealed({**ASKED, **CLAIMS}, LAPTOP)),
    ]
    refusals = [refusal(raw) for raw in signed]
    assert all(isinstance(each, SignedRefusal) for each in refusals)
    assert {each.key.id for each in refusals} == {"laptop-1", "bob-1"}
    again = pickle.loads(pickle.dumps(refusals[0]))
    assert (again.code, again.where, again.key) == (refusals[0].code, refusals[0].where, refusals[0].key)


def test_the_keys_may_be_any_lookup_and_a_key_that_it_hides_is_unknown():
    hidden = SimpleNamespace(get=lambda name: None)
    assert code(signed_request(), ring=hidden) == "attestation.unknown-key"


def test_nobody_holds_the_key_that_stands_in_for_unknown_ones():
    """Its x is the first hash in a row that is on the curve: made, it can be made again by anybody."""
    import hashlib

    from cigate.attestation.verifier import NOBODY

    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    hashes = (hashlib.sha256(f"cigate: nobody's key {n}".encode()).digest() for n in range(1, 100))
    on_curve = (
        each
        for each in hashes
        if pow(pow(x := int.from_bytes(each, "big"), 3, p) - 3 * x + b, (p - 1) // 2, p) == 1
    )
    assert NOBODY.public_key[-64:-32] == next(on_curve)


def test_base64_of_another_spelling_outside_is_refused_at_intake():
    outer = json.loads(signed_request())
    for spelling in (outer["attestation"].rstrip("=") + "===", outer["attestation"] + "\n"):
        with pytest.raises(RequestError):
            Request.parse(json.dumps({**outer, "attestation": spelling}).encode())
    assert base64.b64decode(outer["attestation"])
