"""Calls against signatures: what a function gives for arguments of some types, or that it takes none such."""

from __future__ import annotations

from functools import lru_cache

from cigate.cel.functions import Function
from cigate.cel.types import DYN, NULL, Type
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
        operands = types if target is None else (target, *types)
        if NULL in operands and any(map(_is_null_for_another, operands, wanted)):
            continue
        if not found.all_fit(zip(operands, wanted[:-1], strict=True)):
            continue
        gives = found.known(wanted[-1])
        if given is not None and given != gives:
            return DYN
        given = gives
    return given


def _is_null_for_another(operand: Type, wanted: Type) -> bool:
    """Null stands beside a time in a list, as in messages of old, but no function takes it for one."""
    return operand == NULL and wanted not in (NULL, DYN) and not wanted.parameter
