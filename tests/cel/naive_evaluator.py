"""What a tree is worth, as naively as can be: every part is evaluated, and an error is a value like any other.

The operators and the library are taken as given, for they are proved elsewhere; here is what becomes of errors,
which branch counts, what a macro gives and where a name is looked for. Nothing stops early, counts or compiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from cigate.cel.error import EvaluationError
from cigate.cel.library import LIBRARY
from cigate.cel.library.lists import sort_by_keys
from cigate.cel.operators import (
    OPERATORS,
    boolean,
    has,
    index,
    items,
    make_map,
    optional_index,
    optional_select,
    pairs,
    select,
)
from cigate.cel.syntax import (
    AND,
    OR,
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
)
from cigate.cel.types import TYPE_VALUES
from cigate.cel.values import MAPS, NONE, Optional, adopted


@frozen
class Fault:
    """An error, as a value."""

    code: str


WRONG = Fault("cel.no-such-overload")


def strict(function: Callable[..., Any], *operands: Any) -> Any:
    """The function of operands that all have to be there."""
    for operand in operands:
        if isinstance(operand, Fault):
            return operand
    try:
        return function(*operands)
    except EvaluationError as error:
        return Fault(error.code)


def decided(operands: list[Any], deciding: bool) -> Any:
    """`&&` and `||` over any number of operands."""
    truths = [strict(boolean, operand) for operand in operands]
    if any(truth is deciding for truth in truths):
        return deciding
    return next((truth for truth in truths if isinstance(truth, Fault)), not deciding)


def each(parts: list[Any], make: Callable[[list[Any]], Any]) -> Any:
    """What is made of parts that all have to be there."""
    return next((part for part in parts if isinstance(part, Fault)), None) or strict(make, parts)


@frozen
class Naive:
    """Evaluates against facts, within the scope of variables."""

    facts: Mapping[str, Any]
    declared: bool
    scope: Mapping[str, Any]

    def bound(self, **variables: Any) -> Naive:
        return evolve(self, scope={**self.scope, **variables})

    def of(self, node: Node) -> Any:
        match node:
            case Literal(value=value):
                return value
            case Name(name=name):
                if name in self.scope:
                    return self.scope[name]
                if name in TYPE_VALUES:
                    return TYPE_VALUES[name]
                return strict(adopted, self.facts[name]) if name in self.facts else Fault("cel.no-such-field")
            case Select(operand=operand, field=field, optional=optional):
                return strict(optional_select if optional else select, self.of(operand), field)
            case Index(operand=operand, index=at, optional=optional):
                return strict(optional_index if optional else index, self.of(operand), self.of(at))
            case Has(operand=operand, field=field):
                found = strict(has, self.of(operand), field)
                forgiven = (
                    self.declared and path_of(operand) is not None and found == Fault("cel.no-such-field")
                )
                return False if forgiven else found
            case ListOf(items=parts, optional=optional):
                return each([self.of(part) for part in parts], lambda found: chosen(found, optional))
            case MapOf(entries=entries, optional=optional):
                flat = [self.of(part) for entry in entries for part in entry]
                return each(flat, lambda found: make_map(kept(found, optional)))
            case Call():
                return self.call(node)
            case Bind(variable=variable, value=value, body=body):
                return self.bound(**{variable: self.of(value)}).of(body)
            case Comprehension():
                return self.macro(node)

    def call(self, node: Call) -> Any:
        operands = [self.of(one) for one in ((node.target,) if node.target else ()) + node.arguments]
        if node.function in (AND, OR):
            return decided(operands, node.function == OR)
        if node.function == TERNARY:
            condition = strict(boolean, operands[0])
            return condition if isinstance(condition, Fault) else operands[1] if condition else operands[2]
        function = OPERATORS.get(node.function) or LIBRARY[node.function]
        if not function.has_form(len(node.arguments), method=node.target is not None):
            return WRONG
        return strict(function.call, *operands)

    def macro(self, node: Comprehension) -> Any:
        operand = self.of(node.operand)
        if node.kind in ("optMap", "optFlatMap"):
            return self.of_optional(node, operand)
        rounds = strict(
            lambda value: pairs(value) if node.second else [(one,) for one in items(value)], operand
        )
        if isinstance(rounds, Fault):
            return rounds
        inside = [self.bound(**dict(zip((node.variable, node.second), one, strict=False))) for one in rounds]
        found = [[within.of(argument) for argument in node.arguments] for within in inside]
        if node.kind in ("all", "exists"):
            return decided([one[0] for one in found], node.kind == "exists")
        if node.kind in ("exists_one", "existsOne"):
            truths = [strict(boolean, one[0]) for one in found]
            return each(truths, lambda all_of_them: all_of_them.count(True) == 1)
        if node.kind == "sortBy":
            return each([one[0] for one in found], lambda keys: sort_by_keys(operand, keys))
        tests = [
            True if len(one) == 1 and node.kind != "filter" else strict(boolean, one[0]) for one in found
        ]
        made: list[Any] = []
        for test, one, variables in zip(tests, found, rounds, strict=True):
            if test is False:
                continue
            made.append(test if test is not True else variables[0] if node.kind == "filter" else one[-1])
            if node.kind == "transformMap" and not isinstance(made[-1], Fault):
                made[-1] = [(variables[0], made[-1])]
            if node.kind == "transformMapEntry":
                made[-1] = strict(entries_of, made[-1])
        if node.kind.startswith("transformMap"):
            return each(made, lambda parts: make_map(entry for part in parts for entry in part))
        return each(made, list)

    def of_optional(self, node: Comprehension, operand: Any) -> Any:
        if isinstance(operand, Fault) or type(operand) is not Optional:
            return operand if isinstance(operand, Fault) else WRONG
        if operand == NONE:
            return NONE
        found = self.bound(**{node.variable: operand.value}).of(node.arguments[0])
        if node.kind == "optMap":
            return strict(Optional, found)
        return found if isinstance(found, Fault | Optional) else WRONG


def entries_of(value: Any) -> list[tuple[Any, Any]]:
    if type(value) not in MAPS:
        raise EvaluationError("cel.no-such-overload", "it is no map")
    return list(value.items())


def chosen(found: list[Any], optional: tuple[int, ...]) -> list[Any]:
    if any(type(found[at]) is not Optional for at in optional):
        raise EvaluationError("cel.no-such-overload", "it is no optional")
    present = [(at, one) for at, one in enumerate(found) if at not in optional or one != NONE]
    return [one.value if at in optional else one for at, one in present]


def kept(found: list[Any], optional: tuple[int, ...]) -> list[tuple[Any, Any]]:
    entries = list(zip(found[::2], found[1::2], strict=True))
    if any(type(entries[at][1]) is not Optional for at in optional):
        raise EvaluationError("cel.no-such-overload", "it is no optional")
    present = [(at, one) for at, one in enumerate(entries) if at not in optional or one[1] != NONE]
    return [(key, value.value) if at in optional else (key, value) for at, (key, value) in present]
