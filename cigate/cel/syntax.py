"""What an expression says: the nodes that parsing gives, checking reads and a program evaluates.

A node knows where it stands in the source (`at`, a character offset, which takes no part in equality:
the same expression laid out otherwise is the same expression). Operators are calls, as in CEL's own
syntax tree, so that nothing downstream needs a second kind of node for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from attrs import field, frozen
from typing_extensions import override

AND: Final = "_&&_"
OR: Final = "_||_"
NOT: Final = "!_"
TERNARY: Final = "_?_:_"
NEGATE: Final = "-_"
IN: Final = "@in"

RELATIONS: Final = {"_==_": "==", "_!=_": "!=", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=", IN: "in"}
SUMS: Final = {"_+_": "+", "_-_": "-"}
PRODUCTS: Final = {"_*_": "*", "_/_": "/", "_%_": "%"}
BINARY: Final = {OR: "||", AND: "&&", **RELATIONS, **SUMS, **PRODUCTS}
OPERATORS: Final = frozenset(BINARY) | {NOT, NEGATE, TERNARY}

MACROS: Final = {
    "all": (2, 3),
    "exists": (2, 3),
    "exists_one": (2, 3),
    "existsOne": (2, 3),
    "map": (2, 3),
    "filter": (2,),
    "transformList": (3, 4),
    "transformMap": (3, 4),
    "transformMapEntry": (3, 4),
    "optMap": (2,),
    "optFlatMap": (2,),
    "sortBy": (2,),
}
"""The comprehension macros, and how many arguments each takes (a variable counts as one)."""


class UInt(int):
    """An unsigned integer of CEL (`3u`): 64 bits, and never equal in type to a plain integer."""

    @override
    def __repr__(self) -> str:
        return f"UInt({int(self)})"


def _identity(value: object) -> tuple[type, object]:
    return type(value), str(value) if isinstance(value, float) else value  # 0.0 and -0.0 are two constants


@frozen
class Literal:
    """A constant. `1`, `1.0`, `1u` and `true` are four different ones, whatever Python says of them."""

    at: int = field(eq=False)
    value: bool | int | float | str | bytes | None = field(eq=_identity)


@frozen
class Name:
    """An identifier: a fact, a group of facts, a variable or a type; `absolute` if written `.name`."""

    at: int = field(eq=False)
    name: str
    absolute: bool = False


@frozen
class Select:
    """`operand.field`, or `operand.?field` if `optional`."""

    at: int = field(eq=False)
    operand: Node
    field: str
    optional: bool = False


@frozen
class Index:
    """`operand[index]`, or `operand[?index]` if `optional`."""

    at: int = field(eq=False)
    operand: Node
    index: Node
    optional: bool = False


@frozen
class Has:
    """`has(operand.field)`: is the field there?"""

    at: int = field(eq=False)
    operand: Node
    field: str


@frozen
class Call:
    """`function(arguments)`, `target.function(arguments)`, or an operator (`_&&_`) on its operands.

    A qualified function (`math.greatest(x, y)`) has its whole name in `function` and no target, once checked.
    """

    at: int = field(eq=False)
    function: str
    target: Node | None
    arguments: tuple[Node, ...]


@frozen
class ListOf:
    """`[a, b]`; the items at the places in `optional` are written `?item` and left out where they are none."""

    at: int = field(eq=False)
    items: tuple[Node, ...]
    optional: tuple[int, ...] = ()


@frozen
class MapOf:
    """`{key: value}`, in the order of the source; `optional` has the places of the entries written `?key: value`."""

    at: int = field(eq=False)
    entries: tuple[tuple[Node, Node], ...]
    optional: tuple[int, ...] = ()


@frozen
class Comprehension:
    """`operand.kind(variable, argument)`, one of `MACROS`; `second` is the other variable of a two-variable form.

    With one variable it goes through a list's items or a map's keys; with two the first is a list's index or a
    map's key, and the second the item or the value. `map`, `transformList` and the like take their filter first.
    `optMap` and `optFlatMap` go through an optional.
    """

    at: int = field(eq=False)
    kind: str
    operand: Node
    variable: str
    arguments: tuple[Node, ...]
    second: str = ""


@frozen
class Bind:
    """`cel.bind(variable, value, body)`: the value is worked out once, at most, where the body reads it."""

    at: int = field(eq=False)
    variable: str
    value: Node
    body: Node


Node: TypeAlias = Literal | Name | Select | Index | Has | Call | ListOf | MapOf | Comprehension | Bind


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below this one, in the order of the source."""
    return _CHILDREN[type(node)](node)


_CHILDREN: Final[
    Mapping[type, Callable[[Any], tuple[Node, ...]]]
] = {  # by a table: all of loading goes through it
    Literal: lambda node: (),
    Name: lambda node: (),
    Select: lambda node: (node.operand,),
    Has: lambda node: (node.operand,),
    Index: lambda node: (node.operand, node.index),
    Call: lambda node: node.arguments if node.target is None else (node.target, *node.arguments),
    ListOf: lambda node: node.items,
    MapOf: lambda node: tuple([part for entry in node.entries for part in entry]),
    Comprehension: lambda node: (node.operand, *node.arguments),
    Bind: lambda node: (node.value, node.body),
}


def walk(node: Node) -> Iterator[Node]:
    """This node and all below it, each before what is below it, left to right."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        yield found
        below = _CHILDREN[type(found)](found)
        waiting += below[::-1]


def path_of(node: Node) -> str | None:
    """The dotted path that a chain of selections names (`device.posture.x`); None if it is no such chain."""
    match node:
        case Name(name=name):
            return name
        case Select(operand=operand, field=name) | Index(operand=operand, index=Literal(value=str() as name)):
            before = path_of(operand)
            return None if before is None else f"{before}.{name}"
        case _:
            return None


def line_column(source: str, at: int) -> tuple[int, int]:
    """The line and the column of a character offset, both counted from 1."""
    before = source[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
