"""The contract of a store, as tests: authors of an engine subclass it and give it a `make_store` fixture.

    class TestPostgresStore(StoreContract):
        @pytest.fixture
        def make_store(self, dsn):
            return lambda: PostgresStore.create(dsn, schema=fresh_name())

`make_store()` gives a new, empty store each time that it is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cigate.errors import StoreUnavailable
from cigate.stores import Change, Key, LockMode, Put, Rows, Store

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
A, B, C = Key("row", "a"), Key("row", "b"), Key("row", "c")
_SOON = timedelta(seconds=20)
_AT_ONCE = timedelta(0)
_INSTANT = timedelta(microseconds=1)


class _Refused(Exception):
    """What a `work` raises to keep nothing."""


def write(store: Store, puts: dict[Key, Put], *, now: datetime = NOW) -> None:
    """Write rows, whether they are there or not."""
    store.transact(puts.keys(), lambda _: Change(puts), now=now)


def seen(store: Store, *keys: Key, now: datetime = NOW) -> dict[Key, bytes]:
    """The rows that a transaction at `now` sees."""
    return dict(store.transact(keys, lambda rows: Change({}, rows), now=now))


def count_up(rows: Rows) -> Change[int]:
    """Add one to the number in row A."""
    value = int(rows.get(A, b"0")) + 1
    return Change({A: Put(str(value).encode())}, value)


class StoreContract:
    """What every store promises."""

    @pytest.fixture
    def make_store(self) -> Callable[[], Store]:
        raise NotImplementedError("give the contract a store: override the fixture `make_store`")

    @pytest.fixture
    def store(self, make_store: Callable[[], Store]) -> Store:
        return make_store()

    def test_a_new_store_is_empty_and_no_other_store_shows_in_it(
        self, make_store: Callable[[], Store]
    ) -> None:
        first, second = make_store(), make_store()
        write(first, {A: Put(b"1")})
        assert dict(second.read([A])) == {}
        assert list(second.scan("row")) == []

    def test_what_was_written_is_read_and_what_was_not_is_absent(self, store: Store) -> None:
        write(store, {A: Put(b"1"), B: Put(b"")})
        assert dict(store.read([A, B, C])) == {A: b"1", B: b""}
        assert seen(store, A, B, C) == {A: b"1", B: b""}

    def test_a_transaction_hands_back_its_result(self, store: Store) -> None:
        assert store.transact([A], lambda rows: Change({}, ("result", len(rows))), now=NOW) == ("result", 0)

    def test_work_sees_exactly_the_rows_asked_for_and_can_not_change_them(self, store: Store) -> None:
        write(store, {A: Put(b"1"), B: Put(b"2")})

        def work(rows: Rows) -> Change[None]:
            assert dict(rows) == {A: b"1"}
            with pytest.raises(TypeError):
                rows[B] = b"3"  # type: ignore[index]  # that it can't is what is tested
            return Change()

        store.transact([A, C], work, now=NOW)

    def test_any_bytes_and_any_text_come_back_as_they_went_in(self, store: Store) -> None:
        rows = {
            Key("fämily/ %", f"id {odd}"): Put(bytes(range(256)))
            for odd in ("'", '"', "\x00", "\n", "ü", "𝄞", "")
        }
        write(store, rows)
        assert dict(store.read(rows.keys())) == {key: bytes(range(256)) for key in rows}

    def test_families_do_not_mix(self, store: Store) -> None:
        write(store, {Key("x", "a"): Put(b"x"), Key("y", "a"): Put(b"y")})
        assert dict(store.read([Key("x", "a")])) == {Key("x", "a"): b"x"}
        assert [key for key, _ in store.scan("y")] == [Key("y", "a")]

    def test_if_work_raises_nothing_is_kept_and_the_error_passes_through(self, store: Store) -> None:
        write(store, {A: Put(b"1")})

        def work(rows: Rows) -> Change[None]:
            raise _Refused("no")

        with pytest.raises(_Refused):
            store.transact([A], work, now=NOW)
        assert dict(store.read([A])) == {A: b"1"}
        assert store.transact([A], count_up, now=NOW) == 2, "the store goes on working"

    def test_a_put_outside_the_keys_inserts(self, store: Store) -> None:
        store.transact([A], lambda _: Change({B: Put(b"2")}), now=NOW)
        assert dict(store.read([B])) == {B: b"2"}

    def test_an_insert_onto_a_row_that_is_there_fails_and_keeps_none_of_the_puts(self, store: Store) -> None:
        write(store, {B: Put(b"2")})
        for puts in ({A: Put(b"1"), B: Put(b"3"), C: Put(b"3")}, {C: Put(b"3"), B: Put(b"2"), A: Put(b"1")}):
            with pytest.raises(StoreUnavailable) as refusal:
                store.transact([A], lambda _, puts=puts: Change(puts), now=NOW)  # type: ignore[misc]
            assert refusal.value.code == "store.conflict"
            assert dict(store.read([A, B, C])) == {B: b"2"}

    def test_a_row_is_deleted_only_by_who_has_read_it(self, store: Store) -> None:
        write(store, {A: Put(b"1"), B: Put(b"2")})
        with pytest.raises(StoreUnavailable) as refusal:
            store.transact([A], lambda _: Change({A: Put(None), B: Put(None)}), now=NOW)
        assert refusal.value.code == "store.conflict"
        assert dict(store.read([A, B])) == {A: b"1", B: b"2"}
        store.transact([A, C], lambda _: Change({A: Put(None), C: Put(None)}), now=NOW)
        assert dict(store.read([A, B, C])) == {B: b"2"}

    def test_a_row_exists_until_the_instant_at_which_it_expires(self, store: Store) -> None:
        end = NOW + timedelta(minutes=5)
        write(store, {A: Put(b"1", end)})
        assert seen(store, A, now=end - _INSTANT) == {A: b"1"}
        assert seen(store, A, now=end) == {}

    def test_expiry_is_an_instant_whatever_the_time_zone_it_is_written_in(self, store: Store) -> None:
        east = timezone(timedelta(hours=5, minutes=30))
        write(store, {A: Put(b"1", (NOW + _INSTANT).astimezone(east))})
        assert seen(store, A, now=NOW) == {A: b"1"}
        assert seen(store, A, now=(NOW + _INSTANT).astimezone(east)) == {}

    def test_an_insert_onto_an_expired_row_works_and_onto_one_that_has_not_fails(self, store: Store) -> None:
        end = NOW + timedelta(minutes=5)
        write(store, {A: Put(b"old", end)})
        with pytest.raises(StoreUnavailable):
            store.transact([], lambda _: Change({A: Put(b"new")}), now=end - _INSTANT)
        store.transact([], lambda _: Change({A: Put(b"new")}), now=end)
        assert seen(store, A, now=end) == {A: b"new"}

    def test_a_row_written_anew_has_its_new_expiry_only(self, store: Store) -> None:
        write(store, {A: Put(b"1", NOW + timedelta(minutes=1)), B: Put(b"1")})
        write(store, {A: Put(b"2"), B: Put(b"2", NOW + timedelta(minutes=1))})
        assert seen(store, A, B, now=NOW + timedelta(days=365)) == {A: b"2"}

    def test_rows_that_have_not_expired_survive_any_number_of_writes(self, store: Store) -> None:
        live = {Key("live", str(n)): Put(b"", NOW + timedelta(hours=1)) for n in range(30)}
        dead = {Key("dead", str(n)): Put(b"", NOW + timedelta(minutes=1)) for n in range(30)}
        write(store, live | dead)
        for _ in range(5):
            store.transact([A], count_up, now=NOW + timedelta(hours=1) - _INSTANT)
        assert len(seen(store, *live, now=NOW)) == 30

    def test_a_time_that_is_not_aware_is_refused(self, store: Store) -> None:
        with pytest.raises(TypeError):
            store.transact([A], count_up, now=NOW.replace(tzinfo=None))
        assert dict(store.read([A])) == {}

    def test_a_scan_is_in_order_of_id_after_a_given_one_up_to_a_limit(self, store: Store) -> None:
        ids = ["", "0", "00", "1", "10", "2", "A", "a", "é", "z", "ÿ", "ퟀ", "𝄞"]
        write(store, {Key("row", id): Put(id.encode()) for id in ids} | {Key("other", "5"): Put(b"")})
        ordered = sorted(ids)
        assert [(key.id, value.decode()) for key, value in store.scan("row")] == [
            (id, id) for id in ordered if id
        ]
        assert [key.id for key, _ in store.scan("row", after="10")] == ordered[ordered.index("10") + 1 :]
        assert [key.id for key, _ in store.scan("row", after="0", limit=2)] == ["00", "1"]
        assert list(store.scan("row", limit=0)) == []

    def test_pages_of_a_scan_are_the_whole_of_it(self, store: Store) -> None:
        write(store, {Key("row", f"{n:03}"): Put(b"") for n in range(25)})
        found: list[str] = []
        while page := store.scan("row", after=found[-1] if found else "", limit=10):
            found += [key.id for key, _ in page]
        assert found == [f"{n:03}" for n in range(25)]

    def test_work_that_calls_the_store_is_refused(self, store: Store) -> None:
        def reads(rows: Rows) -> Change[None]:
            store.read([A])
            return Change({B: Put(b"1")})

        def writes(rows: Rows) -> Change[None]:
            store.transact([A], count_up, now=NOW)
            return Change({B: Put(b"1")})

        for work in (reads, writes):
            with pytest.raises(StoreUnavailable) as refusal:
                store.transact([B], work, now=NOW)
            assert refusal.value.code == "store.nested"
        assert dict(store.read([A, B])) == {}
        assert store.transact([A], count_up, now=NOW) == 1

    def test_transactions_of_many_threads_behave_as_one_after_the_other(self, store: Store) -> None:
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda _: store.transact([A], count_up, now=NOW), range(160)))
        assert sorted(results) == list(range(1, 161))
        assert dict(store.read([A])) == {A: b"160"}

    def test_of_many_inserts_of_one_row_one_succeeds(self, store: Store) -> None:
        def insert(n: int) -> bool:
            try:
                store.transact([], lambda _: Change({B: Put(str(n).encode())}), now=NOW)
            except StoreUnavailable as refusal:
                if refusal.code != "store.conflict":
                    raise
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(insert, range(32)))
        assert won.count(True) == 1
        assert dict(store.read([B])) == {B: str(won.index(True)).encode()}

    def test_a_read_is_one_snapshot(self, store: Store) -> None:
        def both(rows: Rows) -> Change[None]:
            value = str(int(rows.get(A, b"0")) + 1).encode()
            return Change({A: Put(value), B: Put(value)})

        done = threading.Event()

        def keep_writing() -> None:
            while not done.is_set():
                store.transact([A, B], both, now=NOW)

        write(store, {A: Put(b"0"), B: Put(b"0")})
        writer = threading.Thread(target=keep_writing)
        writer.start()
        try:
            torn = [rows for rows in (store.read([A, B]) for _ in range(200)) if rows[A] != rows[B]]
        finally:
            done.set()
            writer.join()
        assert torn == []

    def test_shared_holders_are_together_and_exclude_an_exclusive_one(self, store: Store) -> None:
        with ExitStack() as together:
            for _ in range(3):
                together.enter_context(store.lock("gate", LockMode.SHARED, timeout=_SOON))
            assert not free(store, LockMode.EXCLUSIVE)
        assert free(store, LockMode.EXCLUSIVE)

    def test_an_exclusive_holder_is_alone(self, store: Store) -> None:
        with store.lock("gate", LockMode.EXCLUSIVE, timeout=_SOON):
            assert not free(store, LockMode.EXCLUSIVE)
            assert not free(store, LockMode.SHARED)
            assert free(store, LockMode.EXCLUSIVE, name="another/gate")
        assert free(store, LockMode.EXCLUSIVE)

    def test_a_lock_is_given_back_when_its_block_raises(self, store: Store) -> None:
        for mode in LockMode:
            with pytest.raises(_Refused), store.lock("gate", mode, timeout=_SOON):
                raise _Refused
            assert free(store, LockMode.EXCLUSIVE)

    def test_lock_names_of_any_spelling_are_different_locks(self, store: Store) -> None:
        names = [".", "..", "a/b", "a%2Fb", "a", "A", "ä", "x" * 300, "x" * 301, ""]
        with ExitStack() as held:
            for name in names:
                held.enter_context(store.lock(name, LockMode.EXCLUSIVE, timeout=_AT_ONCE))
            assert not any(free(store, LockMode.SHARED, name=name) for name in names)

    def test_a_waiting_exclusive_holds_back_new_shared_holders(self, store: Store) -> None:
        with ExitStack() as first, ThreadPoolExecutor(1) as pool:
            first.enter_context(store.lock("gate", LockMode.SHARED, timeout=_SOON))
            waiting = pool.submit(take_exclusive, store)
            until(lambda: not free(store, LockMode.SHARED))
            first.close()
            assert waiting.result() == "had it"
        assert free(store, LockMode.SHARED)

    def test_an_exclusive_that_gave_up_holds_nobody_back(self, store: Store) -> None:
        with store.lock("gate", LockMode.SHARED, timeout=_SOON):
            with pytest.raises(StoreUnavailable), store.lock("gate", LockMode.EXCLUSIVE, timeout=_INSTANT):
                pytest.fail("two held it")
            assert free(store, LockMode.SHARED)

    def test_a_stream_of_shared_holders_does_not_starve_an_exclusive_one(self, store: Store) -> None:
        done = threading.Event()

        def hold_again_and_again() -> int:
            times = 0
            while not done.is_set():
                with store.lock("gate", LockMode.SHARED, timeout=_SOON):
                    times += 1
            return times

        with ThreadPoolExecutor(6) as pool:
            holders = [pool.submit(hold_again_and_again) for _ in range(6)]
            try:
                for _ in range(5):
                    assert take_exclusive(store) == "had it"
            finally:
                done.set()
            assert sum(holder.result() for holder in holders) > 0

    def test_exclusive_holders_never_overlap(self, store: Store) -> None:
        inside: list[int] = []
        most: list[int] = []

        def visit(n: int) -> None:
            with store.lock("gate", LockMode.EXCLUSIVE, timeout=_SOON):
                inside.append(n)
                most.append(len(inside))
                inside.remove(n)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(visit, range(60)))
        assert most == [1] * 60


def free(store: Store, mode: LockMode, *, name: str = "gate") -> bool:
    """Whether the lock can be had at once."""
    try:
        with store.lock(name, mode, timeout=_AT_ONCE):
            return True
    except StoreUnavailable as refusal:
        if refusal.code != "store.lock-timeout":
            raise
        return False


def take_exclusive(store: Store) -> str:
    """Wait for the lock, and give it back."""
    with store.lock("gate", LockMode.EXCLUSIVE, timeout=_SOON):
        return "had it"


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread or process is about to do."""
    with _deadline() as passed:
        while not condition():
            assert not passed.wait(0.001), "it never came"


@contextmanager
def _deadline() -> Iterator[threading.Event]:
    passed = threading.Event()
    timer = threading.Timer(_SOON.total_seconds(), passed.set)
    timer.start()
    try:
        yield passed
    finally:
        timer.cancel()
        timer.join()
