"""Equality with an open fact: another type than the compared one is an error, not a difference.

CEL says that `"no" == false` is false. For a fact of an open map (posture, history, parameters without a
schema) whose type nobody checked that is the wrong answer here: `device.posture.compliant == false` would
stop denying once a provider sends `"false"`. Doubt means no, so such a comparison is guarded by a
comparison of types, with an error in the other case. An ordering needs no guard: CEL has it between like
types only.

A guard has no place within a list or a map: there `[device.posture.compliant] == [false]` does not load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve

from cigate import cel
from cigate.cel.rendering import render_readable
from cigate.cel.syntax import (
    IN,
    OR,
    TERNARY,
    Bind,
    Call,
    Comprehension,
    ListOf,
    Literal,
    MapOf,
    Node,
    children,
    path_of,
)
from cigate.cel.types import BOOL, DYN, INT, STRING
from cigate.policy.loading.rewriting import rebuilt

_EQUALITIES: Final = ("_==_", "_!=_")
_SAMPLES: Final[Mapping[cel.Type, Node]] = {
    STRING: Literal(0, ""),
    INT: Literal(0, 0),
    BOOL: Literal(0, False),
}


def guarded(node: Node, declarations: cel.Declarations) -> Node:
    """The expression with each comparison of an open fact guarded; it fits `declarations` already.

    Raises:
        CompileError: `cel.type`, an open fact is compared within a list or a map.
    """
    if isinstance(node, Comprehension):
        inside = _inside(node, declarations)
        return evolve(
            node,
            operand=guarded(node.operand, declarations),
            arguments=tuple(guarded(argument, inside) for argument in node.arguments),
        )
    if isinstance(node, Bind):
        bound = _with(declarations, {node.variable: _type(node.value, declarations)})
        return evolve(node, value=guarded(node.value, declarations), body=guarded(node.body, bound))
    found = rebuilt(node, lambda part: guarded(part, declarations))
    return _guarded_call(found, declarations) if isinstance(found, Call) else found


def _guarded_call(call: Call, declarations: cel.Declarations) -> Node:
    if call.target is not None or call.function not in (*_EQUALITIES, IN):
        return call
    left, right = call.arguments
    if _buries(call, declarations):
        raise cel.CompileError(
            "cel.type",
            "this compares a fact of unknown type within a list or a map, where another type would be no error",
            fix="compare the fact itself: fact == value, or fact in [value, value]",
            offset=call.at,
        )
    if call.function == IN:
        if _type(left, declarations) != DYN:
            return call
        likes = _item_samples(right, declarations)
        return call if likes is None else _guard(call, left, likes)
    if Literal(0, None) in (left, right) or DYN not in (
        _type(left, declarations),
        _type(right, declarations),
    ):
        return call
    return _guard(call, left, (right,))


def _buries(call: Call, declarations: cel.Declarations) -> bool:
    """Whether it compares what is within a list or a map, and that has an open fact in it."""

    def is_open(node: Node) -> bool:
        if isinstance(node, ListOf | MapOf):
            return any(map(is_open, children(node)))
        kind = _type(node, declarations)
        # To compare a whole map of facts is a presence test, and judged as one.
        is_optional = kind.name == "optional_type"
        return kind == DYN or ((is_optional or path_of(node) is None) and _has_dyn(kind))

    left, right = call.arguments
    within = [side for side in (left, right) if _type(side, declarations) != DYN]
    if call.function != IN:
        return MapOf(0, ()) not in within and any(map(is_open, within))
    match right:
        case MapOf(entries=entries):
            items = tuple(key for key, _ in entries)
        case ListOf(items=items):
            pass
        case _:
            items = (right,) if _type(right, declarations).name == "list" else ()
    return any(map(is_open, items)) or (left in within and is_open(left))


def _has_dyn(kind: cel.Type) -> bool:
    return kind == DYN or (kind.name != "type" and any(map(_has_dyn, kind.arguments)))


def _item_samples(container: Node, declarations: cel.Declarations) -> tuple[Node, ...] | None:
    """A value of each type that the list, or the keys of the map, have; None where nobody can tell."""
    if isinstance(container, ListOf | MapOf):
        items = (
            container.items if isinstance(container, ListOf) else tuple(key for key, _ in container.entries)
        )
        return tuple({_type(item, declarations): item for item in reversed(items)}.values())
    kind = _type(container, declarations)
    sample = _SAMPLES.get(kind.arguments[0]) if kind.name == "list" else None
    return None if sample is None else (sample,)


def _guard(call: Call, fact: Node, likes: tuple[Node, ...]) -> Node:
    if not likes:
        return call
    at = call.at

    def type_of(node: Node) -> Node:
        return Call(at, "type", None, (node,))

    alike: Node | None = None
    for like in likes:
        same = Call(at, "_==_", None, (type_of(fact), type_of(like)))
        alike = same if alike is None else Call(at, OR, None, (alike, same))
    assert alike is not None
    # Converting a text that is no bool is an error in any evaluator, and this one says what was wrong.
    wrong = Call(at, "bool", None, (Literal(at, f"two types in {render_readable(call)[:200]}"),))
    return Call(at, TERNARY, None, (alike, call, wrong))


def _type(node: Node, declarations: cel.Declarations) -> cel.Type:
    return cel.check(node, declarations)


def _inside(node: Comprehension, declarations: cel.Declarations) -> cel.Declarations:
    """What the arguments of a macro may read: the facts, and its variables."""
    operand = _type(node.operand, declarations)
    match operand.name, operand.arguments:
        case "list", (item,):
            first, second, only = INT, item, item
        case "map", (key, value):
            first, second, only = key, value, key
        case "optional_type", (inner,):
            first, second, only = DYN, DYN, inner
        case _:
            first, second, only = (STRING, DYN, STRING) if operand.is_record else (DYN, DYN, DYN)
    if node.second:
        return _with(declarations, {node.variable: first, node.second: second})
    return _with(declarations, {node.variable: only})


def _with(declarations: cel.Declarations, variables: Mapping[str, cel.Type]) -> cel.Declarations:
    return cel.Declarations.of({**dict(declarations.names.fields or ()), **variables})
