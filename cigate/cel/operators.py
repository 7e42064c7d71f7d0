"""What the operators of CEL do (cel-spec, langdef.md, "Operators").

Operands are values as `values` says: of exact types, so that a type is told by `is`. Integers have 64 bits
and overflow is an error; division truncates toward zero; doubles are IEEE 754 and never fail; numbers of two
types are compared exactly (but see `_related`); nothing but true and false is a bool. The usual types are tried
first.

`&&`, `||` and `?:` are not here: they decide what is evaluated at all, which is the compiler's part.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from cigate.cel import times
from cigate.cel.equality import entry, equal, within
from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.syntax import UInt
from cigate.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    param,
)
from cigate.cel.values import (
    AT_ONCE,
    LISTS,
    LONGEST_LIST,
    LONGEST_TEXT,
    MAPS,
    MOMENTS,
    NONE,
    NOTHING,
    NUMBERS,
    SPANS,
    MixedMap,
    Optional,
    adopted,
    integer,
    no_overload,
    unsigned,
)

# -- reading


def select(value: Any, name: str) -> Any:
    """`value.name`: of a map what it has at that key; of an optional an optional.

    Raises:
        EvaluationError: `cel.no-such-field`, `cel.no-such-overload`.
    """
    kind = type(value)
    if kind is dict or kind is MappingProxyType:
        found = value.get(
            name, NOTHING
        )  # of a proxy of a defaultdict `[]` would find what is not there, and add it
        if found is NOTHING:
            raise EvaluationError("cel.no-such-field", f"{name!r} is not known")
        return found if type(found) in AT_ONCE else adopted(found)
    if kind is Optional:
        return optional_select(value, name)
    if kind is MixedMap:
        return index(value, name)
    raise no_overload(value)


def index(value: Any, key: Any) -> Any:
    """`value[key]`.

    Raises:
        EvaluationError: `cel.no-such-field`, `cel.out-of-range`, `cel.no-such-overload`.
    """
    kind = type(value)
    if kind in MAPS:
        found = value.get(key, NOTHING) if type(key) is str else entry(value, key)
        if found is NOTHING:
            raise EvaluationError("cel.no-such-field", "there is no such key")
        return found if type(found) in AT_ONCE else adopted(found)
    if kind in LISTS:
        found = _item(value, key)
        if found is NOTHING:
            raise EvaluationError("cel.out-of-range", "the index is outside the list")
        return found if type(found) in AT_ONCE else adopted(found)
    if kind is Optional:
        return optional_index(value, key)
    raise no_overload(value, key)


def _item(of: Any, key: Any) -> Any:
    kind = type(key)
    if kind not in NUMBERS:
        raise no_overload(of, key)
    if kind is float:
        if not key.is_integer():
            return NOTHING
        key = int(key)
    return of[key] if 0 <= key < len(of) else NOTHING


def has(value: Any, name: str) -> bool:
    """`has(value.name)`: null is there; of an optional it is whether what it holds has it.

    Raises:
        EvaluationError: `cel.no-such-overload`.
    """
    kind = type(value)
    if kind is dict or kind is MappingProxyType or kind is MixedMap:
        return name in value
    if kind is Optional:
        return value.value is not NOTHING and has(value.value, name)
    raise no_overload(value)


def optional_select(value: Any, name: str) -> Optional:
    """`value.?name`: what is there as an optional.

    Raises:
        EvaluationError: `cel.no-such-overload`, of what has no fields.
    """
    if type(value) in MAPS or type(value) is Optional:
        return optional_index(value, name)
    raise no_overload(value)


def optional_index(value: Any, key: Any) -> Optional:
    """`value[?key]`: what is there as an optional.

    Raises:
        EvaluationError: `cel.no-such-overload`, of what has no items, or an index that is no number.
    """
    while type(value) is Optional:
        if value.value is NOTHING:
            return NONE
        value = value.value
    kind = type(value)
    if kind in MAPS:
        found = entry(value, key)
    elif kind in LISTS:
        found = _item(value, key)
    else:
        raise no_overload(value, key)
    return NONE if found is NOTHING else Optional(adopted(found))


def boolean(value: Any) -> bool:
    """The value, if it is true or false: what conditions and predicates must be.

    Raises:
        EvaluationError: `cel.no-such-overload`.
    """
    if value is True:
        return True
    if value is False:
        return False
    raise no_overload(value)


def items(value: Any) -> list[Any]:
    """What a loop of one variable goes through: the items of a list, the keys of a map.

    Raises:
        EvaluationError: `cel.no-such-overload`; `cel.input`.
    """
    if type(value) in LISTS or type(value) in MAPS:
        return [one if type(one) in AT_ONCE else adopted(one) for one in value]
    raise no_overload(value)


def pairs(value: Any) -> list[tuple[Any, Any]]:
    """What a loop of two variables goes through: indexes and items, or keys and values.

    Raises:
        EvaluationError: `cel.no-such-overload`; `cel.input`.
    """
    if type(value) in LISTS:
        return [(at, adopted(one)) for at, one in enumerate(value)]
    if type(value) in MAPS:
        return [(adopted(key), adopted(one)) for key, one in value.items()]
    raise no_overload(value)


_KEYS: Final = frozenset({bool, int, UInt, str})


def make_map(entries: Iterable[tuple[Any, Any]]) -> Any:
    """A map of these entries, in this order.

    Raises:
        EvaluationError: `cel.invalid`, of a key that is there twice by CEL's equality; `cel.no-such-overload`, of
            a key that is none; `cel.too-costly`.
    """
    made: dict[Any, Any] = {}
    entries = list(entries)
    for key, value in entries:
        if type(key) not in _KEYS:
            raise no_overload(key)
        if key in made:
            return _mixed_map(entries)
        made[key] = value
    _bounded(len(made))
    return made


def _mixed_map(entries: list[tuple[Any, Any]]) -> MixedMap:
    for key, _ in entries:
        if type(key) not in _KEYS:
            raise no_overload(key)
    made = MixedMap(entries)
    if len(made) < len(entries):
        raise EvaluationError("cel.invalid", "a map has each key once")
    _bounded(len(made))
    return made


def _bounded(length: int) -> None:
    if length > LONGEST_LIST:
        raise EvaluationError("cel.too-costly", f"a list or map has more than {LONGEST_LIST} items")


# -- arithmetic

_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1


def add(left: Any, right: Any) -> Any:
    """`left + right`: a sum of numbers or times, or two strings, bytes or lists in one."""
    kind = type(left)
    if kind is type(right):
        if kind is int:
            found = left + right
            return found if _LEAST <= found <= _MOST else integer(found)
        if kind is str or kind is bytes:
            if len(left) + len(right) > LONGEST_TEXT:
                raise EvaluationError("cel.too-costly", f"a string has more than {LONGEST_TEXT} characters")
            return left + right
        if kind is float:
            return left + right
        if kind is UInt:
            return unsigned(int(left) + int(right))
    if kind in LISTS and type(right) in LISTS:
        _bounded(len(left) + len(right))
        return [*left, *right]
    if (kind in SPANS and type(right) in SPANS) or (kind in MOMENTS and type(right) in SPANS):
        return _time(left, times.nanoseconds(right))
    if kind in SPANS and type(right) in MOMENTS:
        return _time(right, times.nanoseconds(left))
    raise no_overload(left, right)


def subtract(left: Any, right: Any) -> Any:
    """`left - right`, of numbers or times."""
    kind = type(left)
    if kind is type(right):
        if kind is int:
            found = left - right
            return found if _LEAST <= found <= _MOST else integer(found)
        if kind is float:
            return left - right
        if kind is UInt:
            return unsigned(int(left) - int(right))
    if type(right) in SPANS and (kind in MOMENTS or kind in SPANS):
        return _time(left, -times.nanoseconds(right))
    if kind in MOMENTS and type(right) in MOMENTS:
        return _time(timedelta(0), times.nanoseconds(left) - times.nanoseconds(right))
    raise no_overload(left, right)


def _time(start: datetime | timedelta, more: int) -> datetime | timedelta:
    billionths = times.nanoseconds(start) + more
    try:
        return times.span(billionths) if isinstance(start, timedelta) else times.moment(billionths)
    except OverflowError:
        raise EvaluationError("cel.overflow", "a time or duration is out of range") from None


def multiply(left: Any, right: Any) -> Any:
    """`left * right`."""
    kind = type(left)
    if kind is type(right):
        if kind is int:
            found = left * right
            return found if _LEAST <= found <= _MOST else integer(found)
        if kind is float:
            return left * right
        if kind is UInt:
            return unsigned(int(left) * int(right))
    raise no_overload(left, right)


def divide(left: Any, right: Any) -> Any:
    """`left / right`: of integers truncated toward zero, of doubles by IEEE 754."""
    kind = type(left)
    if kind is type(right):
        if kind is int:
            return integer(_quotient(left, right))
        if kind is float:
            return left / right if right else _by_zero(left, right)
        if kind is UInt:
            return unsigned(_quotient(int(left), int(right)))
    raise no_overload(left, right)


def remainder(left: Any, right: Any) -> Any:
    """`left % right`, with the sign of `left`; of integers only, and only where `left / right` has a value."""
    kind = type(left)
    if kind is type(right) and (kind is int or kind is UInt):
        found = int(left) - int(right) * int(divide(left, right))
        return found if kind is int else UInt(found)
    raise no_overload(left, right)


def _quotient(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("cel.divide-by-zero", "division by zero")
    found = abs(left) // abs(right)
    return found if (left < 0) is (right < 0) else -found


def _by_zero(left: float, right: float) -> float:
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, math.copysign(1, left) * math.copysign(1, right))


def negate(value: Any) -> Any:
    """`-value`, of an int or a double."""
    kind = type(value)
    if kind is int:
        return integer(-value)
    if kind is float:
        return -value
    raise no_overload(value)


# -- relations


def unequal(left: Any, right: Any) -> bool:
    """`left != right`."""
    return not equal(left, right)


def _relation(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def related(left: Any, right: Any) -> bool:
        kind = type(left)
        if kind is type(right) and kind in _ORDERED:
            return compare(left, right)
        return _related(compare, left, right)

    return related


_ORDERED: Final = frozenset({int, str, float, bool, bytes, UInt, datetime, timedelta})


def _related(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        if _is_edge(left, right) or _is_edge(right, left):
            return compare(0, 0)
        return compare(left, right)
    if (kind in MOMENTS and other in MOMENTS) or (kind in SPANS and other in SPANS):
        return compare(left, right)
    raise no_overload(left, right)


def _is_edge(left: Any, right: Any) -> bool:
    """The greatest int, and the double nearest to it, which is one more.

    The conformance tests (comparisons, "lossy") want neither of these two to be below the other; for all other
    numbers an exact comparison agrees with them, and with the number line of langdef.md, "Numbers".
    """
    return type(left) is int and left == _MOST and right == 2.0**63 and type(right) is float


less = _relation(operator.lt)
less_or_equal = _relation(operator.le)
greater = _relation(operator.gt)
greater_or_equal = _relation(operator.ge)


def negation(value: Any) -> bool:
    """`!value`."""
    if value is True:
        return False
    if value is False:
        return True
    raise no_overload(value)


def is_in(item: Any, of: Any) -> bool:
    """`item in of`: among the items of a list, or the keys of a map."""
    kind = type(of)
    if kind in LISTS:
        return within(item, of)
    if kind in MAPS:
        return item in of if type(item) is str else entry(of, item) is not NOTHING
    raise no_overload(item, of)


# -- signatures

_A, _B = param("A"), param("B")
_COMPARED: Final = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)


def _same(*kinds: Type) -> tuple[Overload, ...]:
    return tuple(Overload((kind, kind), kind) for kind in kinds)


_ADDED: Final = (
    *_same(INT, UINT, DOUBLE, STRING, BYTES, list_of(_A), DURATION),
    Overload((TIMESTAMP, DURATION), TIMESTAMP),
    Overload((DURATION, TIMESTAMP), TIMESTAMP),
)
_SUBTRACTED: Final = (
    *_same(INT, UINT, DOUBLE, DURATION),
    Overload((TIMESTAMP, TIMESTAMP), DURATION),
    Overload((TIMESTAMP, DURATION), TIMESTAMP),
)
_EQUATED: Final = (Overload((_A, _A), BOOL),)
_RELATED: Final = tuple(Overload((kind, kind), BOOL) for kind in _COMPARED)

OPERATORS: Final[Mapping[str, Function]] = {
    function.name: function
    for function in (
        Function("_==_", _EQUATED, equal),
        Function("_!=_", _EQUATED, unequal),
        Function("_<_", _RELATED, less),
        Function("_<=_", _RELATED, less_or_equal),
        Function("_>_", _RELATED, greater),
        Function("_>=_", _RELATED, greater_or_equal),
        Function("_+_", _ADDED, add),
        Function("_-_", _SUBTRACTED, subtract),
        Function("_*_", _same(INT, UINT, DOUBLE), multiply),
        Function("_/_", _same(INT, UINT, DOUBLE), divide),
        Function("_%_", _same(INT, UINT), remainder),
        Function("-_", (Overload((INT,), INT), Overload((DOUBLE,), DOUBLE)), negate),
        Function("!_", (Overload((BOOL,), BOOL),), negation),
        Function("@in", (Overload((_A, list_of(_A)), BOOL), Overload((_A, map_of(_A, _B)), BOOL)), is_in),
    )
}
"""The operators, by the names that the syntax tree has for them."""

FAILS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("_+_",), frozenset({"cel.overflow", "cel.too-costly"})),
    **dict.fromkeys(("_-_", "_*_", "-_"), frozenset({"cel.overflow"})),
    **dict.fromkeys(("_/_", "_%_"), frozenset({"cel.overflow", "cel.divide-by-zero"})),
    **dict.fromkeys(("_==_", "_!=_", "@in"), frozenset({"cel.too-costly"})),
}
"""The codes that an operator can fail with on operands of the right types; one that is not here never fails."""
