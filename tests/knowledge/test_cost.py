"""An estimate is the worst case: what a run within its timeout costs never exceeds it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.action import Price
from cigate.cost import actual, estimate

prices = st.builds(Price, per_run=st.integers(0, 10**9), per_minute=st.integers(0, 10**9))
durations = st.timedeltas(timedelta(0), timedelta(days=7))


@pytest.mark.parametrize(
    ("duration", "minor_units"),
    [
        (timedelta(0), 20),
        (timedelta(microseconds=1), 28),
        (timedelta(minutes=1), 28),
        (timedelta(minutes=1, microseconds=1), 36),
        (timedelta(minutes=10), 100),
        (timedelta(hours=1), 500),
        (timedelta(seconds=-1), 20),
        (timedelta(days=-400), 20),
    ],
)
def test_each_minute_counts_from_its_first_moment(duration: timedelta, minor_units: int) -> None:
    price = Price(per_run=20, per_minute=8)
    assert actual(price, duration) == minor_units
    assert estimate(price, duration) == minor_units


def test_without_a_price_a_run_costs_nothing() -> None:
    assert estimate(None, timedelta(days=1)) == actual(None, timedelta(days=1)) == 0


@given(prices, durations, st.timedeltas(timedelta(days=-7), timedelta(days=7)))
def test_a_run_within_its_timeout_never_costs_more_than_was_estimated(
    price: Price, timeout: timedelta, lasted: timedelta
) -> None:
    assert actual(price, min(lasted, timeout)) <= estimate(price, timeout)


@given(prices, durations, durations)
def test_a_longer_run_never_costs_less(price: Price, one: timedelta, other: timedelta) -> None:
    assert actual(price, min(one, other)) <= actual(price, max(one, other))


@given(prices, durations)
def test_money_is_whole_minor_units(price: Price, duration: timedelta) -> None:
    assert type(actual(price, duration)) is int
