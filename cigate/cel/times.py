"""Timestamps and durations with nanoseconds, as CEL has them and writes them.

A timestamp is a datetime in UTC and a duration a timedelta. Only what is finer than a microsecond needs more:
`Timestamp` and `Duration` are such values, and compare, hash and subtract with the plain ones as they should
(but Python's own `datetime + Duration` never asks the duration: `moment` and `nanoseconds` are for that).
A duration has the nanoseconds of an int64, about 292 years either way; a timestamp lies in the years 1 to 9999
(cel-spec, langdef.md, "Overflow"). All arithmetic here is on whole nanoseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Self

from typing_extensions import override

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
LONGEST: Final = timedelta(microseconds=(2**63 - 1) // 1000)
"""The longest duration in whole microseconds."""

_MOST: Final = 2**63 - 1


class Timestamp(datetime):
    """A datetime in UTC that is finer than a microsecond.

    Attributes:
        nanosecond: 0 to 999, on top of the microseconds.
    """

    __slots__ = ("nanosecond",)
    nanosecond: int

    @classmethod
    def at(cls, moment: datetime, nanosecond: int) -> Self:
        """The moment with nanoseconds on top."""
        made = cls(
            *(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second),
            moment.microsecond,
            moment.tzinfo,
            fold=moment.fold,
        )
        made.nanosecond = nanosecond
        return made

    @override
    def astimezone(self, tz: tzinfo | None = None) -> Timestamp:
        return Timestamp.at(_plain(self).astimezone(tz), self.nanosecond)

    @override
    def replace(self, *arguments: Any, **parts: Any) -> Timestamp:
        return Timestamp.at(_plain(self).replace(*arguments, **parts), self.nanosecond)

    @override
    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        if timespec != "auto":
            return super().isoformat(sep, timespec)
        stem = _plain(self).isoformat(sep, "microseconds")
        at = stem.index(".") + 7
        return f"{stem[:at]}{self.nanosecond:03d}{stem[at:]}"

    @override
    def __str__(self) -> str:
        return self.isoformat(sep=" ")

    @override
    def __repr__(self) -> str:
        return f"Timestamp({self.isoformat()!r})"

    @override
    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return (Timestamp.at, (_plain(self), self.nanosecond))

    @override
    def __hash__(self) -> int:
        return hash(_key(self))

    @override
    def __eq__(self, other: object) -> bool:
        return _key(self) == _key(other) if isinstance(other, datetime) else NotImplemented

    @override
    def __lt__(self, other: Any) -> bool:
        return _key(self) < _key(other) if isinstance(other, datetime) else NotImplemented

    @override
    def __le__(self, other: Any) -> bool:
        return _key(self) <= _key(other) if isinstance(other, datetime) else NotImplemented

    @override
    def __gt__(self, other: Any) -> bool:
        return _key(self) > _key(other) if isinstance(other, datetime) else NotImplemented

    @override
    def __ge__(self, other: Any) -> bool:
        return _key(self) >= _key(other) if isinstance(other, datetime) else NotImplemented

    @override
    def __add__(self, other: Any) -> Any:
        if not isinstance(other, timedelta):
            return NotImplemented
        return moment(nanoseconds(self) + nanoseconds(other))

    __radd__ = __add__

    @override
    def __sub__(self, other: Any) -> Any:
        if isinstance(other, datetime):
            return _spanning(nanoseconds(self) - nanoseconds(other))
        if isinstance(other, timedelta):
            return moment(nanoseconds(self) - nanoseconds(other))
        return NotImplemented

    def __rsub__(self, other: Any) -> Any:
        if not isinstance(other, datetime):
            return NotImplemented
        return _spanning(nanoseconds(other) - nanoseconds(self))


class Duration(timedelta):
    """A timedelta that is finer than a microsecond.

    Attributes:
        nanosecond: 0 to 999, on top of the microseconds (of a negative duration too: they are rounded down).
    """

    __slots__ = ("nanosecond",)
    nanosecond: int

    @classmethod
    def of(cls, span: timedelta, nanosecond: int) -> Self:
        """The duration with nanoseconds on top."""
        made = cls(span.days, span.seconds, span.microseconds)
        made.nanosecond = nanosecond
        return made

    @override
    def total_seconds(self) -> float:
        return nanoseconds(self) / 10**9

    @override
    def __str__(self) -> str:
        return duration_text(self)

    @override
    def __repr__(self) -> str:
        return f"Duration({duration_text(self)!r})"

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return (Duration.of, (_plain_span(self), self.nanosecond))

    @override
    def __hash__(self) -> int:
        return hash(_span_key(self))

    def __bool__(self) -> bool:
        return True

    @override
    def __eq__(self, other: object) -> bool:
        return _span_key(self) == _span_key(other) if isinstance(other, timedelta) else NotImplemented

    @override
    def __lt__(self, other: Any) -> bool:
        return _span_key(self) < _span_key(other) if isinstance(other, timedelta) else NotImplemented

    @override
    def __le__(self, other: Any) -> bool:
        return _span_key(self) <= _span_key(other) if isinstance(other, timedelta) else NotImplemented

    @override
    def __gt__(self, other: Any) -> bool:
        return _span_key(self) > _span_key(other) if isinstance(other, timedelta) else NotImplemented

    @override
    def __ge__(self, other: Any) -> bool:
        return _span_key(self) >= _span_key(other) if isinstance(other, timedelta) else NotImplemented

    @override
    def __add__(self, other: Any) -> Any:
        if not isinstance(other, timedelta):
            return NotImplemented
        return _spanning(nanoseconds(self) + nanoseconds(other))

    __radd__ = __add__

    @override
    def __sub__(self, other: Any) -> Any:
        if not isinstance(other, timedelta):
            return NotImplemented
        return _spanning(nanoseconds(self) - nanoseconds(other))

    @override
    def __rsub__(self, other: Any) -> Any:
        if isinstance(other, datetime):
            return moment(nanoseconds(other) - nanoseconds(self))
        if not isinstance(other, timedelta):
            return NotImplemented
        return _spanning(nanoseconds(other) - nanoseconds(self))

    @override
    def __neg__(self) -> timedelta:
        return _spanning(-nanoseconds(self))

    @override
    def __abs__(self) -> timedelta:
        return _spanning(abs(nanoseconds(self)))


def _plain(moment: datetime) -> datetime:
    return datetime.combine(datetime.date(moment), datetime.timetz(moment))


def _plain_span(span: timedelta) -> timedelta:
    return timedelta(span.days, span.seconds, span.microseconds)


def _key(moment: datetime) -> tuple[datetime, int]:
    return (_plain(moment), moment.nanosecond) if isinstance(moment, Timestamp) else (moment, 0)


def _span_key(span: timedelta) -> tuple[timedelta, int]:
    return (_plain_span(span), span.nanosecond) if isinstance(span, Duration) else (span, 0)


def nanoseconds(value: datetime | timedelta) -> int:
    """All of a duration, or of the time from 1970 to a timestamp, in nanoseconds."""
    if isinstance(value, Duration):
        return _plain_span(value) // _MICROSECOND * 1000 + value.nanosecond
    if isinstance(value, timedelta):
        return value // _MICROSECOND * 1000
    if isinstance(value, Timestamp):
        return (_plain(value) - _EPOCH) // _MICROSECOND * 1000 + value.nanosecond
    return (value - _EPOCH) // _MICROSECOND * 1000


def moment(billionths: int) -> datetime:
    """The timestamp so many nanoseconds after 1970 began.

    Raises:
        OverflowError: it lies outside the years 1 to 9999.
    """
    micro, finer = divmod(billionths, 1000)
    found = _EPOCH + timedelta(microseconds=micro)
    return Timestamp.at(found, finer) if finer else found


def span(billionths: int) -> timedelta:
    """The duration of so many nanoseconds.

    Raises:
        OverflowError: it is longer than about 292 years.
    """
    if not -_MOST - 1 <= billionths <= _MOST:
        raise OverflowError("a duration is at most about 292 years")
    return _spanning(billionths)


def _spanning(billionths: int) -> timedelta:
    micro, finer = divmod(billionths, 1000)
    found = timedelta(microseconds=micro)
    return Duration.of(found, finer) if finer else found


# -- text

_TIMESTAMP: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,9}))?(?:[Zz]|(?P<sign>[-+])(?P<hours>[0-9]{2}):(?P<minutes>[0-9]{2}))"
)
_DURATION: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0|(?P<parts>(?:(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:ns|us|µs|μs|ms|s|m|h))+))"
)
_PART: Final = re.compile(r"(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?(?P<unit>ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_LONGEST_TEXT: Final = 256


def parse_timestamp(text: str) -> datetime:
    """An RFC 3339 timestamp as an aware UTC datetime, a `Timestamp` if it is finer than a microsecond.

    Raises:
        ValueError: it is none, is outside the years 1 to 9999, or is finer than a nanosecond.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("it is not an RFC 3339 timestamp such as 2026-11-24T08:00:00Z")
    year, month, day = map(int, match["date"].split("-"))
    hour, minute, second = map(int, match["time"].split(":"))
    if hour > 23:
        raise ValueError("a day has 24 hours")
    offset = timedelta(0)
    if match["sign"]:
        hours, minutes = int(match["hours"]), int(match["minutes"])
        if hours > 23 or minutes > 59:
            raise ValueError("an offset is less than a day")
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if match["sign"] == "-" else 1)
    micro, finer = divmod(int((match["fraction"] or "").ljust(9, "0")), 1000)
    try:
        found = datetime(year, month, day, hour, minute, second, micro, UTC) - offset
    except OverflowError:
        raise ValueError("it is outside the years 1 to 9999") from None
    return Timestamp.at(found, finer) if finer else found


