"""Constant folding: which parts of an expression have one value whatever the facts, and what value.

The tree stays as it is; what is found stands beside it, by node. A part in error is left to be evaluated, for an
error where nobody looks is none. Only the operators and our own library are folded, for they are pure; loops are
not, for their steps count when they run. No constant becomes larger than `MAX_SIZE`, save as it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import Factory, frozen

from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function
from cigate.cel.library import LIBRARY
from cigate.cel.operators import OPERATORS, index, make_map, select
from cigate.cel.running import size
from cigate.cel.syntax import AND, OR, TERNARY, Call, Index, ListOf, Literal, MapOf, Node, Select, children

MAX_SIZE: Final = 64
"""Items, or 256 characters each, of a constant that is worked out."""


def constants(node: Node, functions: Mapping[str, Function]) -> Mapping[int, Any]:
    """The values of the parts that are constant, but for literals, by the id of their node.

    Raises:
        RecursionError: the stack is too short for it.
    """
    folding = _Folding(functions)
    folding.fold(node)
    return folding.values


@frozen(eq=False, repr=False)
class _Folding:
    functions: Mapping[str, Function]
    values: dict[int, Any] = Factory(dict)

    def fold(self, node: Node) -> None:
        for child in children(node):
            self.fold(child)
        try:
            self.work_out(node)
        except EvaluationError:
            return  # it may be that nobody evaluates it

    def work_out(self, node: Node) -> None:
        match node:
            case Call(function=function, target=None) if function in (AND, OR):
                if any(self.is_known(one) and self.of(one) is (function == OR) for one in node.arguments):
                    self.values[id(node)] = function == OR
                elif all(self.is_known(one) and self.of(one) is (function == AND) for one in node.arguments):
                    self.values[id(node)] = function == AND
            case Call(function=function, target=None, arguments=(condition, yes, no)) if function == TERNARY:
                if self.is_known(condition) and type(self.of(condition)) is bool:
                    chosen = yes if self.of(condition) else no
                    if self.is_known(chosen):
                        self.values[id(node)] = self.of(chosen)
            case _ if not all(map(self.is_known, children(node))):
                return
            case Call():
                self.keep(node, self.called(node))
            case Select(operand=operand, field=field, optional=False):
                self.keep(node, select(self.of(operand), field))
            case Index(operand=operand, index=at, optional=False):
                self.keep(node, index(self.of(operand), self.of(at)))
            case ListOf(items=items, optional=()):
                self.values[id(node)] = tuple(map(self.of, items))
            case MapOf(entries=entries, optional=()):
                self.values[id(node)] = make_map((self.of(key), self.of(value)) for key, value in entries)
            case _:
                return

    def called(self, node: Call) -> Any:
        parts = node.arguments if node.target is None else (node.target, *node.arguments)
        operator = OPERATORS.get(node.function) if node.target is None else None
        function = operator or self.functions.get(node.function)
        ours = operator or LIBRARY.get(node.function)
        form = len(node.arguments), node.target is not None
        if function is None or function is not ours or not function.has_form(form[0], method=form[1]):
            raise EvaluationError("cel.failed", "it is for whoever evaluates to say")
        return function.call(*map(self.of, parts))

    def keep(self, node: Node, value: Any) -> None:
        if size(value) <= MAX_SIZE:
            self.values[id(node)] = value

    def is_known(self, node: Node) -> bool:
        return isinstance(node, Literal) or id(node) in self.values

    def of(self, node: Node) -> Any:
        return node.value if isinstance(node, Literal) else self.values[id(node)]
