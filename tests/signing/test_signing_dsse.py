"""An envelope is read in one way or not at all: the body used is the body signed (threats A20)."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.errors import AttestationError
from cigate.signing import Envelope, EnvelopeSignature, pae

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "signing.json").read_text())


def document(**change: object) -> dict[str, object]:
    good = {
        "payload": "aGk/Pg==",
        "payloadType": "text/x",
        "signatures": [{"keyid": "k1", "sig": "AAEC+/8="}],
    }
    return {name: value for name, value in {**good, **change}.items() if value is not ...}


def envelope(**change: object) -> bytes:
    return json.dumps(document(**change)).encode()


def code(raw: bytes) -> str:
    with pytest.raises(AttestationError) as caught:
        Envelope.parse(raw)
    return caught.value.code


def test_the_published_encoding_is_ours():
    vector = VECTORS["pae"]
    assert pae(vector["type"], vector["payload"].encode()) == vector["encoded"].encode()


def test_lengths_are_in_bytes():
    assert pae("t/é", "ü".encode()) == "DSSEv1 4 t/é 2 ü".encode()


@given(st.text(max_size=20), st.binary(max_size=40), st.text(max_size=20), st.binary(max_size=40))
def test_two_things_to_sign_never_have_one_encoding(kind, payload, other_kind, other_payload):
    same = (kind, payload) == (other_kind, other_payload)
    assert (pae(kind, payload) == pae(other_kind, other_payload)) == same


def test_an_envelope_is_read():
    assert Envelope.parse(envelope()) == Envelope(
        "text/x", b"hi?>", (EnvelopeSignature("k1", b"\0\1\2\xfb\xff"),)
    )


def test_both_alphabets_are_read_each_by_itself():
    other = envelope(payload="aGk_Pg==", signatures=[{"keyid": "k1", "sig": "AAEC-_8="}])
    assert Envelope.parse(other) == Envelope.parse(envelope())


def test_keyid_may_be_left_out_and_says_nothing_then():
    assert Envelope.parse(envelope(signatures=[{"sig": "AAEC"}])).signatures[0].keyid == ""


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.binary(min_size=1, max_size=80),
    st.integers(1, 8),
)
def test_what_is_signed_and_written_is_read_back(kind, payload, count):
    signers = [(f"k{at}", lambda message, at=at: bytes([at]) + message[:3]) for at in range(count)]
    signed = Envelope.sign(kind, payload, *signers)
    assert Envelope.parse(signed.to_bytes()) == signed


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "dsse.json"),
        (b"{", "dsse.json"),
        (envelope() + b"x", "dsse.json"),
        (b"\xef\xbb\xbf" + envelope(), "dsse.json"),
        (envelope()[:-1] + b', "payload": "aGk="}', "dsse.json"),
        (b"[" * 100000, "dsse.json"),
        (b"[]", "dsse.fields"),
        (b"null", "dsse.fields"),
        (envelope(payload=...), "dsse.fields"),
        (envelope(payloadType=...), "dsse.fields"),
        (envelope(signatures=...), "dsse.fields"),
        (envelope(extra=1), "dsse.fields"),
        (envelope(PayloadType="text/x"), "dsse.fields"),
        (envelope(payloadType=""), "dsse.fields"),
        (envelope(payloadType=1), "dsse.fields"),
        (envelope(payload=None), "dsse.fields"),
        (envelope(payload=""), "dsse.fields"),
        (envelope(signatures=[{}]), "dsse.fields"),
        (envelope(signatures=["AAEC"]), "dsse.fields"),
        (envelope(signatures=[{"keyid": "k1"}]), "dsse.fields"),
        (envelope(signatures=[{"keyid": 1, "sig": "AAEC"}]), "dsse.fields"),
        (envelope(signatures=[{"keyid": None, "sig": "AAEC"}]), "dsse.fields"),
        (envelope(signatures=[{"keyid": "k1", "sig": ""}]), "dsse.fields"),
        (envelope(signatures=[{"keyid": "k1", "sig": "AAEC", "alg": "none"}]), "dsse.fields"),
        (envelope(signatures=[]), "dsse.signatures"),
        (envelope(signatures={}), "dsse.signatures"),
        (
            envelope(signatures=[{"sig": base64.b64encode(bytes([at])).decode()} for at in range(9)]),
            "dsse.signatures",
        ),
        (
            envelope(signatures=[{"keyid": "k1", "sig": "AAEC"}, {"keyid": "k1", "sig": "AAED"}]),
            "dsse.duplicate",
        ),
        (
            envelope(signatures=[{"keyid": "k1", "sig": "AAEC"}, {"keyid": "k2", "sig": "AAEC"}]),
            "dsse.duplicate",
        ),
        (envelope(signatures=[{"sig": "AAEC"}, {"sig": "AAEC"}]), "dsse.duplicate"),
    ],
)
def test_what_is_not_exactly_an_envelope_is_refused(raw, expected):
    assert code(raw) == expected


@pytest.mark.parametrize(
    "spelling",
    [
        "aGk/Pg",
        "aGk/Pg=",
        "aGk/Ph==",
        "aGk/Pg===",
        "aGk/Pg==\n",
        " aGk/Pg==",
        "aGk/ Pg==",
        "aGk_P/==",
        "aGk/-g==",
        "=",
        "aGk/P\u0261==",
    ],
)
def test_base64_has_one_spelling_in_each_alphabet(spelling):
    assert code(envelope(payload=spelling)) == "dsse.base64"
    assert code(envelope(signatures=[{"sig": spelling}])) == "dsse.base64"


@given(st.binary(max_size=120))
def test_arbitrary_bytes_are_refused_with_our_own_error(raw):
    assert code(raw).startswith("dsse.")


@given(st.data())
def test_no_single_byte_of_an_envelope_can_change_unseen(data):
    """Changed bytes are refused, or read as something else: never as the same envelope, space apart."""
    good = envelope()
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != good[at]))
    changed = good[:at] + bytes([byte]) + good[at + 1 :]
    try:
        read = Envelope.parse(changed)
    except AttestationError:
        return
    twin = {0x2B: 0x2D, 0x2F: 0x5F}
    respelt = (byte in b" \t\r\n" and good[at] in b" ") or twin.get(good[at]) == byte
    assert (read == Envelope.parse(good)) == respelt
