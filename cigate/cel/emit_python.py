"""The Python that an expression becomes, while it is being written: blocks, names, constants, functions.

What must hold: no text of a user reaches the Python. Locals and globals get generated names (`v0`, `g0`); strings,
fields and keys are constants in the tree; whatever else a piece of code needs is put into its globals.

Every piece of Python given back is evaluated once, and where it stands it is evaluated after all that was written
before it. CPython allows a function 20 nested loops and `try`s; `guarded` opens a nested function before that.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from attrs import Factory, define

MAX_BLOCKS: Final = 16
"""Loops and `try`s within each other in one function; a construct opens at most two more."""

FACTS: Final = "facts"
STEPS: Final = "steps"

_AT: Final[dict[str, Any]] = {"lineno": 1, "col_offset": 0}
_LOAD: Final = ast.Load()
_STORE: Final = ast.Store()
_PLAIN: Final = frozenset({bool, int, float, str, bytes, type(None)})


def name(identifier: str) -> ast.Name:
    """The value of a variable."""
    return ast.Name(identifier, _LOAD, **_AT)


def constant(value: Any) -> ast.Constant:
    """A constant of the tree: of a plain type, or it would not survive `compile`."""
    return ast.Constant(value, **_AT)


def call(function: ast.expr, *arguments: ast.expr) -> ast.Call:
    """`function(arguments)`."""
    return ast.Call(function, list(arguments), [], **_AT)


def attribute(value: ast.expr, field: str) -> ast.Attribute:
    """`value.field`, of our own classes."""
    return ast.Attribute(value, field, _LOAD, **_AT)


def negated(value: ast.expr) -> ast.UnaryOp:
    """`not value`."""
    return ast.UnaryOp(ast.Not(), value, **_AT)


def is_not(left: ast.expr, right: ast.expr) -> ast.Compare:
    """`left is not right`."""
    return ast.Compare(left, [ast.IsNot()], [right], **_AT)


def equals(left: ast.expr, right: ast.expr) -> ast.Compare:
    """`left == right`, of Python's ints."""
    return ast.Compare(left, [ast.Eq()], [right], **_AT)


def both(*parts: ast.expr) -> ast.BoolOp:
    """`a and b`, of truth values."""
    return ast.BoolOp(ast.And(), list(parts), **_AT)


def choice(condition: ast.expr, yes: ast.expr, no: ast.expr) -> ast.IfExp:
    """`yes if condition else no`."""
    return ast.IfExp(condition, yes, no, **_AT)


def sequence(items: Sequence[ast.expr]) -> ast.List:
    """`[a, b]`."""
    return ast.List(list(items), _LOAD, **_AT)


def pair(left: ast.expr, right: ast.expr) -> ast.Tuple:
    """`(left, right)`."""
    return ast.Tuple([left, right], _LOAD, **_AT)


def is_atom(value: ast.expr) -> bool:
    """Does it stand for a value that is there already?"""
    return isinstance(value, ast.Name | ast.Constant)


