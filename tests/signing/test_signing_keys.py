"""A key record that exists has a sound key, one owner and one use; a public key is enrolled once, ever."""

from __future__ import annotations

import base64
import json
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from cigate.errors import ConfigError
from cigate.signing import Algorithm, KeyRecord, Keyring, KeyUse, SignatureEncoding, edwards

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "signing.json").read_text())
ED25519_SPKI = bytes.fromhex("302a300506032b6570032100")
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
OWNER = {"id": "laptop-1", "use": "request", "agent": "agent-1234", "user": "alice@example.com"}


def spki(key, encoding=Encoding.DER):
    return key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def refused(code: str, *arguments: object, **settings: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        KeyRecord.enrol(*arguments, **settings)
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize("key", [P256, ED25519], ids=["p256", "ed25519"])
def test_pem_der_and_text_of_one_key_make_one_record(key):
    records = {
        KeyRecord.enrol(given, **OWNER)
        for given in (spki(key), spki(key, Encoding.PEM), spki(key, Encoding.PEM).decode())
    }
    assert len(records) == 1


def test_the_thumbprint_does_not_depend_on_how_the_point_was_written_or_what_the_key_is_called():
    point = P256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    one = KeyRecord.enrol(compressed, **OWNER)
    other = KeyRecord.enrol(spki(P256), **{**OWNER, "id": "laptop-2", "use": "operator"})
    assert one.thumbprint == other.thumbprint
    assert one.public_key == spki(P256)


def test_a_record_made_around_enrolment_must_hold_the_normal_encoding():
    point = P256.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    with pytest.raises(ConfigError) as caught:
        KeyRecord(id="k", use="ledger", algorithm="ecdsa-p256-sha256", encoding="der", public_key=compressed)
    assert caught.value.code == "key.not-normalised"


@pytest.mark.parametrize("key", [P256, ED25519], ids=["p256", "ed25519"])
@pytest.mark.parametrize(
    ("encoding", "form", "lock"),
    [
        (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        (Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        (Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
        (Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
    ],
    ids=["pem", "der", "encrypted-pem", "encrypted-der"],
)
def test_a_private_key_is_refused_and_not_repeated(key, encoding, form, lock):
    private = key.private_bytes(encoding, form, lock)
    error = refused("key.private", private, **OWNER)
    assert base64.b64encode(private)[40:60].decode() not in str(error)


def test_a_public_key_followed_by_its_private_key_is_refused():
    both = spki(P256, Encoding.PEM) + P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    refused("key.private", both, **OWNER)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=["rsa", "p384", "secp256k1", "ed448"],
)
def test_other_algorithms_and_curves_are_refused(key):
    refused("key.algorithm", spki(key), **OWNER)


@pytest.mark.parametrize("encoded", VECTORS["small_order"])
def test_an_ed25519_point_of_low_order_or_in_a_second_spelling_is_refused(encoded):
    """Threats A11: some libraries verify signatures under these that anybody can make."""
    refused("key.weak", ED25519_SPKI + bytes.fromhex(encoded), **OWNER)


def test_an_ed25519_point_with_a_low_order_component_is_refused():
    """Its owner could make signatures on which verifiers disagree."""
    honest = bytes.fromhex(VECTORS["ed25519"]["public"])
    y = int.from_bytes(honest, "little") & (2**255 - 1)
    # adding the point of order two, (0, -1), negates both coordinates
    x_is_odd = honest[31] >> 7
    mixed = ((edwards.P - y) | ((1 - x_is_odd) << 255)).to_bytes(32, "little")
    assert edwards.flaw(honest) == ""
    assert edwards.flaw(mixed) == "it is outside the subgroup of prime order"
    refused("key.weak", ED25519_SPKI + mixed, **OWNER)


@given(st.integers(min_value=0, max_value=18), st.booleans())
def test_no_y_from_p_upwards_is_canonical(offset, odd):
    encoded = (edwards.P + offset | odd << 255).to_bytes(32, "little")
    assert "not canonical" in edwards.flaw(encoded)


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_every_honest_ed25519_key_is_sound(seed):
    public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert edwards.flaw(public) == ""


def test_a_point_of_another_length_or_off_the_curve_has_a_flaw():
    assert edwards.flaw(bytes(31)) == edwards.flaw(bytes(33)) == "it is not 32 bytes long"
    assert "curve" in edwards.flaw(b"\x02" + bytes(31))


def test_an_unknown_curve_is_refused():
    unknown = spki(P256).replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d03017f"))
    refused("key.algorithm", unknown, **OWNER)


def test_a_p256_point_off_the_curve_is_refused():
    der = bytearray(spki(P256))
    der[-1] ^= 1
    refused("key.malformed", bytes(der), **OWNER)


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"\x00",
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGy",
        spki(P256) + b"\x00",
        spki(P256)[:-1],
        spki(P256, Encoding.PEM) * 2,
        spki(P256, Encoding.PEM).replace(b"PUBLIC KEY", b"CERTIFICATE"),
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"A" * 5000,
    ],
    ids=["empty", "zero", "ssh", "trailing", "short", "two", "certificate", "no-key", "huge"],
)
def test_what_is_not_exactly_one_public_key_is_refused(given):
    refused("key.malformed", given, **OWNER)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_enrolment_raises_nothing_but_its_own_errors(given):
    with pytest.raises(ConfigError):
        KeyRecord.enrol(given, **OWNER)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"agent": None}, "key.owner"),
        ({"user": None}, "key.owner"),
        ({"use": "approval", "agent": None, "user": None}, "key.owner"),
        ({"use": "approval"}, "key.owner"),
        ({"use": "everything"}, "key.use"),
        ({"encoding": "pem"}, "key.encoding"),
        ({"id": ""}, "key.id"),
        ({"id": "-x"}, "key.id"),
        ({"id": "laptop 1"}, "key.id"),
        ({"id": "l\u0430ptop"}, "key.id"),
        ({"id": "k\n"}, "key.id"),
        ({"id": "k" * 129}, "key.id"),
        ({"agent": "\u0430gent"}, "key.agent"),
        ({"user": "alice@example.com\u200b"}, "key.user"),
        ({"device": ""}, "key.device"),
        ({"valid_from": datetime(2026, 1, 1)}, "key.validity"),  # noqa: DTZ001
        (
            {"valid_from": datetime(2026, 1, 2, tzinfo=UTC), "valid_until": datetime(2026, 1, 2, tzinfo=UTC)},
            "key.validity",
        ),
    ],
)
def test_a_record_without_a_clear_owner_use_name_or_time_is_refused(change, code):
    refused(code, spki(P256), **{**OWNER, **change})


