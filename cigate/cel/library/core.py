"""The standard functions but for those of times: sizes, parts of strings, conversions and types.

Source: cel-spec, langdef.md, "String Functions" and "Types and Conversions". A conversion of a number out of its
new range is `cel.overflow`; of text that says no such value, `cel.invalid`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from cigate.cel import times
from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.syntax import UInt
from cigate.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    param,
    type_of,
)
from cigate.cel.values import LISTS, MAPS, MOMENTS, NUMBERS, SPANS, integer, no_overload, text, unsigned
from cigate.cel.values import type_of as type_of_value


def size(value: Any) -> int:
    """How many characters, bytes, items or entries it has."""
    kind = type(value)
    if kind is str or kind is bytes or kind in LISTS or kind in MAPS:
        return len(value)
    raise no_overload(value)


def contains(value: Any, part: Any) -> bool:
    """Is the part somewhere in the string?"""
    if type(value) is str and type(part) is str:
        return part in value
    raise no_overload(value, part)


def starts_with(value: Any, part: Any) -> bool:
    """Does the string begin with the part?"""
    if type(value) is str and type(part) is str:
        return value.startswith(part)
    raise no_overload(value, part)


def ends_with(value: Any, part: Any) -> bool:
    """Does the string end with the part?"""
    if type(value) is str and type(part) is str:
        return value.endswith(part)
    raise no_overload(value, part)


def dyn(value: Any) -> Any:
    """The value; its type is for the check to forget."""
    return value


# -- conversions

_INTEGER: Final = re.compile(r"[-+]?0*[0-9]{1,20}")
_UNSIGNED: Final = re.compile(r"0*[0-9]{1,20}")
_DECIMAL: Final = re.compile(
    r"[-+]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[-+]?[0-9]+)?|inf|infinity)|nan", re.I | re.A
)
_LONGEST_NUMBER: Final = 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def to_int(value: Any) -> int:
    """`int(value)`: numbers truncated toward zero, decimal digits, seconds since 1970 of a timestamp."""
    kind = type(value)
    if kind is int:
        return int(value)
    if kind is str:
        return integer(int(_digits(_INTEGER, value)))
    if kind is UInt:
        return integer(int(value))
    if kind is float:
        # both ends are out: whether the rounded ones come back is for the machine to say (langdef.md, "Overflow")
        if not -(2.0**63) < value < 2.0**63:
            raise EvaluationError("cel.overflow", "an int has 64 bits")
        return int(value)
    if kind in MOMENTS:
        return int((value - _EPOCH) // _SECOND)
    raise no_overload(value)


def to_uint(value: Any) -> UInt:
    """`uint(value)`: numbers truncated toward zero, decimal digits."""
    kind = type(value)
    if kind is UInt:
        return UInt(value)
    if kind is str:
        return unsigned(int(_digits(_UNSIGNED, value)))
    if kind is int:
        return unsigned(value)
    if kind is float:
        if not 0.0 <= value < 2.0**64:
            raise EvaluationError("cel.overflow", "a uint has 64 bits and no sign")
        return UInt(value)
    raise no_overload(value)


def _digits(form: re.Pattern[str], value: str) -> str:
    if len(value) > _LONGEST_NUMBER or form.fullmatch(value) is None:
        raise EvaluationError("cel.invalid", "the string is no integer")
    return value


def to_double(value: Any) -> float:
    """`double(value)`: the nearest double to a number or a decimal."""
    kind = type(value)
    if kind in NUMBERS:
        return float(value)
    if kind is not str:
        raise no_overload(value)
    if len(value) > _LONGEST_NUMBER or _DECIMAL.fullmatch(value) is None:
        raise EvaluationError("cel.invalid", "the string is no number")
    found = float(value)
    if math.isinf(found) and "n" not in value.lower():
        raise EvaluationError("cel.overflow", "a double is at most about 1.8e308")
    return found


def to_string(value: Any) -> str:
    """`string(value)`: as CEL writes it, without quotes."""
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is int or kind is UInt:
        return str(int(value))
    if kind is bool:
        return "true" if value else "false"
    if kind is float:
        return double_text(value)
    if kind in MOMENTS:
        return times.timestamp_text(value)
    if kind in SPANS:
        return times.duration_text(value)
    if kind is not bytes:
        raise no_overload(value)
    try:
        return text(value.decode())
    except UnicodeDecodeError:
        raise EvaluationError("cel.invalid", "the bytes are no UTF-8") from None


def double_text(value: float) -> str:
    """The shortest decimal that is this double, as cel-go writes it: `0.1`, `100000`, `1e+06`, `+Inf`, `NaN`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1, value) < 0 else ""
    mantissa, _, power = repr(abs(value)).partition("e")
    before, _, after = mantissa.partition(".")
    digits = (before + after).lstrip("0")
    leading = len(before + after) - len(digits)
    digits = digits.rstrip("0") or "0"
    if value == 0:
        return f"{sign}0"
    point = len(before) + int(power or 0) - leading  # the value is 0.digits times ten to this
    if not -4 <= point - 1 < 6:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{point - 1:+03d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    whole = digits[:point].ljust(point, "0")
    return f"{sign}{whole}.{digits[point:]}" if len(digits) > point else f"{sign}{whole}"


def to_bytes(value: Any) -> bytes:
    """`bytes(value)`: a string in UTF-8."""
    if type(value) is bytes:
        return bytes(value)
    if type(value) is not str:
        raise no_overload(value)
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise EvaluationError("cel.invalid", "the string has half a surrogate pair") from None


def to_bool(value: Any) -> bool:
    """`bool(value)`: of a string, one of the ways to write a bool that Go has."""
    if value is True:
        return True
    if value is False:
        return False
    if type(value) is not str:
        raise no_overload(value)
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise EvaluationError("cel.invalid", "the string is no bool")


def to_timestamp(value: Any) -> datetime:
    """`timestamp(value)`: RFC 3339, or seconds since 1970."""
    kind = type(value)
    if kind is str:
        return _read(times.parse_timestamp, value)
    if kind is int:
        try:
            return times.moment(value * 10**9)
        except OverflowError:
            raise EvaluationError("cel.overflow", "a timestamp lies in the years 1 to 9999") from None
    if kind in MOMENTS:
        found: datetime = value
        return found
    raise no_overload(value)


def to_duration(value: Any) -> timedelta:
    """`duration(value)`: `1h30m` and the like."""
    if type(value) is str:
        return _read(times.parse_duration, value)
    if type(value) in SPANS:
        found: timedelta = value
        return found
    raise no_overload(value)


_T = TypeVar("_T")


def _read(parse: Callable[[str], _T], value: str) -> _T:
    try:
        return parse(value)
    except ValueError as error:
        raise EvaluationError("cel.invalid", f"the string is no such time: {error}") from None


# -- signatures

_A, _B = param("A"), param("B")
_SIZED: Final = (STRING, BYTES, list_of(_A), map_of(_A, _B))


def _conversion(to: Type, *takes: Type) -> tuple[Overload, ...]:
    return tuple(Overload((kind,), to) for kind in (to, *takes))


_PART: Final = (Overload((STRING,), BOOL, of=STRING),)
_SIZE: Final = (
    *(Overload((kind,), INT) for kind in _SIZED),
    *(Overload((), INT, of=kind) for kind in _SIZED),
)

FUNCTIONS: Final = (
    Function("size", _SIZE, size),
    Function("contains", _PART, contains),
    Function("startsWith", _PART, starts_with),
    Function("endsWith", _PART, ends_with),
    Function("int", _conversion(INT, UINT, DOUBLE, STRING, TIMESTAMP), to_int),
    Function("uint", _conversion(UINT, INT, DOUBLE, STRING), to_uint),
    Function("double", _conversion(DOUBLE, INT, UINT, STRING), to_double),
    Function("string", _conversion(STRING, BOOL, INT, UINT, DOUBLE, BYTES, TIMESTAMP, DURATION), to_string),
    Function("bytes", _conversion(BYTES, STRING), to_bytes),
    Function("bool", _conversion(BOOL, STRING), to_bool),
    Function("timestamp", _conversion(TIMESTAMP, STRING, INT), to_timestamp),
    Function("duration", _conversion(DURATION, STRING), to_duration),
    Function("type", (Overload((_A,), type_of(_A)),), type_of_value),
    Function("dyn", (Overload((_A,), DYN),), dyn),
)

FAILS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("int", "uint", "double", "timestamp"), frozenset({"cel.overflow", "cel.invalid"})),
    **dict.fromkeys(("bytes", "bool", "duration"), frozenset({"cel.invalid"})),
    "string": frozenset({"cel.invalid", "cel.too-costly"}),
}
