"""A note has one spelling, and its text is what one known key signed under one name."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cigate.errors import LedgerError
from cigate.signing import NoteSigner, verify_note

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NAME = "ci.example.com/ledger"
TEXT = "ci.example.com/ledger\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SIGNER = NoteSigner(NAME, KEY)
NOTE = SIGNER.sign(TEXT)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=40).map(
    lambda text: text + "\n"
)


def line(name: str = NAME, key: Ed25519PrivateKey = KEY, text: str = TEXT, kind: bytes = b"\x01") -> str:
    hint = hashlib.sha256(name.encode() + b"\n" + kind + key.public_key().public_bytes_raw()).digest()[:4]
    return f"— {name} {base64.b64encode(hint + key.sign(text.encode())).decode()}\n"


def check(note: str | bytes) -> str:
    return verify_note(note, name=NAME, public_key=KEY.public_key())


def code(note: str | bytes) -> str:
    with pytest.raises(LedgerError) as caught:
        check(note)
    return caught.value.code


def test_a_note_is_the_text_an_empty_line_and_the_signature():
    assert SIGNER.sign(TEXT) == TEXT + "\n" + line()


def test_the_verifier_key_is_name_hash_and_key():
    name, hint, key = SIGNER.vkey.split("+", 2)
    assert (name, base64.b64decode(key)) == (NAME, b"\x01" + KEY.public_key().public_bytes_raw())
    assert base64.b64decode(line().split()[2])[:4].hex() == hint


@given(TEXTS)
def test_what_is_signed_is_what_is_read(text):
    assert check(SIGNER.sign(text)) == text
    assert check(SIGNER.sign(text).encode()) == text


def test_a_text_may_have_empty_lines_and_a_line_that_looks_like_a_signature():
    tricky = f"one\n\n{line()}\ntwo\n"
    assert check(SIGNER.sign(tricky)) == tricky


def test_witnesses_may_stand_beside_it_if_they_are_well_formed():
    witness = line("witness.example.com", OTHER)
    assert check(TEXT + "\n" + witness + line()) == TEXT
    assert check(TEXT + "\n" + line() + witness) == TEXT
    for broken in (
        "— witness AAAA\n",
        "— witness !!!!\n",
        "- witness AAAAAAA=\n",
        "— wit+ness AAAAAAA=\n",
        "witness\n",
    ):
        assert code(TEXT + "\n" + line() + broken) in {"note.malformed", "note.name"}


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ("", "note.malformed"),
        (TEXT, "note.malformed"),
        (TEXT + "\n", "note.malformed"),
        (NOTE[:-1], "note.malformed"),
        (NOTE + "\n", "note.malformed"),
        (NOTE.replace("\n", "\r\n"), "note.malformed"),
        (NOTE.replace("—", "-"), "note.malformed"),
        (NOTE.replace("— ", "—  "), "note.malformed"),
        (NOTE[:-1] + " \n", "note.malformed"),
        (b"\xff" + NOTE.encode(), "note.malformed"),
        ("\ufeff" + NOTE, "note.bad-signature"),
        (TEXT + "\n" + line() * 17, "note.malformed"),
        ("x" * (1024 * 1024) + NOTE, "note.malformed"),
        ("a\tb\n\n" + line(text="a\tb\n"), "note.text"),
        ("\ud800\n\n" + line(), "note.text"),
        (TEXT + "\n" + line() + line(), "note.duplicate"),
        (TEXT + "\n" + line(key=OTHER), "note.unsigned"),
        (TEXT + "\n" + line("other.example.com"), "note.unsigned"),
        (TEXT + "\n" + line(kind=b"\x04"), "note.unsigned"),
        (TEXT + "\n" + line(text=TEXT + "more\n"), "note.bad-signature"),
        (TEXT.replace("7", "8") + "\n" + line(), "note.bad-signature"),
    ],
)
def test_anything_else_is_refused(note, expected):
    assert code(note) == expected


@given(st.data())
def test_no_byte_of_a_note_can_change(data):
    good = NOTE.encode()
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != good[at]))
    code(good[:at] + bytes([byte]) + good[at + 1 :])


@pytest.mark.parametrize("text", ["", "no newline", "tab\there\n", "nul\0\n", "carriage\r\n", "\ud800\n"])
def test_a_text_that_is_no_notes_is_not_signed(text):
    with pytest.raises(LedgerError) as caught:
        SIGNER.sign(text)
    assert caught.value.code == "note.text"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\u2028b", "a\u200bb"])
def test_a_name_has_no_space_and_no_plus(name):
    with pytest.raises(LedgerError) as caught:
        NoteSigner(name, KEY)
    assert caught.value.code == "note.name"


def test_the_private_key_is_not_shown():
    assert KEY.private_bytes_raw().hex() not in repr(SIGNER)
    assert "private" not in repr(SIGNER)
