"""Partial evaluation: what is left of an expression when some facts are known.

Theory of operation. Whatever reads known facts alone is evaluated, by the same evaluator that decides, and its
value takes its place. Then `&&`, `||`, `!` and `?:` are simplified as their truth tables say, errors included:
`false && x` is false whatever x is, an error beside an unknown stays, for the unknown may absorb it. A part in
error is left as an expression that is one, so that what is left is in error exactly when the whole would be.
Within a comprehension only the facts are put in place, its variable stays.

In come a checked expression and known facts; out comes an expression that reads none of these. A map that the
expression looks at as a whole is taken for unknown as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve, frozen

from cigate import cel
from cigate.cel.rendering import render_readable
from cigate.cel.syntax import (
    AND,
    IN,
    NOT,
    OR,
    TERNARY,
    Call,
    Comprehension,
    Has,
    ListOf,
    Literal,
    MapOf,
    Name,
    Node,
    Select,
    children,
)
from cigate.cel.types import BOOL, TYPE_NAMES
from cigate.facts import Facts, Value
from cigate.policy.explaining.parts import is_constant
from cigate.policy.loading.rewriting import rebuilt
from cigate.wire.times import seconds, timestamp

TRUE: Final = Literal(0, True)
FALSE: Final = Literal(0, False)


class Failing(Exception):
    """A part has no value, whatever the unknown facts turn out to be."""


@frozen
class Simplifier:
    """Simplifies expressions for one set of known facts.

    Args:
        known: the facts that are known.
        absent: paths that are known to be unknown for good, each with all that is below it.
        declarations: what the expression may read.
        wrapped: write known values of open maps as `dyn(…)`, where the check of types would refuse them.
        bound: the variables of the comprehensions around.
    """

    known: Facts
    absent: Collection[str]
    declarations: cel.Declarations | None
    wrapped: bool = False
    bound: frozenset[str] = frozenset()

    def of(self, node: Node) -> Node:
        """What is left of an expression.

        Raises:
            Failing: nothing but an error.
        """
        match node:
            case Literal():
                return node
            case Call(function=function, target=None, arguments=parts) if function in (AND, OR):
                return self._joined(node, _flat(function, parts), decides=function == OR)
            case Call(function=function, target=None, arguments=(part,)) if function == NOT:
                return self._negated(node, self.of(part))
            case Call(function=function, target=None, arguments=(condition, yes, no)) if function == TERNARY:
                return self._chosen(node, self.of(condition), yes, no)
        asked = self._asked(node)
        if asked is not None:
            return asked
        if self._is_decided(node):
            return self._evaluated(node)
        path = cel.path_of(node)
        if path is not None or isinstance(node, Has):
            return node
        inside = evolve(self, bound=self.bound | _variables(node))
        if isinstance(node, Comprehension):
            arguments = tuple(inside.attempted(argument) for argument in node.arguments)
            return evolve(node, operand=self.of(node.operand), arguments=arguments)
        return rebuilt(node, inside.of)

    def attempted(self, node: Node) -> Node:
        """What is left of an expression, or one that is in error where it is."""
        try:
            return self.of(node)
        except Failing as failing:
            wrong = Call(node.at, "bool", None, (Literal(node.at, str(failing)),))
            return wrong if self._is_bool(node) else Call(node.at, "dyn", None, (wrong,))

    def _joined(self, node: Node, parts: tuple[Node, ...], *, decides: bool) -> Node:
        left: list[Node] = []
        failing: Failing | None = None
        for part in parts:
            try:
                found = _truth(self.of(part))
            except Failing as error:
                failing = failing or error
                continue
            if found == Literal(0, decides):
                return found
            if found != Literal(0, not decides):
                left.append(found)
        if failing is not None and not left:
            raise failing
        if failing is not None:
            left.append(Call(node.at, "bool", None, (Literal(node.at, str(failing)),)))
        if not left:
            return Literal(node.at, not decides)
        if len(left) == 1:
            return self.as_bool(left[0])
        function = OR if decides else AND
        whole = left[0]
        for part in left[1:]:
            whole = Call(node.at, function, None, (whole, part))
        return whole

    def _negated(self, node: Call, part: Node) -> Node:
        match _truth(part):
            case Literal(value=bool() as value):
                return Literal(node.at, not value)
            case Call(function=function, target=None, arguments=(inner,)) if function == NOT:
                return self.as_bool(inner)
        return evolve(node, arguments=(part,))

    def _chosen(self, node: Call, condition: Node, yes: Node, no: Node) -> Node:
        match _truth(condition):
            case Literal(value=value):
                return self.of(yes if value else no)
        return evolve(node, arguments=(condition, self.attempted(yes), self.attempted(no)))

    def as_bool(self, node: Node) -> Node:
        """The same, in error where its value is no bool."""
        return node if self._is_bool(node) else Call(node.at, AND, None, (node, TRUE))

    def _is_bool(self, node: Node) -> bool:
        if self.bound:
            return isinstance(node, Call) and node.function in (AND, OR, NOT)
        return cel.check(node, self.declarations) == BOOL

    def _asked(self, node: Node) -> Node | None:
        """The answer of a presence test that the known facts give."""
        match node:
            case Has(operand=operand, field=name):
                path = self._path(Select(node.at, operand, name))
            case Call(function=function, target=None, arguments=(Literal(value=str() as key), whole)) if (
                function == IN
            ):
                above = self._path(whole)
                path = None if above is None else f"{above}.{key}"
                if path is None or isinstance(self.known.get(above or ""), tuple):
                    return None
            case _:
                return None
        if path is None:
            return None
        if self._is_absent(path):
            return FALSE
        return TRUE if self.known.get(path) is not None else None

    def _is_decided(self, node: Node) -> bool:
        """Whether it reads nothing but facts that are known, or known to be absent."""
        if isinstance(node, Has):
            return False  # what the known facts say of it was asked before
        path = self._path(node)
        if path is not None:
            value = self.known.get(path)
            return self._is_absent(path) or (value is not None and not isinstance(value, Mapping))
        if isinstance(node, Name):
            return node.name in TYPE_NAMES and node.name not in self.bound
        if _variables(node):
            return self._is_closed(node)
        return all(map(self._is_decided, children(node)))

    def _is_closed(self, node: Node) -> bool:
        """The same for a comprehension: its own variable is no unknown."""
        program = cel.compile(render_readable(node), declarations=None)
        return self.bound.isdisjoint(path.partition(".")[0] for path in program.references) and all(
            self._is_absent(path)
            or ((value := self.known.get(path)) is not None and not isinstance(value, Mapping))
            for path in program.references
        )

    def _evaluated(self, node: Node) -> Node:
        constant = is_constant(node)
        try:
            value = cel.compile(render_readable(node), declarations=self.declarations)(self.known.document)
        except cel.EvaluationError as error:
            if error.code == "cel.result":  # a type, which only a comparison can make something of
                return self._within(node)
            raise Failing(error.message) from None
        if constant and type(value) is not bool:
            return node
        found = literal(value)
        if found is None:
            return self._within(node)
        if self.wrapped and cel.path_of(node) is not None:
            return Call(node.at, "dyn", None, (found,))
        return found

    def _within(self, node: Node) -> Node:
        return node if cel.path_of(node) is not None or is_constant(node) else rebuilt(node, self.of)

    def _is_absent(self, path: str) -> bool:
        return any(path == one or path.startswith(f"{one}.") for one in self.absent)

    def _path(self, node: Node) -> str | None:
        path = cel.path_of(node)
        if path is None or path.partition(".")[0] in self.bound or path in TYPE_NAMES:
            return None
        return path


def literal(value: Value) -> Node | None:
    """A value as an expression, or None where there is no short one."""
    match value:
        case None | bool() | int() | str() | float() | bytes():
            return Literal(0, value)
        case datetime():
            return Call(0, "timestamp", None, (Literal(0, timestamp(value)),))
        case timedelta():
            return Call(0, "duration", None, (Literal(0, seconds(value)),))
        case list() | tuple():
            items = tuple(found for item in value if (found := literal(item)) is not None)
            return ListOf(0, items) if len(items) == len(value) else None
        case Mapping():
            entries = tuple((literal(key), literal(item)) for key, item in value.items())
            known = tuple((key, item) for key, item in entries if key is not None and item is not None)
            return MapOf(0, known) if len(known) == len(entries) else None
    return None


def _truth(node: Node) -> Node:
    """The same; a constant that is no bool is an error where a bool is wanted."""
    if isinstance(node, Literal) and not isinstance(node.value, bool):
        raise Failing(f"{type(node.value).__name__} is no bool")
    return node


def _variables(node: Node) -> frozenset[str]:
    """The names that a node binds for what is in it."""
    names = (getattr(node, name, None) for name in ("variable", "second"))
    return frozenset(name for name in names if isinstance(name, str))


def _flat(function: str, parts: tuple[Node, ...]) -> tuple[Node, ...]:
    found: list[Node] = []
    for part in parts:
        match part:
            case Call(function=same, target=None, arguments=inner) if same == function:
                found.extend(_flat(function, inner))
            case _:
                found.append(part)
    return tuple(found)
