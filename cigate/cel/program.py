"""Compiled expressions: checked once, evaluated against many documents of facts.

`compile` keeps what it made: a policy is loaded again, and its expressions explained, far more often than it
changes. The Python of an expression is made at its first evaluation: whoever loads ten thousand rules will not
evaluate them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final, TypeAlias

from attrs import frozen

from cigate.cel.check import check
from cigate.cel.cost import bound
from cigate.cel.error import CompileError, EvaluationError
from cigate.cel.functions import Function
from cigate.cel.library import LIBRARY
from cigate.cel.own import library_with
from cigate.cel.parse import parse
from cigate.cel.rendering import render_readable
from cigate.cel.resolve import resolved
from cigate.cel.running import MAX_STEPS, Exhausted
from cigate.cel.syntax import (
    OPERATORS,
    RELATIONS,
    Bind,
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

_KEPT: Final = 1024

Code: TypeAlias = Callable[[Mapping[str, Any]], Any]


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
        node: its syntax tree, with each name as it is declared.
        type: what the check found.
        declarations: the names that it may read; None lets it read any.
        container: where names are looked for first.
        functions: the functions that it may call, by name.
    """

    source: str
    node: Node
    type: Type
    declarations: Declarations | None
    container: str
    functions: Mapping[str, Function]

    def __call__(self, facts: Mapping[str, Any]) -> Any:
        """The value of the expression for these facts.

        Args:
            facts: nested mappings of bool, int, str, bytes, aware datetime, timedelta, list or tuple, None
                (and float, UInt, Optional and Type); what is absent is not known.

        Returns:
            Plain Python: bool, int, UInt, float, str, bytes, None, list, dict, datetime, timedelta, Optional,
            Type. Whoever wants a truth value must compare with True: a number is not one.

        Raises:
            EvaluationError: the expression has no value for these facts, for whatever reason.
        """
        try:
            return self._code(facts)
        except EvaluationError:
            raise
        except Exhausted:
            raise EvaluationError(
                "cel.too-costly", f"the expression takes more than {MAX_STEPS} steps on these facts"
            ) from None
        except RecursionError:
            raise EvaluationError("cel.too-deep", "the stack is too short for this expression") from None
        except MemoryError:
            raise EvaluationError(
                "cel.too-costly", "there is not enough memory for this expression"
            ) from None
        except Exception as error:  # threats B3: whatever the engine raises is a failed evaluation
            raise EvaluationError("cel.failed", f"the evaluation failed: {type(error).__name__}") from error

    @cached_property
    def references(self) -> frozenset[str]:
        """The dotted paths of the facts that it reads: `{"agent.managed", "device.posture.x"}`."""
        return frozenset(path for path, _ in _paths(self.node, frozenset()))

    def explain(self, facts: Mapping[str, Any]) -> tuple[Observed, ...]:
        """What each comparison, presence test, fact and call in the expression is worth for these facts.

        Parts that depend on the variable of a macro have no one value and are left out.
        """
        return tuple(_observe(part, facts) for part in self._parts)

    @cached_property
    def _code(self) -> Code:
        return _code(self.node, self.declarations, self.container, _Same(self.functions))

    @cached_property
    def _parts(self) -> tuple[Program, ...]:
        distinct: dict[str, Node] = {}
        for part in _interesting(self.node):
            distinct.setdefault(render_readable(part), part)
        return tuple(
            Program(source, part, self.type, self.declarations, self.container, self.functions)
            for source, part in distinct.items()
        )


def compile(
    source: str,
    *,
    declarations: Declarations | Mapping[str, Type] | None = None,
    container: str = "",
    functions: Sequence[Function] = (),
) -> Program:
    """Parse and check an expression.

    Args:
        source: the expression.
        declarations: the names that it may read, with their types. None lets it read any, untyped: then an operand
            of a wrong type, and a function that there is not, are errors of the evaluation.
        container: where names are looked for first (`a.b`: `a.b.x`, then `a.x`, then `x`).
        functions: functions of one's own, besides the library's. They are told apart by identity.

    Raises:
        CompileError: with `where` as `line:column` and a caret in its text.
        ValueError: a function of one's own has a name or a signature that it can't have.
        TypeError: the source is no text.
    """
    if not isinstance(source, str):
        raise TypeError(f"an expression is a str, not a {type(source).__name__}")
    if declarations is not None and not isinstance(declarations, Declarations):
        declarations = Declarations.of(declarations)
    return _compiled(source, declarations, container, tuple(functions))


def ready() -> None:
    """Load now what is loaded at its first use. A process that forks while a thread of it loads modules leaves its
    child waiting for that thread forever, so whoever serves calls this before it begins.

    Raises:
        EvaluationError: `cel.failed`, something does not load.
    """
    try:
        import zoneinfo  # noqa: F401 - what an expression with a time zone loads

        import re2  # noqa: F401 - what a pattern beyond literals loads
    except ImportError as error:
        raise EvaluationError("cel.failed", f"the evaluator does not load: {error}") from error
    compile("text.matches(pattern)")({"text": "ab", "pattern": "(a|b)+\\b"})


@lru_cache(maxsize=_KEPT)
def _compiled(
    source: str, declarations: Declarations | None, container: str, own: tuple[Function, ...]
) -> Program:
    functions = library_with(own) if own else LIBRARY
    node, kind = checked(source, declarations, container, functions)
    return Program(source, node, kind, declarations, container, functions)


def checked(
    source: str,
    declarations: Declarations | None,
    container: str = "",
    functions: Mapping[str, Function] = LIBRARY,
) -> tuple[Node, Type]:
    """What `compile` finds out about an expression: its tree and its type. Nothing is kept.

    Raises:
        CompileError: as `compile`.
    """
    try:
        node = resolved(parse(source), declarations, container, functions, source)
        kind = check(node, declarations, source, functions=functions)
        bound(node, declarations, source)
        return node, kind
    except RecursionError:  # the caps forbid it, unless the caller is almost out of stack itself
        raise CompileError(
            "cel.too-large", "the stack is too short to compile this here", where="1:1"
        ) from None


@frozen(eq=False, repr=False)
class _Same:
    """Functions, told apart by identity: there are few sets of them, and each lives as long as its programs."""

    functions: Mapping[str, Function]

    def __hash__(self) -> int:
        return id(self.functions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.functions is other.functions


@lru_cache(maxsize=4 * _KEPT)
def _code(node: Node, declarations: Declarations | None, container: str, functions: _Same) -> Code:
    from cigate.cel.emit import emit  # who only loads a policy needs none of it

    return emit(node, functions=functions.functions, declarations=declarations, container=container)


def _observe(part: Program, facts: Mapping[str, Any]) -> Observed:
    try:
        return Observed(part.source, part.node.at, part(facts))
    except EvaluationError as error:
        return Observed(part.source, part.node.at, error=error.code)


def _interesting(node: Node) -> Iterator[Node]:
    """The parts worth showing, outermost first; within a macro only what it goes through, or binds."""
    match node:
        case Comprehension(operand=first) | Bind(value=first):
            yield node
            yield from _interesting(first)
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
        case Comprehension():
            yield from _paths(node.operand, bound)
            for argument in node.arguments:
                yield from _paths(argument, bound | {node.variable, node.second})
            return
        case Bind():
            yield from _paths(node.value, bound)
            yield from _paths(node.body, bound | {node.variable})
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
