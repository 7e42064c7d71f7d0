"""Receipts: checked offline, and anything that does not fit exactly is refused."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import (
    KEY,
    NOW,
    ORIGIN,
    OTHER_KEY,
    PUBLIC_KEY,
    SIGNER,
    add,
    decision_draft,
    ledger_of,
    pem_of,
    salt,
)

from cigate.decision import Effect
from cigate.errors import LedgerError
from cigate.ledger import LEDGER_KEYS, Appended, Draft, Receipt, append, check_receipt
from cigate.ledger.checkpoint import Checkpoint
from cigate.signing.note import NoteSigner

LEDGER, STORE = ledger_of(20)
MADE: Appended = append(
    STORE.read(LEDGER_KEYS),
    [decision_draft(20), decision_draft(21, effect="deny"), Draft("intent", {}, salt=salt(22))],
    now=NOW,
    signer=SIGNER,
)
RAW = MADE.receipt(20).to_bytes()
EXPECTED: dict[str, Any] = {
    "expect": "allow",
    "audience": "https://ci.example.com",
    "commit": "sha256:" + "ab" * 32,
    "decision": "d-20",
    "max_age": timedelta(minutes=5),
}


def code_of(raw: bytes, **given: Any) -> str:
    with pytest.raises(LedgerError) as caught:
        check_receipt(raw, **{"public_key": PUBLIC_KEY, "now": NOW, **given})
    return caught.value.code


def test_a_receipt_says_what_was_decided_and_where_it_stands() -> None:
    report = check_receipt(RAW, public_key=PUBLIC_KEY, now=NOW, **EXPECTED)
    assert (report.index, report.effect, report.decision_id, report.origin) == (20, "allow", "d-20", ORIGIN)
    assert report.to_json()["time"] == "2026-11-24T08:00:00Z"
    assert check_receipt(RAW, public_key=KEY.public_key(), now=NOW, expect=Effect.ALLOW) == report


def test_a_receipt_opens_the_public_part_only() -> None:
    assert b"alice" not in RAW
    assert set(json.loads(RAW)) == {"leaf", "size", "proof", "checkpoint"}
    assert salt(20).hex().encode() not in RAW


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 20))
def test_every_entry_of_an_append_has_its_receipt_without_further_reads(before: int, batch: int) -> None:
    _, store = ledger_of(before)
    made = add(store, *(decision_draft(before + each) for each in range(batch)))
    for index in range(before, before + batch):
        raw = made.receipt(index).to_bytes()
        assert check_receipt(raw, public_key=PUBLIC_KEY, now=NOW, decision=f"d-{index}").index == index


def test_an_append_gives_receipts_of_its_own_entries_only() -> None:
    for index in (0, 19, 23, -1):
        with pytest.raises(LedgerError, match=r"ledger\.no-entry"):
            MADE.receipt(index)


@pytest.mark.parametrize("index", range(1, 20))
def test_a_later_proof_from_the_store_is_a_receipt_as_well(index: int) -> None:
    raw = LEDGER.prove(index).to_bytes()
    assert check_receipt(raw, public_key=PUBLIC_KEY, now=NOW).decision_id == f"d-{index}"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"expect": "deny"}, "receipt.effect"),
        ({"expect": "ALLOW"}, "receipt.effect"),
        ({"expect": ""}, "receipt.effect"),
        ({"audience": "https://ci.example.com/"}, "receipt.audience"),
        ({"audience": "https://ci.example"}, "receipt.audience"),
        ({"commit": "ab" * 32}, "receipt.commit"),
        ({"commit": "sha256:" + "AB" * 32}, "receipt.commit"),
        ({"decision": "d-2"}, "receipt.decision"),
        ({"max_age": timedelta(seconds=59), "now": NOW + timedelta(seconds=60)}, "receipt.age"),
        ({"max_age": timedelta(hours=1), "now": NOW - timedelta(seconds=61)}, "receipt.age"),
        ({"max_age": timedelta(0), "now": NOW + timedelta(microseconds=1)}, "receipt.age"),
        ({"public_key": pem_of(OTHER_KEY)}, "receipt.signature"),
        ({"public_key": b"no key"}, "ledger.public-key"),
    ],
)
def test_what_does_not_fit_exactly_is_refused(given: dict[str, Any], code: str) -> None:
    assert code_of(RAW, **{**EXPECTED, **given}) == code


@pytest.mark.parametrize("seconds", [-60, 0, 60])
def test_an_age_at_the_bound_is_within_it(seconds: int) -> None:
    now = NOW + timedelta(seconds=seconds)
    report = check_receipt(RAW, public_key=PUBLIC_KEY, now=now, max_age=timedelta(seconds=60))
    assert report.index == 20


def test_a_receipt_of_a_deny_is_no_receipt_of_an_allow() -> None:
    raw = MADE.receipt(21).to_bytes()
    assert check_receipt(raw, public_key=PUBLIC_KEY, now=NOW).effect == "deny"
    assert code_of(raw, expect="allow") == "receipt.effect"


def test_only_a_decision_has_a_receipt_that_passes() -> None:
    assert code_of(MADE.receipt(22).to_bytes()) == "receipt.malformed"  # it names no origin
    named = add(ledger_of(3)[1], Draft("intent", dict(decision_draft(3).public)))
    assert code_of(named.receipt(3).to_bytes()) == "receipt.kind"


@pytest.mark.parametrize("absent", ["effect", "decision_id", "audience", "commit", "action", "origin"])
@pytest.mark.parametrize("value", [None, True, 1, ["allow"]])
def test_a_decision_without_its_fields_is_refused(absent: str, value: object) -> None:
    made = add(ledger_of(3)[1], decision_draft(3, **{absent: value}))
    assert code_of(made.receipt(3).to_bytes()) == "receipt.malformed"


def test_a_leaf_of_one_ledger_is_not_proved_by_the_checkpoint_of_another_with_the_same_key() -> None:
    made = add(ledger_of(3)[1], decision_draft(3, origin="ci.example.com/second"))
    assert code_of(made.receipt(3).to_bytes()) == "receipt.signature"


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(RAW), **fields}).encode()


def leaf(**fields: Any) -> dict[str, Any]:
    return {**json.loads(RAW)["leaf"], **fields}


def public(**fields: Any) -> dict[str, Any]:
    return leaf(public={**json.loads(RAW)["leaf"]["public"], **fields})


OTHER_SIZE = Checkpoint(ORIGIN, 22, MADE.head.root).sign(SIGNER)
STRANGER = Checkpoint(ORIGIN, 23, MADE.head.root).sign(NoteSigner(ORIGIN, OTHER_KEY))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (changed(leaf=public(effect="deny")), "receipt.inclusion"),
        (changed(leaf=public(decision_id="d-1")), "receipt.inclusion"),
        (changed(leaf=public(origin="elsewhere")), "receipt.signature"),
        (changed(leaf=leaf(index=19)), "receipt.inclusion"),
        (changed(leaf=leaf(index=23)), "receipt.inclusion"),
        (changed(leaf=leaf(kind="outcome")), "receipt.inclusion"),
        (changed(leaf=leaf(time="2026-11-24T08:00:01Z")), "receipt.inclusion"),
        (changed(leaf=leaf(time="2026-11-24T08:00:00+00:00")), "receipt.malformed"),
        (changed(leaf=leaf(time="0001-01-01T00:00:00+23:59")), "receipt.malformed"),
        (changed(leaf=leaf(private="sha256:" + "00" * 32)), "receipt.inclusion"),
        (changed(leaf=leaf(more=1)), "receipt.malformed"),
        (changed(leaf=leaf(index=20.0)), "receipt.malformed"),
        (changed(leaf=leaf(index=True)), "receipt.malformed"),
        (changed(leaf=leaf(public=[])), "receipt.malformed"),
        (changed(leaf=[]), "receipt.malformed"),
        (changed(size=22), "receipt.inclusion"),
        (changed(size=24), "receipt.inclusion"),
        (changed(size="23"), "receipt.malformed"),
        (changed(size=22, checkpoint=OTHER_SIZE), "receipt.inclusion"),
        (changed(proof=[]), "receipt.inclusion"),
        (changed(proof=json.loads(RAW)["proof"][::-1]), "receipt.inclusion"),
        (changed(proof=[*json.loads(RAW)["proof"], "A" * 43 + "="]), "receipt.inclusion"),
        (changed(proof=["A" * 43 + "="] * 65), "receipt.malformed"),
        (changed(proof=["A" * 43 + "B"]), "receipt.inclusion"),
        (changed(proof=["A" * 42 + "B="]), "receipt.malformed"),
        (changed(proof=[1]), "receipt.malformed"),
        (changed(proof=None), "receipt.malformed"),
        (changed(checkpoint=STRANGER), "receipt.signature"),
        (changed(checkpoint=LEDGER.checkpoint()), "receipt.inclusion"),
        (changed(checkpoint=""), "receipt.signature"),
        (changed(checkpoint=None), "receipt.malformed"),
        (changed(more=1), "receipt.malformed"),
        (RAW[:-1], "receipt.malformed"),
        (RAW + b"x", "receipt.malformed"),
        (RAW.replace(b'"size":23', b'"size":23,"size":23'), "receipt.malformed"),
        (b"", "receipt.malformed"),
        (b"null", "receipt.malformed"),
        (b"[" * 100_000, "receipt.malformed"),
        (b'"' + b"x" * 3_000_000 + b'"', "receipt.malformed"),
    ],
)
def test_a_receipt_that_was_changed_is_refused(raw: bytes, code: str) -> None:
    assert code_of(raw) == code


@settings(deadline=None)
@given(st.integers(0, len(RAW) - 1), st.integers(0, 7))
def test_a_flipped_bit_never_passes_for_another_receipt(at: int, bit: int) -> None:
    flipped = RAW[:at] + bytes([RAW[at] ^ (1 << bit)]) + RAW[at + 1 :]
    assert code_of(flipped).startswith("receipt.")


def test_a_receipt_indented_by_hand_is_the_same_receipt() -> None:
    indented = json.dumps(json.loads(RAW), indent=2).encode() + b"\n"
    assert Receipt.read(indented).to_bytes() == RAW
    assert check_receipt(indented, public_key=PUBLIC_KEY, now=NOW, **EXPECTED).index == 20
