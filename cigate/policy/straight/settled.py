"""An expression where some facts are known already: the index has looked at them, so the code need not."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, frozen

from cigate.cel.syntax import AND, IN, OR, Call, ListOf, Literal, Node, path_of


def settled(node: Node | None, known: Mapping[str, str]) -> Node | None:
    """The expression with what is known in place, and without what that decides."""
    return node if node is None or not known else _Settling(known).of(node)


@frozen(eq=False, repr=False)
class _Settling:
    """Puts what is known in place, and drops what that decides."""

    known: Mapping[str, str]

    def of(self, node: Node) -> Node:
        path = path_of(node)
        if path is not None:
            return Literal(0, self.known[path]) if path in self.known else node
        match node:
            case Call(function=function, target=None, arguments=(left, right)) if function in (AND, OR):
                return self.junction(node, self.of(left), self.of(right), decides=function == OR)
            case Call(function="_==_", target=None, arguments=(left, right)):
                left, right = self.of(left), self.of(right)
                if _is_text(left) and _is_text(right):
                    return Literal(0, left == right)
                return evolve(node, arguments=(left, right))
            case Call(function=function, target=None, arguments=(item, ListOf(items=items))) if (
                function == IN and _is_text(self.of(item)) and all(map(_is_text, items))
            ):
                return Literal(0, self.of(item) in items)
            case _:
                return node

    def junction(self, node: Call, left: Node, right: Node, *, decides: bool) -> Node:
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Literal) and type(one.value) is bool:
                return one if one.value is decides else other
        return evolve(node, arguments=(left, right))


def _is_text(node: Node) -> bool:
    return isinstance(node, Literal) and isinstance(node.value, str)
