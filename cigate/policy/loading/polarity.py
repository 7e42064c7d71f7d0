"""Presence tests by polarity: a fact that goes missing must never open anything (threats B4).

Theory of operation. Take a fact away and read a rule again. An expression without presence tests keeps its
value or becomes an error, and an error denies; so it can't open. `has(x)` is the exception: it turns from
true to false. Under `&&`, `||` and `!` alone a formula moves one way when its parts move one way, so it is
enough to
look at the sign with which each test stands: in an allow rule it must be positive (an absent fact can only
make the rule false), in a rule that restricts it must be negated (an absent fact can only make it true).
Where a test stands anywhere else, inside a ternary or a comparison, nothing is known about its sign, and it
is refused.

An optional with a default is one as well, and its default is the sign: `x.?y.orValue(false)` can only turn false
when the fact goes missing, `x.?y.orValue(true)` only true. Any other use of an optional is refused: an optional
that is none is an absent fact in another form.

Looking at a whole map is a presence test too: it shows which facts are there. `"k" in map` is `has(map.k)`;
`size(map) > n` and `map != {}` are positive, `size(map) < n` and `map == {}` negated; any other use is
refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from attrs import frozen

from cigate import cel
from cigate.cel.rendering import render_readable
from cigate.cel.syntax import (
    AND,
    IN,
    NOT,
    OR,
    Bind,
    Call,
    Comprehension,
    Has,
    Index,
    Literal,
    MapOf,
    Node,
    Select,
    children,
)

_GROWS: Final = {"_>_": True, "_>=_": True, "_<_": False, "_<=_": False}
"""Whether `size(map) <relation> n` turns true as the map gets more members."""


@frozen
class Test:
    """A presence test.

    Args:
        node: the whole of it.
        positive: it can only turn false when facts go missing (`has(x)`); otherwise only true (`size(m) <
            3`).
        path: the fact that it asks about; None where that is the map as a whole.
    """

    node: Node
    positive: bool
    path: str | None


@frozen
class Misplaced:
    """A presence test with the wrong sign, or of unknown sign: where, what, and the idiom that is right."""

    at: int
    message: str
    fix: str


def _path(node: Node, bound: Collection[str] = ()) -> str | None:
    """The dotted path of a fact or a group, unless its root is the variable of a comprehension around it."""
    path = cel.path_of(node)
    return None if path is None or path.partition(".")[0] in bound else path


def presence(node: Node, maps: Collection[str]) -> Test | None:
    """The presence test that this node itself is, if it is one; `maps` are the paths with facts below."""
    match node:
        case Has(operand=operand, field=name):
            above = _path(operand)
            return Test(node, positive=True, path=None if above is None else f"{above}.{name}")
        case Call(function="hasValue", target=Select() | Index() as asked, arguments=()):
            return Test(node, positive=True, path=_path(asked)) if _is_optional_path(asked) else None
        case Call(
            function="orValue",
            target=Select() | Index() as asked,
            arguments=(Literal(value=bool() as default),),
        ):
            return Test(node, positive=not default, path=_path(asked)) if _is_optional_path(asked) else None
        case Call(function=function, target=None, arguments=(key, whole)) if function == IN:
            path = _map_path(whole, maps)
            if path is None:
                return None
            return Test(node, positive=True, path=_path(Index(node.at, whole, key)))
        case Call(function=function, target=None, arguments=(left, right)):
            grows = _growth(function, left, right, maps)
            return None if grows is None else Test(node, positive=grows, path=None)
        case _:
            return None


def misplaced(node: Node, *, opens: bool, maps: Collection[str]) -> Misplaced | None:
    """The first presence test of a rule's expression that could open something when a fact goes missing.

    Args:
        node: the whole expression, with variables replaced by what they stand for.
        opens: whether it belongs to an allow rule.
        maps: the paths that have facts below them, groups and open maps.
    """
    return _misplaced(node, opens, maps, negated=False)


def _misplaced(node: Node, opens: bool, maps: Collection[str], *, negated: bool) -> Misplaced | None:
    match node:
        case Call(function=function, target=None, arguments=parts) if function in (AND, OR, NOT):
            turned = negated != (function == NOT)
            found = (_misplaced(part, opens, maps, negated=turned) for part in parts)
            return next((one for one in found if one is not None), None)
    test = presence(node, maps)
    if test is None:
        buried = next(_inside(node, maps, ()), None)
        return (
            None
            if buried is None
            else _refuse(buried, opens, "here nobody can tell what it does when a fact is unknown")
        )
    asked = isinstance(node, Has)
    for part in children(node) if not _asks_optional(node) else ():
        if not asked and part == _whole(node, maps):
            continue
        buried = next(_inside(part, maps, (), selected=asked), None)
        if buried is not None:
            return _refuse(buried, opens, "it may not stand inside another presence test")
    if (test.positive != negated) != opens:
        why = (
            "the rule would open when the fact is unknown"
            if opens
            else "the rule would not fire when the fact is unknown"
        )
        return _refuse(node, opens, why)
    return None


def _refuse(node: Node, opens: bool, why: str) -> Misplaced:
    match node:
        case Has():
            asked = render_readable(node)
            fact = asked[4:-1]
        case _:
            asked, fact = render_readable(node), "x"
    idiom = f"has({fact}) && …, positive only" if opens else f"!has({fact}) || …, as in !has(x) || x > 30"
    fix = f"write {idiom}, under &&, || and ! alone, or say on_unknown: ignore"
    return Misplaced(node.at, f"{_short(asked)} is a presence test, and {why}", fix)


def _short(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _inside(
    node: Node, maps: Collection[str], bound: tuple[str, ...], *, selected: bool = False
) -> Iterator[Node]:
    """Every presence test in an expression: `has()`, optional selection, a map that is looked at as a whole.

    `selected` says that one member of this node is asked for, which shows nothing of the map around it.
    """
    path = _path(node, bound)
    if path is not None and path in maps and not selected:
        yield node
        return
    match node:
        case Has():
            yield node
        case Select(optional=True) | Index(optional=True):
            yield node
        case Select(operand=operand):
            yield from _inside(operand, maps, bound, selected=True)
        case Index(operand=operand, index=index):
            yield from _inside(operand, maps, bound, selected=True)
            yield from _inside(index, maps, bound)
        case Comprehension(operand=operand, variable=variable, arguments=arguments, second=second):
            yield from _inside(operand, maps, bound)
            for argument in arguments:
                yield from _inside(argument, maps, (*bound, variable, second))
        case Bind(variable=variable, value=value, body=body):
            yield from _inside(value, maps, bound)
            yield from _inside(body, maps, (*bound, variable))
        case _:
            for child in children(node):
                yield from _inside(child, maps, bound)


def _asks_optional(node: Node) -> bool:
    return isinstance(node, Call) and node.function in ("hasValue", "orValue")


def _is_optional_path(node: Node) -> bool:
    """Whether this is the path of a fact with a step that gives an optional: `device.?posture.age`."""
    if _path(node) is None:
        return False
    while isinstance(node, Select | Index):
        if node.optional:
            return True
        node = node.operand
    return False


def _map_path(node: Node, maps: Collection[str]) -> str | None:
    path = _path(node)
    return path if path in maps else None


def _growth(function: str, left: Node, right: Node, maps: Collection[str]) -> bool | None:
    """Whether a relation turns true as a whole map in it grows (False: as it shrinks); None: neither."""
    for sized, other, turned in ((left, right, False), (right, left, True)):
        if function in ("_==_", "_!=_"):
            empty = (_sized(sized, maps) is not None and _is_zero(other)) or (
                _map_path(sized, maps) is not None and other == MapOf(0, ())
            )
            if empty:
                return function == "_!=_"
        elif function in _GROWS and _sized(sized, maps) is not None:
            return _GROWS[function] != turned
    return None


def _sized(node: Node, maps: Collection[str]) -> Node | None:
    """The map whose size this is: `size(map)`, `map.size()`."""
    match node:
        case (
            Call(function="size", target=None, arguments=(whole,))
            | Call(function="size", target=whole, arguments=())
        ):
            return whole if whole is not None and _map_path(whole, maps) is not None else None
        case _:
            return None


def _is_zero(node: Node) -> bool:
    return isinstance(node, Literal) and type(node.value) is int and node.value == 0


def _whole(node: Node, maps: Collection[str]) -> Node | None:
    """The side of a relation that looks at a whole map."""
    return next(
        (
            part
            for part in children(node)
            if _map_path(part, maps) is not None or _sized(part, maps) is not None
        ),
        None,
    )
