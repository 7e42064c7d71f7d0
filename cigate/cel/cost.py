"""The static bound: what an expression may cost at worst, said before any fact is known (threats B8).

Loops within loops multiply: each goes through its list as often as the one around it has rounds. That is followed
through the tree with what the tree shows: a list that is written out has its items, one among the facts may have
`MOST_ITEMS`, and so may each of its items unless it is declared to be plain. What is really there is counted when
it runs (`running.MAX_STEPS`), and may be refused then; what is refused here would be a trap for its author.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import Factory, evolve, frozen

from cigate.cel.error import CompileError
from cigate.cel.syntax import (
    TERNARY,
    Bind,
    Call,
    Comprehension,
    ListOf,
    MapOf,
    Name,
    Node,
    Select,
    children,
    walk,
)
from cigate.cel.types import Declarations, Type

MOST_ITEMS: Final = 1_000
"""Items that a list or map among the facts is taken to have at most."""

MAX_WORK: Final = 100_000_000
"""Operations of one evaluation at worst: two loops over facts, one in the other, and a hundred operations in them."""

_PLAIN: Final = frozenset(
    {"bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration", "null_type", "type"}
)
_BOOLEAN: Final = frozenset({"all", "exists", "exists_one", "existsOne"})
_ONCE: Final = frozenset({"optMap", "optFlatMap"})


def bound(node: Node, declarations: Declarations | None, source: str) -> None:
    """Refuse what may cost too much.

    Args:
        node: what `check` accepted.
        declarations: with which it was checked.
        source: the text that was parsed, for the place and the caret of the error.

    Raises:
        CompileError: `cel.too-large`.
    """
    if any(type(part) is Comprehension for part in walk(node)):  # all else takes as long as it is written
        _Estimate(source, declarations).of(node)


@frozen(eq=False, repr=False)
class _Cost:
    """What a node may cost at most.

    Attributes:
        work: operations to evaluate it.
        items: how many items its value has, if it is a container.
        nested: how many items each of those may have.
    """

    work: int
    items: int = 1
    nested: int = 1


@frozen(eq=False, repr=False)
class _Estimate:
    source: str
    declarations: Declarations | None
    scope: Mapping[str, _Cost] = Factory(dict)

    def of(self, node: Node) -> _Cost:
        cost = self.cost(node)
        if cost.work > MAX_WORK:
            raise CompileError.at(
                self.source,
                node.at,
                "cel.too-large",
                f"with lists of {MOST_ITEMS} items this takes more than {MAX_WORK} operations",
                fix="nest fewer macros over facts",
            )
        return cost

    def cost(self, node: Node) -> _Cost:
        match node:
            case Name() if node.name in self.scope and not node.absolute:
                return self.scope[node.name]
            case Name() | Select() if (kind := _declared(node, self.declarations)) is not None:
                return _of_type(kind)
            case Name():
                return _Cost(1, MOST_ITEMS, MOST_ITEMS)
            case ListOf() | MapOf():
                parts = [self.of(part) for part in children(node)]
                items = len(node.items if isinstance(node, ListOf) else node.entries)
                return _Cost(_work(parts), max(items, 1), max((part.items for part in parts), default=1))
            case Comprehension():
                return self.loop(node)
            case Bind():
                value = self.of(node.value)
                inside = evolve(self, scope={**self.scope, node.variable: evolve(value, work=1)})
                body = inside.of(node.body)
                return evolve(body, work=body.work + value.work)
            case _:
                parts = [self.of(part) for part in children(node)]
                within = parts[1:] if isinstance(node, Call) and node.function == TERNARY else parts
                items = sum(part.items for part in within)
                # what is read from a container of containers may be either; a function may join or flatten them
                return _Cost(_work(parts), max(items, 1), max((part.nested for part in within), default=1))

    def loop(self, node: Comprehension) -> _Cost:
        over = self.of(node.operand)
        item = _Cost(1, over.nested, over.nested)
        inside = evolve(self, scope={**self.scope, node.variable: item, node.second: item})
        parts = [inside.of(argument) for argument in node.arguments]
        rounds = 1 if node.kind in _ONCE else over.items
        work = over.work + rounds * _work(parts)
        if node.kind in _BOOLEAN:
            return _Cost(work)
        if node.kind in ("filter", "sortBy"):
            return _Cost(work, over.items, over.nested)
        made = rounds * parts[-1].items if node.kind in ("transformMapEntry", *_ONCE) else rounds
        return _Cost(work, made, parts[-1].items)


def _work(parts: list[_Cost]) -> int:
    return 1 + sum(part.work for part in parts)


def _of_type(kind: Type) -> _Cost:
    """What it costs to read a fact of a type."""
    if kind.name in _PLAIN:
        return _Cost(1)
    if kind.name in ("list", "map") and all(argument.name in _PLAIN for argument in kind.arguments):
        return _Cost(1, MOST_ITEMS)
    return _Cost(1, MOST_ITEMS, MOST_ITEMS)


def _declared(node: Node, declarations: Declarations | None) -> Type | None:
    """The type of a path of declared names."""
    if declarations is None:
        return None
    match node:
        case Name(name=name):
            return declarations.names.member(name)
        case Select(operand=operand, field=field, optional=False):
            of = _declared(operand, declarations)
            return None if of is None or not of.is_record else of.member(field)
        case _:
            return None
