"""`sets.*`: lists seen as sets, by CEL's equality, as cel-go's extension has them (ext/README.md, "Sets")."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from cigate.cel.functions import Function, Overload
from cigate.cel.identity import identities
from cigate.cel.types import BOOL, list_of, param
from cigate.cel.values import LISTS, no_overload

_LIST: Final = list_of(param("T"))


def _of_sets(holds: Callable[[set[Hashable], set[Hashable]], bool]) -> Callable[[Any, Any], bool]:
    def call(one: Any, other: Any) -> bool:
        if type(one) not in LISTS or type(other) not in LISTS:
            raise no_overload(one, other)
        return holds(set(identities(one)), set(identities(other)))

    return call


def _function(name: str, holds: Callable[[set[Hashable], set[Hashable]], bool]) -> Function:
    return Function(name, (Overload((_LIST, _LIST), BOOL),), _of_sets(holds))


FUNCTIONS: Final = (
    _function("sets.contains", lambda one, other: one >= other),
    _function("sets.equivalent", lambda one, other: one == other),
    _function("sets.intersects", lambda one, other: not one.isdisjoint(other)),
)

FAILS: Final[Mapping[str, frozenset[str]]] = {
    function.name: frozenset({"cel.too-costly", "cel.too-deep"}) for function in FUNCTIONS
}
