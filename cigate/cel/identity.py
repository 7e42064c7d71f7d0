"""What values are told apart by: one key for all values that CEL's equality takes for one.

In comes a value, out comes something hashable; two keys are equal exactly if the values are (cel-spec, langdef.md,
"Equality"). So that a list can be searched, or freed of doubles, in one pass whatever it holds. NaN equals nothing,
itself included: its key is new each time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from types import NoneType
from typing import Any, Final

from cigate.cel.types import Type
from cigate.cel.values import LISTS, MAPS, MOST_PARTS, NOTHING, NUMBERS, Optional, adopted, spend

_PLAIN: Final = frozenset({str, bytes, NoneType})


def identities(values: Iterable[Any]) -> Iterator[Hashable]:
    """The keys of many values.

    Raises:
        EvaluationError: `cel.input`, of a caller's object that is no value; `cel.too-deep`; `cel.too-costly`, of
            values of very many parts.
    """
    left = [MOST_PARTS]
    for value in values:
        yield _identity(value, 0, left)


def _identity(value: Any, depth: int, left: list[int]) -> Any:
    if type(value) in _PLAIN:
        return value
    value = adopted(value)
    kind = type(value)
    if kind in NUMBERS:
        return value if value == value else object()
    if kind is bool:
        return bool, value  # to Python True is 1
    if kind is Type:
        return Type, value.name
    if kind in LISTS:
        spend(len(value), depth, left)
        return list, *[_identity(item, depth + 1, left) for item in value]
    if kind in MAPS:
        spend(2 * len(value), depth, left)
        return dict, frozenset(
            (_identity(key, depth + 1, left), _identity(item, depth + 1, left)) for key, item in value.items()
        )
    if kind is Optional:
        spend(1, depth, left)
        return Optional, None if value.value is NOTHING else (_identity(value.value, depth + 1, left),)
    return value
