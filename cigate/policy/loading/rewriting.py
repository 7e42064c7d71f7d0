"""Changing an expression's tree: variables put in place, every node rebuilt from changed parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import evolve

from cigate.cel.syntax import (
    Bind,
    Call,
    Comprehension,
    Has,
    Index,
    ListOf,
    Literal,
    MapOf,
    Name,
    Node,
    Select,
    children,
)

VARIABLES = "variables"


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same node over changed parts."""
    match node:
        case Literal() | Name():
            return node
        case Select() | Has():
            return evolve(node, operand=change(node.operand))
        case Index():
            return evolve(node, operand=change(node.operand), index=change(node.index))
        case ListOf():
            return evolve(node, items=tuple(change(item) for item in node.items))
        case MapOf():
            return evolve(node, entries=tuple((change(key), change(value)) for key, value in node.entries))
        case Comprehension():
            arguments = tuple(change(argument) for argument in node.arguments)
            return evolve(node, operand=change(node.operand), arguments=arguments)
        case Bind():
            return evolve(node, value=change(node.value), body=change(node.body))
        case Call():
            target = None if node.target is None else change(node.target)
            return evolve(
                node, target=target, arguments=tuple(change(argument) for argument in node.arguments)
            )


def inlined(node: Node, stands: Mapping[str, Node]) -> Node:
    """The expression with each `variables.NAME` replaced by the expression it stands for.

    What comes from a variable gets the place where the variable is used: that is what the author of the
    rule sees.
    """
    match node:
        case Select(at=at, operand=Name(name=root), field=name) if root == VARIABLES and name in stands:
            return _placed(stands[name], at)
        case _:
            return rebuilt(node, lambda part: inlined(part, stands))


def size_and_depth(node: Node) -> tuple[int, int]:
    """How many nodes a tree has, and on how many levels."""
    below = [size_and_depth(child) for child in children(node)]
    return 1 + sum(size for size, _ in below), 1 + max((depth for _, depth in below), default=0)


def _placed(node: Node, at: int) -> Node:
    return evolve(rebuilt(node, lambda part: _placed(part, at)), at=at)
