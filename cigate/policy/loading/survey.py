"""What an expression contains, found in one walk, so that most rules need no closer look."""

from __future__ import annotations

from collections.abc import Collection

from attrs import frozen

from cigate.cel.syntax import (
    Bind,
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
    path_of,
)


@frozen(eq=False, repr=False)
class Survey:
    """What was found.

    Args:
        paths: the dotted paths of all that is read, variables of macros among them.
        binds: the variables that its macros make.
        may_ask: whether it may have a presence test; without one no closer look is needed.
        gathers: whether it makes or goes through a list, a map or an optional of more than constants.
    """

    paths: frozenset[str]
    binds: tuple[str, ...]
    may_ask: bool
    gathers: bool


def survey(node: Node, maps: Collection[str]) -> Survey:
    """Look an expression over; `maps` are the paths with facts below them."""
    paths: set[str] = set()
    binds: list[str] = []
    may_ask = gathers = False
    waiting = [node]
    while waiting:
        part = waiting.pop()
        kind = type(part)
        if kind is Literal:
            continue
        if kind is Name or kind is Select or kind is Index:
            path = path_of(part)
            if path is not None:
                paths.add(path)
                may_ask = may_ask or path in maps
                gathers = gathers or _is_optional(part)
                continue
            gathers = gathers or _is_optional(part)
        elif kind is Has:
            may_ask = True
        elif kind is ListOf or kind is MapOf:
            below = children(part)
            gathers = gathers or not all(type(one) is Literal for one in below)
        elif isinstance(part, Comprehension):
            gathers = True
            binds += [part.variable, *([part.second] if part.second else [])]
        elif isinstance(part, Bind):
            gathers = True
            binds.append(part.variable)
        waiting += children(part)
    return Survey(frozenset(paths), tuple(binds), may_ask or gathers, gathers)


def _is_optional(node: Node) -> bool:
    while isinstance(node, Select | Index):
        if node.optional:
            return True
        node = node.operand
    return False