@define(eq=False, repr=False)
class Python:
    """A function of one argument, `facts`, in the making.

    Attributes:
        globals: what its code needs by generated name.
        block: the statements that are being written.
        depth: how many loops and `try`s of its innermost function are open.
        loops: how many loops are open in all, nested functions included.
        counts: whether anything counts steps.
    """

    globals: dict[str, Any] = Factory(dict)
    block: list[ast.stmt] = Factory(list)
    depth: int = 0
    loops: int = 0
    counts: bool = False
    _made: int = 0
    _known: dict[int, str] = Factory(dict)
    _outer: list[set[str]] = Factory(list)

    def fresh(self) -> str:
        """A name for a variable, that nothing else has."""
        self._made += 1
        return f"v{self._made}"

    def known(self, value: Any) -> ast.Name:
        """An object of ours, or a constant that is none of Python's, by its place in the globals."""
        found = self._known.get(id(value))  # `globals` keeps it alive, so that its id stays its own
        if found is None:
            found = self._known[id(value)] = f"g{len(self.globals)}"
            self.globals[found] = value
        return name(found)

    def value(self, value: Any) -> ast.expr:
        """A constant, whatever its type."""
        return constant(value) if type(value) in _PLAIN else self.known(value)

    # -- statements

    def write(self, statement: ast.stmt) -> None:
        """Add a statement."""
        self.block.append(statement)

    def assign(self, variable: str, value: ast.expr) -> None:
        """`variable = value`."""
        self.block.append(ast.Assign([ast.Name(variable, _STORE, **_AT)], value, **_AT))

    def do(self, value: ast.expr) -> None:
        """Evaluate for the error that it may raise."""
        self.block.append(ast.Expr(value, **_AT))

    def increment(self, variable: str) -> None:
        """`variable += 1`."""
        self.block.append(ast.AugAssign(ast.Name(variable, _STORE, **_AT), ast.Add(), constant(1), **_AT))

    def leave(self) -> None:
        """Leave the loop."""
        self.block.append(ast.Break(**_AT))

    def held(self, value: ast.expr) -> ast.expr:
        """The same value, evaluated by now, to be read any number of times."""
        if is_atom(value):
            return value
        variable = self.fresh()
        self.assign(variable, value)
        return name(variable)

    @contextmanager
    def apart(self) -> Iterator[list[ast.stmt]]:
        """What is written within goes to a list of its own."""
        before, self.block = self.block, []
        try:
            yield self.block
        finally:
            self.block = before

    @contextmanager
    def when(self, condition: ast.expr) -> Iterator[None]:
        """`if condition:` what is written within."""
        with self.apart() as body:
            yield
        self.write(ast.If(condition, body, [], **_AT))

    def either(self, condition: ast.expr, yes: list[ast.stmt], no: list[ast.stmt]) -> None:
        """`if condition: … else: …`."""
        self.write(ast.If(condition, yes, no, **_AT))

    @contextmanager
    def attempt(self, errors: ast.expr, handle: Callable[[ast.expr], None]) -> Iterator[None]:
        """`try:` what is written within, `except errors:` what `handle` writes of the error."""
        caught = self.fresh()
        self.depth += 1
        with self.apart() as body:
            yield
        self.depth -= 1
        with self.apart() as handling:
            handle(name(caught))
        handler = ast.ExceptHandler(errors, caught, handling, **_AT)
        self.write(ast.Try(body, [handler], [], [], **_AT))

    @contextmanager
    def loop(self, variables: tuple[str, ...], over: ast.expr) -> Iterator[list[ast.stmt]]:
        """`for variables in over:` what is written within; to the list given goes what is done after the last."""
        targets: list[ast.expr] = [ast.Name(one, _STORE, **_AT) for one in variables]
        target = targets[0] if len(targets) == 1 else ast.Tuple(targets, _STORE, **_AT)
        after: list[ast.stmt] = []
        self.depth += 1
        self.loops += 1
        with self.apart() as body:
            yield after
        self.loops -= 1
        self.depth -= 1
        self.write(ast.For(target, over, body, after, **_AT))

    def spend(self, steps: ast.expr, exhausted: ast.expr) -> None:
        """Count steps down, and evaluate `exhausted` when none are left."""
        self.counts = True
        self.outer(STEPS)
        self.write(ast.AugAssign(ast.Name(STEPS, _STORE, **_AT), ast.Sub(), steps, **_AT))
        none_left = ast.Compare(name(STEPS), [ast.Lt()], [constant(0)], **_AT)
        self.write(ast.If(none_left, [ast.Expr(exhausted, **_AT)], [], **_AT))

    # -- functions

    def outer(self, variable: str) -> None:
        """Say that a variable of a function around this one is assigned here."""
        if self._outer:
            self._outer[-1].add(variable)

    def function(self, body: Callable[[], ast.expr]) -> ast.expr:
        """A nested function without arguments, that gives what `body` writes; by its name."""
        made = self.fresh()
        depth, self.depth = self.depth, 0
        self._outer.append(set())
        with self.apart() as written:
            self.write(ast.Return(body(), **_AT))
        outer = sorted(self._outer.pop())
        self.depth = depth
        scope: list[ast.stmt] = [ast.Nonlocal(outer, **_AT)] if outer else []
        self.write(_defined(made, [], [*scope, *written]))
        return name(made)

    def guarded(self, body: Callable[[], ast.expr]) -> ast.expr:
        """What `body` writes, in a function of its own if there are too many blocks open for it here."""
        return call(self.function(body)) if self.depth >= MAX_BLOCKS else body()

    def compiled(self, result: ast.expr, steps: int) -> Callable[[Any], Any]:
        """The function that does what was written, and gives `result`."""
        body = [*self.block, ast.Return(result, **_AT)]
        if self.counts:
            body.insert(0, ast.Assign([ast.Name(STEPS, _STORE, **_AT)], constant(steps), **_AT))
        module = ast.Module([_defined("program", [ast.arg(FACTS, **_AT)], body)], [])
        exec(compile(module, "<cel>", "exec"), self.globals)  # noqa: S102 - the tree above, none of it from text
        found: Callable[[Any], Any] = self.globals.pop("program")
        return found


def _defined(called: str, arguments: list[ast.arg], body: list[ast.stmt]) -> ast.FunctionDef:
    taken = ast.arguments([], arguments, None, [], [], None, [])
    return ast.FunctionDef(called, taken, body, [], None, **_AT)
