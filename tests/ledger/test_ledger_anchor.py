"""The anchor: a store behind it, or another one, is refused (threats G5b)."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
from pathlib import Path

import pytest
from ledger_samples import NOW, PUBLIC_KEY, SIGNER, add, begin, decision_draft, ledger_of

from cigate.errors import LedgerError
from cigate.ledger import Anchor, Ledger, Mark
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore

ROOT, OTHER_ROOT = b"\x01" * 32, b"\x02" * 32


def anchored(path: Path, size: int = 5, root: bytes = ROOT, epoch: str = "e1") -> Anchor:
    anchor = Anchor(path)
    anchor.create(size, root, epoch)
    return anchor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.anchor"


def refusal(do: object) -> str:
    assert callable(do)
    with pytest.raises(LedgerError) as caught:
        do()
    return caught.value.code


def test_what_was_written_is_read_back_and_only_its_owner_may_read_it(path: Path) -> None:
    assert anchored(path).read() == Mark(5, ROOT, "e1")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [0, 1, 2**53 - 1])
@pytest.mark.parametrize("epoch", ["e", "x" * 64])
def test_the_record_has_one_length_below_a_sector_whatever_it_says(size: int, epoch: str) -> None:
    record = Mark(size, ROOT, epoch).record()
    assert len(record) == 320
    assert Mark.read(record) == Mark(size, ROOT, epoch)


def test_it_advances_and_never_goes_back(path: Path) -> None:
    anchor = anchored(path)
    for size in (6, 9, 7, 5, 8, 1):
        anchor.advance(size, bytes([size]) * 32 if size != 5 else ROOT, "e1")
    assert anchor.read() == Mark(9, bytes([9]) * 32, "e1")


def test_it_refuses_another_root_at_its_size_and_another_epoch(path: Path) -> None:
    anchor = anchored(path)
    assert refusal(lambda: anchor.advance(5, OTHER_ROOT, "e1")) == "ledger.rolled-back"
    assert refusal(lambda: anchor.advance(6, ROOT, "e2")) == "ledger.rolled-back"
    anchor.advance(5, ROOT, "e1")
    assert anchor.read() == Mark(5, ROOT, "e1")


def test_it_is_never_made_by_the_way(path: Path) -> None:
    anchor = Anchor(path)
    _, store = ledger_of(2)
    head = Ledger(store, PUBLIC_KEY).head()
    for do in (
        anchor.read,
        anchor.sync,
        lambda: anchor.advance(1, ROOT, "e1"),
        lambda: anchor.check(lambda: head),
    ):
        assert refusal(do) == "anchor.missing"
    assert not path.exists()


def test_a_second_one_is_not_made_over_the_first(path: Path) -> None:
    anchor = anchored(path)
    assert refusal(lambda: anchor.create(1, OTHER_ROOT, "e2")) == "anchor.exists"
    assert anchor.read().size == 5


def test_adopting_replaces_it_also_where_it_is_missing_or_corrupt(path: Path) -> None:
    anchor = Anchor(path)
    anchor.replace(3, OTHER_ROOT, "e2")
    assert anchor.read() == Mark(3, OTHER_ROOT, "e2")
    path.write_bytes(b"noise" * 200)
    anchor.replace(2, ROOT, "e3")
    assert anchor.read() == Mark(2, ROOT, "e3")


def test_any_flipped_byte_and_any_cut_is_corrupt(path: Path) -> None:
    anchor = anchored(path)
    raw = path.read_bytes()
    changed = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    for bad in (*changed, *(raw[:at] for at in range(len(raw))), raw + b"\n", raw + raw, b"\0" * len(raw)):
        path.write_bytes(bad)
        assert refusal(anchor.read) == "anchor.corrupt"
    assert refusal(lambda: anchor.advance(9, ROOT, "e1")) == "anchor.corrupt"


@pytest.mark.parametrize("value", [b'{"size":1}', b"[]", b"\xff", b'{"checksum":"","epoch":1,"root":1}'])
def test_noise_is_corrupt(path: Path, value: bytes) -> None:
    path.write_bytes(value)
    assert refusal(Anchor(path).read) == "anchor.corrupt"


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    anchored(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert refusal(Anchor(path).read) == "anchor.unwritable"
    assert refusal(lambda: Anchor(path).replace(9, ROOT, "e9")) == "anchor.unwritable"
    assert Anchor(tmp_path / "elsewhere").read().size == 5


def test_syncing_leaves_what_it_says(path: Path) -> None:
    anchor = anchored(path)
    anchor.sync()
    assert anchor.read().size == 5


def test_a_store_that_kept_up_or_is_ahead_is_let_through(path: Path) -> None:
    ledger, store = ledger_of(5)
    anchor = anchored(path, 5, ledger.head().root)
    anchor.check(ledger.head, ledger.root_at)
    add(store, decision_draft(5))  # committed, and the process died before it told the anchor
    anchor.check(ledger.head)
    anchor.check(ledger.head, ledger.root_at)


def test_a_store_behind_its_anchor_or_of_another_history_or_epoch_is_refused(path: Path) -> None:
    ledger, _ = ledger_of(5)
    head, root = ledger.head(), ledger.head().root
    for size, remembered, epoch in (
        (6, OTHER_ROOT, "e1"),
        (5, OTHER_ROOT, "e1"),
        (5, root, "e2"),
        (4, root, "e2"),
    ):
        Anchor(path).replace(size, remembered, epoch)
        assert refusal(lambda: Anchor(path).check(lambda: head)) == "ledger.rolled-back"
    anchor = Anchor(path)
    anchor.replace(4, OTHER_ROOT, "e1")
    assert refusal(lambda: anchor.check(lambda: head, ledger.root_at)) == "ledger.rolled-back"


def test_an_old_copy_that_went_on_elsewhere_is_refused_though_it_is_longer(path: Path) -> None:
    _, copied = ledger_of(3)
    ledger, _ = ledger_of(6)
    anchor = anchored(path, 6, ledger.head().root)
    for number in range(9):
        add(copied, decision_draft(100 + number))
    other = Ledger(copied, PUBLIC_KEY)
    assert refusal(lambda: anchor.check(other.head, other.root_at)) == "ledger.rolled-back"


def test_a_database_put_back_to_an_old_copy_is_refused(tmp_path: Path) -> None:
    file, anchor = tmp_path / "state.db", Anchor(tmp_path / "state.db.anchor")
    store = SQLiteStore.create(file)
    made = begin(store)
    anchor.create(made.head.size, made.head.root, made.head.epoch)
    store.backup(tmp_path / "old.db")
    made = add(store, decision_draft(1))
    anchor.advance(made.head.size, made.head.root, made.head.epoch)
    store.close()
    for left in tmp_path.glob("state.db-*"):
        left.unlink()
    shutil.copy(tmp_path / "old.db", file)
    old = Ledger(SQLiteStore(file), PUBLIC_KEY)
    assert old.verify().ok
    assert refusal(lambda: anchor.check(old.head, old.root_at)) == "ledger.rolled-back"


def advance_many(path: str, sizes: list[int]) -> None:
    for size in sizes:
        Anchor(path).advance(size, size.to_bytes(32, "big"), "e1")


def test_threads_and_processes_that_race_leave_the_largest(path: Path) -> None:
    anchored(path, 0)
    sizes = [list(range(first, 800, 8)) for first in range(1, 9)]
    spawn = multiprocessing.get_context("spawn")
    racers = [
        *(spawn.Process(target=advance_many, args=(str(path), each)) for each in sizes[:2]),
        *(threading.Thread(target=advance_many, args=(str(path), each)) for each in sizes[2:]),
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(30)
    largest = max(map(max, sizes))
    assert Anchor(path).read() == Mark(largest, largest.to_bytes(32, "big"), "e1")


def test_an_anchor_made_before_a_fork_serves_both_sides_and_leaves_no_descriptor(path: Path) -> None:
    anchor = anchored(path)
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=anchor.advance, args=(7, OTHER_ROOT, "e1"))
    child.start()
    child.join(10)
    assert child.exitcode == 0
    anchor.advance(6, ROOT, "e1")
    assert anchor.read() == Mark(7, OTHER_ROOT, "e1")
    still_open = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
    assert str(path) not in still_open


def test_a_genesis_and_its_anchor_agree(path: Path) -> None:
    store = MemoryStore()
    head = begin(store, SIGNER).head
    anchored(path, head.size, head.root, head.epoch).check(Ledger(store, PUBLIC_KEY).head)
    assert head.last_time == NOW
