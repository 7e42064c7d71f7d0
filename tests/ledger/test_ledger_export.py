"""Exports: whatever is changed in one is found, and the first bad entry is named (threats F1, F2)."""

from __future__ import annotations

import copy
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import (
    KEY,
    NOW,
    OTHER_KEY,
    PUBLIC_KEY,
    SIGNER,
    add,
    begin,
    decision_draft,
    exported,
    ledger_of,
    pem_of,
    salt,
)

from cigate.errors import LedgerError
from cigate.ledger import Draft, Entry, Ledger, verify_export
from cigate.ledger.checkpoint import Checkpoint
from cigate.ledger.tree import Frontier
from cigate.ledger.verify import Walk, verify_lines
from cigate.stores.memory import MemoryStore
from cigate.wire import canonical

LEDGER, STORE = ledger_of(50)
EXPORT = exported(LEDGER)
LINES = EXPORT.splitlines(keepends=True)
ENTRIES = LINES[:-1]
CHECKPOINT = LEDGER.checkpoint()


def entry_at(offset: int) -> int:
    """Which line a byte of the export belongs to."""
    return EXPORT[:offset].count(b"\n")


def written_anew(entries: list[Entry]) -> bytes:
    """What somebody who has the key can make: every hash after a change put right, and signed again."""
    frontier, previous, lines = Frontier(), bytes(32), []
    for index, old in enumerate(entries):
        entry = Entry(index, old.kind, old.time, previous, old.public, old.private, old.salt)
        previous = entry.leaf().hash
        frontier, _ = frontier.append(previous)
        lines.append(entry.row() + b"\n")
    note = Checkpoint(SIGNER.name, frontier.size, frontier.root).sign(SIGNER)
    return b"".join(lines) + canonical.encode({"checkpoint": note}) + b"\n"


def test_an_export_is_json_lines_with_the_signed_checkpoint_last() -> None:
    assert len(ENTRIES) == 50
    assert [json.loads(line)["index"] for line in ENTRIES] == list(range(50))
    assert json.loads(LINES[-1]) == {"checkpoint": CHECKPOINT}
    assert json.loads(ENTRIES[0])["kind"] == "genesis"
    assert json.loads(ENTRIES[0])["public"]["public_key"].encode() == PUBLIC_KEY


def test_an_untouched_export_verifies_and_says_that_nothing_outside_vouches_for_it() -> None:
    found = verify_export(EXPORT, public_key=PUBLIC_KEY)
    assert (found.ok, found.size, found.anchored, found.first_bad) == (True, 50, False, None)
    assert found.root == LEDGER.head().root.hex()
    assert "without an outside checkpoint" in found.message
    assert found.to_json()["anchored"] is False
    assert verify_export(io.BytesIO(EXPORT), public_key=KEY.public_key()) == found


def test_a_flip_of_any_byte_of_fifty_entries_is_found_and_the_entry_it_is_in_is_named() -> None:
    """Every byte. What stands before the flip is as it was, so its verification is gone through only once."""
    store = MemoryStore()
    begin(store)
    for number in range(1, 50):
        add(store, Draft("decision", {"effect": "allow"}, {"user": number}, salt(number)))
    export = exported(Ledger(store, PUBLIC_KEY))
    walk, begins, missed, misnamed = Walk(KEY.public_key(), None), 0, [], []
    lines = export.splitlines(keepends=True)
    for index, line in enumerate(lines):
        rest = export[begins + len(line) :]
        for at in range(len(line)):
            flipped = line[:at] + bytes([line[at] ^ (1 << (begins + at) % 8)]) + line[at + 1 :]
            found = verify_lines(io.BytesIO(flipped + rest), copy.copy(walk))
            if found.ok:
                missed.append(begins + at)
            if index < 50 and found.first_bad != index:
                misnamed.append((index, at, found))
        begins += len(line)
        if index < 50:
            walk.take(line[:-1])
    assert begins == len(export)
    assert not missed
    assert not misnamed


