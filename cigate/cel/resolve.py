"""Which declaration a name means: dotted names, containers and qualified functions (langdef.md, "Name Resolution").

In comes what `parse` gave. In what goes out `math.greatest(x)` is one function without a target, and `a.b.c` is
one name wherever that is declared, the longest first and the innermost part of the container first. A variable
of a macro hides all others. Without declarations only functions and types are looked for: how much of a path is a
name is then the facts' to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import evolve, frozen

from cigate.cel.error import CompileError
from cigate.cel.functions import Function
from cigate.cel.macros import spelt
from cigate.cel.syntax import (
    OPERATORS,
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
)
from cigate.cel.types import TYPE_NAMES, Declarations


def resolved(
    node: Node,
    declarations: Declarations | None,
    container: str,
    functions: Mapping[str, Function],
    source: str = "",
) -> Node:
    """The tree with each name as it is declared.

    Raises:
        CompileError: `cel.unknown-name`, `cel.index` or the like is read where no block or macro binds it.
    """
    dotted = bool(container) or (declarations is not None and declarations.dotted)
    return _Resolver(source, declarations, container, functions, dotted).of(node, _NOTHING)


_NOTHING: Final[frozenset[str]] = frozenset()


@frozen(eq=False, repr=False)
class _Resolver:
    source: str
    declarations: Declarations | None
    container: str
    functions: Mapping[str, Function]
    dotted: bool
    """Can a path of names be one name?"""

    def of(self, node: Node, bound: frozenset[str]) -> Node:
        found: Node = _OF[type(node)](self, node, bound)
        return found

    def literal(self, node: Literal, bound: frozenset[str]) -> Node:
        return node

    def has(self, node: Has, bound: frozenset[str]) -> Node:
        operand = self.of(node.operand, bound)
        return node if operand is node.operand else evolve(node, operand=operand)

    def index(self, node: Index, bound: frozenset[str]) -> Node:
        return evolve(node, operand=self.of(node.operand, bound), index=self.of(node.index, bound))

    def items(self, node: ListOf, bound: frozenset[str]) -> Node:
        items = self.each(node.items, bound)
        return node if items is node.items else evolve(node, items=items)

    def entries(self, node: MapOf, bound: frozenset[str]) -> Node:
        entries = tuple((self.of(key, bound), self.of(value, bound)) for key, value in node.entries)
        return evolve(node, entries=entries)

    def comprehension(self, node: Comprehension, bound: frozenset[str]) -> Node:
        operand = self.of(node.operand, bound)
        arguments = self.each(node.arguments, bound | {node.variable, node.second})
        return evolve(node, operand=operand, arguments=arguments)

    def bind(self, node: Bind, bound: frozenset[str]) -> Node:
        body = self.of(node.body, bound | {node.variable})
        return evolve(node, value=self.of(node.value, bound), body=body)

    def each(self, nodes: tuple[Node, ...], bound: frozenset[str]) -> tuple[Node, ...]:
        found = [self.of(node, bound) for node in nodes]
        for one, other in zip(found, nodes, strict=True):
            if one is not other:
                return tuple(found)
        return nodes

    def name(self, node: Name, bound: frozenset[str]) -> Name:
        if node.absolute or node.name in bound:
            return node
        if node.name[0] == "@":
            raise CompileError.at(
                self.source, node.at, "cel.unknown-name", f"{spelt(node.name)} is not bound here"
            )
        return (self.declared(node, node.name) or node) if self.container else node

    def select(self, node: Select, bound: frozenset[str]) -> Node:
        root = _root(node)
        if root is None:
            operand = self.of(node.operand, bound)
            return node if operand is node.operand else evolve(node, operand=operand)
        if not self.dotted and root.name != "google" and root.name[0] != "@":
            return node
        if root.absolute or root.name not in bound:
            found = self.declared(root, _path(node))
            if found is not None:
                return found
        operand = self.of(node.operand, bound)
        return node if operand is node.operand else evolve(node, operand=operand)

    def declared(self, root: Name, name: str) -> Name | None:
        """The name that a whole path is, if it is one."""
        for candidate in (name,) if root.absolute else self.candidates(name):
            if self.declares(candidate):
                return Name(root.at, candidate, root.absolute)
        return None

    def declares(self, name: str) -> bool:
        if self.declarations is not None and self.declarations.names.member(name) is not None:
            return True
        return name in TYPE_NAMES

    def call(self, node: Call, bound: frozenset[str]) -> Node:
        arguments = self.each(node.arguments, bound)
        if node.target is None:
            function = node.function
            if function not in OPERATORS and (self.container or function[0] == "."):
                function = self.function(function) or function
            if function == node.function and arguments is node.arguments:
                return node
            return Call(node.at, function, None, arguments)
        root = _root(node.target)
        if root is not None and (root.absolute or root.name not in bound):
            qualified = self.function(f"{'.' * root.absolute}{_path(node.target)}.{node.function}")
            if qualified is not None:
                return Call(root.at, qualified, None, arguments)
        return Call(node.at, node.function, self.of(node.target, bound), arguments)

    def function(self, name: str) -> str | None:
        candidates = (name[1:],) if name[0] == "." else self.candidates(name)
        return next((candidate for candidate in candidates if candidate in self.functions), None)

    def candidates(self, name: str) -> Iterator[str]:
        around = self.container
        while around:
            yield f"{around}.{name}"
            around = around.rpartition(".")[0]
        yield name


def _root(node: Node) -> Name | None:
    """The name that a chain of plain selections begins with."""
    while type(node) is Select and not node.optional:
        node = node.operand
    return node if type(node) is Name else None


def _path(node: Node) -> str:
    """Such a chain as it is written."""
    fields: list[str] = []
    while isinstance(node, Select):
        fields.append(node.field)
        node = node.operand
    return ".".join((node.name if isinstance(node, Name) else "", *reversed(fields)))


_OF: Final[Mapping[type, Callable[[_Resolver, Any, frozenset[str]], Node]]] = {
    Literal: _Resolver.literal,
    Name: _Resolver.name,
    Select: _Resolver.select,
    Has: _Resolver.has,
    Index: _Resolver.index,
    ListOf: _Resolver.items,
    MapOf: _Resolver.entries,
    Comprehension: _Resolver.comprehension,
    Bind: _Resolver.bind,
    Call: _Resolver.call,
}
