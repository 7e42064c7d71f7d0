"""Methods of lists, and `lists.range`, as cel-go's extension at its newest version has them (ext/README.md, "Lists").

In come lists, of a caller too: their items are adopted as they are read. Out come new lists of at most
`LONGEST_LIST` items; the lists that came in are never changed. `reverse` is declared here for strings too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.identity import identities
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
    list_of,
    param,
)
from cigate.cel.values import LISTS, LONGEST_LIST, MOMENTS, MOST_PARTS, SPANS, adopted, no_overload

_T: Final = param("T")
_LIST: Final = list_of(_T)
_SORTABLE: Final = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
_ORDERED: Final = (*(frozenset({kind}) for kind in (int, UInt, float, bool, str, bytes)), MOMENTS, SPANS)


def _adopted(items: Any) -> list[Any]:
    if type(items) not in LISTS:
        raise no_overload(items)
    if len(items) > LONGEST_LIST:
        raise _too_long()
    return [adopted(item) for item in items]


def _too_long() -> EvaluationError:
    return EvaluationError("cel.too-costly", f"a list of an expression has at most {LONGEST_LIST} items")


def slice_(items: Any, start: Any, end: Any) -> list[Any]:
    """The items from one index up to, but not with, another.

    Raises:
        EvaluationError: `cel.out-of-range`; `cel.too-costly`.
    """
    if type(items) not in LISTS or type(start) is not int or type(end) is not int:
        raise no_overload(items, start, end)
    if not 0 <= start <= end <= len(items):
        raise EvaluationError(
            "cel.out-of-range", f"a list of {len(items)} has no slice from {start} to {end}"
        )
    return _adopted(items[start:end])


def flatten(items: Any, depth: Any = 1) -> list[Any]:
    """The items, with those of lists among them in the place of the lists, so many levels deep.

    Raises:
        EvaluationError: `cel.invalid`, of a negative depth; `cel.too-costly`.
    """
    if type(items) not in LISTS or type(depth) is not int:
        raise no_overload(items, depth)
    if depth < 0:
        raise EvaluationError("cel.invalid", "lists are flattened to a depth that is not negative")
    flat: list[Any] = []
    levels: list[Iterator[Any]] = [iter(items)]
    seen = 0
    while levels:
        for item in levels[-1]:
            seen += 1
            if seen > MOST_PARTS or len(flat) >= LONGEST_LIST:
                raise _too_long()  # empty lists within lists come to no items, however many
            value = adopted(item)
            if type(value) in LISTS and len(levels) <= depth:
                levels.append(iter(value))
                break
            flat.append(value)
        else:
            levels.pop()
    return flat


def reverse(of: Any) -> Any:
    """The items of a list, or the characters of a string, from last to first."""
    return of[::-1] if type(of) is str else _adopted(of)[::-1]


def distinct(items: Any) -> list[Any]:
    """The items without those that equal an earlier one."""
    values = _adopted(items)
    first: dict[Any, Any] = {}
    for key, value in zip(identities(values), values, strict=True):
        first.setdefault(key, value)
    return list(first.values())


def sort(items: Any) -> list[Any]:
    """The items from least to greatest; they have one type, which has an order.

    Raises:
        EvaluationError: `cel.no-such-overload`, of types that differ or have no order; `cel.invalid`, of NaN.
    """
    values = _adopted(items)
    _see_sortable(values)
    values.sort()
    return values


def sort_by_keys(items: Any, keys: Any) -> list[Any]:
    """The items in the order of their keys; what the macro `sortBy` comes to. Equal keys keep their order.

    Raises:
        EvaluationError: as `sort` of the keys.
    """
    values, by = _adopted(items), _adopted(keys)
    if len(values) != len(by):
        raise no_overload(items, keys)
    _see_sortable(by)
    return [values[at] for at in sorted(range(len(values)), key=by.__getitem__)]


def _see_sortable(values: list[Any]) -> None:
    if not values:
        return
    kinds = next((kinds for kinds in _ORDERED if type(values[0]) in kinds), None)
    if kinds is None:
        raise no_overload(values[0])
    for value in values:
        if type(value) not in kinds:
            raise no_overload(values[0], value)
    if type(values[0]) is float and len(values) > 1 and any(value != value for value in values):
        raise EvaluationError("cel.invalid", "NaN has no place in an order")


def range_(count: Any) -> list[int]:
    """The integers from 0, so many of them.

    Raises:
        EvaluationError: `cel.too-costly`.
    """
    if type(count) is not int:
        raise no_overload(count)
    if count > LONGEST_LIST:
        raise _too_long()
    return list(range(count))


FUNCTIONS: Final = (
    Function("slice", (Overload((INT, INT), _LIST, of=_LIST),), slice_),
    Function(
        "flatten",
        (Overload((), _LIST, of=list_of(_LIST)), Overload((INT,), list_of(DYN), of=list_of(DYN))),
        flatten,
    ),
    Function("reverse", (Overload((), STRING, of=STRING), Overload((), _LIST, of=_LIST)), reverse),
    Function("distinct", (Overload((), _LIST, of=_LIST),), distinct),
    Function("sort", tuple(Overload((), list_of(kind), of=list_of(kind)) for kind in _SORTABLE), sort),
    Function(
        "@sortByAssociatedKeys",
        tuple(Overload((list_of(kind),), _LIST, of=_LIST) for kind in _SORTABLE),
        sort_by_keys,
    ),
    Function("lists.range", (Overload((INT,), list_of(INT)),), range_),
)

_COSTLY: Final = frozenset({"cel.too-costly"})

FAILS: Final[Mapping[str, frozenset[str]]] = {
    "slice": frozenset({"cel.out-of-range", "cel.too-costly"}),
    "flatten": frozenset({"cel.invalid", "cel.too-costly"}),
    "reverse": _COSTLY,
    "distinct": frozenset({"cel.too-costly", "cel.too-deep"}),
    "sort": frozenset({"cel.invalid", "cel.too-costly"}),
    "@sortByAssociatedKeys": frozenset({"cel.invalid", "cel.too-costly"}),
    "lists.range": _COSTLY,
}
