"""What the operators and functions of CEL do, on cel-python's values (cel-spec, langdef.md).

All are total in cel-python's sense: an error is a value that is handed on, so that `&&` and `||` can
absorb it. The rules that matter for a gateway: no value is true but `true`; equality never coerces;
integers are 64 bits and overflow; nothing reads a clock.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final

import re2
from attrs import frozen
from celpy import celtypes
from celpy.evaluation import CELEvalError, base_functions

from cigate.cel.error import EvaluationError
from cigate.cel.syntax import UInt
from cigate.cel.times import bounded, parse_duration, parse_timestamp
from cigate.wire import times

Bool, Int, Uint, Double = celtypes.BoolType, celtypes.IntType, celtypes.UintType, celtypes.DoubleType
String, Bytes, List, Map = celtypes.StringType, celtypes.BytesType, celtypes.ListType, celtypes.MapType
Timestamp, Duration = celtypes.TimestampType, celtypes.DurationType

_NUMBERS: Final = (Int, Uint, Double)
_KEYS: Final = (Bool, Int, Uint, String)


class Refused(Exception):
    """An operation that has no value for its operands."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


def to_cel(value: Any) -> Any:
    """A fact as the evaluator's value.

    Raises:
        EvaluationError: `cel.input`, of what CEL has no value for (a naive time, an integer beyond 64 bits).
    """
    match value:
        case None:
            return None
        case bool():
            return Bool(value)
        case UInt() if 0 <= value < 2**64:
            return Uint(int(value))
        case int() if not isinstance(value, UInt) and -(2**63) <= value < 2**63:
            return Int(int(value))
        case float():
            return Double(value)
        case str():
            return String(str.__str__(value))
        case bytes():
            return Bytes(value)
        case datetime() if value.tzinfo is not None:
            return Timestamp(value.astimezone(UTC))
        case timedelta():
            return Duration(value)
        case Mapping():
            return Map({to_cel(key): to_cel(item) for key, item in value.items()})
        case list() | tuple():
            return List([to_cel(item) for item in value])
    raise EvaluationError("cel.input", f"a {type(value).__name__} is no value of CEL, or is out of its range")


def to_python(value: Any) -> Any:
    """A result as plain Python, told by its exact type: a boolean of the evaluator is an int to Python.

    Raises:
        EvaluationError: `cel.result`, of something that is no value (a type, an error within a list).
    """
    kind = type(value)
    if value is None:
        return None
    if kind is Bool:
        return bool(value)
    if kind is Int:
        return int(value)
    if kind is Uint:
        return UInt(value)
    if kind is Double:
        return float(value)
    if kind is String:
        return str.__str__(value)
    if kind is Bytes:
        return bytes(value)
    if kind is Timestamp:
        return datetime.fromisoformat(datetime.isoformat(value)).astimezone(UTC)
    if kind is Duration:
        return timedelta(days=value.days, seconds=value.seconds, microseconds=value.microseconds)
    if kind is List:
        return [to_python(item) for item in value]
    if kind is Map:
        return {to_python(key): to_python(item) for key, item in value.items()}
    raise EvaluationError("cel.result", "the expression gives something that is no value")


