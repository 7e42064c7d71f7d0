"""What the standard functions of CEL do (cel-spec, langdef.md, "List of Standard Definitions").

None of them reads a clock or the host's time zone: a decision must be the same when it is replayed.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import re2
from celpy.evaluation import base_functions

from cigate.cel.operators import true_or_false
from cigate.cel.times import parse_duration, parse_timestamp
from cigate.cel.values import (
    NUMBERS,
    Bool,
    Bytes,
    Double,
    Duration,
    Int,
    List,
    Map,
    Refused,
    String,
    Timestamp,
    Uint,
    no_overload,
    number,
    to_cel,
    to_python,
    total,
    whole,
)
from cigate.wire import times


def _text(function: Callable[[str, str], bool]) -> Callable[..., Any]:
    def text(one: Any, other: Any) -> Any:
        if type(one) is not String or type(other) is not String:
            return no_overload(one, other)
        return Bool(function(to_python(one), to_python(other)))

    return text


def _matches(text: str, pattern: str) -> bool:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options).search(text) is not None
    except re2.error:
        raise Refused("cel.invalid", "RE2 takes no such pattern") from None


def _size(value: Any) -> Any:
    return Int(len(value)) if type(value) in (String, Bytes, List, Map) else no_overload(value)


def _type(value: Any) -> Any:
    return type if isinstance(value, type) else type(value)


_DIGITS: Final = re.compile(r"-?[0-9]{1,20}")
_DECIMAL: Final = re.compile(
    r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?Infinity|NaN", re.I
)


def _to_whole(kind: Any) -> Callable[..., Any]:
    def to_whole(value: Any) -> Any:
        match value:
            case String():
                if not _DIGITS.fullmatch(value):
                    raise Refused("cel.invalid", "the string is no integer")
                return whole(kind, int(str.__str__(value)))
            case Double():
                if not math.isfinite(value):
                    raise Refused("cel.overflow", "the number is not finite")
                return whole(kind, math.trunc(float(value)))
            case Timestamp() if kind is Int:
                return Int((to_python(value) - _EPOCH) // timedelta(seconds=1))
            case Int() | Uint():
                return whole(kind, int(value))
        return no_overload(value)

    return to_whole


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _to_double(value: Any) -> Any:
    if type(value) is String:
        if not _DECIMAL.fullmatch(value):
            raise Refused("cel.invalid", "the string is no number")
        return Double(float(str.__str__(value)))
    return Double(number(value)) if type(value) in NUMBERS else no_overload(value)


def _to_string(value: Any) -> Any:
    match value:
        case Bool():
            return String("true" if value else "false")
        case Double():
            number = float(value)
            return String(str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number))
        case Int() | Uint():
            return String(str(int(value)))
        case Timestamp():
            return String(times.timestamp(to_python(value)))
        case Duration():
            return String(times.seconds(to_python(value)))
        case Bytes():
            try:
                return String(bytes(value).decode())
            except UnicodeDecodeError:
                raise Refused("cel.invalid", "the bytes are no UTF-8") from None
        case String():
            return value
    return no_overload(value)


def _to_bytes(value: Any) -> Any:
    if type(value) is String:
        return Bytes(str.__str__(value).encode(errors="strict"))
    return value if type(value) is Bytes else no_overload(value)


def _to_bool(value: Any) -> Any:
    if type(value) is String:
        text = str.__str__(value)
        if text not in ("true", "false", "True", "False", "TRUE", "FALSE", "t", "f", "1", "0"):
            raise Refused("cel.invalid", "the string is no bool")
        return Bool(text in ("true", "True", "TRUE", "t", "1"))
    return true_or_false(value)


def _to_timestamp(value: Any) -> Any:
    if type(value) is Int:
        return to_cel(_EPOCH + timedelta(seconds=int(value)))
    return _read(parse_timestamp, value) if type(value) is String else _kept(value, Timestamp)


def _to_duration(value: Any) -> Any:
    return _read(parse_duration, value) if type(value) is String else _kept(value, Duration)


def _read(parse: Callable[[str], Any], value: Any) -> Any:
    try:
        return to_cel(parse(str.__str__(value)))
    except ValueError:
        raise Refused("cel.invalid", "the string is no such time") from None


def _kept(value: Any, kind: Any) -> Any:
    return value if type(value) is kind else no_overload(value)


def _part(name: str) -> Callable[..., Any]:
    spans = name in ("getHours", "getMinutes", "getSeconds", "getMilliseconds")

    def part(value: Any, *zone: Any) -> Any:
        if type(value) is Timestamp and all(type(one) is String for one in zone):
            try:
                return Int(base_functions[name](value, *map(_zone, zone)))
            except ValueError:
                raise Refused("cel.invalid", "there is no such time zone") from None
        if spans and type(value) is Duration and not zone:
            return Int(_in_whole(name, to_python(value)))
        return no_overload(value, *zone)

    return part


def _zone(name: Any) -> Any:
    text = str.__str__(name)
    if not text or text.casefold() == "local":  # the host's zone is an input that no ledger entry records
        raise Refused("cel.invalid", "a time zone is named, or +hh:mm")
    return name


def _in_whole(name: str, duration: timedelta) -> int:
    units = {"getHours": 3600, "getMinutes": 60, "getSeconds": 1}
    unit = timedelta(seconds=units[name]) if name in units else timedelta(milliseconds=1)
    whole = abs(duration) // unit
    if name == "getMilliseconds":
        whole = (abs(duration) % timedelta(seconds=1)) // unit
    return whole if duration >= timedelta(0) else -whole


_PARTS: Final = (
    *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
    *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
)


_STRICT: Final[dict[str, Callable[..., Any]]] = {
    "f_size": _size,
    "f_contains": _text(operator.contains),
    "f_startsWith": _text(str.startswith),
    "f_endsWith": _text(str.endswith),
    "f_matches": _text(_matches),
    "f_bool": _to_bool,
    "f_int": _to_whole(Int),
    "f_uint": _to_whole(Uint),
    "f_double": _to_double,
    "f_string": _to_string,
    "f_bytes": _to_bytes,
    "f_timestamp": _to_timestamp,
    "f_duration": _to_duration,
    "f_type": _type,
    "f_dyn": lambda value: value,
    **{f"f_{name}": _part(name) for name in _PARTS},
}

FUNCTIONS: Final[dict[str, Any]] = {
    **{name: total(function) for name, function in _STRICT.items()},
    "t_bool": Bool,
    "t_int": Int,
    "t_uint": Uint,
    "t_double": Double,
    "t_string": String,
    "t_bytes": Bytes,
    "t_list": List,
    "t_map": Map,
    "t_null_type": type(None),
    "t_type": type,
}
"""The functions as `f_name`, and what the names of the types stand for as `t_name`."""
