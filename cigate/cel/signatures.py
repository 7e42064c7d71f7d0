"""Calls against signatures: what a function gives for arguments of some types, or why it takes none such."""

from __future__ import annotations

from functools import lru_cache

from cigate.cel.functions import Function
from cigate.cel.syntax import BINARY, OPERATORS
from cigate.cel.types import DYN, Type
from cigate.cel.unification import Substitution


def given(known: Function, target: Type | None, types: tuple[Type, ...], found: Substitution) -> Type | None:
    """What a call gives: dyn where several signatures fit and differ; None if none fits.

    Args:
        known: the function.
        target: what it is called on; None for a global call.
        types: of its arguments.
        found: what is known of the parameters in them, and learns what this call says.
    """
    if (target is not None and target.is_open) or any(kind.is_open for kind in types):
        return _given(known, target, types, found)
    kind = _of_closed(known, target, types)
    if kind is None or not kind.is_open:
        return kind
    return found.renamed((kind,))[0]  # what is open there is of that signature, not of this call


@lru_cache(maxsize=4096)
def _of_closed(known: Function, target: Type | None, types: tuple[Type, ...]) -> Type | None:
    return _given(known, target, types, Substitution())


def _given(known: Function, target: Type | None, types: tuple[Type, ...], found: Substitution) -> Type | None:
    given: Type | None = None
    for one in known.overloads:
        if (one.of is None) != (target is None) or len(one.takes) != len(types):
            continue
        wanted = (*one.takes, one.gives) if one.of is None else (one.of, *one.takes, one.gives)
        if any(kind.is_open for kind in wanted):
            wanted = found.renamed(wanted)
        if not found.all_fit(zip(types if target is None else (target, *types), wanted[:-1], strict=True)):
            continue
        gives = found.known(wanted[-1])
        if given is not None and given != gives:
            return DYN
        given = gives
    return given


def misfit(name: str, known: Function, target: Type | None, types: tuple[Type, ...]) -> tuple[str, str, str]:
    """Why a function takes no such arguments: the code of the error, its message and the way out."""
    styled = [one for one in known.overloads if (one.of is None) == (target is None)]
    if not styled:
        fix = "call it on a value: x.f()" if target is None else "call it as f(x)"
        return "cel.arguments", f"{name} is not called that way", fix
    counts = sorted({len(one.takes) for one in styled})
    if len(types) not in counts:
        wanted = " or ".join(map(str, counts))
        return "cel.arguments", f"{name} takes {wanted} arguments; found {len(types)}", ""
    return "cel.type", not_defined(name, target, types), ""


def not_defined(name: str, target: Type | None, types: tuple[Type, ...]) -> str:
    """That a function or an operator is not for operands of these types."""
    shown = tuple(map(str, types))
    if name in OPERATORS:
        return f"{BINARY.get(name, name[0])} is not defined on {' and '.join(shown)}"
    on = "" if target is None else f"{target} and "
    return f"{name} is not defined on {on}({', '.join(shown)})"
