"""What type parameters stand for: the part of the type check that finds one type for two.

A parameter of a signature, and the item of a list that is empty, stand for one type each, to be found. Of two
types that fit each other the more general one is kept, so that the order in which they come changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import define, field

from cigate.cel.types import DURATION, DYN, NULL, STRING, TIMESTAMP, Type

_NULLABLE: Final = frozenset({"optional_type", TIMESTAMP.name, DURATION.name})
"""Where a null may stand beside such a value, as in messages of old."""


@define(eq=False, repr=False)
class Substitution:
    """What is known of the parameters in the types of one expression."""

    _found: dict[str, Type] = field(factory=dict)
    _made: int = 0

    def fresh(self) -> Type:
        """A parameter of which nothing is known."""
        self._made += 1
        return Type(f"_{self._made}", parameter=True)

    def renamed(self, kinds: Iterable[Type]) -> tuple[Type, ...]:
        """Types of one signature, over parameters of their own."""
        names: dict[str, Type] = {}

        def renamed(kind: Type) -> Type:
            if kind.parameter:
                if kind.name not in names:
                    names[kind.name] = self.fresh()
                return names[kind.name]
            return Type(kind.name, tuple(map(renamed, kind.arguments))) if kind.is_open else kind

        return tuple(map(renamed, kinds))

    def known(self, kind: Type) -> Type:
        """The type with what was found in it; parameters without a type remain."""
        if not kind.is_open:
            return kind
        if kind.parameter:
            found = self._found.get(kind.name)
            return kind if found is None else self.known(found)
        return Type(kind.name, tuple(map(self.known, kind.arguments)))

    def final(self, kind: Type) -> Type:
        """The type with `dyn` where nothing was found."""
        known = self.known(kind)
        if not known.is_open:
            return known
        return DYN if known.parameter else Type(known.name, tuple(map(self.final, known.arguments)))

    def all_fit(self, pairs: Iterable[tuple[Type, Type]]) -> bool:
        """Does each first type fit its second? What that says of parameters is kept only if all do."""
        before = dict(self._found)
        if all(self._fits(one, other) for one, other in pairs):
            return True
        self._found = before
        return False

    def fits(self, one: Type, other: Type) -> bool:
        """Can both be of one type?"""
        if not one.is_open and not other.is_open:
            return self._fits(one, other)  # which says nothing of any parameter
        return self.all_fit(((one, other),))

    def joined(self, one: Type, other: Type) -> Type | None:
        """The one type of both; None: there is none."""
        if one == other:
            return one
        return self._general(one, other) if self.fits(one, other) else None

    def _fits(self, one: Type, other: Type) -> bool:
        if one is other or one == other:
            return True
        if other.parameter:
            return self._stands(other, one)
        if one.parameter:
            return self._stands(one, other)
        if DYN in (one, other):
            return True
        if NULL in (one, other):
            return one.name in _NULLABLE or other.name in _NULLABLE
        if one.is_record != other.is_record:
            rest = other if one.is_record else one
            return (
                rest.name == "map"
                and self._fits(STRING, rest.arguments[0])
                and self._fits(DYN, rest.arguments[1])
            )
        if one.name != other.name:
            return False
        if one.name == "type":
            return True
        return len(one.arguments) == len(other.arguments) and all(
            map(self._fits, one.arguments, other.arguments)
        )

    def _stands(self, parameter: Type, kind: Type) -> bool:
        found = self._found.get(parameter.name)
        if found is None:
            if self._within(parameter, kind):
                return False
            self._found[parameter.name] = kind
            return True
        if not self._fits(kind, found):
            return False
        general = self._general(kind, found)
        if not self._within(parameter, general):
            self._found[parameter.name] = general
        return True

    def _within(self, parameter: Type, kind: Type) -> bool:
        if not kind.is_open:
            return False
        if kind.parameter:
            found = self._found.get(kind.name)
            return kind.name == parameter.name or (found is not None and self._within(parameter, found))
        return any(self._within(parameter, argument) for argument in kind.arguments)

    def _general(self, one: Type, other: Type) -> Type:
        return one if _is_as_general(self.known(one), self.known(other)) else other


def _is_as_general(one: Type, other: Type) -> bool:
    if one == DYN or one.parameter:
        return True
    if other == DYN or other.parameter:
        return False
    if one.name != other.name or len(one.arguments) != len(other.arguments):
        return one.is_record is False and other == NULL
    return all(map(_is_as_general, one.arguments, other.arguments))
