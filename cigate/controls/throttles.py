"""At most `limit` tokens in any window of length `per`, whatever the clock does (threats G5).

Theory of operation. A generic cell rate algorithm with a burst of `limit` lets almost twice the limit through
in one window, and a rule that says "at most ten an hour" must mean it; so the row holds *when* tokens were
taken, and a token counts until `per` after it. Times are exact up to 64 tokens. Above that, tokens that were
taken within 1/64 of `per` of each other are kept as one entry with the latest of their times, so a row stays
small and the error is on the strict side: a token may come back up to `per`/64 late, never early.

Time never runs backwards here: a token is taken at the latest time that the row knows, or later.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import evolve, field, frozen

from cigate.controls.records import micros, moment, record, recorded, unreadable
from cigate.decision import Token
from cigate.stores import Key, Put, Rows
from cigate.wire.canonical import encode

_EXACT: Final = 64
_MICROSECOND: Final = timedelta(microseconds=1)
_LINGER: Final = timedelta(hours=1)
"""How much longer than needed a row is kept, so that a clock set back does not find it swept."""


@frozen
class _Entry:
    """Tokens taken together: the first and the last time in microseconds, and how many."""

    first: int
    last: int
    count: int


@frozen
class Drawn:
    """What came of asking for a token: the writes that take it, or (`retry_after` set) how long to wait."""

    puts: Mapping[Key, Put] = field(factory=dict)
    retry_after: timedelta | None = None


def throttle_key(token: Token) -> Key:
    """The bucket's row: of one rule, and of the identities that its clause names."""
    return Key("throttle", encode([token.rule, *token.bucket]).decode())


def draw(rows: Rows, token: Token, now: datetime) -> Drawn:
    """Take one token.

    Raises:
        StoreUnavailable: `store.corrupt`.
    """
    key = throttle_key(token)
    taken = _taken(rows, key)
    per = max(token.per // _MICROSECOND, 1)
    at = max(micros(now), taken[-1].last if taken else 0)
    counting = [entry for entry in taken if entry.last + per > at]
    over = sum(entry.count for entry in counting) + 1 - token.limit
    if over > 0:
        return Drawn(retry_after=_wait(counting, over, per, micros(now)))
    if counting and at - counting[-1].first <= (per // _EXACT if token.limit > _EXACT else 0):
        counting[-1] = evolve(counting[-1], last=at, count=counting[-1].count + 1)
    else:
        counting.append(_Entry(at, at, 1))
    document = {"taken": [[entry.first, entry.last, entry.count] for entry in counting]}
    return Drawn({key: record(document, expires=moment(at + per) + _LINGER)})


def _wait(counting: list[_Entry], over: int, per: int, now: int) -> timedelta:
    """Until so many tokens have come back that one is there; the whole of `per` when none ever is."""
    for entry in counting:
        over -= entry.count
        if over <= 0:
            return (entry.last + per - now) * _MICROSECOND
    return per * _MICROSECOND


def _taken(rows: Rows, key: Key) -> list[_Entry]:
    found = recorded(rows, key)
    if found is None:
        return []
    try:
        entries = [_entry(*parts) for parts in found["taken"]]
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(key, repr(error)) from error
    return entries


def _entry(first: Any, last: Any, count: Any) -> _Entry:
    if not all(type(part) is int and part >= 0 for part in (first, last, count)):
        raise ValueError("an entry is not of whole numbers")
    return _Entry(first, last, count)