def _total(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with errors as values, in and out."""

    @wraps(function)
    def total(*operands: Any) -> Any:
        for operand in operands:
            if isinstance(operand, CELEvalError):
                return operand
        try:
            return function(*operands)
        except Refused as refused:
            return CELEvalError(*refused.args)
        except ZeroDivisionError:
            return CELEvalError("cel.divide-by-zero", "division by zero")
        except OverflowError:
            return CELEvalError("cel.overflow", "a result is out of range")
        except ValueError:
            return CELEvalError("cel.invalid", "a value is out of its domain")
        except (TypeError, AttributeError):
            return _no_overload(*operands)

    return total


def _no_overload(*operands: Any) -> CELEvalError:
    kinds = ", ".join(_spoken(operand) for operand in operands)
    return CELEvalError("cel.no-such-overload", f"the operation is not defined on ({kinds})")


def _spoken(value: Any) -> str:
    return type(value).__name__.removesuffix("Type").lower()


# -- logic: an error is absorbed by what decides without it


def _and(left: Any, right: Any) -> Any:
    return _absorb(left, right, deciding=False)


def _or(left: Any, right: Any) -> Any:
    return _absorb(left, right, deciding=True)


def _absorb(left: Any, right: Any, *, deciding: bool) -> Any:
    for side in (left, right):
        if type(side) is Bool and bool(side) is deciding:
            return side
    for side in (left, right):
        if isinstance(side, CELEvalError):
            return side
    return right if type(left) is Bool and type(right) is Bool else _no_overload(left, right)


def _not(value: Any) -> Any:
    return Bool(not value) if type(value) is Bool else _no_overload(value)


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    if isinstance(condition, CELEvalError):
        return condition
    if type(condition) is not Bool:
        return _no_overload(condition)
    return yes if condition else no


def _true_or_false(value: Any) -> Any:
    return value if type(value) is Bool else _no_overload(value)


# -- comparison


def equal(left: Any, right: Any) -> bool:
    """CEL's equality: numbers by their value, everything else only within its own type, never an error."""
    if isinstance(left, type) or isinstance(right, type):
        return left is right
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        return bool(_number(left) == _number(right))
    if type(left) is not type(right):
        return False
    if type(left) is List:
        return len(left) == len(right) and all(map(equal, left, right))
    if type(left) is Map:
        return len(left) == len(right) and all(
            (found := _entry(right, key)) is not None and equal(value, found[0])
            for key, value in left.items()
        )
    if left is None:
        return True
    return bool(_raw(left) == _raw(right))


def _number(value: Any) -> int | float:
    return float(value) if type(value) is Double else int(value)


def _raw(value: Any) -> Any:
    return bool(value) if type(value) is Bool else str.__str__(value) if type(value) is String else value


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[..., Any]:
    def ordered(left: Any, right: Any) -> Any:
        if type(left) in _NUMBERS and type(right) in _NUMBERS:
            return Bool(compare(_number(left), _number(right)))
        if type(left) is not type(right) or type(left) not in (Bool, String, Bytes, Timestamp, Duration):
            return _no_overload(left, right)
        return Bool(compare(_plain(left), _plain(right)))

    return ordered


def _plain(value: Any) -> Any:
    return value if type(value) in (Timestamp, Duration) else to_python(value)


def _entry(of: Any, key: Any) -> tuple[Any] | None:
    """The value at a key in a tuple, or None: a key is found by CEL's equality, not by Python's hash."""
    for known in of:
        if equal(known, key):
            return (dict.__getitem__(of, known),)
    return None


@frozen
class Presence:
    """The field that `has()` asks for; forgiving: of a group that is not known, no field is."""

    name: str
    forgiving: bool


def _within(item: Any, container: Any) -> Any:
    if not isinstance(item, Presence):
        return _total(_in)(item, container)
    if isinstance(container, CELEvalError):
        return Bool(False) if item.forgiving and _is_absence(container) else container
    if type(container) is not Map:
        return _no_overload(container)
    return Bool(_entry(container, String(item.name)) is not None)


def _is_absence(error: CELEvalError) -> bool:
    return error.args[0] == "cel.no-such-field" or error.args[1:2] == (KeyError,)


def _in(item: Any, container: Any) -> Any:
    if type(container) is Map:
        return Bool(_entry(container, item) is not None)
    if type(container) is List:
        return Bool(any(equal(item, one) for one in container))
    return _no_overload(item, container)


def _index(container: Any, index: Any) -> Any:
    if type(container) is Map:
        if type(index) not in (*_KEYS, Double):
            return _no_overload(container, index)
        found = _entry(container, index)
        if found is None:
            raise Refused("cel.no-such-field", "there is no such key")
        return found[0]
    if type(container) is List and type(index) in _NUMBERS:
        at = _number(index)
        if at != math.floor(at) or not 0 <= at < len(container):
            raise Refused("cel.out-of-range", "the index is outside the list")
        return list.__getitem__(container, int(at))
    return _no_overload(container, index)


def _range(operand: Any) -> Any:
    if type(operand) is Map:
        return List(list(operand))
    return operand if type(operand) is List else _no_overload(operand)


def _map(*parts: Any) -> Any:
    made = Map({})
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        if type(key) not in _KEYS:
            return _no_overload(key)
        if _entry(made, key) is not None:
            raise Refused("cel.invalid", "a map has each key once")
        made[key] = value
    return made


# -- arithmetic

_SAME: Final = {
    "_+_": (Int, Uint, Double, String, Bytes, List),
    "_-_": (Int, Uint, Double),
    "_*_": (Int, Uint, Double),
    "_/_": (Int, Uint, Double),
    "_%_": (Int, Uint),
}
_TIMES: Final = {
    "_+_": ((Timestamp, Duration), (Duration, Timestamp), (Duration, Duration)),
    "_-_": ((Timestamp, Timestamp), (Timestamp, Duration), (Duration, Duration)),
}


def _arithmetic(sign: str, compute: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def arithmetic(left: Any, right: Any) -> Any:
        kinds = (type(left), type(right))
        if kinds in _TIMES.get(sign, ()):
            return _moved(compute, left, right)
        if kinds[0] is not kinds[1] or kinds[0] not in _SAME[sign]:
            return _no_overload(left, right)
        if kinds[0] is Double:
            return Double(_ieee(sign, float(left), float(right)))
        if kinds[0] in (Int, Uint):
            return _whole(kinds[0], compute(int(left), int(right)))
        return kinds[0](compute(_base(left), _base(right)))

    return arithmetic


def _base(value: Any) -> Any:
    return list(value) if type(value) is List else to_python(value)


def _whole(kind: Any, value: int) -> Any:
    low, high = (-(2**63), 2**63) if kind is Int else (0, 2**64)
    if not low <= value < high:
        raise Refused("cel.overflow", "an integer has 64 bits")
    return kind(value)


def _moved(compute: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    found = compute(to_python(left), to_python(right))
    try:
        return to_cel(bounded(found) if isinstance(found, timedelta) else found)
    except ValueError as error:
        raise Refused("cel.overflow", str(error)) from None


def _divide(left: int, right: int) -> int:
    found = abs(left) // abs(right)
    return found if (left < 0) is (right < 0) else -found


def _remainder(left: int, right: int) -> int:
    return left - right * _divide(left, right)


def _ieee(sign: str, left: float, right: float) -> float:
    if sign == "_/_" and right == 0:
        if left == 0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, math.copysign(1, left) * math.copysign(1, right))
    compute = {"_+_": operator.add, "_-_": operator.sub, "_*_": operator.mul, "_/_": operator.truediv}
    return float(compute[sign](left, right))


def _negate(value: Any) -> Any:
    if type(value) is Double:
        return Double(-float(value))
    return _whole(Int, -int(value)) if type(value) is Int else _no_overload(value)


# -- functions


def _text(function: Callable[[str, str], bool]) -> Callable[..., Any]:
    def text(one: Any, other: Any) -> Any:
        if type(one) is not String or type(other) is not String:
            return _no_overload(one, other)
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
    return Int(len(value)) if type(value) in (String, Bytes, List, Map) else _no_overload(value)


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
                return _whole(kind, int(str.__str__(value)))
            case Double():
                if not math.isfinite(value):
                    raise Refused("cel.overflow", "the number is not finite")
                return _whole(kind, math.trunc(float(value)))
            case Timestamp() if kind is Int:
                return Int((to_python(value) - _EPOCH) // timedelta(seconds=1))
            case Int() | Uint():
                return _whole(kind, int(value))
        return _no_overload(value)

    return to_whole


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _to_double(value: Any) -> Any:
    if type(value) is String:
        if not _DECIMAL.fullmatch(value):
            raise Refused("cel.invalid", "the string is no number")
        return Double(float(str.__str__(value)))
    return Double(_number(value)) if type(value) in _NUMBERS else _no_overload(value)


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
    return _no_overload(value)


def _to_bytes(value: Any) -> Any:
    if type(value) is String:
        return Bytes(str.__str__(value).encode(errors="strict"))
    return value if type(value) is Bytes else _no_overload(value)


def _to_bool(value: Any) -> Any:
    if type(value) is String:
        text = str.__str__(value)
        if text not in ("true", "false", "True", "False", "TRUE", "FALSE", "t", "f", "1", "0"):
            raise Refused("cel.invalid", "the string is no bool")
        return Bool(text in ("true", "True", "TRUE", "t", "1"))
    return _true_or_false(value)


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
    return value if type(value) is kind else _no_overload(value)


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
        return _no_overload(value, *zone)

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
    "-_": _negate,
    "_==_": lambda left, right: Bool(equal(left, right)),
    "_!=_": lambda left, right: Bool(not equal(left, right)),
    "_<_": _ordered(operator.lt),
    "_<=_": _ordered(operator.le),
    "_>_": _ordered(operator.gt),
    "_>=_": _ordered(operator.ge),
    "_[_]": _index,
    "_+_": _arithmetic("_+_", operator.add),
    "_-_": _arithmetic("_-_", operator.sub),
    "_*_": _arithmetic("_*_", operator.mul),
    "_/_": _arithmetic("_/_", _divide),
    "_%_": _arithmetic("_%_", _remainder),
    "!_": _not,
    "f_bool": _to_bool,
    "f_predicate": _true_or_false,
    "f_range": _range,
    "f_map": _map,
    "f_size": _size,
    "f_contains": _text(operator.contains),
    "f_startsWith": _text(str.startswith),
    "f_endsWith": _text(str.endswith),
    "f_matches": _text(_matches),
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
    **{name: _total(function) for name, function in _STRICT.items()},
    "_in_": _within,
    "_&&_": _and,
    "_||_": _or,
    "_?_:_": _choose,
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
"""Everything that the evaluator may call, and the names of the types; it overrides the evaluator's own."""
