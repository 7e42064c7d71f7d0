"""The highest time that the store has seen: a wall clock far behind it is refused (threats R7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from cigate.controls.records import micros, moment, record, recorded, unreadable
from cigate.errors import BackendError
from cigate.stores import Key, Put, Rows

CLOCK: Final = Key("clock", "high-water")
"""The row; it must be among the keys of every transaction that `check_clock` is asked in."""


def check_clock(rows: Rows, now: datetime, skew: timedelta) -> None:
    """Refuse a clock that is behind the high-water mark by more than the skew.

    Raises:
        BackendError: `clock.behind`.
        StoreUnavailable: `store.corrupt`.
    """
    high = _high(rows)
    if high is not None and now < high - skew:
        raise BackendError(
            "clock.behind",
            f"the clock says {now.isoformat()}, but this store has seen {high.isoformat()}",
            fix="set the clock right; a mark in the future passes with time",
        )


def advance(rows: Rows, now: datetime) -> Mapping[Key, Put]:
    """The writes that raise the mark to `now`; none if it is there already."""
    high = _high(rows)
    if high is not None and now <= high:
        return {}
    return {CLOCK: record({"at": micros(now)})}


def _high(rows: Rows) -> datetime | None:
    found = recorded(rows, CLOCK)
    if found is None:
        return None
    if type(found.get("at")) is not int:
        raise unreadable(CLOCK, "it holds no time")
    return moment(found["at"])
