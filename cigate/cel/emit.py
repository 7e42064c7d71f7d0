"""A checked tree becomes one Python function of the facts, that gives the expression's value or raises.

Theory of operation. Every node is lowered to a Python expression, preceded by statements where Python has no
expression for it (loops, `try`). Declared types are not trusted: whoever calls may hand in anything. So every
operation is a call of the operators and the library, which look at the values, and a truth value is tested for
being one; only what the tree itself shows (a comparison gives a bool, a constant is what it is) is left untested.

`emit_control` has what evaluates its parts not at all, once or often; here is what evaluates them all, in order.
Within loops steps are counted: no evaluation takes longer than `MAX_STEPS` steps and its own size allow.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from attrs import Factory, evolve, frozen

from cigate.cel import emit_control, running
from cigate.cel.emit_python import FACTS, Python, both, call, constant, is_not, name, pair, sequence
from cigate.cel.fold import MAX_SIZE, constants
from cigate.cel.functions import Function
from cigate.cel.operators import (
    OPERATORS,
    boolean,
    has,
    index,
    make_map,
    optional_index,
    optional_select,
    select,
)
from cigate.cel.syntax import (
    AND,
    IN,
    NOT,
    OR,
    RELATIONS,
    TERNARY,
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
    path_of,
    walk,
)
from cigate.cel.types import BOOL, TYPE_VALUES, Declarations
from cigate.cel.values import result

_CHEAP: Final = frozenset(
    {"-_", NOT, "_-_", "_*_", "_/_", "_%_", "size", "type", "dyn", "int", "uint", "double"}
)
"""What takes the same time whatever the size of its operands."""

_FEW: Final = 4
"""Calls that may take as long as their operands are large, which an expression may have uncounted: half a second."""

_BOOLEAN_MACROS: Final = frozenset({"all", "exists", "exists_one", "existsOne"})


def emit(
    node: Node,
    *,
    functions: Mapping[str, Function],
    declarations: Declarations | None,
    container: str = "",
) -> Callable[[Mapping[str, Any]], Any]:
    """The function that evaluates an expression.

    Args:
        node: what `resolved` gave and `check` accepted.
        functions: by name, those of the library and those of one's own.
        declarations: with which it was checked. With them a name is what it says, and `has` of a field whose
            group is not known is false, as it is for a message of CEL. Without, a path is looked for name by name.
        container: where names are looked for first, of an expression without declarations.

    Raises:
        RecursionError: the stack is too short for it.
    """
    emitter = Emitter(Python(), functions, constants(node, functions), declarations, container)
    if sum(1 for part in walk(node) if isinstance(part, Call) and emitter.takes_long(part)) > _FEW:
        emitter = evolve(emitter, counts_all=True)
    value = emitter.value(node)
    if not emitter.is_bool(node):
        value = call(emitter.out.known(result), value)
    return emitter.out.compiled(value, running.MAX_STEPS)


@frozen(eq=False, repr=False)
class Emitter:
    """Lowers nodes, given what the names in scope stand for.

    Attributes:
        out: the Python being written.
        folded: the values of the nodes that are constant, by the node's id.
        scope: what gives the value of a bound variable, by its name.
        counts_all: count steps outside of loops too, for there is much else that may take long.
    """

    out: Python
    functions: Mapping[str, Function]
    folded: Mapping[int, Any]
    declarations: Declarations | None
    container: str
    scope: Mapping[str, Callable[[], ast.expr]] = Factory(dict)
    counts_all: bool = False

    def bound(self, variables: Mapping[str, Callable[[], ast.expr]]) -> Emitter:
        """The same within the scope of variables."""
        return evolve(self, scope={**self.scope, **variables})

    def value(self, node: Node) -> ast.expr:
        """The value of a node, in Python."""
        if self.is_known(node):
            return self.out.value(self.known(node))
        match node:
            case Literal(value=value):
                return self.out.value(value)
            case Name() | Select(optional=False):
                return self.path(node)
            case Select(operand=operand, field=field):
                return self.apply(optional_select, self.value(operand), constant(field))
            case Has():
                return self.has(node)
            case Index(operand=operand, index=at, optional=optional):
                return self.apply(optional_index if optional else index, *self.operands(operand, at))
            case Call(function=function, target=None) if function in (AND, OR):
                return self.out.guarded(partial(emit_control.logic, self, node))
            case Call(function=function, target=None) if function == TERNARY:
                return emit_control.ternary(self, *node.arguments)
            case Call():
                return self.call(node)
            case ListOf():
                return self.list(node)
            case MapOf():
                return self.map(node)
            case Comprehension():
                return self.out.guarded(partial(emit_control.comprehension, self, node))
            case Bind():
                return emit_control.binding(self, node)

    def operands(self, *nodes: Node) -> list[ast.expr]:
        """The values of nodes, evaluated from left to right."""
        found: list[ast.expr] = []
        for node in nodes:
            with self.out.apart() as written:
                value = self.value(node)
            if written:  # it is done before `value`, so what stands before `value` is too
                found = [self.out.held(one) for one in found]
                self.out.block.extend(written)
            found.append(value)
        return found

    def truth(self, node: Node) -> ast.expr:
        """The value of a node that has to be a bool, evaluated by now."""
        value = self.value(node)
        if self.is_bool(node):
            return value
        if isinstance(value, ast.Constant):
            return value if type(value.value) is bool else self.apply(boolean, value)  # which raises
        value = self.out.held(value)
        with self.out.when(both(is_not(value, constant(True)), is_not(value, constant(False)))):
            self.out.do(self.apply(boolean, value))  # which raises
        return value

    def apply(self, function: Callable[..., Any], *arguments: ast.expr) -> ast.expr:
        """A call of one of our functions."""
        return call(self.out.known(function), *arguments)

    # -- what the tree shows

    def is_known(self, node: Node) -> bool:
        """Is it a constant?"""
        return isinstance(node, Literal) or id(node) in self.folded

    def known(self, node: Node) -> Any:
        """The value of a constant."""
        return node.value if isinstance(node, Literal) else self.folded[id(node)]

    def is_bool(self, node: Node) -> bool:
        """Is it a bool, whatever the facts, if it has a value at all?"""
        if self.is_known(node):
            return type(self.known(node)) is bool
        match node:
            case Has():
                return True
            case Comprehension(kind=kind):
                return kind in _BOOLEAN_MACROS
            case Call(function=function, target=None) if function in (AND, OR, NOT) or function in RELATIONS:
                return True
            case Call(function=function, target=None, arguments=(_, yes, no)) if function == TERNARY:
                return self.is_bool(yes) and self.is_bool(no)
            case Call(function=function) if function in self.functions:
                return all(overload.gives == BOOL for overload in self.functions[function].overloads)
            case _:
                return False

    def cannot_fail(self, node: Node) -> bool:
        """Has it a value, whatever the facts?"""
        if self.is_known(node):
            return True
        match node:
            case Name(name=called, absolute=False):
                return called in self.scope and self.scope[called]().__class__ is ast.Name
            case Call(function="_==_" | "_!=_", target=None, arguments=(left, right)):
                return self.cannot_fail(left) and self.cannot_fail(right)
            case _:
                return False

    # -- names and fields

    def path(self, node: Node) -> ast.expr:
        """A name, or what is selected from something."""
        fields: list[str] = []
        root = node
        while isinstance(root, Select) and not root.optional and not self.is_known(root):
            fields.insert(0, root.field)
            root = root.operand
        if not isinstance(root, Name):
            value = self.value(root)
        elif root.name in self.scope and not root.absolute:
            value = self.scope[root.name]()
        elif self.is_type(root) and not fields:
            return self.out.known(TYPE_VALUES[root.name])
        elif self.declarations is None and self.container and not root.absolute:
            steps = self.out.known((root.name, *fields))
            return self.apply(running.contained, name(FACTS), constant(self.container), steps)
        elif self.declarations is None and fields:
            return self.apply(running.path, name(FACTS), self.out.known((root.name, *fields)))
        elif fields:
            value = self.apply(running.member, name(FACTS), constant(root.name), constant(fields.pop(0)))
        else:
            value = self.apply(running.fact, name(FACTS), constant(root.name))
        for field in fields:
            value = self.apply(select, value, constant(field))
        return value

    def is_type(self, node: Name) -> bool:
        """Does a name stand for a type?"""
        if node.name not in TYPE_VALUES:
            return False
        return self.declarations is None or self.declarations.names.member(node.name) is None

    def has(self, node: Has) -> ast.expr:
        """Is a field there?"""
        if self.declarations is None or path_of(node.operand) is None or self.cannot_fail(node.operand):
            return self.apply(has, self.value(node.operand), constant(node.field))
        return self.out.guarded(partial(emit_control.forgiving_has, self, node))

    # -- what evaluates all its parts

    def call(self, node: Call) -> ast.expr:
        """A call of a function or of an operator."""
        function = OPERATORS.get(node.function) if node.target is None else None
        function = function or self.functions.get(node.function)
        parts = node.arguments if node.target is None else (node.target, *node.arguments)
        if function is None or not function.has_form(len(node.arguments), method=node.target is not None):
            self.operands(*parts)
            return self.apply(running.no_function, constant(node.function))
        work = function.call
        if not (self.out.loops or self.counts_all) or not self.takes_long(node):
            return self.apply(work, *self.operands(*parts))
        values = [self.out.held(one) for one in self.operands(*parts)]
        self.spend(self.apply(running.size, *values))
        made = self.out.held(self.apply(work, *values))
        if not self.is_bool(node):
            self.spend(self.apply(running.size, made))
        return made

    def takes_long(self, node: Call) -> bool:
        """May it take longer the larger its operands are? Not so if it compares something with what is small."""
        if node.target is None and (node.function in _CHEAP or node.function in (AND, OR, TERNARY)):
            return False
        if node.target is not None or node.function not in RELATIONS:
            return node.function not in _CHEAP
        sides = node.arguments[1:] if node.function == IN else node.arguments
        small = 1 if self.out.loops else MAX_SIZE
        return not any(self.is_known(side) and running.size(self.known(side)) <= small for side in sides)

    def spend(self, steps: ast.expr) -> None:
        """Count steps."""
        self.out.spend(steps, self.apply(running.exhausted))

    def list(self, node: ListOf) -> ast.expr:
        """A list."""
        items = self.operands(*node.items)
        if not node.optional:
            return sequence(items)
        return self.apply(running.chosen, sequence(items), self.out.known(node.optional))

    def map(self, node: MapOf) -> ast.expr:
        """A map."""
        parts = self.operands(*(part for entry in node.entries for part in entry))
        pairs = [pair(key, value) for key, value in zip(parts[::2], parts[1::2], strict=True)]
        entries: ast.expr = sequence(pairs)
        if node.optional:
            entries = self.apply(running.chosen_entries, entries, self.out.known(node.optional))
        return self.apply(make_map, entries)
