"""Python's syntax trees in few words, for the code that a policy is compiled to.

Text of a policy reaches the code only as constants; names in it are generated.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Final

from attrs import define, field

_LOAD: Final = ast.Load()
_STORE: Final = ast.Store()


def name(local: str) -> ast.expr:
    """A local variable, or one of the function's own globals."""
    return ast.Name(local, _LOAD)


def constant(value: Any) -> ast.expr:
    return ast.Constant(value)


def call(function: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(name(function), list(arguments), [])


def method(target: ast.expr, called: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Attribute(target, called, _LOAD), list(arguments), [])


def attribute(target: ast.expr, read: str) -> ast.expr:
    return ast.Attribute(target, read, _LOAD)


def item(target: ast.expr, key: str) -> ast.expr:
    return ast.Subscript(target, ast.Constant(key), _LOAD)


def compare(left: ast.expr, *rest: tuple[type[ast.cmpop], ast.expr]) -> ast.expr:
    """`left < a < b`: a chain of comparisons."""
    return ast.Compare(left, [sign() for sign, _ in rest], [right for _, right in rest])


def conjunction(parts: Sequence[ast.expr]) -> ast.expr:
    return parts[0] if len(parts) == 1 else ast.BoolOp(ast.And(), list(parts))


def disjunction(parts: Sequence[ast.expr]) -> ast.expr:
    return parts[0] if len(parts) == 1 else ast.BoolOp(ast.Or(), list(parts))


def negation(part: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), part)


def choice(condition: ast.expr, yes: ast.expr, no: ast.expr) -> ast.expr:
    return ast.IfExp(condition, yes, no)


def tuple_of(parts: Sequence[ast.expr]) -> ast.expr:
    return ast.Tuple(list(parts), _LOAD)


def spread(part: ast.expr) -> ast.expr:
    return ast.Starred(part, _LOAD)


def named(local: str, value: ast.expr) -> ast.expr:
    """`(local := value)`."""
    return ast.NamedExpr(ast.Name(local, _STORE), value)


def store(local: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(local, _STORE)], value)


def add(local: str, value: ast.expr) -> ast.stmt:
    return ast.AugAssign(ast.Name(local, _STORE), ast.Add(), value)


def do(value: ast.expr) -> ast.stmt:
    return ast.Expr(value)


def when(condition: ast.expr, *body: ast.stmt) -> ast.stmt:
    return ast.If(condition, list(body), [])


def give(value: ast.expr) -> ast.stmt:
    return ast.Return(value)


def get(above: str, member: str, default: ast.expr) -> ast.expr:
    """`above.get(member, default)`."""
    return method(name(above), "get", constant(member), default)


def is_a(value: ast.expr, kind: str) -> ast.expr:
    """`type(value) is kind`."""
    return compare(call("type", value), (ast.Is, name(kind)))


def is_list(value: ast.expr) -> ast.expr:
    return disjunction((is_a(value, "list"), is_a(value, "tuple")))


def is_absent(value: ast.expr) -> ast.expr:
    return compare(value, (ast.Is, name("ABSENT")))


def between(least: ast.expr, value: ast.expr, most: ast.expr) -> ast.expr:
    return compare(least, (ast.LtE, value), (ast.LtE, most))


def odd_unless(condition: ast.expr) -> ast.stmt:
    """Leave the straight way where the condition does not hold."""
    return when(negation(condition), do(call("odd")))


@define(eq=False, repr=False)
class Space:
    """The global names of one policy's functions: shared, so that they stay in the processor's nearest cache."""

    names: dict[str, Any]
    _numbers: Iterator[int] = field(init=False, factory=count)

    def fresh(self, prefix: str) -> str:
        """A name that nothing has yet, in whatever thread."""
        return f"{prefix}{next(self._numbers)}"

    def constant(self, value: Any) -> ast.expr:
        """A value as code: a constant where Python's syntax has one, else one more global name."""
        if isinstance(value, frozenset | tuple):
            return constant(value)
        return name(self.keep(value))

    def keep(self, value: Any) -> str:
        """A new global name for a value."""
        local = self.fresh("k")
        self.names[local] = value
        return local


def function(called: str, parameter: str, body: Sequence[ast.stmt], space: Space) -> Callable[[Any], Any]:
    """Compile a function of one parameter, which sees the names of the space and nothing else."""
    parameters = ast.arguments([], [ast.arg(parameter)], None, [], [], None, [])
    definition = ast.FunctionDef(called, parameters, list(body), [])
    definition.__dict__.setdefault("type_params", [])
    module = ast.fix_missing_locations(ast.Module([definition], []))
    made: dict[str, Any] = {}
    space.names.setdefault("__builtins__", {})
    exec(compile(module, f"<{called}>", "exec"), space.names, made)  # noqa: S102  # a tree that only this room builds
    found: Callable[[Any], Any] = made[called]
    return found
