"""Parts of timestamps, in UTC or in a time zone, and durations in whole units.

Source: cel-spec, langdef.md, "Date/Time Functions" and "Timezones". Months, days of the month (`getDayOfMonth`),
of the week and of the year count from 0; `getDate` counts from 1. The zone is an offset (`+05:30`, `02:00`) or a
name of the tz database (`Europe/Paris`).

A named zone is the one input of an evaluation that no ledger entry holds: rules of zones change with the
database that is installed (the system's, else the `tzdata` package). A decision that must be replayed years later
should use UTC or offsets. The host's own zone can't be asked for by any name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, Final

from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.times import nanoseconds
from cigate.cel.types import DURATION, INT, STRING, TIMESTAMP
from cigate.cel.values import MOMENTS, SPANS, no_overload

_OFFSET: Final = re.compile(r"(?P<sign>[-+]?)(?P<hours>[01][0-9]|2[0-3]):(?P<minutes>[0-5][0-9])")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")
_NOT_ZONES: Final = ("local", "localtime", "posixrules", "factory", "posix/", "right/")
"""Names that a system's database has for the host's own zone, or for other copies of it (some with leap seconds)."""


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset is None:
        return _named_zone(name)
    ahead = timedelta(hours=int(offset["hours"]), minutes=int(offset["minutes"]))
    return timezone(-ahead if offset["sign"] == "-" else ahead)


@lru_cache(maxsize=128)
def _named_zone(name: str) -> tzinfo:
    if _NAME.fullmatch(name) is None or name.lower().startswith(_NOT_ZONES):
        raise EvaluationError("cel.invalid", "a time zone is a name such as Europe/Paris, or +hh:mm")
    from zoneinfo import ZoneInfo  # reads the tz database's place from files, which few expressions need

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such zone, a file that is none, a folder
        raise EvaluationError("cel.invalid", "the tz database has no such time zone") from None


_CYCLE: Final = 400
"""Years after which the calendar repeats, days of the week too."""


def _local(value: datetime, zone: str) -> datetime:
    """The time in a zone. Where Python has no such year there, a whole cycle of the calendar away from it."""
    try:
        return value.astimezone(_zone(zone))
    except OverflowError:
        years = -_CYCLE if value.year > _CYCLE else _CYCLE
        return value.replace(year=value.year + years).astimezone(_zone(zone))


def _part(read: Callable[[datetime], int]) -> Callable[..., int]:
    def part(value: Any, *zone: Any) -> int:
        if type(value) in MOMENTS:
            if not zone:
                return read(value)
            if len(zone) == 1 and type(zone[0]) is str:
                return read(_local(value, zone[0]))
        raise no_overload(value, *zone)

    return part


def _part_or_units(read: Callable[[datetime], int], unit: int, *, most: int = 0) -> Callable[..., int]:
    of_time = _part(read)

    def part(value: Any, *zone: Any) -> int:
        if type(value) in SPANS and not zone:
            billionths = nanoseconds(value)
            whole = abs(billionths) // unit
            whole = whole % most if most else whole
            return whole if billionths >= 0 else -whole
        return of_time(value, *zone)

    return part


_local_year: Final = _part(lambda moment: moment.year)


def _year(value: Any, *zone: Any) -> int:
    found = _local_year(value, *zone)
    near: int = value.year
    return found + _CYCLE * round((near - found) / _CYCLE)


_OF_TIME: Final = (Overload((), INT, of=TIMESTAMP), Overload((STRING,), INT, of=TIMESTAMP))
_OF_EITHER: Final = (*_OF_TIME, Overload((), INT, of=DURATION))

FUNCTIONS: Final = (
    Function("getFullYear", _OF_TIME, _year),
    Function("getMonth", _OF_TIME, _part(lambda moment: moment.month - 1)),
    Function("getDate", _OF_TIME, _part(lambda moment: moment.day)),
    Function("getDayOfMonth", _OF_TIME, _part(lambda moment: moment.day - 1)),
    Function("getDayOfWeek", _OF_TIME, _part(lambda moment: moment.isoweekday() % 7)),
    Function("getDayOfYear", _OF_TIME, _part(lambda moment: moment.timetuple().tm_yday - 1)),
    Function("getHours", _OF_EITHER, _part_or_units(lambda moment: moment.hour, 3600 * 10**9)),
    Function("getMinutes", _OF_EITHER, _part_or_units(lambda moment: moment.minute, 60 * 10**9)),
    Function("getSeconds", _OF_EITHER, _part_or_units(lambda moment: moment.second, 10**9)),
    Function(
        "getMilliseconds",
        _OF_EITHER,
        _part_or_units(lambda moment: moment.microsecond // 1000, 10**6, most=1000),
    ),
)

FAILS: Final[Mapping[str, frozenset[str]]] = {
    function.name: frozenset({"cel.invalid"}) for function in FUNCTIONS
}
