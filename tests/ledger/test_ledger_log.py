"""Appending: what one append makes true, and what it refuses."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from forking_ledger import ForkingLedger
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
    begin,
    decision_draft,
    exported,
    ledger_of,
    pem_of,
    salt,
)

from cigate.errors import CigateError, LedgerError, StoreUnavailable
from cigate.ledger import (
    HEAD,
    LEDGER_KEYS,
    Draft,
    Head,
    Ledger,
    Receipt,
    adopt,
    append,
    claimed,
    genesis,
    open_checkpoint,
    verify_export,
)
from cigate.ledger.entry import BIGGEST_ENTRY
from cigate.ledger.log import entry_key, node_key
from cigate.ledger.tree import verify_consistency
from cigate.signing.note import NoteSigner
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore
from cigate.stores.store import Change, Key, Put, Rows, Store


def head_rows(store: Store) -> Rows:
    return store.read(LEDGER_KEYS)


def test_an_append_is_pure_and_the_same_for_the_same_drafts() -> None:
    _, store = ledger_of(5)
    rows = head_rows(store)
    drafts = [decision_draft(7), decision_draft(8)]
    first, second = (append(rows, drafts, now=NOW, signer=SIGNER) for _ in range(2))
    assert first.puts == second.puts
    assert first.head == second.head
    assert head_rows(store) == rows


def test_an_append_reads_the_head_only_and_its_other_writes_are_inserts() -> None:
    _, store = ledger_of(6)
    puts = append(head_rows(store), [decision_draft(9), decision_draft(10)], now=NOW, signer=SIGNER).puts
    assert frozenset({HEAD}) == LEDGER_KEYS
    assert HEAD in puts
    others = puts.keys() - LEDGER_KEYS
    assert {entry_key(6), entry_key(7), node_key(0, 6), node_key(0, 7), node_key(3, 0)} <= others
    assert not store.read(others)


def test_appending_on_rows_that_are_no_longer_the_head_can_never_be_kept() -> None:
    _, store = ledger_of(3)
    stale = append(head_rows(store), [decision_draft(3)], now=NOW, signer=SIGNER)
    add(store, decision_draft(4))
    inserts = {key: put for key, put in stale.puts.items() if key != HEAD}
    with pytest.raises(CigateError):
        store.transact(LEDGER_KEYS, lambda _: Change(inserts), now=NOW)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_however_entries_are_batched_the_tree_is_the_same(batches: list[int]) -> None:
    size = 1 + sum(batches)
    batched, _ = ledger_of(size, batches=batches)
    singly, _ = ledger_of(size)
    assert [entry.public for entry in batched.entries()] == [entry.public for entry in singly.entries()]
    assert batched.verify().ok
    assert open_checkpoint(batched.checkpoint(), origin=ORIGIN, public_key=KEY.public_key()).size == size


def test_the_checkpoint_is_three_lines_and_a_signature() -> None:
    ledger, _ = ledger_of(4)
    origin, size, root, blank, signature, end = ledger.checkpoint().split("\n")
    assert (origin, size, blank, end) == (ORIGIN, "4", "", "")
    assert signature.startswith(f"— {ORIGIN} ")
    assert len(root) == 44


def test_the_head_survives_its_own_writing() -> None:
    head = ledger_of(11)[0].head()
    assert Head.read(head.row()) == head


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("more", 1),
        ("size", 12),
        ("size", "11"),
        ("size", -1),
        ("frontier", []),
        ("frontier", ["00" * 32] * 3),
        ("root", "00" * 32),
        ("last", "00"),
        ("origin", "ci.example.com/second"),
        ("epoch", ""),
        ("epoch", 1),
        ("checkpoint", ""),
        ("checkpoint", None),
        ("last_time", "yesterday"),
    ],
)
def test_a_head_whose_parts_disagree_is_refused(name: str, value: object) -> None:
    _, store = ledger_of(11)
    document = {**json.loads(head_rows(store)[HEAD]), name: value}
    with pytest.raises(LedgerError, match=r"ledger\.corrupt"):
        append({HEAD: json.dumps(document).encode()}, [decision_draft(1)], now=NOW, signer=SIGNER)


def test_without_a_ledger_nothing_is_appended_and_none_is_made() -> None:
    with pytest.raises(LedgerError, match=r"ledger\.missing"):
        append({}, [decision_draft(1)], now=NOW, signer=SIGNER)
    with pytest.raises(LedgerError, match=r"ledger\.missing"):
        Ledger(MemoryStore(), PUBLIC_KEY).checkpoint()


def test_there_is_no_append_of_nothing() -> None:
    _, store = ledger_of(2)
    with pytest.raises(ValueError, match="nothing"):
        append(head_rows(store), [], now=NOW, signer=SIGNER)


def test_a_second_genesis_is_refused() -> None:
    _, store = ledger_of(2)
    with pytest.raises(LedgerError, match=r"ledger\.exists"):
        begin(store)


def test_a_genesis_states_the_public_half_of_the_key_that_signs() -> None:
    with pytest.raises(LedgerError, match=r"ledger\.public-key"):
        begin(MemoryStore(), public_key=pem_of(OTHER_KEY))


@pytest.mark.parametrize("kind", ["genesis", "adopt"])
def test_entries_that_say_which_ledger_this_is_are_not_appended_like_others(kind: str) -> None:
    _, store = ledger_of(2)
    with pytest.raises(LedgerError, match=r"ledger\.kind"):
        append(head_rows(store), [Draft(kind)], now=NOW, signer=SIGNER)


@pytest.mark.parametrize("drafts", [[], [Draft("decision")], [Draft("genesis"), Draft("genesis")]])
def test_a_genesis_begins_with_one_genesis(drafts: list[Draft]) -> None:
    with pytest.raises(LedgerError, match=r"ledger\.kind"):
        genesis({}, drafts, epoch="e1", public_key=PUBLIC_KEY, now=NOW, signer=SIGNER)


def test_a_key_under_another_name_signs_nothing_here() -> None:
    _, store = ledger_of(2)
    with pytest.raises(LedgerError, match=r"checkpoint\.origin"):
        append(head_rows(store), [decision_draft(1)], now=NOW, signer=NoteSigner("elsewhere", KEY))


@pytest.mark.parametrize("epoch", ["", "a b", "é", "x" * 65])
def test_an_epoch_is_a_plain_word(epoch: str) -> None:
    with pytest.raises(LedgerError, match=r"ledger\.epoch"):
        genesis({}, [Draft("genesis")], epoch=epoch, public_key=PUBLIC_KEY, now=NOW, signer=SIGNER)


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (Draft("outcome", {"cost": 1.5}), "ledger.entry"),
        (Draft("outcome", {}, {"at": NOW}), "ledger.entry"),
        (Draft("outcome", {"half": "\ud800"}), "ledger.entry"),
        (Draft("outcome", {"big": 2**53}), "ledger.entry"),
        (Draft("Outcome"), "ledger.entry"),
        (Draft("outcome\n"), "ledger.entry"),
        (Draft("outcome", salt=b"short"), "ledger.entry"),
        (Draft("outcome", {}, {"envelope": "x" * BIGGEST_ENTRY}), "ledger.entry-too-large"),
    ],
    ids=["float", "datetime", "surrogate", "big integer", "capitals", "line end", "short salt", "too large"],
)
def test_what_could_not_be_read_back_is_not_appended(draft: Draft, code: str) -> None:
    _, store = ledger_of(2)
    with pytest.raises(LedgerError) as caught:
        append(head_rows(store), [draft], now=NOW, signer=SIGNER)
    assert caught.value.code == code


def nested(depth: int) -> Any:
    return [] if depth == 0 else [nested(depth - 1)]


@pytest.mark.parametrize("depth", [10, 55, *range(58, 68), 500])
def test_whatever_is_appended_can_be_read_back_and_proved_however_deep(depth: int) -> None:
    ledger, store = ledger_of(2)
    draft = Draft("outcome", {"deep": nested(depth)}, {"deep": nested(depth)})
    if depth > 60:
        with pytest.raises(LedgerError, match=r"ledger\.entry"):
            add(store, draft)
    else:
        receipt = add(store, draft).receipt(2)
        assert Receipt.read(receipt.to_bytes()) == receipt
    assert ledger.verify().ok
    assert verify_export(exported(ledger)).ok


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=8), json_values, max_size=4)


@settings(max_examples=50, deadline=None)
@given(objects, objects)
def test_whatever_json_is_appended_comes_back_and_verifies(public: Any, private: Any) -> None:
    ledger, store = ledger_of(2)
    add(store, Draft("outcome", public, private, salt(2)))
    entry = ledger.entry(2)
    assert (dict(entry.public), dict(entry.private)) == (public, private)
    assert ledger.verify(ledger.checkpoint()).anchored
    assert ledger.prove(2).leaf == entry.leaf()


def test_a_time_a_little_before_the_last_is_kept_as_it_is_and_the_latest_is_remembered() -> None:
    ledger, store = ledger_of(2)
    add(store, decision_draft(2), now=NOW + timedelta(seconds=30))
    add(store, decision_draft(3), now=NOW + timedelta(seconds=10))
    assert [entry.time for entry in ledger.entries(after=1)] == [
        "2026-11-24T08:00:30Z",
        "2026-11-24T08:00:10Z",
    ]
    assert ledger.head().last_time == NOW + timedelta(seconds=30)


def adopting(epoch: str, origin: str) -> Callable[[Rows], Change[None]]:
    signer = NoteSigner(origin, KEY)
    draft = Draft("adopt", {"reason": "restored"}, salt=salt(99))
    return lambda rows: Change(adopt(rows, [draft], epoch=epoch, now=NOW, signer=signer).puts)


def test_an_adopted_ledger_goes_on_under_a_new_origin_and_old_checkpoints_still_anchor_it() -> None:
    ledger, store = ledger_of(5)
    held = ledger.checkpoint()
    store.transact(LEDGER_KEYS, adopting("e2", "ci.example.com/second"), now=NOW)
    add(store, decision_draft(6), signer=NoteSigner("ci.example.com/second", KEY))
    assert claimed(ledger.checkpoint()).origin == "ci.example.com/second"
    assert ledger.head().epoch == "e2"
    for checkpoint in (held, ledger.checkpoint()):
        assert ledger.verify(checkpoint).anchored
        assert verify_export(exported(ledger), public_key=PUBLIC_KEY, checkpoint=checkpoint).anchored
    public = ledger.entry(5).public
    assert (public["previous_origin"], public["previous_epoch"]) == (ORIGIN, "e1")
    with pytest.raises(LedgerError, match=r"checkpoint\.origin"):
        add(store, decision_draft(7), signer=SIGNER)


@pytest.mark.parametrize(("epoch", "origin"), [("e1", "ci.example.com/second"), ("e2", ORIGIN)])
def test_an_adopted_ledger_never_keeps_its_epoch_or_origin(epoch: str, origin: str) -> None:
    _, store = ledger_of(2)
    with pytest.raises(LedgerError, match=r"ledger\.epoch"):
        store.transact(LEDGER_KEYS, adopting(epoch, origin), now=NOW)


def test_two_histories_from_one_state_can_never_be_proved_consistent() -> None:
    _, common = ledger_of(20)
    assert isinstance(common, MemoryStore)
    hostile = ForkingLedger(common, SIGNER, PUBLIC_KEY)
    for number in range(20, 45):
        hostile.go_on(decision_draft(number), decision_draft(number, effect="deny"), NOW)
        left, right = hostile.left, hostile.right
        assert left.verify().ok
        assert right.verify().ok
        assert left.verify(right.checkpoint()).code == "ledger.forked"
        assert (
            verify_export(exported(right), public_key=PUBLIC_KEY, checkpoint=left.checkpoint()).first_bad
            is None
        )
        one, other = claimed(left.checkpoint()), claimed(right.checkpoint())
        for size in range(21, one.size + 1):
            for proof in (left.consistency(size, one.size), right.consistency(size, other.size)):
                assert not verify_consistency(size, other.size, left.root_at(size), other.root, proof)
        assert verify_consistency(20, one.size, right.root_at(20), one.root, left.consistency(20, one.size))


def work_of_a_process(path: str, name: int, count: int) -> None:
    store = SQLiteStore(path, timeout=timedelta(seconds=60))
    for number in range(count):
        add(store, Draft("outcome", {"by": name, "number": number}))


def test_eight_processes_append_to_one_ledger_and_no_index_is_given_twice(tmp_path: Path) -> None:
    path = str(tmp_path / "state.db")
    store = SQLiteStore.create(path)
    begin(store)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=work_of_a_process, args=(path, name, 100)) for name in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 8
    ledger = Ledger(store, PUBLIC_KEY)
    entries = list(ledger.entries(after=0))
    assert [entry.index for entry in entries] == list(range(1, 801))
    for name in range(8):
        assert [entry.public["number"] for entry in entries if entry.public["by"] == name] == list(range(100))
    assert ledger.verify(ledger.checkpoint()).anchored


def test_a_store_that_fails_keeps_nothing_of_an_append(tmp_path: Path) -> None:
    store = SQLiteStore.create(tmp_path / "state.db")
    begin(store)

    def failing(rows: Rows) -> Change[None]:
        append(rows, [decision_draft(1)], now=NOW, signer=SIGNER)
        raise StoreUnavailable("store.failed", "the disk is full")

    with pytest.raises(StoreUnavailable):
        store.transact(LEDGER_KEYS, failing, now=NOW)
    assert Ledger(store, PUBLIC_KEY).size == 1
    assert not store.read([entry_key(1), node_key(0, 1)])


def rewritten(store: Store, key: Key, value: bytes | None) -> None:
    store.transact([key], lambda _: Change({key: Put(value)}), now=NOW)


@pytest.mark.parametrize("index", [0, 3, 6, 8])
def test_an_entry_edited_in_the_live_store_is_named(index: int) -> None:
    ledger, store = ledger_of(9)
    raw = store.read([entry_key(index)])[entry_key(index)]
    rewritten(store, entry_key(index), raw.replace(b'"salt":"', b'"salt":"00')[: -len(b'00"}') - 10] + b'"}')
    assert ledger.verify().first_bad == index
    changed = json.loads(raw)
    changed["private"] = {"edited": True}
    rewritten(store, entry_key(index), json.dumps(changed, sort_keys=True, separators=(",", ":")).encode())
    found = ledger.verify()
    assert (found.ok, found.first_bad) == (False, index)


@pytest.mark.parametrize("index", [0, 4, 8])
def test_an_entry_missing_from_the_live_store_is_named_and_no_reading_passes_over_it(index: int) -> None:
    ledger, store = ledger_of(9)
    rewritten(store, entry_key(index), None)
    found = ledger.verify()
    assert (found.ok, found.code, found.first_bad) == (False, "ledger.order", index)
    with pytest.raises(LedgerError, match=r"ledger\.order"):
        list(ledger.entries())
    with pytest.raises(LedgerError, match=r"ledger\.order"):
        exported(ledger)


def test_an_entry_beyond_the_head_of_the_live_store_is_found() -> None:
    ledger, store = ledger_of(9)
    rewritten(store, entry_key(9), store.read([entry_key(8)])[entry_key(8)])
    assert ledger.verify().code == "ledger.unsigned"


@pytest.mark.parametrize("key", [node_key(0, 5), node_key(1, 2), node_key(3, 0)])
def test_a_kept_hash_that_is_wrong_or_missing_is_found_and_proves_nothing(key: Key) -> None:
    ledger, store = ledger_of(9)
    for value in (bytes(32), None, b"short"):
        rewritten(store, key, value)
        assert ledger.verify().code == "ledger.node"
    with pytest.raises(LedgerError, match=r"ledger\.node"):
        for index in range(9):
            ledger.prove(index)


def test_a_head_put_back_to_an_older_one_is_found() -> None:
    ledger, store = ledger_of(8)
    old = head_rows(store)[HEAD]
    add(store, decision_draft(9))
    held = ledger.checkpoint()
    rewritten(store, HEAD, old)
    assert ledger.verify().code == "ledger.unsigned"
    assert ledger.verify(held).code in ("ledger.unsigned", "ledger.rolled-back")


def test_an_entry_in_the_place_of_another_is_found_and_never_read() -> None:
    ledger, store = ledger_of(9)
    rewritten(store, entry_key(4), store.read([entry_key(5)])[entry_key(5)])
    assert (ledger.verify().code, ledger.verify().first_bad) == ("ledger.order", 4)
    for reading in (lambda: list(ledger.entries()), lambda: ledger.entry(4)):
        with pytest.raises(LedgerError, match=r"ledger\.order"):
            reading()


@pytest.mark.parametrize(("name", "value"), [("last", "00" * 32), ("epoch", "e9")])
def test_a_head_that_does_not_fit_the_entries_is_found(name: str, value: str) -> None:
    ledger, store = ledger_of(9)
    document = {**json.loads(head_rows(store)[HEAD]), name: value}
    rewritten(store, HEAD, json.dumps(document).encode())
    assert ledger.verify().code == "ledger.corrupt"


def test_an_entry_says_all_of_itself_as_json() -> None:
    entry = ledger_of(2)[0].entry(1)
    assert (
        json.dumps(entry.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        == entry.row()
    )


def test_a_ledger_of_another_origin_or_key_is_refused() -> None:
    _, store = ledger_of(3)
    assert Ledger(store, PUBLIC_KEY, ORIGIN).size == 3
    with pytest.raises(LedgerError, match=r"checkpoint\.origin"):
        Ledger(store, PUBLIC_KEY, "elsewhere.example.com").checkpoint()
    with pytest.raises(LedgerError, match=r"note\."):
        Ledger(store, pem_of(OTHER_KEY)).checkpoint()
    assert not Ledger(store, pem_of(OTHER_KEY)).verify().ok


@pytest.mark.parametrize("index", [-1, 5, 2**60])
def test_there_is_no_entry_outside_the_ledger(index: int) -> None:
    ledger, _ = ledger_of(5)
    for ask in (ledger.entry, ledger.prove):
        with pytest.raises(LedgerError, match=r"ledger\.no-entry"):
            ask(index)
    with pytest.raises(LedgerError, match=r"ledger\.no-entry"):
        ledger.consistency(index, 5) if index != 5 else ledger.consistency(5, 6)
    with pytest.raises(LedgerError, match=r"ledger\.no-entry"):
        ledger.root_at(index if index != 5 else 6)


def test_a_ledger_longer_than_a_page_reads_and_verifies_whole() -> None:
    ledger, _ = ledger_of(1203, batches=[600, 1, 601])
    assert [entry.index for entry in ledger.entries(after=498)] == list(range(499, 1203))
    assert ledger.verify(ledger.checkpoint()).size == 1203
    assert verify_export(exported(ledger)).size == 1203
