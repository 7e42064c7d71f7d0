"""Times and durations as CEL writes them in text (cel-spec, langdef.md, "Timestamps and durations")."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from cigate.wire import times

_DURATION: Final = re.compile(
    r"(?P<sign>[-+]?)(?P<parts>(?:[0-9]{1,18}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|s|m|h))+)"
)
_PART: Final = re.compile(r"(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))?(?P<unit>ns|us|µs|ms|s|m|h)")
_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_MOST_SECONDS: Final = 315_576_000_000
"""About 10,000 years, the bound of protobuf's Duration."""


def parse_timestamp(text: str) -> datetime:
    """An RFC 3339 timestamp as an aware UTC datetime.

    Raises:
        ValueError: it is none, is outside the years 1 to 9999, or is finer than a microsecond.
    """
    try:
        return times.parse_timestamp(text)
    except OverflowError:
        raise ValueError(f"{text!r} is outside the years 1 to 9999") from None


def parse_duration(text: str) -> timedelta:
    """A duration of CEL: `10m`, `1h30m`, `-1.5h`, `300ms`. CEL has no days.

    Raises:
        ValueError: it is none, is too long, or is finer than a microsecond.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 10m or 1h30m")
    billionths = 0
    for part in _PART.finditer(match["parts"]):
        fraction = int((part["fraction"] or "0").ljust(9, "0"))
        billionths += (int(part["whole"]) * 10**9 + fraction) * _NANOSECONDS[part["unit"]]
    micro, finer = divmod(billionths, 10**12)
    if finer:
        raise ValueError(f"{text!r} is finer than a microsecond")
    if micro > _MOST_SECONDS * 10**6:
        raise ValueError(f"{text!r} is longer than a duration can be")
    return bounded(timedelta(microseconds=-micro if match["sign"] == "-" else micro))


def bounded(duration: timedelta) -> timedelta:
    """The duration, if it is one of CEL's.

    Raises:
        ValueError: it is longer than about 10,000 years.
    """
    if abs(duration) > timedelta(seconds=_MOST_SECONDS):
        raise ValueError("a duration is at most 315576000000 seconds")
    return duration