@settings(deadline=None)
@given(st.integers(0, len(EXPORT) - 1), st.integers(0, 255))
def test_any_other_byte_anywhere_is_found(offset: int, value: int) -> None:
    changed = EXPORT[:offset] + bytes([value]) + EXPORT[offset + 1 :]
    assert verify_export(changed, public_key=PUBLIC_KEY).ok is (changed == EXPORT)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(EXPORT) - 1), st.integers(1, 300))
def test_any_deletion_insertion_or_doubling_of_bytes_is_found(offset: int, length: int) -> None:
    part = EXPORT[offset : offset + length]
    for changed in (
        EXPORT[:offset] + EXPORT[offset + length :],
        EXPORT[:offset] + part + EXPORT[offset:],
        EXPORT[:offset] + b" " * length + EXPORT[offset:],
        EXPORT[:offset] + b"\n" * length + EXPORT[offset:],
    ):
        assert not verify_export(changed, public_key=PUBLIC_KEY).ok


@pytest.mark.parametrize("size", range(51))
def test_an_export_cut_after_any_entry_is_found_even_without_an_outside_checkpoint(size: int) -> None:
    for cut in (b"".join(LINES[:size]), b"".join([*LINES[:size], LINES[-1]]) if size < 50 else b""):
        found = verify_export(cut, public_key=PUBLIC_KEY)
        assert (found.ok, found.code) == (False, "ledger.truncated")
        assert not verify_export(cut, public_key=PUBLIC_KEY, checkpoint=CHECKPOINT).ok


@pytest.mark.parametrize("size", range(1, 50))
def test_an_older_state_with_its_own_checkpoint_is_found_by_a_later_one_only(size: int) -> None:
    older = written_anew([Entry.read(line[:-1]) for line in ENTRIES[:size]])
    alone = verify_export(older, public_key=PUBLIC_KEY)
    assert (alone.ok, alone.anchored) == (True, False)
    held = verify_export(older, public_key=PUBLIC_KEY, checkpoint=CHECKPOINT)
    assert (held.ok, held.code, held.first_bad) == (False, "ledger.rolled-back", size)


@pytest.mark.parametrize("size", [1, 2, 31, 32, 33, 49, 50])
def test_an_outside_checkpoint_of_any_earlier_size_anchors(size: int) -> None:
    held = Checkpoint(SIGNER.name, size, LEDGER.root_at(size)).sign(SIGNER)
    found = verify_export(EXPORT, public_key=PUBLIC_KEY, checkpoint=held)
    assert (found.ok, found.anchored) == (True, True)


@pytest.mark.parametrize("changed", [0, 1, 24, 48, 49])
def test_a_history_written_anew_and_signed_again_is_found_by_an_outside_checkpoint(changed: int) -> None:
    entries = [Entry.read(line[:-1]) for line in ENTRIES]
    old = entries[changed]
    private = {**old.private, "user": "mallory@example.com"}
    entries[changed] = Entry(changed, old.kind, old.time, old.previous, old.public, private, old.salt)
    forged = written_anew(entries)
    assert verify_export(forged, public_key=PUBLIC_KEY).ok
    found = verify_export(forged, public_key=PUBLIC_KEY, checkpoint=CHECKPOINT)
    assert (found.ok, found.code, found.anchored) == (False, "ledger.forked", False)


def changed_line(index: int, **fields: object) -> bytes:
    return canonical.encode({**json.loads(ENTRIES[index]), **fields}) + b"\n"


