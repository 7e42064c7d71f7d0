"""Times and durations as text: RFC 3339 in UTC, `10m` as people write it, `600s` as JSON keeps it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DURATION = re.compile(
    r"(?=.)(?:(?P<d>[0-9]{1,6})d)?(?:(?P<h>[0-9]{1,7})h)?(?:(?P<m>[0-9]{1,9})m)?"
    r"(?:(?P<s>[0-9]{1,11})(?:\.(?P<f>[0-9]{1,6}))?s)?"
)
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parse_duration(text: str) -> timedelta:
    """`10m`, `1h30m`, `90s`, `0.5s`, `7d`.

    Raises:
        ValueError: it is not a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 10m or 1h30m")
    part = {name: int(value or 0) for name, value in match.groupdict().items() if name != "f"}
    micro = int((match["f"] or "0").ljust(6, "0"))
    return timedelta(
        days=part["d"], hours=part["h"], minutes=part["m"], seconds=part["s"], microseconds=micro
    )


def parse_timestamp(text: str) -> datetime:
    """RFC 3339 with an offset, at most microseconds, as an aware UTC datetime.

    Raises:
        ValueError: it is not such a timestamp.
    """
    if _TIMESTAMP.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not an RFC 3339 timestamp such as 2026-11-24T08:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} lies outside the years 1 to 9999 in UTC") from None


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, with a fraction only where there is one."""
    text = moment.astimezone(UTC).isoformat()
    return text.replace("+00:00", "Z")


def seconds(duration: timedelta) -> str:
    """The way durations are written in JSON: whole or fractional seconds, `600s` (protobuf's JSON form)."""
    micro = duration // timedelta(microseconds=1)
    whole, rest = divmod(abs(micro), 1_000_000)
    text = f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)
    return f"{'-' if micro < 0 else ''}{text}s"
