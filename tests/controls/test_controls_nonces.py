"""A nonce is accepted once, until it is worthless; when there are too many, new ones are refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.controls import is_spent, nonce_keys, spend_nonce
from cigate.errors import AttestationError, StoreUnavailable
from cigate.stores import Change, Store
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore

NOW = datetime(2026, 11, 24, 8, 0, 30, tzinfo=UTC)
LIFE = timedelta(minutes=5)
SECOND = timedelta(seconds=1)
KEY, OTHER = "ab" * 32, "cd" * 32


def spend(
    store: Store,
    jti: str,
    *,
    key: str = KEY,
    now: datetime = NOW,
    life: timedelta = LIFE,
    per_key: int = 1000,
    most: int = 100_000,
) -> str:
    """Spend a nonce; the code of the refusal, or nothing."""
    try:
        store.transact(
            nonce_keys(key, jti),
            lambda rows: Change(
                spend_nonce(rows, key, jti, expires=now + life, now=now, per_key=per_key, most=most)
            ),
            now=now,
        )
    except AttestationError as refused:
        return refused.code
    return ""


def test_a_nonce_is_accepted_once() -> None:
    store = MemoryStore()
    assert not is_spent(store.read(nonce_keys(KEY, "jti-0001")), KEY, "jti-0001")
    assert spend(store, "jti-0001") == ""
    assert spend(store, "jti-0001") == "attestation.replayed"
    assert is_spent(store.read(nonce_keys(KEY, "jti-0001")), KEY, "jti-0001")


def test_the_same_nonce_of_another_key_is_another_nonce() -> None:
    store = MemoryStore()
    assert [spend(store, "jti-0001", key=KEY), spend(store, "jti-0001", key=OTHER)] == ["", ""]


@given(seconds=st.integers(-60, 300), spent_at=st.integers(0, 59))
def test_until_its_signature_expires_a_nonce_is_refused_even_by_a_clock_a_minute_behind(
    seconds: int, spent_at: int
) -> None:
    store = MemoryStore()
    start = NOW.replace(second=spent_at)
    assert spend(store, "jti-0001", now=start) == ""
    later = start + seconds * SECOND
    # Another write at the end of its life may sweep; a clock that then steps back must still know it.
    spend(store, "jti-0002", key=OTHER, now=later + timedelta(minutes=1))
    assert spend(store, "jti-0001", now=later) == "attestation.replayed"


def test_a_key_that_has_too_many_nonces_is_refused_and_old_ones_still_are() -> None:
    store = MemoryStore()
    assert [spend(store, f"jti-{n:04}", per_key=5) for n in range(6)] == [""] * 5 + [
        "attestation.replay-store-full"
    ]
    assert {spend(store, f"jti-{n:04}", per_key=5) for n in range(5)} == {"attestation.replayed"}
    assert spend(store, "jti-0000", key=OTHER, per_key=5) == "", "one key's flood is not another's"


def test_all_keys_together_are_bounded_too() -> None:
    store = MemoryStore()
    keys = [f"{n:064x}" for n in range(6)]
    assert [spend(store, "jti-0001", key=key, most=5) for key in keys] == [""] * 5 + [
        "attestation.replay-store-full"
    ]
    assert {spend(store, "jti-0001", key=key, most=5) for key in keys[:5]} == {"attestation.replayed"}


def test_room_comes_back_when_nonces_have_expired() -> None:
    store = MemoryStore()
    for n in range(3):
        assert spend(store, f"jti-{n:04}", now=NOW + n * timedelta(minutes=1), per_key=3) == ""
    full = NOW + timedelta(minutes=3)
    assert spend(store, "jti-0003", now=full, per_key=3) == "attestation.replay-store-full"
    room = NOW + LIFE + timedelta(minutes=2)
    assert spend(store, "jti-0003", now=room, per_key=3) == ""
    assert spend(store, "jti-0004", now=room, per_key=3) == "attestation.replay-store-full"


def test_a_nonce_counts_to_the_end_of_a_minute_and_no_longer() -> None:
    store = MemoryStore()
    assert spend(store, "jti-0001", per_key=1) == ""
    end = NOW.replace(second=0) + LIFE + timedelta(minutes=2)
    before = end - timedelta(microseconds=1)
    assert spend(store, "jti-0002", now=before, per_key=1) == "attestation.replay-store-full"
    assert spend(store, "jti-0002", now=end, per_key=1) == ""


@given(steps=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 400)), max_size=60))
def test_the_count_is_exactly_the_number_of_nonces_kept(steps: list[tuple[int, int]]) -> None:
    store, now, most = MemoryStore(), NOW, 10
    for number, (step, life) in enumerate(steps):
        now += step * SECOND
        kept = sum(
            is_spent(store.transact([key], lambda rows: Change({}, rows), now=now), KEY, f"jti-{old:04}")
            for old in range(number)
            for key in [next(each for each in nonce_keys(KEY, f"jti-{old:04}") if each.family == "nonce")]
        )
        answer = spend(store, f"jti-{number:04}", now=now, life=life * SECOND, most=most)
        assert answer == ("attestation.replay-store-full" if kept >= most else "")


def test_of_many_threads_that_spend_one_nonce_one_does(tmp_path: Path) -> None:
    for store in (MemoryStore(), SQLiteStore.create(tmp_path / "state.db")):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _, store=store: spend(store, "jti-0001"), range(64)))
        assert sorted(answers) == [""] + ["attestation.replayed"] * 63


def test_nonces_of_many_threads_are_all_counted(tmp_path: Path) -> None:
    store = SQLiteStore.create(tmp_path / "state.db")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: spend(store, f"jti-{n:04}", per_key=20), range(40)))
    assert answers.count("") == 20
    assert answers.count("attestation.replay-store-full") == 20


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"x":1}', b'{"1":"1"}', b'{"29000000":-5}'])
def test_a_count_that_can_not_be_read_accepts_nothing(raw: bytes) -> None:
    counter = next(key for key in nonce_keys(KEY, "jti-0001") if key.id == KEY)
    with pytest.raises(StoreUnavailable):
        spend_nonce({counter: raw}, KEY, "jti-0001", expires=NOW + LIFE, now=NOW)
