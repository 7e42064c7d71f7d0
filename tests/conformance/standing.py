"""How an engine does in one conformance test, and in all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

from cigate import cel
from cigate.cel.functions import Function, Overload
from tests.conformance.cases import Case, Json, case, excluded, type_of
from tests.conformance.suite import whole_suite
from tests.oracles.engines import OURS, Engine, agree, attempt
from tests.oracles.outcome import Failed, Outcome


@cache
def in_scope() -> tuple[Case, ...]:
    """The cases that need no protobuf message, in the order of the suite.

    Raises:
        SuiteMissing: the suite can't be had.
    """
    return tuple(
        case(each["section"], each["test"], each["type"])
        for each in whole_suite()
        if excluded(each["section"], each["test"]) is None
    )


def standings(engine: Engine) -> Counter[str]:
    """How many cases of each file of the suite an engine passes."""
    return Counter(one.section.partition("/")[0] for one in in_scope() if passes(engine, one))


def passes(engine: Engine, one: Case) -> bool:
    """Does it give the outcome, and the type where that is asked?

    A peer that checks no types is asked for the outcome only; a case that is about a type alone it does not pass.
    """
    if engine is OURS:
        deduced, found = ours(one)
        return deduced in (None, one.deduced) and (one.expected is None or found == one.expected)
    if one.expected is None:
        return False
    run = engine.prepare(one.source, one.names, container=one.container, checked=one.checked)
    return agree(engine, run(one.bindings), one.expected)


def ours(one: Case) -> tuple[str | None, Outcome]:
    """What ours comes to: the type, where the case asks for it, and the outcome."""
    try:
        program = compiled(one)
    except cel.CompileError as error:  # what is wrong for every input is found at load
        return ("none, for it does not compile" if one.deduced else None), Failed(str(error))
    deduced = None if one.deduced is None else str(program.type)
    return deduced, None if one.expected is None else attempt(program, one.bindings)


def compiled(one: Case) -> cel.Program:
    """The expression of a case by ours, its types checked where the case has it so."""
    return cel.compile(
        one.source,
        declarations=cel.Declarations.of(one.names) if one.checked else None,
        container=one.container,
        functions=tuple(_function(name, overloads) for name, overloads in one.functions),
    )


def _function(name: str, overloads: Iterable[Json]) -> Function:
    """A function that the suite declares. Cases with one are about types, so nobody calls it."""
    signatures = tuple(
        Overload(tuple(type_of(each) for each in one.get("params", ())), type_of(one["resultType"]))
        for one in overloads
    )
    return Function(name, signatures, lambda *_: None)
