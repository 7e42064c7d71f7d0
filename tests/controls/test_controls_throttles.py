"""No window of length `per` ever sees more than `limit` tokens, and a step of the clock refills nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cigate.controls import draw, throttle_key
from cigate.decision import Token
from cigate.errors import StoreUnavailable
from cigate.stores import Change, Key, Store
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def token(limit: int, per: timedelta = HOUR, *bucket: str, rule: str = "at-most") -> Token:
    return Token(rule, bucket or ("agent-1",), limit, per)


class Bucket:
    """A throttle on a store."""

    def __init__(self, asked: Token, store: Store | None = None) -> None:
        self.store = store if store is not None else MemoryStore()
        self.asked = asked

    def take(self, now: datetime, asked: Token | None = None) -> timedelta | None:
        """None: a token was taken; else how long to wait."""
        wanted = asked or self.asked

        def work(rows: object) -> Change[timedelta | None]:
            drawn = draw(rows, wanted, now)  # type: ignore[arg-type]
            return Change(drawn.puts, drawn.retry_after)

        return self.store.transact([throttle_key(wanted)], work, now=now)


def most_in_a_window(taken: Sequence[datetime], per: timedelta) -> int:
    return max((sum(start <= at < start + per for at in taken) for start in taken), default=0)


steps = st.lists(st.one_of(st.integers(0, 5), st.integers(0, 4000), st.just(60), st.just(3600)), max_size=120)


@given(limit=st.integers(1, 12), per=st.integers(1, 3600), steps=steps)
def test_a_throttle_answers_as_the_list_of_all_tokens_ever_taken_does(
    limit: int, per: int, steps: list[int]
) -> None:
    bucket = Bucket(token(limit, per * SECOND))
    taken: list[datetime] = []
    now = NOW
    for step in steps:
        now += step * SECOND
        counting = [at for at in taken if at > now - per * SECOND]
        wait = bucket.take(now)
        if len(counting) < limit:
            assert wait is None
            taken.append(now)
        else:
            assert wait == counting[-limit] + per * SECOND - now
    assert most_in_a_window(taken, per * SECOND) <= limit


@settings(max_examples=25, deadline=None)
@given(limit=st.integers(65, 200), steps=st.lists(st.integers(0, 40), min_size=150, max_size=400))
def test_a_large_limit_is_never_exceeded_and_comes_back_at_most_a_64th_late(
    limit: int, steps: list[int]
) -> None:
    per = 1000
    bucket = Bucket(token(limit, per * SECOND))
    taken: list[datetime] = []
    now = NOW
    for step in steps:
        now += step * SECOND / 10
        if bucket.take(now) is None:
            taken.append(now)
        else:
            late = timedelta(seconds=per / 64)
            assert sum(at > now - per * SECOND - late for at in taken) >= limit
        assert len(next(iter(bucket.store.read([throttle_key(bucket.asked)]).values()))) < 5000
    assert most_in_a_window(taken, per * SECOND) <= limit


@given(limit=st.integers(1, 5), steps=st.lists(st.integers(-3600, 1800), max_size=60))
def test_whatever_the_clock_does_time_that_it_lost_refills_nothing(limit: int, steps: list[int]) -> None:
    """Measured on a clock that never goes back, no window sees more than the limit."""
    bucket = Bucket(token(limit))
    now = NOW
    taken: list[datetime] = []
    for step in steps:
        now += step * SECOND
        if bucket.take(now) is None:
            taken.append(max([now, *taken]))
    assert most_in_a_window(taken, HOUR) <= limit


@pytest.mark.parametrize("step", [-HOUR, -SECOND, timedelta(0), HOUR - SECOND])
def test_an_empty_bucket_stays_empty_over_a_step_of_the_clock(step: timedelta) -> None:
    bucket = Bucket(token(2))
    assert [bucket.take(NOW), bucket.take(NOW)] == [None, None]
    wait = bucket.take(NOW + step)
    assert wait == HOUR - step
    assert bucket.take(NOW + step) == wait, "asking in vain costs nothing"


def test_a_row_outlives_a_sweep_by_a_clock_that_was_ahead(tmp_path: Path) -> None:
    bucket = Bucket(token(1), SQLiteStore.create(tmp_path / "state.db"))
    assert bucket.take(NOW) is None
    assert bucket.take(NOW + HOUR, token(1, HOUR, "another")) is None, "this write sweeps what has expired"
    assert bucket.take(NOW + HOUR - SECOND) == SECOND


def test_tokens_that_are_kept_as_one_come_back_with_the_latest_of_them() -> None:
    bucket = Bucket(token(100, 6400 * SECOND))
    assert [bucket.take(NOW) for _ in range(50)] == [None] * 50
    assert [bucket.take(NOW + 100 * SECOND) for _ in range(50)] == [None] * 50
    assert bucket.take(NOW + 6400 * SECOND) == 100 * SECOND
    assert bucket.take(NOW + 6500 * SECOND) is None


def test_the_burst_is_the_limit_and_all_of_it_is_back_after_the_window() -> None:
    bucket = Bucket(token(10))
    assert [bucket.take(NOW) for _ in range(11)] == [None] * 10 + [HOUR]
    assert [bucket.take(NOW + HOUR) for _ in range(11)] == [None] * 10 + [HOUR]


def test_a_token_is_there_after_retry_after_and_not_before() -> None:
    bucket = Bucket(token(3))
    for minutes in (0, 10, 20):
        assert bucket.take(NOW + timedelta(minutes=minutes)) is None
    now = NOW + timedelta(minutes=30)
    wait = bucket.take(now)
    assert wait == timedelta(minutes=30)
    assert bucket.take(now + wait - timedelta(microseconds=1)) == timedelta(microseconds=1)
    assert bucket.take(now + wait) is None


def test_buckets_and_rules_are_apart_and_no_two_spellings_share_one() -> None:
    asked = [
        token(1, HOUR, "a", "b"),
        token(1, HOUR, "a/b"),
        token(1, HOUR, 'a","b'),
        token(1, HOUR, "a", "b", rule="another"),
        token(1, HOUR, "b", "a"),
        token(1, HOUR, "a", "b", ""),
    ]
    bucket = Bucket(asked[0])
    assert [bucket.take(NOW, each) for each in asked] == [None] * len(asked)
    assert [bucket.take(NOW, each) for each in asked] == [HOUR] * len(asked)


def test_a_lower_limit_counts_what_was_taken_under_a_higher_one() -> None:
    bucket = Bucket(token(5))
    for minutes in range(5):
        assert bucket.take(NOW + timedelta(minutes=minutes)) is None
    now = NOW + timedelta(minutes=5)
    assert bucket.take(now, token(2)) == NOW + timedelta(minutes=3) + HOUR - now


def test_a_limit_of_nothing_gives_nothing() -> None:
    assert Bucket(token(0)).take(NOW) == HOUR


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b'{"taken":[[1,2]]}', b'{"taken":[["1",2,3]]}', b'{"taken":7}']
)
def test_a_bucket_that_can_not_be_read_gives_nothing(raw: bytes) -> None:
    key: Key = throttle_key(token(1))
    with pytest.raises(StoreUnavailable) as refused:
        draw({key: raw}, token(1), NOW)
    assert refused.value.code == "store.corrupt"
