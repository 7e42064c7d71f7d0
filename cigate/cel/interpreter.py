"""Evaluation by cel-python, behind the one seam that knows it.

cel-python walks a tree well enough, but its operators are lax where a gateway must not be. (Measured on
0.5.0: a map is compared by Python's equality, so `{1: "a"}[true]` finds something; `filter` takes any
truthy result; `1 && true` is 1; `has()` is false for every error; `timestamp("now")` reads the clock;
equality of an int with a double is an error, and `0.0/0.0 == 0.0/0.0` is true.) So it is given only

- structure: our tree, rendered with every operator in parentheses, so that both agree on the parse;
- constants as values under generated names, never as text, so that no second lexer reads a literal;
- our own operators and functions (`operators`, `library`), which override all of its own that we use;
- macros with a checked range and a checked predicate.

Nothing here is imported until a program is first evaluated: it costs a parser generator.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final

import celpy
from attrs import evolve, frozen
from celpy.evaluation import CELEvalError

from cigate.cel.error import EvaluationError
from cigate.cel.functions import TYPE_NAMES
from cigate.cel.library import FUNCTIONS
from cigate.cel.locks import lock_over_forks
from cigate.cel.operators import OPERATORS, Presence
from cigate.cel.syntax import (
    IN,
    TERNARY,
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
    render,
)
from cigate.cel.values import to_cel, to_python

_NAME: Final = "n_"
_TYPE: Final = "t_"
_CONSTANT: Final = "k_"
_PREDICATE: Final = "f_predicate"
_RANGE: Final = "f_range"
_MAP: Final = "f_map"

_FRAMES: Final = 2500
"""What the deepest tree that `parse` lets through needs of the interpreter's stack, twice over."""


@frozen(eq=False)
class Interpreter:
    """An expression that is ready to evaluate, from any thread: each evaluation has its own activation."""

    runner: Any
    reads: frozenset[str]

    def __call__(self, facts: Mapping[str, Any]) -> Any:
        """The value for these facts, as plain Python.

        Raises:
            EvaluationError: there is none, for whatever reason.
        """
        try:
            context = {f"{_NAME}{name}": to_cel(facts[name]) for name in self.reads if name in facts}
            return to_python(self.runner.evaluate(context))
        except (EvaluationError, MemoryError):
            raise
        except CELEvalError as error:
            raise _told(error) from None
        except RecursionError:
            raise EvaluationError(
                "cel.too-deep", "the interpreter's stack is too short for this expression"
            ) from None
        except Exception as error:  # threats B3: whatever the engine raises is a failed evaluation
            raise EvaluationError("cel.failed", f"the evaluator failed: {type(error).__name__}") from error


def interpreter(node: Node, *, declared: bool) -> Interpreter:
    """Make an expression ready to evaluate.

    Args:
        node: a tree that `check` accepted.
        declared: its names were declared, so `has` of a field whose group is not known is false (as it is for
            a message of CEL); else groups are maps, and that is an error.
    """
    lowering = _Lowering({}, frozenset(), set(), declared)
    text = render(lowering.of(node))
    with _LOCK:
        environment = _environment()
        tree = environment.compile(text)
    functions = {**OPERATORS, **FUNCTIONS, **lowering.constants}
    return Interpreter(environment.program(tree, functions), frozenset(lowering.reads))


_LOCK: Final = lock_over_forks()
_KEPT: Final[list[Any]] = []


def _environment() -> Any:
    if not _KEPT:
        logger = logging.getLogger("celpy")
        if logger.level == logging.NOTSET:
            logger.setLevel(
                logging.CRITICAL
            )  # at debug it writes whole activations, which are people's facts
        before = sys.getrecursionlimit()
        _KEPT.append(celpy.Environment())  # sets the limit itself, and would lower a higher one
        sys.setrecursionlimit(max(before, _FRAMES))
    return _KEPT[0]


@frozen(eq=False)
class _Lowering:
    """Our tree in terms of the names and functions that the interpreter is given."""

    constants: dict[str, Any]
    bound: frozenset[str]
    reads: set[str]
    declared: bool

    def of(self, node: Node) -> Node:
        match node:
            case Literal(at=at, value=value):
                return Name(at, self.constant(value))
            case Name(name=name):
                if name not in self.bound and name in TYPE_NAMES:
                    return Name(node.at, f"{_TYPE}{name}")
                if name not in self.bound:
                    self.reads.add(name)
                return Name(node.at, f"{_NAME}{name}")
            case Select(operand=operand):
                return evolve(node, operand=self.of(operand))
            case Index(operand=operand, index=index):
                return evolve(node, operand=self.of(operand), index=self.of(index))
            case Has(at=at, operand=operand, field=name):
                field = Presence(name, forgiving=self.declared and path_of(operand) is not None)
                return Call(at, IN, None, (Name(at, self.keep(field)), self.of(operand)))
            case ListOf(items=items):
                return ListOf(node.at, tuple(self.of(item) for item in items))
            case MapOf(entries=entries):
                flat = tuple(self.of(part) for entry in entries for part in entry)
                return Call(node.at, _MAP, None, flat)
            case Comprehension():
                return self.comprehension(node)
            case Call(at=at, function=function, target=None, arguments=arguments):
                return Call(at, _spelt(function), None, tuple(self.of(one) for one in arguments))
            case Call(at=at, function=function, target=target, arguments=arguments):
                parts = (target, *arguments) if target is not None else arguments
                return Call(at, _spelt(function), None, tuple(self.of(one) for one in parts))

    def comprehension(self, node: Comprehension) -> Node:
        at, variable = node.at, f"{_NAME}{node.variable}"
        inside = evolve(self, bound=self.bound | {node.variable})
        operand = Call(at, _RANGE, None, (self.of(node.operand),))
        *predicates, last = (inside.of(one) for one in node.arguments)
        if node.kind != "map":
            return Comprehension(at, node.kind, operand, variable, (Call(at, _PREDICATE, None, (last,)),))
        for predicate in predicates:
            kept = (Call(at, _PREDICATE, None, (predicate,)),)
            return Comprehension(
                at, "map", Comprehension(at, "filter", operand, variable, kept), variable, (last,)
            )
        return Comprehension(at, "map", operand, variable, (last,))

    def constant(self, value: bool | int | float | str | bytes | None) -> str:
        return self.keep(to_cel(value))

    def keep(self, value: Any) -> str:
        name = f"{_CONSTANT}{len(self.constants)}"
        self.constants[name] = value
        return name


_OPERATORS: Final = frozenset({TERNARY, IN, "_&&_", "_||_", "!_", "-_"}) | frozenset(
    f"_{sign}_" for sign in ("==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%")
)


def _spelt(function: str) -> str:
    return function if function in _OPERATORS else f"f_{function}"


def _told(error: CELEvalError) -> EvaluationError:
    """Our words for its error. Its own may hold the whole activation, so only its kind is taken from it."""
    said: tuple[Any, ...] = (*error.args, None, None)
    code, kind = said[0], said[1]
    if isinstance(code, str) and code.startswith("cel."):
        return EvaluationError(code, str(kind))
    if not isinstance(kind, type):
        return EvaluationError("cel.failed", "the expression has no value")
    if issubclass(kind, KeyError):
        name = str(code).split("'")[1] if str(code).count("'") >= 2 else "a name"
        return EvaluationError("cel.no-such-field", f"{name.removeprefix(_NAME)!r} is not known")
    if issubclass(kind, TypeError | AttributeError):
        return EvaluationError(
            "cel.no-such-overload", "an operation is not defined on the types of these facts"
        )
    return EvaluationError("cel.failed", "the expression has no value")
