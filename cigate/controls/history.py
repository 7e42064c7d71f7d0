"""What an agent did in the last twenty-four hours, in hourly counts: a snapshot for rules and risk."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from cigate.controls.records import micros, moment, record, recorded, unreadable
from cigate.request import AgentId
from cigate.stores import Key, Put, Rows

Event: TypeAlias = Literal["requests", "denials", "failures"]

_EVENTS: Final[tuple[Event, ...]] = ("requests", "denials", "failures")
_HOURS: Final = 24
_HOUR: Final = 3_600_000_000  # microseconds


def history_keys(agent: AgentId) -> frozenset[Key]:
    """The rows that `history` and `record_history` must see."""
    return frozenset({_row(agent)})


def record_history(rows: Rows, agent: AgentId, what: Event, now: datetime) -> Mapping[Key, Put]:
    """The writes that count what happened once more."""
    hour = micros(now) // _HOUR
    hours = _recent(rows, agent, now)
    counts = hours.get(hour, (0, 0, 0))
    hours[hour] = tuple(count + (name == what) for name, count in zip(_EVENTS, counts, strict=True))
    ends = moment((max(hours) + _HOURS) * _HOUR) + timedelta(hours=1)
    return {_row(agent): record({str(at): list(found) for at, found in hours.items()}, expires=ends)}


def history(rows: Rows, agent: AgentId, now: datetime) -> Mapping[str, int | datetime]:
    """How many `requests`, `denials` and `failures` the last 24 h saw, and `as_of`; zero for a stranger."""
    hours = _recent(rows, agent, now)
    totals: dict[str, int | datetime] = {"as_of": now}
    for at, name in enumerate(_EVENTS):
        totals[name] = sum(counts[at] for counts in hours.values())
    return totals


def _recent(rows: Rows, agent: AgentId, now: datetime) -> dict[int, tuple[int, ...]]:
    """Hours ahead of a clock that was set back still count."""
    key = _row(agent)
    oldest = micros(now) // _HOUR - _HOURS + 1
    try:
        found = {int(hour): tuple(counts) for hour, counts in (recorded(rows, key) or {}).items()}
    except (TypeError, ValueError) as error:
        raise unreadable(key, error) from error
    if not all(len(counts) == len(_EVENTS) and set(map(type, counts)) == {int} for counts in found.values()):
        raise unreadable(key, "its counts are not whole numbers")
    return {hour: counts for hour, counts in found.items() if hour >= oldest}


def _row(agent: AgentId) -> Key:
    return Key("history", agent)
