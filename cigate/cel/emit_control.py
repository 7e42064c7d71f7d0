"""Lowering of what evaluates its parts not at all, once, or often: `&&`, `||`, `?:`, macros and bindings.

`&&` and `||` want both operands before an error counts (cel-spec, langdef.md, "Logical operators"): an operand in
error is set aside, and raised at the end if no other decides. The last operand needs no such care: an error in it
is the outcome, for had one before it decided, it would not be evaluated. `all` and `exists` are `&&` and `||` over
what a loop goes through; the other macros evaluate everything, and any error is theirs.

A binding is a nested function that keeps what it gives, an error too, and is called where the variable is read.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cigate.cel import running
from cigate.cel.emit_python import (
    attribute,
    both,
    call,
    choice,
    constant,
    equals,
    is_not,
    name,
    negated,
    pair,
    sequence,
)
from cigate.cel.error import EvaluationError
from cigate.cel.library.lists import sort_by_keys
from cigate.cel.operators import has, items, make_map, pairs
from cigate.cel.syntax import OR, Bind, Call, Comprehension, Has, Node, walk
from cigate.cel.values import NONE, NOTHING, Optional

if TYPE_CHECKING:
    from cigate.cel.emit import Emitter

_PARTS: Final = 16
"""Nodes of a loop's body that are evaluated in about the time of one step."""


def logic(emitter: Emitter, node: Call) -> ast.expr:
    """`&&` (which false decides) or `||` (which true decides), of two operands or more."""
    out, deciding = emitter.out, node.function == OR
    operands = _flat(node)
    risky = [not (emitter.cannot_fail(one) and emitter.is_bool(one)) for one in operands[:-1]]
    found, error = out.fresh(), out.fresh()
    if any(risky):
        out.assign(error, constant(None))
    for operand, is_risky in zip(operands, (*risky, False), strict=True):
        with out.apart() as written:
            if is_risky:
                with _set_aside(emitter, error, found, instead=not deciding):
                    out.assign(found, emitter.truth(operand))
            else:
                out.assign(found, emitter.truth(operand))
        if operand is operands[0]:
            out.block.extend(written)
        else:
            out.either(_undecided(found, deciding), written, [])
    if any(risky):
        with out.when(both(is_not(name(error), constant(None)), _undecided(found, deciding))):
            _raise_again(emitter, error)
    return name(found)


def _flat(node: Call) -> list[Node]:
    """The operands of a tree of one operator, which is associative, whatever the errors."""
    operands: list[Node] = []
    waiting: list[Node] = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Call) and found.function == node.function and found.target is None:
            waiting.extend(reversed(found.arguments))
        else:
            operands.append(found)
    return operands


def _undecided(found: str, deciding: bool) -> ast.expr:
    return negated(name(found)) if deciding else name(found)


@contextmanager
def _set_aside(emitter: Emitter, error: str, found: str, *, instead: bool) -> Iterator[None]:
    """Keep an error of what is written within, and go on as if it had not decided."""
    out = emitter.out

    def handle(caught: ast.expr) -> None:
        out.assign(error, call(attribute(caught, "with_traceback"), constant(None)))
        out.assign(found, constant(instead))

    with out.attempt(out.known(EvaluationError), handle):
        yield


def _raise_again(emitter: Emitter, error: str) -> None:
    emitter.out.do(emitter.apply(running.raise_again, name(error)))


def ternary(emitter: Emitter, condition: Node, yes: Node, no: Node) -> ast.expr:
    """`condition ? yes : no`, of which one branch is evaluated."""
    out = emitter.out
    if emitter.is_known(condition) and type(emitter.known(condition)) is bool:
        return emitter.value(yes if emitter.known(condition) else no)
    test = out.held(emitter.truth(condition))
    with out.apart() as if_true:
        one = emitter.value(yes)
    with out.apart() as if_false:
        other = emitter.value(no)
    if not if_true and not if_false:
        return choice(test, one, other)
    found = out.fresh()
    for block, value in ((if_true, one), (if_false, other)):
        with out.apart() as assigned:
            out.assign(found, value)
        block.extend(assigned)
    out.either(test, if_true, if_false)
    return name(found)


def forgiving_has(emitter: Emitter, node: Has) -> ast.expr:
    """`has` of a declared field, which is not there if its group is not known."""
    out = emitter.out
    found = out.fresh()

    def handle(caught: ast.expr) -> None:
        out.assign(found, emitter.apply(running.absent, caught))

    with out.attempt(out.known(EvaluationError), handle):
        out.assign(found, emitter.apply(has, emitter.value(node.operand), constant(node.field)))
    return name(found)


def binding(emitter: Emitter, node: Bind) -> ast.expr:
    """`cel.bind(variable, value, body)`."""
    out = emitter.out
    if emitter.cannot_fail(node.value):
        value = out.held(emitter.value(node.value))
        return emitter.bound({node.variable: _reader(value)}).value(node.body)
    kept = out.fresh()
    out.assign(kept, out.known(NOTHING))

    def work_out() -> ast.expr:
        out.outer(kept)

        def handle(caught: ast.expr) -> None:
            out.assign(kept, call(attribute(caught, "with_traceback"), constant(None)))

        with out.attempt(out.known(EvaluationError), handle):
            out.assign(kept, emitter.value(node.value))
        return name(kept)

    worked_out = out.function(work_out)

    def read() -> ast.expr:
        known = choice(is_not(name(kept), out.known(NOTHING)), name(kept), call(worked_out))
        return emitter.apply(running.worked_out, known)

    return emitter.bound({node.variable: read}).value(node.body)