def parse_duration(text: str) -> timedelta:
    """A duration of CEL: `10m`, `1h30m`, `-1.5h`, `300ms`, `0`. CEL has no days.

    Raises:
        ValueError: it is none, is longer than about 292 years, or is finer than a nanosecond.
    """
    match = _DURATION.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if match is None:
        raise ValueError("it is not a duration such as 10m or 1h30m")
    billionths = 0
    for part in _PART.finditer(match["parts"] or ""):
        unit, fraction = _UNITS[part["unit"]], part["fraction"] or ""
        scaled, finer = divmod(int(f"{part['whole']}{fraction}") * unit, 10 ** len(fraction))
        if finer:
            raise ValueError("it is finer than a nanosecond")
        billionths += scaled
    try:
        return span(-billionths if match["sign"] == "-" else billionths)
    except OverflowError as error:
        raise ValueError(str(error)) from None


def timestamp_text(value: datetime) -> str:
    """RFC 3339 in UTC, with as many digits of the second as it needs."""
    stem = value.isoformat().removesuffix("+00:00")
    return f"{stem.rstrip('0') if '.' in stem else stem}Z"


def duration_text(value: timedelta) -> str:
    """Seconds with as many digits as they need: `5400s`, `-0.000000001s`."""
    billionths = nanoseconds(value)
    whole, rest = divmod(abs(billionths), 10**9)
    text = f"{whole}.{rest:09d}".rstrip("0") if rest else str(whole)
    return f"{'-' if billionths < 0 else ''}{text}s"
