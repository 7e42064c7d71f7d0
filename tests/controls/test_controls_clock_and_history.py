"""The clock never runs far backwards; an agent's history is a day long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.controls import CLOCK, advance, check_clock, history, history_keys, record_history
from cigate.controls.history import Event
from cigate.errors import BackendError, StoreUnavailable
from cigate.request import AgentId
from cigate.stores import Change
from cigate.stores.memory import MemoryStore

NOW = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
SKEW = timedelta(seconds=30)
HOUR = timedelta(hours=1)
AGENT, OTHER = AgentId("agent-1"), AgentId("agent-2")


def tick(store: MemoryStore, now: datetime) -> None:
    def work(rows: object) -> Change[None]:
        check_clock(rows, now, SKEW)  # type: ignore[arg-type]
        return Change(advance(rows, now))  # type: ignore[arg-type]

    store.transact([CLOCK], work, now=now)


@given(st.lists(st.integers(-60_000_000, 60_000_000), max_size=40))
def test_a_clock_behind_the_highest_time_seen_by_more_than_the_skew_is_refused(steps: list[int]) -> None:
    store, high = MemoryStore(), NOW
    tick(store, NOW)
    for step in steps:
        now = high + timedelta(microseconds=step)
        if now < high - SKEW:
            with pytest.raises(BackendError) as refused:
                tick(store, now)
            assert refused.value.code == "clock.behind"
        else:
            tick(store, now)
            high = max(high, now)


def test_the_skew_itself_is_accepted_and_a_microsecond_more_is_not() -> None:
    rows = {key: put.value or b"" for key, put in advance({}, NOW).items()}
    check_clock(rows, NOW - SKEW, SKEW)
    with pytest.raises(BackendError):
        check_clock(rows, NOW - SKEW - timedelta(microseconds=1), SKEW)


def test_a_new_store_takes_any_time() -> None:
    check_clock({}, datetime(1970, 1, 1, tzinfo=UTC), SKEW)


def test_a_time_seen_before_needs_no_write() -> None:
    rows = {key: put.value or b"" for key, put in advance({}, NOW).items()}
    assert advance(rows, NOW) == {}
    assert advance(rows, NOW - SKEW) == {}


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"at":"now"}', b'{"at":1.5}', b'{"at":true}'])
def test_a_mark_that_can_not_be_read_refuses(raw: bytes) -> None:
    with pytest.raises(StoreUnavailable):
        check_clock({CLOCK: raw}, NOW, SKEW)
    with pytest.raises(StoreUnavailable):
        advance({CLOCK: raw}, NOW)


def note(store: MemoryStore, what: Event, now: datetime, agent: AgentId = AGENT) -> None:
    store.transact(history_keys(agent), lambda rows: Change(record_history(rows, agent, what, now)), now=now)


def seen(store: MemoryStore, now: datetime, agent: AgentId = AGENT) -> tuple[object, object, object]:
    found = history(store.read(history_keys(agent)), agent, now)
    assert found["as_of"] == now
    return found["requests"], found["denials"], found["failures"]


def test_a_stranger_has_a_history_of_zeros() -> None:
    assert seen(MemoryStore(), NOW) == (0, 0, 0)


def test_events_are_counted_by_kind_and_agent() -> None:
    store = MemoryStore()
    for what in ("requests", "requests", "denials", "failures", "requests"):
        note(store, what, NOW)
    note(store, "denials", NOW, OTHER)
    assert seen(store, NOW) == (3, 1, 1)
    assert seen(store, NOW, OTHER) == (0, 1, 0)


@given(st.lists(st.integers(0, 8 * 3600), min_size=1, max_size=30))
def test_what_is_under_23_hours_old_counts_and_what_is_24_hours_old_does_not(gaps: list[int]) -> None:
    store, now = MemoryStore(), NOW
    moments: list[datetime] = []
    for gap in gaps:
        now += timedelta(seconds=gap)
        moments.append(now)
        note(store, "denials", now)
        counted = seen(store, now)[1]
        surely = sum(at > now - 23 * HOUR for at in moments)
        at_most = sum(at > now - 24 * HOUR for at in moments)
        assert isinstance(counted, int)
        assert surely <= counted <= at_most


def test_a_clock_that_is_set_back_forgets_nothing() -> None:
    store = MemoryStore()
    note(store, "denials", NOW)
    assert seen(store, NOW - 2 * HOUR) == (0, 1, 0)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'{"x":[0,0,0]}', b'{"1":[0,0]}', b'{"1":["0",0,0]}', b'{"1":7}']
)
def test_a_history_that_can_not_be_read_is_not_taken_for_a_clean_one(raw: bytes) -> None:
    (key,) = history_keys(AGENT)
    with pytest.raises(StoreUnavailable):
        history({key: raw}, AGENT, NOW)
