"""A signature is right only if the key made it over exactly these bytes, in the record's encoding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from cigate.signing import KeyRecord, edwards, verify_signature
from cigate.signing.signature import P256_ORDER as N

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "signing.json").read_text())
MESSAGE = b"exactly these bytes"
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


def record(key, encoding="der"):
    public = key if hasattr(key, "public_bytes") else key.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return KeyRecord.enrol(der, id="k", use="ledger", encoding=encoding)


DER, RAW, ED = record(P256), record(P256, "raw"), record(ED25519)
R, S = decode_dss_signature(P256.sign(MESSAGE, ec.ECDSA(SHA256())))
ED_SIGNATURE = ED25519.sign(MESSAGE)


def integer(value: int) -> bytes:
    body = value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True) if value else b"\x00"
    return bytes([2, len(body)]) + body


def der(r: bytes, s: bytes) -> bytes:
    return bytes([0x30, len(r + s)]) + r + s


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_the_published_ed25519_signature_is_right():
    vector = VECTORS["ed25519"]
    key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(vector["public"]))
    assert verify_signature(record(key), bytes.fromhex(vector["message"]), bytes.fromhex(vector["signature"]))


def test_the_published_p256_signature_is_right_in_both_encodings():
    vector = VECTORS["p256"]
    numbers = ec.EllipticCurvePublicNumbers(int(vector["x"], 16), int(vector["y"], 16), ec.SECP256R1())
    key, message = numbers.public_key(), bytes.fromhex(vector["message"])
    r, s = int(vector["r"], 16), int(vector["s"], 16)
    assert verify_signature(record(key), message, der(integer(r), integer(s)))
    assert verify_signature(record(key, "raw"), message, raw(r, s))


def test_the_other_s_is_as_good_so_uniqueness_must_never_rest_on_a_signature():
    assert verify_signature(DER, MESSAGE, der(integer(R), integer(S)))
    assert verify_signature(DER, MESSAGE, der(integer(R), integer(N - S)))
    assert verify_signature(RAW, MESSAGE, raw(R, N - S))


def long_length(content: bytes) -> bytes:
    return bytes([0x30, 0x81, len(content) - 2]) + content[2:]


GOOD = der(integer(R), integer(S))


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        raw(R, S),
        GOOD[:-1],
        GOOD + b"\x00",
        GOOD + GOOD,
        long_length(GOOD),
        bytes([0x30, 0x80]) + GOOD[2:] + b"\x00\x00",
        der(b"\x02" + bytes([len(integer(R)) - 1]) + b"\x00" + integer(R)[2:], integer(S)),
        der(integer(R), b"\x02\x81" + integer(S)[1:]),
        der(integer(S), integer(R)),
        der(integer(0), integer(S)),
        der(integer(R), integer(0)),
        der(integer(0), integer(0)),
        der(integer(1), integer(1)),
        der(integer(N), integer(S)),
        der(integer(R), integer(N)),
        der(integer(R + N), integer(S)),
        der(integer(R), integer(S + N)),
        der(integer(R - 2**256), integer(S)),
        der(integer(R), integer(-S)),
        der(integer(R), integer(S) + integer(1)),
        der(integer(R), b""),
        b"\x31" + GOOD[1:],
        b"\x30\x00",
        der(b"\x05\x00", b"\x05\x00"),
        der(b"\x01\x01\xff", integer(S)),
    ],
)
def test_a_p256_der_signature_has_one_spelling_in_range(signature):
    assert verify_signature(DER, MESSAGE, GOOD)
    assert not verify_signature(DER, MESSAGE, signature)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        GOOD,
        raw(R, S)[:-1],
        raw(R, S) + b"\x00",
        b"\x00" + raw(R, S),
        raw(S, R),
        raw(0, S),
        raw(R, 0),
        raw(0, 0),
        raw(N, S),
        raw(R, N),
        raw(N - 1, N - 1),
        b"\x00" * 64,
        b"\xff" * 64,
    ],
)
def test_a_raw_p256_signature_is_two_numbers_of_32_bytes_in_range(signature):
    assert verify_signature(RAW, MESSAGE, raw(R, S))
    assert not verify_signature(RAW, MESSAGE, signature)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        ED_SIGNATURE[:-1],
        ED_SIGNATURE + b"\x00",
        ED_SIGNATURE[32:] + ED_SIGNATURE[:32],
        b"\x00" * 64,
        b"\x01" + b"\x00" * 63,
        ED_SIGNATURE[:32]
        + (int.from_bytes(ED_SIGNATURE[32:], "little") + edwards.ORDER).to_bytes(32, "little"),
        ED_SIGNATURE[:32] + b"\xff" * 32,
    ],
)
def test_an_ed25519_signature_has_one_spelling(signature):
    assert verify_signature(ED, MESSAGE, ED_SIGNATURE)
    assert not verify_signature(ED, MESSAGE, signature)


CASES = [(DER, GOOD), (RAW, raw(R, S)), (ED, ED_SIGNATURE)]


@given(st.sampled_from(CASES), st.binary(max_size=40))
def test_a_signature_fits_one_message(case, message):
    key, signature = case
    assert verify_signature(key, message, signature) == (message == MESSAGE)


@given(st.sampled_from(CASES), st.data())
def test_no_bit_of_a_signature_may_change(case, data):
    key, signature = case
    at = data.draw(st.integers(0, len(signature) * 8 - 1))
    changed = bytearray(signature)
    changed[at // 8] ^= 1 << (at % 8)
    assert not verify_signature(key, MESSAGE, bytes(changed))


def test_a_signature_is_right_only_under_its_own_key_algorithm_and_encoding():
    """All ordered pairs of supported algorithms (threats A8)."""
    for at, (key, _) in enumerate(CASES):
        for other, (_, signature) in enumerate(CASES):
            assert verify_signature(key, MESSAGE, signature) == (at == other)
    for stranger in (
        record(ec.generate_private_key(ec.SECP256R1())),
        record(ed25519.Ed25519PrivateKey.generate()),
    ):
        assert not any(verify_signature(stranger, MESSAGE, signature) for _, signature in CASES)


@given(st.sampled_from([DER, RAW, ED]), st.binary(max_size=80))
def test_arbitrary_bytes_are_no_signature_and_no_error(key, signature):
    assert verify_signature(key, MESSAGE, signature) is False
