"""Optional values: making them, asking them, and lists that may lack an end.

Source: cel-spec, wiki "Optional values", and cel-go's library of optionals at version 2. `or` and `orValue` are
here for operands that have their values; the compiler evaluates their second one only where it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.types import BOOL, Type, list_of, optional_of, param
from cigate.cel.values import LISTS, MAPS, NONE, NOTHING, Optional, adopted, no_overload


def of(value: Any) -> Optional:
    """`optional.of(value)`."""
    return Optional(value)


def of_non_zero_value(value: Any) -> Optional:
    """`optional.ofNonZeroValue(value)`: none for null, false, 0, what is empty, no duration, and 1970's beginning."""
    return NONE if _is_zero(value) else Optional(value)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _is_zero(value: Any) -> bool:
    kind = type(value)
    if value is None:
        return True
    if kind in LISTS or kind in MAPS:
        return not len(value)
    if kind is Optional or kind is Type:
        return False
    if isinstance(value, datetime):
        return value == _EPOCH
    if isinstance(value, timedelta):
        return value == timedelta(0)
    return not value


def none() -> Optional:
    """`optional.none()`."""
    return NONE


def has_value(value: Any) -> bool:
    """`optional.hasValue()`."""
    if type(value) is Optional:
        return value.value is not NOTHING
    raise no_overload(value)


def value_of(value: Any) -> Any:
    """`optional.value()`.

    Raises:
        EvaluationError: `cel.no-such-field`, of one that is none.
    """
    if type(value) is not Optional:
        raise no_overload(value)
    if value.value is NOTHING:
        raise EvaluationError("cel.no-such-field", "the optional has no value")
    return value.value


def either(value: Any, other: Any) -> Optional:
    """`optional.or(other)`: the first that has a value."""
    if type(value) is Optional and type(other) is Optional:
        return value if value.value is not NOTHING else other
    raise no_overload(value, other)


def or_value(value: Any, other: Any) -> Any:
    """`optional.orValue(other)`: its value, or else the other."""
    if type(value) is Optional:
        return value.value if value.value is not NOTHING else other
    raise no_overload(value, other)


def unwrap(values: Any) -> list[Any]:
    """`optional.unwrap(list)`: the values of those optionals that have one."""
    if type(values) not in LISTS or any(type(one) is not Optional for one in values):
        raise no_overload(values)
    return [one.value for one in values if one.value is not NOTHING]


def first(values: Any) -> Optional:
    """`list.first()`: its first item, as an optional."""
    return _at(values, 0)


def last(values: Any) -> Optional:
    """`list.last()`: its last item, as an optional."""
    return _at(values, -1)


def _at(values: Any, place: int) -> Optional:
    if type(values) not in LISTS:
        raise no_overload(values)
    return Optional(adopted(values[place])) if values else NONE


_A = param("A")
_MAYBE: Final = optional_of(_A)

FUNCTIONS: Final = (
    Function("optional.of", (Overload((_A,), _MAYBE),), of),
    Function("optional.ofNonZeroValue", (Overload((_A,), _MAYBE),), of_non_zero_value),
    Function("optional.none", (Overload((), _MAYBE),), none),
    Function("hasValue", (Overload((), BOOL, of=_MAYBE),), has_value),
    Function("value", (Overload((), _A, of=_MAYBE),), value_of),
    Function("or", (Overload((_MAYBE,), _MAYBE, of=_MAYBE),), either),
    Function("orValue", (Overload((_A,), _A, of=_MAYBE),), or_value),
    Function("optional.unwrap", (Overload((list_of(_MAYBE),), list_of(_A)),), unwrap),
    Function("unwrapOpt", (Overload((), list_of(_A), of=list_of(_MAYBE)),), unwrap),
    Function("first", (Overload((), _MAYBE, of=list_of(_A)),), first),
    Function("last", (Overload((), _MAYBE, of=list_of(_A)),), last),
)

FAILS: Final[Mapping[str, frozenset[str]]] = {"value": frozenset({"cel.no-such-field"})}
