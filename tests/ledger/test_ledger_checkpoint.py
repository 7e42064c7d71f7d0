"""Checkpoints: three lines with one spelling, and the key that may sign them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import KEY, ORIGIN, OTHER_KEY, PUBLIC_KEY, SIGNER

from cigate.errors import LedgerError
from cigate.ledger import Checkpoint, claimed, ledger_key, open_checkpoint
from cigate.signing.note import NoteSigner

CHECKPOINT = Checkpoint(ORIGIN, 42, bytes(range(32)))


@settings(deadline=None)
@given(st.integers(1, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_read_back_as_it_was(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    note = checkpoint.sign(SIGNER)
    assert Checkpoint.parse(checkpoint.text) == checkpoint
    assert claimed(note) == checkpoint
    assert open_checkpoint(note, origin=ORIGIN, public_key=KEY.public_key()) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ci.example.com\n",
        CHECKPOINT.text[:-1],
        CHECKPOINT.text + "\n",
        CHECKPOINT.text + "an extension\n",
        CHECKPOINT.text.replace("42", "042"),
        CHECKPOINT.text.replace("42", "+42"),
        CHECKPOINT.text.replace("42", "0"),
        CHECKPOINT.text.replace("42", "4²"),
        CHECKPOINT.text.replace("42", "9" * 17),
        CHECKPOINT.text.replace("42", str(2**53)),
        CHECKPOINT.text.replace("=", ""),
        CHECKPOINT.text.replace("Hh8=", "Hh9="),
        CHECKPOINT.text.replace("AAEC", ""),
        CHECKPOINT.text.replace("\n", "\r\n"),
    ],
)
def test_a_text_that_is_not_exactly_one_is_refused(text: str) -> None:
    with pytest.raises(LedgerError, match=r"checkpoint\.(malformed|origin)"):
        Checkpoint.parse(text)


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "é", "a\nb", "x" * 256])
def test_an_origin_can_name_a_key(origin: str) -> None:
    with pytest.raises(LedgerError, match=r"checkpoint\.origin"):
        Checkpoint(origin, 1, bytes(32))


def test_a_checkpoint_is_signed_under_its_own_origin_only() -> None:
    with pytest.raises(LedgerError, match=r"checkpoint\.origin"):
        CHECKPOINT.sign(NoteSigner("elsewhere.example.com", KEY))
    note = NoteSigner("elsewhere.example.com", KEY).sign(CHECKPOINT.text)
    with pytest.raises(LedgerError, match=r"checkpoint\.origin"):
        open_checkpoint(note, origin="elsewhere.example.com", public_key=KEY.public_key())


def test_another_key_opens_nothing() -> None:
    with pytest.raises(LedgerError, match=r"note\."):
        open_checkpoint(CHECKPOINT.sign(SIGNER), origin=ORIGIN, public_key=OTHER_KEY.public_key())


def test_a_note_without_signatures_claims_nothing() -> None:
    with pytest.raises(LedgerError, match=r"checkpoint\.malformed"):
        claimed(CHECKPOINT.text)


def test_the_key_of_a_ledger_is_an_ed25519_public_key() -> None:
    assert ledger_key(PUBLIC_KEY).public_bytes_raw() == KEY.public_key().public_bytes_raw()
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for bad in (
        other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        private,
        b"",
        PUBLIC_KEY[:40],
    ):
        with pytest.raises(LedgerError, match=r"ledger\.public-key") as caught:
            ledger_key(bad)
        assert bad.decode() not in str(caught.value) or not bad
