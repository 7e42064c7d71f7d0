"""When two values of CEL are equal, and what is found in a list or a map by that (cel-spec, langdef.md, "Equality").

Numbers are equal by what they are worth exactly, whatever their types; everything else only within its own type;
NaN equals nothing. So equality is transitive, and one rule serves `==`, `in`, keys of maps, and what lists and sets
are told apart by (`identity`). No equality fails but for size, and none goes deeper into Python's stack than one
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
_PLAIN: Final = frozenset({str, int, bool, float, bytes, UInt, NoneType})
"""Types that Python compares as CEL does, each with itself."""


def equal(left: object, right: object) -> bool:
    """Are two values equal?

    Raises:
        EvaluationError: `cel.too-costly`, of values of very many parts; `cel.input`, of a caller's object within
            them that is no value.
    """
    kind = type(left)
    if kind is type(right) and kind in _PLAIN:
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
        if kind is type(right) and kind in _PLAIN:
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
        return other in NUMBERS and bool(left == right)  # Python compares an int and a float exactly
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
    if kind is str or kind is bytes or (kind in NUMBERS and item != 0 and item != 1):
        if item not in of or item != item:  # Python finds a NaN that is the same object
            return False
        if type(of[of.index(item)]) in _PLAIN:
            return True  # else it is a caller's object, which may say that it equals anything
    if kind is bool or item is None:
        return any(one is item for one in of)
    budget = [MOST_PARTS]  # one for the whole list: its items may all be the same large one
    return any(_equal(item, one, budget) for one in of)
