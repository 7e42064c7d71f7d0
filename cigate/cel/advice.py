"""What the author of an expression reads where types do not fit: what is wrong, and what to write instead.

Each function gives a message and a way out, which is empty where nothing can be said that helps. The check decides
that something is wrong, and says where.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from cigate.cel.functions import Function, Overload
from cigate.cel.syntax import BINARY, OPERATORS
from cigate.cel.types import DOUBLE, INT, NULL, STRING, UINT, Type

_NUMBERS: Final = frozenset({INT, UINT, DOUBLE})
_CONVERT: Final = "convert one: int(…), uint(…) or double(…)"
_MOST_SHOWN: Final = 4
"""Signatures that are listed; more than that nobody reads."""


def unequal(left: Type, right: Type) -> tuple[str, str]:
    """Of `==` and `!=` on types that no value has both of."""
    if left in _NUMBERS and right in _NUMBERS:
        return f"{left} and {right} are not compared by ==", _CONVERT
    if NULL in (left, right):
        return f"{right if left == NULL else left} is never null", "has(…) asks whether a field is there"
    fix = "x.orValue(…) is what is in an optional" if "optional_type" in (left.name, right.name) else ""
    return f"{left} is never equal to {right}", fix


def not_within(item: Type, of: Type) -> tuple[str, str]:
    """Of `in`."""
    fix = "s.contains('a') looks within a string" if of == STRING else ""
    return f"{item} can't be in {of}", fix


def no_fields(of: Type) -> tuple[str, str]:
    """Of a selection."""
    fix = "take an item: x[0], or ask all: x.exists(i, …)" if of.name == "list" else ""
    return f"a value of type {of} has no fields", fix


def no_index(of: Type, index: Type) -> tuple[str, str]:
    """Of `of[index]`."""
    fix = ""
    if of.name == "list":
        fix = "its items are counted from 0"
    elif of.name == "map":
        fix = f"its keys are of type {of.arguments[0]}"
    return f"a value of type {of} takes no index of type {index}", fix


def misfit(name: str, known: Function, target: Type | None, types: tuple[Type, ...]) -> tuple[str, str, str]:
    """Why a function takes no such arguments: the code of the error, its message and the way out."""
    styled = [one for one in known.overloads if (one.of is None) == (target is None)]
    if not styled:
        if target is None:
            return "cel.arguments", f"{name} is a method", f"call it on a value: x.{name}(…)"
        return "cel.arguments", f"{name} is no method", f"call it as {name}(…)"
    counts = sorted({len(one.takes) for one in styled})
    if len(types) not in counts:
        plural = "" if counts == [1] else "s"
        return "cel.arguments", f"{name} takes {_counts(counts)} argument{plural}; found {len(types)}", ""
    fitting = [one for one in styled if len(one.takes) == len(types)]
    message, fix = not_defined(name, target, types)
    return "cel.type", message, fix or _taken(fitting, target)


def not_defined(name: str, target: Type | None, types: tuple[Type, ...]) -> tuple[str, str]:
    """That a function or an operator is not for operands of these types."""
    shown = tuple(map(str, types))
    if name in OPERATORS:
        fix = ""
        if len(set(types)) > 1 and _NUMBERS.issuperset(types):
            fix = _CONVERT
        elif name == "_+_" and STRING in types and not _NUMBERS.isdisjoint(types):
            fix = "write a number as text: string(…)"
        return f"{BINARY.get(name, name[0])} is not defined on {' and '.join(shown)}", fix
    on = () if target is None else (str(target),)
    given = () if target is not None and not shown else (f"({', '.join(shown)})",)
    return f"{name} is not defined on {' and '.join((*on, *given))}", ""


def _counts(counts: Sequence[int]) -> str:
    if len(counts) > 2 and counts[-1] - counts[0] == len(counts) - 1:
        return f"{counts[0]} to {counts[-1]}"
    return " or ".join(map(str, counts))


def _taken(fitting: Iterable[Overload], target: Type | None) -> str:
    """What there are signatures for; where a method has the right target, its arguments only."""
    signatures = list(fitting)
    if target is not None:
        of_target = [one for one in signatures if one.of is not None and one.of.name == target.name]
        if not of_target or not signatures[0].takes:
            on = list(dict.fromkeys(str(one.of) for one in signatures))
            return f"it is for {', '.join(on)}" if len(on) <= _MOST_SHOWN else ""
        signatures = of_target
    taken = list(dict.fromkeys(f"({', '.join(map(str, one.takes))})" for one in signatures))
    return f"it takes {', '.join(taken)}" if len(taken) <= _MOST_SHOWN else ""
