"""What the operators of CEL do (cel-spec, langdef.md, "Values" and "Logical operators").

The rules that matter for a gateway: nothing is true but `true`; equality never coerces and never fails;
integers are 64 bits and overflow is an error; an error is absorbed only by what decides without it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from attrs import frozen
from celpy.evaluation import CELEvalError

from cigate.cel.times import bounded
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

_KEYS: Final = (Bool, Int, Uint, String)


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
    return right if type(left) is Bool and type(right) is Bool else no_overload(left, right)


def _not(value: Any) -> Any:
    return Bool(not value) if type(value) is Bool else no_overload(value)


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    if isinstance(condition, CELEvalError):
        return condition
    if type(condition) is not Bool:
        return no_overload(condition)
    return yes if condition else no


def true_or_false(value: Any) -> Any:
    """The value, if it is a bool: what `filter` and the other macros ask of a predicate."""
    return value if type(value) is Bool else no_overload(value)


# -- comparison


def equal(left: Any, right: Any) -> bool:
    """CEL's equality: numbers by their value, everything else only within its own type, never an error."""
    if isinstance(left, type) or isinstance(right, type):
        return left is right
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return bool(number(left) == number(right))
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


def _raw(value: Any) -> Any:
    return bool(value) if type(value) is Bool else str.__str__(value) if type(value) is String else value


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[..., Any]:
    def ordered(left: Any, right: Any) -> Any:
        if type(left) in NUMBERS and type(right) in NUMBERS:
            return Bool(compare(number(left), number(right)))
        if type(left) is not type(right) or type(left) not in (Bool, String, Bytes, Timestamp, Duration):
            return no_overload(left, right)
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
        return total(_in)(item, container)
    if isinstance(container, CELEvalError):
        return Bool(False) if item.forgiving and _is_absence(container) else container
    if type(container) is not Map:
        return no_overload(container)
    return Bool(_entry(container, String(item.name)) is not None)


def _is_absence(error: CELEvalError) -> bool:
    return error.args[0] == "cel.no-such-field" or error.args[1:2] == (KeyError,)


def _in(item: Any, container: Any) -> Any:
    if type(container) is Map:
        return Bool(_entry(container, item) is not None)
    if type(container) is List:
        return Bool(any(equal(item, one) for one in container))
    return no_overload(item, container)


def _index(container: Any, index: Any) -> Any:
    if type(container) is Map:
        if type(index) not in (*_KEYS, Double):
            return no_overload(container, index)
        found = _entry(container, index)
        if found is None:
            raise Refused("cel.no-such-field", "there is no such key")
        return found[0]
    if type(container) is List and type(index) in NUMBERS:
        at = number(index)
        if at != math.floor(at) or not 0 <= at < len(container):
            raise Refused("cel.out-of-range", "the index is outside the list")
        return list.__getitem__(container, int(at))
    return no_overload(container, index)


def _range(operand: Any) -> Any:
    if type(operand) is Map:
        return List(list(operand))
    return operand if type(operand) is List else no_overload(operand)


def _map(*parts: Any) -> Any:
    made = Map({})
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        if type(key) not in _KEYS:
            return no_overload(key)
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
            return no_overload(left, right)
        if kinds[0] is Double:
            return Double(_ieee(sign, float(left), float(right)))
        if kinds[0] in (Int, Uint):
            return whole(kinds[0], compute(int(left), int(right)))
        return kinds[0](compute(_base(left), _base(right)))

    return arithmetic


def _base(value: Any) -> Any:
    return list(value) if type(value) is List else to_python(value)


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
    return whole(Int, -int(value)) if type(value) is Int else no_overload(value)


_STRICT: Final[dict[str, Callable[..., Any]]] = {
    "!_": _not,
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
    "f_predicate": true_or_false,
    "f_range": _range,
    "f_map": _map,
}

OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    **{name: total(function) for name, function in _STRICT.items()},
    "_in_": _within,
    "_&&_": _and,
    "_||_": _or,
    "_?_:_": _choose,
}
"""The operators by the evaluator's names, and what the lowered macros call; they override its own."""
