"""Type check: what an expression reads, and of what type it is, before any fact is known.

What is wrong here is wrong for every request, so it is an error of the policy's author and not of a
decision: a misspelt fact, a string compared with a number, a pattern that is none (threats B4, B8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Final

from attrs import evolve, field, frozen

from cigate.cel.error import CompileError, nearest
from cigate.cel.functions import FUNCTIONS, OPERATORS, TYPE_NAMES, Overload
from cigate.cel.syntax import (
    BINARY,
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
    UInt,
)
from cigate.cel.times import parse_duration, parse_timestamp
from cigate.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    NULL,
    STRING,
    TYPE,
    UINT,
    Declarations,
    Type,
    list_of,
    map_of,
)

MAX_COMPREHENSIONS: Final = 2
"""How deep comprehensions may nest: each level multiplies the work by the length of a list."""


def check(node: Node, declarations: Declarations | None, source: str = "") -> Type:
    """The type of an expression.

    Args:
        node: what `parse` gave.
        declarations: which names there are; None leaves every name dynamic.
        source: the text that was parsed, for the place and the caret of an error.

    Raises:
        CompileError: `cel.unknown-name`, `cel.unknown-field`, `cel.type`, `cel.arguments`, `cel.literal`,
            `cel.too-large` (comprehensions nested too deep), `cel.unsupported`.
    """
    return _Checker(source, declarations).of(node)


@frozen
class _Checker:
    source: str
    declarations: Declarations | None
    scope: Mapping[str, Type] = field(factory=dict)
    loops: int = 0

    def of(self, node: Node) -> Type:
        match node:
            case Literal(value=value):
                return _literal(value)
            case Name():
                return self.name(node)
            case Select(optional=True) | Index(optional=True):
                raise self.wrong(
                    node.at,
                    "cel.unsupported",
                    "optional selection is not supported",
                    "use has(x.y) && x.y == …",
                )
            case Select(operand=operand, field=name):
                return self.member(self.of(operand), name, node.at)
            case Has(operand=operand, field=name):
                self.member(self.of(operand), name, node.at)
                return BOOL
            case Index():
                return self.index(node)
            case ListOf(items=items):
                return list_of(_common(self.of(item) for item in items))
            case MapOf():
                return self.map(node)
            case Comprehension():
                return self.comprehension(node)
            case Call():
                return self.call(node)

    def name(self, node: Name) -> Type:
        if node.name in self.scope:
            return self.scope[node.name]
        if self.declarations is None:
            return TYPE if node.name in TYPE_NAMES else DYN
        known = self.declarations.names.member(node.name)
        if known is not None:
            return known
        if node.name in TYPE_NAMES:
            return TYPE
        names = (name for name, _ in self.declarations.names.fields or ())
        raise self.wrong(
            node.at,
            "cel.unknown-name",
            f"there is no {node.name!r}",
            nearest(node.name, (*names, *self.scope)),
        )

    def member(self, operand: Type, name: str, at: int) -> Type:
        if operand == DYN:
            return DYN
        if operand.is_record:
            found = operand.member(name)
            if found is None:
                fix = nearest(name, (known for known, _ in operand.fields or ()))
                raise self.wrong(at, "cel.unknown-field", f"{operand} has no field {name!r}", fix)
            return found
        if operand.name == "map" and operand.arguments[0].accepts(STRING):
            return operand.arguments[1]
        raise self.wrong(at, "cel.type", f"a value of type {operand} has no fields")

    def index(self, node: Index) -> Type:
        operand, index = self.of(node.operand), self.of(node.index)
        if operand == DYN:
            return DYN
        if operand.is_record and STRING.accepts(index):
            literal = isinstance(node.index, Literal) and isinstance(node.index.value, str)
            return self.member(operand, str(node.index.value), node.at) if literal else DYN  # type: ignore[union-attr]
        if operand.name == "list" and INT.accepts(index):
            return operand.arguments[0]
        if operand.name == "map" and operand.arguments[0].accepts(index):
            return operand.arguments[1]
        raise self.wrong(node.at, "cel.type", f"a value of type {operand} takes no index of type {index}")

    def map(self, node: MapOf) -> Type:
        keys = [self.of(key) for key, _ in node.entries]
        for (key, _), kind in zip(node.entries, keys, strict=True):
            if kind not in (BOOL, INT, UINT, STRING, DYN):
                raise self.wrong(
                    key.at, "cel.type", f"a key of a map is a bool, int, uint or string, not {kind}"
                )
        return map_of(_common(keys), _common(self.of(value) for _, value in node.entries))

    def comprehension(self, node: Comprehension) -> Type:
        operand = self.of(node.operand)
        if self.loops >= MAX_COMPREHENSIONS:
            raise self.wrong(
                node.at, "cel.too-large", f"comprehensions nest at most {MAX_COMPREHENSIONS} deep"
            )
        inside = evolve(
            self, scope={**self.scope, node.variable: self.range(operand, node)}, loops=self.loops + 1
        )
        types = [inside.of(argument) for argument in node.arguments]
        if node.kind == "map":
            if len(types) == 2:
                self.needs_bool(node.arguments[0], types[0])
            return list_of(types[-1])
        self.needs_bool(node.arguments[0], types[0])
        return list_of(inside.scope[node.variable]) if node.kind == "filter" else BOOL

    def range(self, operand: Type, node: Comprehension) -> Type:
        if operand == DYN:
            return DYN
        if operand.is_record:
            return STRING
        if operand.name in ("list", "map"):
            return operand.arguments[0]
        raise self.wrong(node.at, "cel.type", f"{node.kind} goes through a list or a map, not {operand}")

    def needs_bool(self, node: Node, found: Type) -> None:
        if not BOOL.accepts(found):
            raise self.wrong(node.at, "cel.type", f"expected bool, found {found}")

    def call(self, node: Call) -> Type:
        if node.target is None and node.function in (TERNARY, IN, "_==_", "_!=_"):
            return self.special(node)
        if node.target is None and node.function == "_+_":
            left, right = (self.of(part) for part in node.arguments)
            if "list" in (left.name, right.name) and left.accepts(right):
                return list_of(_common((_item(left), _item(right))))
            return self.resolve(node, OPERATORS[node.function], None, (left, right))
        if node.target is None and node.function in OPERATORS:
            types = tuple(self.of(part) for part in node.arguments)
            return self.resolve(node, OPERATORS[node.function], None, types)
        overloads = FUNCTIONS.get(node.function)
        if overloads is None:
            fix = (
                "write has(x.y) && x.y == …"
                if node.function in ("orValue", "or", "hasValue", "value", "optional")
                else nearest(node.function, FUNCTIONS)
            )
            code = "cel.unsupported" if node.function == "orValue" else "cel.unknown-name"
            raise self.wrong(node.at, code, f"there is no function {node.function!r}", fix)
        target = None if node.target is None else self.of(node.target)
        types = tuple(self.of(part) for part in node.arguments)
        self.literals(node)
        return self.resolve(node, overloads, target, types)

    def special(self, node: Call) -> Type:
        if node.function == TERNARY:
            condition, yes, no = (self.of(part) for part in node.arguments)
            self.needs_bool(node.arguments[0], condition)
            if not yes.accepts(no):
                raise self.wrong(node.at, "cel.type", f"one branch is {yes}, the other {no}")
            return _common((yes, no))
        left, right = (self.of(part) for part in node.arguments)
        if node.function == IN:
            if right == DYN or (right.is_record and STRING.accepts(left)):
                return BOOL
            if right.name in ("list", "map") and right.arguments[0].accepts(left):
                return BOOL
            raise self.wrong(node.at, "cel.type", f"{left} can't be in {right}")
        if not left.accepts(right):
            raise self.wrong(node.at, "cel.type", f"{left} is never equal to {right}")
        return BOOL

    def resolve(
        self, node: Call, overloads: tuple[Overload, ...], target: Type | None, types: tuple[Type, ...]
    ) -> Type:
        styled = [one for one in overloads if (one.of is None) == (target is None)]
        if not styled:
            fix = "call it on a value: x.f()" if target is None else "call it as f(x)"
            raise self.wrong(node.at, "cel.arguments", f"{node.function} is not called that way", fix)
        counted = [one for one in styled if len(one.takes) == len(types)]
        if not counted:
            counts = " or ".join(str(count) for count in sorted({len(one.takes) for one in styled}))
            raise self.wrong(
                node.at, "cel.arguments", f"{node.function} takes {counts} arguments; found {len(types)}"
            )
        fitting = [one for one in counted if _fits(one, target, types)]
        if not fitting:
            raise self.wrong(node.at, "cel.type", _no_overload(node.function, target, types))
        return _common(one.gives for one in fitting)

    def literals(self, node: Call) -> None:
        """Refuse a pattern, a time or a duration that is none: it would be an error in every decision."""
        parse = {"matches": _pattern, "timestamp": parse_timestamp, "duration": parse_duration}.get(
            node.function
        )
        last = node.arguments[-1] if node.arguments else None
        if parse is None or not isinstance(last, Literal) or not isinstance(last.value, str):
            return
        try:
            parse(last.value)
        except ValueError as error:
            raise self.wrong(last.at, "cel.literal", str(error)) from None

    def wrong(self, at: int, code: str, message: str, fix: str = "") -> CompileError:
        return CompileError.at(self.source, at, code, message, fix=fix)


def _pattern(text: str) -> None:
    import re2  # a native module, that only a policy with a pattern needs

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(text, options)
    except re2.error as error:
        raise ValueError(f"RE2 takes no such pattern: {_said(error)}") from None


def _said(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _literal(value: bool | int | float | str | bytes | None) -> Type:
    match value:
        case None:
            return NULL
        case bool():
            return BOOL
        case UInt():
            return UINT
        case int():
            return INT
        case float():
            return DOUBLE
        case str():
            return STRING
        case bytes():
            return BYTES


def _common(types: Iterable[Type]) -> Type:
    """One type if all are the same, else dyn."""
    found = list(types)
    return reduce(lambda one, other: one if one == other else DYN, found) if found else DYN


def _item(kind: Type) -> Type:
    return kind.arguments[0] if kind.name == "list" else DYN


def _fits(overload: Overload, target: Type | None, types: tuple[Type, ...]) -> bool:
    if overload.of is not None and target is not None and not overload.of.accepts(target):
        return False
    return all(wanted.accepts(found) for wanted, found in zip(overload.takes, types, strict=True))


def _no_overload(function: str, target: Type | None, types: tuple[Type, ...]) -> str:
    if function in OPERATORS:
        sign = BINARY.get(function, function[0])
        return f"{sign} is not defined on {' and '.join(map(str, types))}"
    found = ", ".join(map(str, types))
    return f"{function} is not defined on {'' if target is None else f'{target} and '}({found})"
