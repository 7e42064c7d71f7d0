"""When two values of CEL are equal, and what is found in a list or a map by that (cel-spec, langdef.md, "Equality").

Numbers are equal by what they are worth, exactly, whatever their types; everything else only within its own type;
NaN equals nothing. No equality fails but for size, and none goes deeper into Python's stack than one call: lists
within lists are compared from a list of pairs that still wait.
"""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Any, Final

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
    return _equal(left, right)


def _equal(left: Any, right: Any) -> bool:
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        return bool(left == right)
    if kind in LISTS or kind in MAPS or kind is Optional:
        return _all_equal(left, right)
    return _plainly_equal(left, right)


def _plainly_equal(left: Any, right: Any) -> bool:
    kind, other = type(left), type(right)
    if kind is Type:
        return other is Type and left.name == right.name
    if kind is other or (kind in NUMBERS and other in NUMBERS):
        return bool(left == right)
    for kinds in (MOMENTS, SPANS):
        if kind in kinds:
            return other in kinds and bool(left == right)
    return False


def _all_equal(left: Any, right: Any) -> bool:
    waiting, seen = [(left, right)], 0
    while waiting:
        one, other = waiting.pop()
        kind = type(one)
        if kind is type(other) and (kind is str or kind in _BY_PYTHON):
            if one != other:
                return False
            continue
        one, other = adopted(one), adopted(other)
        kind, against = type(one), type(other)
        if kind in LISTS:
            if against not in LISTS or len(one) != len(other):
                return False
            seen += len(one)
            if seen > MOST_PARTS:
                break
            waiting.extend(zip(one, other, strict=True))
        elif kind in MAPS:
            if against not in MAPS or len(one) != len(other):
                return False
            seen += len(one)
            if seen > MOST_PARTS:
                break
            for key, value in one.items():
                found = entry(other, adopted(key))
                if found is NOTHING:
                    return False
                waiting.append((value, found))
        elif kind is Optional:
            if against is not Optional or (one.value is NOTHING) is not (other.value is NOTHING):
                return False
            seen += 1
            if seen > MOST_PARTS:
                break
            if one.value is not NOTHING:
                waiting.append((one.value, other.value))
        elif not _plainly_equal(one, other):
            return False
    if seen > MOST_PARTS:
        raise EvaluationError("cel.too-costly", f"values of more than {MOST_PARTS} parts are compared")
    return True


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
    if kind in NUMBERS and item != 0 and item != 1:
        return item == item and item in of  # Python finds a NaN that is the same object
    if kind is bool or item is None:
        return any(one is item for one in of)
    return any(equal(item, one if type(one) is kind is not datetime else adopted(one)) for one in of)
