"""Compiled expressions: checked once, evaluated against many documents of facts.

`compile` keeps what it made: a policy is loaded again, and its expressions explained, far more often
than it changes. The evaluator itself loads at the first evaluation, or when somebody asks for it by `ready`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen
from cachetools import LRUCache, cached

from cigate.cel.check import check
from cigate.cel.error import CompileError, EvaluationError
from cigate.cel.locks import lock_over_forks
from cigate.cel.parse import parse
from cigate.cel.rendering import render_readable
from cigate.cel.syntax import (
    OPERATORS,
    RELATIONS,
    Call,
    Comprehension,
    Has,
    Name,
    Node,
    Select,
    children,
    path_of,
)
from cigate.cel.types import TYPE_NAMES, Declarations, Type

if TYPE_CHECKING:
    from cigate.cel.interpreter import Interpreter

_KEPT: Final = 1024


@frozen
class Observed:
    """What a part of an expression was worth: its source, and its value or why it has none."""

    source: str
    at: int
    value: Any = None
    error: str = ""
    """The code of the error (`cel.no-such-field`); empty where there is a value."""


@frozen(eq=False)
class Program:
    """A checked expression. Call it with facts; any number of threads may at once.

    Attributes:
        source: the text as given.
        node: its syntax tree.
        type: what the check found.
        declared: whether there were declarations: then `has` of a field of an unknown group is false.
    """

    source: str
    node: Node
    type: Type
    declared: bool

    def __call__(self, facts: Mapping[str, Any]) -> Any:
        """The value of the expression for these facts.

        Args:
            facts: nested mappings of bool, int, str, bytes, aware datetime, timedelta, list or tuple, None
                (and float and UInt); what is absent is not known.

        Returns:
            Plain Python: bool, int, UInt, float, str, bytes, None, list, dict, datetime, timedelta. Whoever
            wants a truth value must compare with True: a number is not one.

        Raises:
            EvaluationError: the expression has no value for these facts, for whatever reason.
        """
        return self._interpreter(facts)

    @cached_property
    def references(self) -> frozenset[str]:
        """The dotted paths of the facts that it reads: `{"agent.managed", "device.posture.x"}`."""
        return frozenset(path for path, _ in _paths(self.node, frozenset()))

    def explain(self, facts: Mapping[str, Any]) -> tuple[Observed, ...]:
        """What each comparison, presence test, fact and call in the expression is worth for these facts.

        Parts that depend on the variable of a comprehension have no one value and are left out.
        """
        return tuple(_observe(part, interpreter, facts) for part, interpreter in self._parts)

    @cached_property
    def _interpreter(self) -> Interpreter:
        return _interpreter(self.node, self.declared)

    @cached_property
    def _parts(self) -> tuple[tuple[Node, Interpreter], ...]:
        distinct: dict[str, Node] = {}
        for part in _interesting(self.node):
            distinct.setdefault(render_readable(part), part)
        return tuple((part, _interpreter(part, self.declared)) for part in distinct.values())


def compile(
    source: str,
    *,
    declarations: Declarations | None = None,
    container: str = "",
    functions: Sequence[object] = (),
) -> Program:
    """Parse and check an expression.

    Args:
        source: the expression.
        declarations: the names that it may read; None lets it read any, untyped.
        container: must be empty: names are resolved from the root only.
        functions: must be empty: a policy sees the standard functions only.

    Raises:
        CompileError: with `where` as `line:column` and a caret in its text.
    """
    if container or functions:
        what = "a container" if container else "functions of one's own"
        raise CompileError("cel.unsupported", f"{what} can't be given to an expression", where="1:1")
    return _compiled(source, declarations)


def ready() -> None:
    """Load the evaluator now. A process that forks while a thread of it loads modules leaves its child waiting
    for that thread forever, so whoever serves calls this before it begins.

    Raises:
        EvaluationError: `cel.failed`, the evaluator does not load.
    """
    compile("true")({})


@cached(LRUCache(maxsize=_KEPT), lock=lock_over_forks())
def _compiled(source: str, declarations: Declarations | None) -> Program:
    try:
        node = parse(source)
        return Program(source, node, check(node, declarations, source), declarations is not None)
    except RecursionError:  # the caps forbid it, unless the caller is almost out of stack itself
        raise CompileError(
            "cel.too-large", "the stack is too short to compile this here", where="1:1"
        ) from None


@cached(LRUCache(maxsize=4 * _KEPT), lock=lock_over_forks())
def _interpreter(node: Node, declared: bool) -> Interpreter:
    try:
        from cigate.cel.interpreter import interpreter  # costs a parser generator, so only once it is wanted

        return interpreter(node, declared=declared)
    except MemoryError:
        raise
    except RecursionError:
        raise EvaluationError("cel.too-deep", "the stack is too short for this expression") from None
    except Exception as error:
        raise EvaluationError("cel.failed", f"the evaluator does not load: {error}") from error


def _observe(part: Node, interpreter: Interpreter, facts: Mapping[str, Any]) -> Observed:
    try:
        return Observed(render_readable(part), part.at, interpreter(facts))
    except EvaluationError as error:
        return Observed(render_readable(part), part.at, error=error.code)


def _interesting(node: Node) -> Iterator[Node]:
    """The parts worth showing, outermost first; within a comprehension only what it goes through."""
    match node:
        case Comprehension(operand=operand):
            yield node
            yield from _interesting(operand)
            return
        case Has():
            yield node
            return
        case Call(function=function) if function in RELATIONS or function not in OPERATORS:
            yield node
        case _ if path_of(node) is not None:
            if not (isinstance(node, Name) and node.name in TYPE_NAMES):
                yield node
            return
        case _:
            pass
    for child in children(node):
        yield from _interesting(child)


def _paths(node: Node, bound: frozenset[str]) -> Iterator[tuple[str, Node]]:
    match node:
        case Comprehension(operand=operand, variable=variable, arguments=arguments):
            yield from _paths(operand, bound)
            for argument in arguments:
                yield from _paths(argument, bound | {variable})
            return
        case Has(at=at, operand=operand, field=name):
            yield from _paths(Select(at, operand, name), bound)
            return
        case _:
            path = path_of(node)
    if path is None:
        for child in children(node):
            yield from _paths(child, bound)
    elif (root := path.partition(".")[0]) not in bound and not (path == root and root in TYPE_NAMES):
        yield path, node