# -- macros


def comprehension(emitter: Emitter, node: Comprehension) -> ast.expr:
    """A macro that goes through a list, a map or an optional."""
    match node.kind:
        case "all" | "exists":
            return _quantified(emitter, node)
        case "exists_one" | "existsOne":
            return _exactly_one(emitter, node)
        case "optMap" | "optFlatMap":
            return _of_optional(emitter, node)
        case "sortBy":
            return _sorted(emitter, node)
        case _:
            return _collected(emitter, node)


@contextmanager
def _round(
    emitter: Emitter, node: Comprehension, over: ast.expr
) -> Iterator[tuple[Emitter, list[ast.expr], list[ast.stmt]]]:
    """One round of a loop: what lowers its body, its variables, and what is done after the last round."""
    out = emitter.out
    names = [node.variable, node.second] if node.second else [node.variable]
    variables = tuple(out.fresh() for _ in names)
    over = emitter.apply(pairs if node.second else items, over)
    if out.loops:
        over = out.held(over)
        emitter.spend(emitter.apply(running.begun, over))
    with out.loop(variables, over) as after:
        emitter.spend(constant(1 + _parts(node) // _PARTS))
        values: list[ast.expr] = [name(one) for one in variables]
        readers = {called: _reader(value) for called, value in zip(names, values, strict=True)}
        yield emitter.bound(readers), values, after


def _parts(node: Comprehension) -> int:
    return sum(1 for argument in node.arguments for _ in walk(argument))


def _reader(value: ast.expr) -> Callable[[], ast.expr]:
    return lambda: value


def _quantified(emitter: Emitter, node: Comprehension) -> ast.expr:
    """`all`, which false decides, or `exists`, which true decides."""
    out, deciding = emitter.out, node.kind == "exists"
    (predicate,) = node.arguments
    found, error = out.fresh(), out.fresh()
    out.assign(found, constant(not deciding))
    out.assign(error, constant(None))
    with _round(emitter, node, emitter.value(node.operand)) as (inside, _, after):
        if inside.cannot_fail(predicate) and inside.is_bool(predicate):
            out.assign(found, inside.truth(predicate))
        else:
            with _set_aside(inside, error, found, instead=not deciding):
                out.assign(found, inside.truth(predicate))
        with out.when(name(found) if deciding else negated(name(found))):
            out.leave()
        with out.apart() as undecided:
            with out.when(is_not(name(error), constant(None))):
                _raise_again(emitter, error)
        after.extend(undecided)
    return name(found)


def _exactly_one(emitter: Emitter, node: Comprehension) -> ast.expr:
    """`exists_one`, which goes through all that there is."""
    out = emitter.out
    (predicate,) = node.arguments
    count = out.fresh()
    out.assign(count, constant(0))
    with _round(emitter, node, emitter.value(node.operand)) as (inside, _, _after):
        with out.when(inside.truth(predicate)):
            out.increment(count)
    return equals(name(count), constant(1))


def _collected(emitter: Emitter, node: Comprehension) -> ast.expr:
    """What makes a list or a map: `filter`, `map` and the transformations, the filter before what is made."""
    out = emitter.out
    made = out.fresh()
    out.assign(made, sequence([]))
    with _round(emitter, node, emitter.value(node.operand)) as (inside, variables, _after):
        *filters, last = (None, *node.arguments) if node.kind != "filter" else (*node.arguments, None)
        with out.apart() as kept:
            value = variables[0] if last is None else inside.value(last)
            if node.kind == "transformMap":
                value = pair(variables[0], value)
            if node.kind == "transformMapEntry":
                entries = out.held(emitter.apply(running.entries_of, value))
                emitter.spend(emitter.apply(running.begun, entries))
                out.do(call(attribute(name(made), "extend"), entries))
            else:
                out.do(call(attribute(name(made), "append"), value))
        predicate = filters[-1]
        if predicate is None:
            out.block.extend(kept)
        else:
            out.either(inside.truth(predicate), kept, [])
    is_map = node.kind in ("transformMap", "transformMapEntry")
    return emitter.apply(make_map, name(made)) if is_map else name(made)


def _sorted(emitter: Emitter, node: Comprehension) -> ast.expr:
    """`sortBy`: the items of a list in the order of what is worked out for each."""
    out = emitter.out
    (key,) = node.arguments
    over = out.held(emitter.value(node.operand))
    keys = out.fresh()
    out.assign(keys, sequence([]))
    with _round(emitter, node, over) as (inside, _, _after):
        out.do(call(attribute(name(keys), "append"), inside.value(key)))
    emitter.spend(emitter.apply(running.size, name(keys)))
    return emitter.apply(sort_by_keys, over, name(keys))


def _of_optional(emitter: Emitter, node: Comprehension) -> ast.expr:
    """`optMap` and `optFlatMap`: of what an optional holds, if it holds anything."""
    out = emitter.out
    (body,) = node.arguments
    over = out.held(emitter.value(node.operand))
    found, value = out.fresh(), out.fresh()
    with out.apart() as if_present:
        out.assign(value, attribute(over, "value"))
        inside = emitter.bound({node.variable: _reader(name(value))})
        wrap = Optional if node.kind == "optMap" else running.optional
        out.assign(found, emitter.apply(wrap, inside.value(body)))
    with out.apart() as if_none:
        out.assign(found, out.known(NONE))
    out.either(emitter.apply(running.present, over), if_present, if_none)
    return name(found)