def test_an_ed25519_key_signs_raw_whatever_was_said():
    assert KeyRecord.enrol(spki(ED25519), **OWNER, encoding="der").encoding is SignatureEncoding.RAW
    with pytest.raises(ConfigError) as caught:
        KeyRecord(id="k", use="ledger", algorithm="ed25519", encoding="der", public_key=spki(ED25519))
    assert caught.value.code == "key.encoding"


def test_a_record_can_not_call_its_key_by_another_algorithm():
    with pytest.raises(ConfigError) as caught:
        KeyRecord(id="k", use="ledger", algorithm="ed25519", encoding="raw", public_key=spki(P256))
    assert caught.value.code == "key.algorithm"


@pytest.mark.parametrize("key", [P256, ED25519], ids=["p256", "ed25519"])
def test_a_record_survives_json_and_pickle(key):
    record = KeyRecord.enrol(
        spki(key),
        **OWNER,
        device="mac-7",
        encoding="raw",
        valid_from=datetime(2026, 11, 1, tzinfo=UTC),
        valid_until=datetime(2027, 11, 1, tzinfo=UTC) + timedelta(microseconds=1),
    )
    assert KeyRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert pickle.loads(pickle.dumps(record)) == record


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"public_key": 7},
        {"public_key": "AAAA="},
        {"public_key": "!!!!"},
        {"valid_from": "yesterday"},
        {"valid_from": 5},
        {"use": None},
        {"algorithm": "none"},
        {"algorithm": "HS256"},
        {"id": None},
    ],
)
def test_a_stored_record_that_was_tampered_with_is_refused(change):
    document = {**KeyRecord.enrol(spki(P256), **OWNER).to_json(), **change}
    with pytest.raises(ConfigError):
        KeyRecord.from_json(document)


def test_a_stored_record_with_a_name_missing_is_refused():
    document = KeyRecord.enrol(spki(P256), **OWNER).to_json()
    for name in document:
        with pytest.raises(ConfigError) as caught:
            KeyRecord.from_json({each: value for each, value in document.items() if each != name})
        assert caught.value.code == "key.record"


def test_a_public_key_is_in_a_keyring_once_whatever_it_is_called_and_for():
    first = KeyRecord.enrol(spki(P256), **OWNER)
    again = KeyRecord.enrol(spki(P256), id="other", use=KeyUse.APPROVAL, user="bob@example.com")
    same_name = KeyRecord.enrol(spki(ED25519), **OWNER)
    ring = Keyring.of(first)
    for record in (again, same_name, first):
        with pytest.raises(ConfigError) as caught:
            ring.with_key(record)
        assert caught.value.code == "key.enrolled-already"
    with pytest.raises(ConfigError):
        Keyring.of(first, again)


def test_a_keyring_is_a_frozen_mapping_by_id():
    first = KeyRecord.enrol(spki(P256), **OWNER)
    second = KeyRecord.enrol(spki(ED25519), **{**OWNER, "id": "laptop-2"})
    ring = Keyring.of(first)
    wider = ring.with_key(second)
    assert dict(wider) == {"laptop-1": first, "laptop-2": second}
    assert dict(ring) == {"laptop-1": first}
    assert ring.get("laptop-2") is None
    assert (len(ring), len(wider)) == (1, 2)
    with pytest.raises(TypeError):
        wider.records["laptop-3"] = first
    with pytest.raises(ConfigError):
        Keyring({"other": first})


def test_only_two_algorithms_exist():
    assert [each.value for each in Algorithm] == ["ecdsa-p256-sha256", "ed25519"]
