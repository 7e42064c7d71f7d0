"""When two values of CEL are equal, and what is found in a list or a map by that (cel-spec, langdef.md, "Equality").

Numbers are equal by what they are worth, whatever their types; everything else only within its own type; NaN
equals nothing. An integer is compared with a double as the nearest double, as the conformance tests want it
of `<` ("lossy"): beyond 2**53 that takes neighbours for equal. A map has a key only for a number that is
worth exactly the same. No equality fails but for size, and none goes deeper into Python's stack than one
call: lists within lists are compared from a list of pairs that still wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import Any, Final, TypeAlias

from typing_extensions import override

from cigate.cel.error import EvaluationError
from cigate.cel.syntax import UInt
from cigate.cel.types import Type
from cigate.cel.values import (
    LISTS,
    MAPS,
    MOMENTS,
    MOST_PARTS,
    NOTHING,
    NUMBERS,
    SPANS,
    MixedMap,
    Optional,
    adopted,
)

_Parts: TypeAlias = Iterable[tuple[Any, Any]]
_BY_PYTHON: Final = frozenset({int, bool, float, bytes, UInt, NoneType})


def equal(left: object, right: object) -> bool:
    """Are two values equal?

    Raises:
        EvaluationError: `cel.too-costly`, of values of very many parts; `cel.input`, of a caller's object within
            them that is no value.
    """
    kind = type(left)
    if kind is type(right) and (kind is str or kind in _BY_PYTHON):
        return left == right
    if kind in LISTS or kind in MAPS or kind is Optional:
        return _equal(left, right, [MOST_PARTS])
    return _equal_scalars(left, right)


def _equal(left: Any, right: Any, budget: list[int]) -> bool:
    waiting = [(left, right)]
    parts: _Parts | None
    while waiting:
        left, right = waiting.pop()
        kind = type(left)
        if kind is type(right) and (kind is str or kind in _BY_PYTHON):
            if left != right:
                return False
            continue
        left, right = adopted(left), adopted(right)
        kind, other = type(left), type(right)
        if (kind in LISTS and other in LISTS) or (kind in MAPS and other in MAPS):
            if len(left) != len(right):
                return False
            budget[0] -= len(left)
            if budget[0] < 0:
                raise EvaluationError(
                    "cel.too-costly", f"values of more than {MOST_PARTS} parts are compared"
                )
            parts = zip(left, right, strict=True) if kind in LISTS else _entries(left, right)
        elif kind is other is Optional:
            parts = _held(left, right)
        elif _equal_scalars(left, right):
            continue
        else:
            return False
        if parts is None:
            return False
        waiting += parts
    return True


# what must be equal for two containers to be; None where they can't be


def _entries(left: Any, right: Any) -> _Parts | None:
    parts = [(value, entry(right, adopted(key))) for key, value in left.items()]
    return None if any(found is NOTHING for _, found in parts) else parts


def _held(left: Optional, right: Optional) -> _Parts | None:
    if left.value is NOTHING or right.value is NOTHING:
        return [] if left.value is right.value else None
    return [(left.value, right.value)]


def _equal_scalars(left: Any, right: Any) -> bool:
    kind, other = type(left), type(right)
    if kind is Type:
        return other is Type and left.name == right.name
    if kind is other:
        return bool(left == right)
    if kind in NUMBERS:
        if other not in NUMBERS:
            return False
        return bool(float(left) == float(right) if float in (kind, other) else left == right)
    return any(kind in kinds and other in kinds and left == right for kinds in (MOMENTS, SPANS))


class _Exactly:
    """A key that finds 1 or 0 in a dict but not `True` or `False`, or the other way round, at the cost of a look-up.

    Python takes them for one key, and a dict doesn't tell which of them it has.
    """

    __slots__ = ("_is_bool", "_number")

    def __init__(self, key: Any) -> None:
        self._number = int(key)
        self._is_bool = type(key) is bool

    @override
    def __hash__(self) -> int:
        return hash(self._number)

    @override
    def __eq__(self, other: object) -> bool:
        return other == self._number and (type(other) is bool) is self._is_bool


_EXACT: Final = 2**53
"""Below it Python's comparison of an int with a float is that of two doubles; NaN is not below it."""

_EXACTLY: Final = {(kind, value): _Exactly(kind(value)) for kind in (bool, int) for value in (0, 1)}


def entry(of: Any, key: Any) -> Any:
    """The value at a key of a map as the map holds it, or `NOTHING`. Keys are found by CEL's equality."""
    kind = type(key)
    if kind is str:
        return of.get(key, NOTHING)
    if kind in NUMBERS:
        if (key == 0 or key == 1) and type(of) is not MixedMap:
            return of.get(_EXACTLY[int, int(key)], NOTHING)
        return of.get(key, NOTHING) if key == key else NOTHING
    if kind is bool:
        return of.get(key if type(of) is MixedMap else _EXACTLY[bool, key], NOTHING)
    return NOTHING


def within(item: Any, of: Any) -> bool:
    """Is an item in a list?"""
    kind = type(item)
    if kind is str or kind is bytes:
        return item in of
    if kind in NUMBERS and -_EXACT < item < _EXACT and item != 0 and item != 1:
        return item in of
    if kind is bool or item is None:
        return any(one is item for one in of)
    budget = [MOST_PARTS]  # one for the whole list: its items may all be the same large one
    return any(_equal(item, one, budget) for one in of)