@pytest.mark.parametrize("index", [0, 1, 2, 25, 48, 49])
@pytest.mark.parametrize(
    "fields",
    [
        {"public": {"effect": "deny"}},
        {"private": {"edited": True}},
        {"salt": "00" * 16},
        {"time": "2020-01-01T00:00:00Z"},
        {"kind": "outcome"},
        {"previous": "11" * 32},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_an_entry_edited_into_other_canonical_json_is_the_one_that_is_named(
    index: int, fields: dict[str, object]
) -> None:
    edited = b"".join([*ENTRIES[:index], changed_line(index, **fields), *ENTRIES[index + 1 :], LINES[-1]])
    found = verify_export(edited, public_key=PUBLIC_KEY)
    assert (found.ok, found.first_bad) == (False, index)


def test_of_several_edited_entries_the_first_is_named() -> None:
    for first, second in ((3, 4), (3, 5), (3, 40), (48, 49)):
        lines = list(LINES)
        for index in (first, second):
            lines[index] = changed_line(index, private={})
        assert verify_export(b"".join(lines), public_key=PUBLIC_KEY).first_bad == first


@pytest.mark.parametrize(
    ("order", "first_bad"),
    [([0, 2, 1], 1), ([0, 1, 1, 2], 2), ([1, 2], 0), ([0, 2], 1)],
    ids=["swapped", "doubled", "first missing", "one missing"],
)
def test_entries_out_of_order_are_found(order: list[int], first_bad: int) -> None:
    moved = b"".join([*(ENTRIES[index] for index in order), *ENTRIES[3:], LINES[-1]])
    found = verify_export(moved, public_key=PUBLIC_KEY)
    assert (found.ok, found.code, found.first_bad) == (False, "ledger.order", first_bad)


def test_an_entry_beyond_the_signed_ones_is_found() -> None:
    last = Entry.read(ENTRIES[49][:-1])
    extra = Entry.of(decision_draft(50), index=50, now=NOW, previous=last.leaf().hash).row() + b"\n"
    found = verify_export(b"".join([*ENTRIES, extra, LINES[-1]]), public_key=PUBLIC_KEY)
    assert (found.ok, found.code, found.first_bad) == (False, "ledger.unsigned", 50)


def test_another_key_does_not_verify_it() -> None:
    found = verify_export(EXPORT, public_key=pem_of(OTHER_KEY))
    assert (found.ok, found.code, found.first_bad) == (False, "ledger.public-key", 0)


def test_without_a_key_the_export_is_held_against_the_key_that_it_names() -> None:
    assert verify_export(EXPORT).ok
    assert not verify_export(EXPORT.replace(b"alice", b"clara", 1)).ok


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(LedgerError, match=r"ledger\.public-key"):
        verify_export(EXPORT, public_key=b"not a key")


@pytest.mark.parametrize(
    "held",
    [
        "",
        "nothing like a note",
        CHECKPOINT.replace("50", "49"),
        CHECKPOINT[:-3],
        Checkpoint("elsewhere.example.com", 50, LEDGER.head().root).sign(
            type(SIGNER)("elsewhere.example.com", KEY)
        ),
        Checkpoint(SIGNER.name, 50, LEDGER.head().root).sign(type(SIGNER)(SIGNER.name, OTHER_KEY)),
        SIGNER.sign(f"{SIGNER.name}\n0\n{'A' * 43}=\n"),
    ],
    ids=["empty", "noise", "edited", "cut", "another ledger's", "another key's", "of nothing"],
)
def test_an_outside_checkpoint_that_is_not_ours_never_anchors(held: str) -> None:
    found = verify_export(EXPORT, public_key=PUBLIC_KEY, checkpoint=held)
    assert (found.ok, found.anchored, found.code) == (False, False, "ledger.outside-checkpoint")


@pytest.mark.parametrize("raw", [b"", b"\n", b"\xff\n", b"{}\n{}\n", b"[" * 100_000, LINES[-1], EXPORT * 2])
def test_noise_is_a_finding_and_no_crash(raw: bytes) -> None:
    assert not verify_export(raw, public_key=PUBLIC_KEY).ok


def test_a_line_without_an_end_is_not_read_into_memory() -> None:
    class Endless(io.RawIOBase):
        read_so_far = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            self.read_so_far += len(buffer)
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    endless = Endless()
    assert not verify_export(io.BufferedReader(endless)).ok
    assert endless.read_so_far < 4 * 1024 * 1024


def test_the_digest_of_the_private_part_depends_on_the_salt() -> None:
    first, second = (
        Entry.of(Draft("x", {}, {"user": "alice"}), index=1, now=NOW, previous=bytes(32)) for _ in "ab"
    )
    assert first.leaf().document["private"] != second.leaf().document["private"]


def test_control_characters_never_reach_an_export_raw() -> None:
    assert b"\\u001b[2J" in EXPORT
    assert not any(byte < 0x20 for byte in EXPORT.replace(b"\n", b""))
