"""Type check: what an expression reads, and of what type it is, before any fact is known.

What is wrong here is wrong for every request, so it is an error of the policy's author and not of a
decision: a misspelt fact, a string compared with a number, a pattern that is none (threats B4, B8). Without
declarations nothing but such literals is refused: CEL lets an expression be evaluated unchecked, and says what
each of its errors is worth then (`false && 32` is false).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field

from cigate.cel import advice
from cigate.cel.error import CompileError, nearest
from cigate.cel.functions import Function
from cigate.cel.literals import unreadable
from cigate.cel.macros import spelt
from cigate.cel.operators import OPERATORS
from cigate.cel.signatures import given
from cigate.cel.syntax import (
    AND,
    IN,
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
    UInt,
    path_of,
)
from cigate.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Declarations,
    Type,
    list_of,
    map_of,
    optional_of,
    type_of,
)
from cigate.cel.unification import Substitution

_LITERALS: Final[Mapping[type, Type]] = {
    bool: BOOL,
    int: INT,
    UInt: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    type(None): NULL,
}
_STANDS: Final[Mapping[str, Type]] = {
    **{kind.name: type_of(kind) for kind in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, NULL, TYPE)},
    "list": type_of(list_of(DYN)),
    "map": type_of(map_of(DYN, DYN)),
    "optional_type": type_of(optional_of(DYN)),
    "google.protobuf.Timestamp": type_of(TIMESTAMP),
    "google.protobuf.Duration": type_of(DURATION),
}
"""Of what type a name of a type is."""

_NUMBERS: Final = frozenset({INT, UINT, DOUBLE})
_ORDERED: Final = frozenset({BOOL, STRING, BYTES, TIMESTAMP, DURATION, *_NUMBERS})
_KEYS: Final = frozenset({BOOL, INT, UINT, STRING, DYN})
_EQUALITIES: Final = frozenset({"_==_", "_!=_"})
_ORDERINGS: Final = frozenset(RELATIONS) - _EQUALITIES - {IN}


def check(
    node: Node,
    declarations: Declarations | None,
    source: str = "",
    *,
    functions: Mapping[str, Function] | None = None,
) -> Type:
    """The type of an expression.

    Args:
        node: what `resolved` gave.
        declarations: which names there are; None leaves every name dynamic, and checks nothing but literals.
        source: the text that was parsed, for the place and the caret of an error.
        functions: what may be called besides the operators; None: the library.

    Raises:
        CompileError: `cel.unknown-name`, `cel.unknown-field`, `cel.type`, `cel.arguments`, `cel.literal`.
    """
    if functions is None:
        from cigate.cel.library import LIBRARY  # who checks with functions of their own need not have all

        functions = LIBRARY
    checker = _Checker(source, declarations, functions)
    return checker.found.final(checker.of(node))


@define(eq=False, repr=False)
class _Checker:
    source: str
    declarations: Declarations | None
    functions: Mapping[str, Function]
    scope: dict[str, Type] = field(factory=dict)
    found: Substitution = field(factory=Substitution)

    def of(self, node: Node) -> Type:
        kind: Type = _OF[type(node)](self, node)
        return kind if not kind.is_open else self.found.known(kind)

    def literal(self, node: Literal) -> Type:
        return _LITERALS[type(node.value)]

    def name(self, node: Name) -> Type:
        if not node.absolute and node.name in self.scope:
            return self.scope[node.name]
        if self.declarations is None:
            return _STANDS.get(node.name, DYN)
        known = self.declarations.names.member(node.name) or _STANDS.get(node.name)
        if known is not None:
            return known
        names = [name for name, _ in self.declarations.names.fields or ()]
        return self.wrong(
            node.at,
            "cel.unknown-name",
            f"there is no {spelt(node.name)!r}",
            nearest(node.name, (*names, *self.scope)),
        )

    def select(self, node: Select) -> Type:
        return self.reached(node, self.of(node.operand), node.optional, lambda kind: self.member(kind, node))

    def has(self, node: Has) -> Type:
        self.reached(node, self.of(node.operand), False, lambda kind: self.member(kind, node))
        return BOOL

    def index(self, node: Index) -> Type:
        operand, index = self.of(node.operand), self.of(node.index)
        return self.reached(node, operand, node.optional, lambda kind: self.item(kind, index, node))

    def reached(self, node: Node, operand: Type, optional: bool, step: Callable[[Type], Type]) -> Type:
        """What a step gives from an operand; from an optional it gives an optional, as does an optional step."""
        if operand.name == "optional_type":
            return optional_of(step(operand.arguments[0]))
        return optional_of(step(operand)) if optional else step(operand)

    def member(self, operand: Type, node: Select | Has) -> Type:
        name = node.field
        if operand.fields is not None:
            return operand.member(name) or self.no_field(operand, name, node.at)
        if operand == DYN or operand.parameter:
            return DYN
        if operand.name == "map" and self.found.fits(STRING, operand.arguments[0]):
            return operand.arguments[1]
        return self.wrong(node.at, "cel.type", *advice.no_fields(operand))

    def no_field(self, operand: Type, name: str, at: int) -> Type:
        fix = nearest(name, (known for known, _ in operand.fields or ()))
        return self.wrong(at, "cel.unknown-field", f"{operand} has no field {name!r}", fix)

    def item(self, operand: Type, index: Type, node: Index) -> Type:
        if operand == DYN or operand.parameter:
            return DYN
        if operand.is_record and self.found.fits(index, STRING):
            if isinstance(node.index, Literal) and isinstance(node.index.value, str):
                name = node.index.value
                return operand.member(name) or self.no_field(operand, name, node.at)
            return DYN
        if operand.name == "list" and self.found.fits(index, INT):
            return operand.arguments[0]
        if operand.name == "map" and self.found.fits(index, operand.arguments[0]):
            return operand.arguments[1]
        return self.wrong(node.at, "cel.type", *advice.no_index(operand, index))

    def items(self, node: ListOf) -> Type:
        optional = node.optional
        kinds = [
            self.unwrapped(item, self.of(item)) if at in optional else self.of(item)
            for at, item in enumerate(node.items)
        ]
        return list_of(self.common(kinds))

    def entries(self, node: MapOf) -> Type:
        keys: list[Type] = []
        values: list[Type] = []
        for at, (key, value) in enumerate(node.entries):
            kind = self.of(key)
            if kind not in _KEYS and not kind.parameter:
                self.wrong(key.at, "cel.type", f"a key of a map is a bool, int, uint or string, not {kind}")
            keys.append(kind)
            values.append(self.unwrapped(value, self.of(value)) if at in node.optional else self.of(value))
        return map_of(self.common(keys), self.common(values))

    def unwrapped(self, node: Node, kind: Type) -> Type:
        """What is in the optional that stands after a `?`."""
        if kind.name == "optional_type":
            return kind.arguments[0]
        if kind == DYN or kind.parameter:
            return DYN
        return self.wrong(node.at, "cel.type", f"after ? comes an optional, not {kind}", "drop the ?")

    def common(self, kinds: list[Type]) -> Type:
        """One type if all can be of one, else dyn; of nothing, one that is still to be found."""
        if not kinds:
            return self.found.fresh()
        joined = kinds[0]
        for kind in kinds[1:]:
            if kind is joined:
                continue
            general = self.found.joined(joined, kind)
            if general is None:
                return DYN
            joined = general
        return joined

    def comprehension(self, node: Comprehension) -> Type:
        operand = self.of(node.operand)
        if node.kind in ("optMap", "optFlatMap"):
            inside = self.within(node, {node.variable: self.unwrapped_operand(node, operand)})
            return optional_of(inside[0]) if node.kind == "optMap" else self.an_optional(node, inside[0])
        first, second = self.range(node, operand)
        if node.kind == "sortBy" and operand.name != "list" and operand != DYN and not operand.parameter:
            return self.wrong(node.at, "cel.type", f"sortBy goes through a list, not {operand}")
        if not node.second:
            item = second if operand.name == "list" else first
            kinds = self.within(node, {node.variable: item})
        else:
            item = first
            kinds = self.within(node, {node.variable: first, node.second: second})
        for argument, kind in zip(node.arguments, kinds, strict=True):
            if argument is not node.arguments[-1] or node.kind not in _MAKES:
                self.needs_bool(argument, kind)
        if node.kind == "sortBy":
            self.needs_order(node.arguments[-1], kinds[-1])
        match node.kind:
            case "map" | "transformList":
                return list_of(kinds[-1])
            case "filter" | "sortBy":
                return list_of(item)
            case "transformMap":
                return map_of(first, kinds[-1])
            case "transformMapEntry":
                return self.an_entry(node, kinds[-1])
            case _:
                return BOOL

    def within(self, node: Comprehension, variables: Mapping[str, Type]) -> list[Type]:
        """The types of a macro's arguments, that see its variables."""
        outside = self.scope
        self.scope = {**outside, **variables}
        kinds = [self.of(argument) for argument in node.arguments]
        self.scope = outside
        return kinds

    def range(self, node: Comprehension, operand: Type) -> tuple[Type, Type]:
        """What the two variables of a loop are: the index or key, and the item or value."""
        if operand == DYN or operand.parameter:
            return DYN, DYN
        if operand.is_record:
            return STRING, DYN
        if operand.name == "list":
            return INT, operand.arguments[0]
        if operand.name == "map":
            return operand.arguments[0], operand.arguments[1]
        self.wrong(node.at, "cel.type", f"{node.kind} goes through a list or a map, not {operand}")
        return DYN, DYN

    def unwrapped_operand(self, node: Comprehension, operand: Type) -> Type:
        if operand.name == "optional_type":
            return operand.arguments[0]
        if operand == DYN or operand.parameter:
            return DYN
        return self.wrong(node.at, "cel.type", f"{node.kind} is for an optional, not {operand}")

    def an_optional(self, node: Comprehension, kind: Type) -> Type:
        if kind.name == "optional_type" or kind == DYN or kind.parameter:
            return kind
        message = f"the last argument of {node.kind} is an optional, not {kind}"
        return self.wrong(node.arguments[-1].at, "cel.type", message, "use optMap, or optional.of(…)")

    def an_entry(self, node: Comprehension, kind: Type) -> Type:
        if kind.name == "map" or kind == DYN or kind.parameter:
            return kind
        message = f"the last argument of {node.kind} is a map, not {kind}"
        return self.wrong(node.arguments[-1].at, "cel.type", message, "write {key: value}")

    def bind(self, node: Bind) -> Type:
        value = self.of(node.value)
        outside = self.scope
        self.scope = {**outside, node.variable: value}
        kind = self.of(node.body)
        self.scope = outside
        return kind

    def needs_bool(self, node: Node, kind: Type) -> None:
        if kind is not BOOL and not self.found.fits(kind, BOOL):
            self.wrong(node.at, "cel.type", f"expected bool, found {kind}")

    def needs_order(self, node: Node, kind: Type) -> None:
        if kind not in _ORDERED and kind != DYN and not kind.parameter:
            self.wrong(node.at, "cel.type", f"sortBy takes what has an order, not {kind}")

    def call(self, node: Call) -> Type:
        if node.target is not None:
            known = self.functions.get(node.function)
            if known is None:
                return self.unknown_function(node)
            target, types = self.of(node.target), tuple([self.of(part) for part in node.arguments])
            self.check_literals(node)
            return self.resolve(node, known, target, types)
        special = _SPECIAL.get(node.function)
        if special is not None:
            return special(self, node)
        types = tuple([self.of(part) for part in node.arguments])
        known = OPERATORS.get(node.function) or self.functions.get(node.function)
        if known is None:
            return self.unknown_function(node)
        self.check_literals(node)
        return self.resolve(node, known, None, types)

    def unknown_function(self, node: Call) -> Type:
        whole = node.function
        path = None if node.target is None else path_of(node.target)
        if path is not None and any(name.startswith(f"{path}.") for name in self.functions):
            whole = f"{path}.{whole}"
        elif node.target is not None:
            self.of(node.target)  # what is wrong in front of the name is said first
        return self.wrong(
            node.at, "cel.unknown-name", f"there is no function {whole!r}", nearest(whole, self.functions)
        )

    def logic(self, node: Call) -> Type:
        left, right = node.arguments
        kinds = self.of(left), self.of(right)
        if kinds != (BOOL, BOOL) and not self.found.all_fit((kind, BOOL) for kind in kinds):
            return self.no_operator(node, kinds)
        return BOOL

    def ternary(self, node: Call) -> Type:
        condition, yes, no = [self.of(part) for part in node.arguments]
        self.needs_bool(node.arguments[0], condition)
        joined = self.found.joined(yes, no)
        if joined is None:
            return self.wrong(node.at, "cel.type", f"one branch is {yes}, the other {no}")
        return joined

    def equality(self, node: Call) -> Type:
        left, right = [self.of(part) for part in node.arguments]
        if left is not right and not self.found.fits(left, right):
            return self.wrong(node.at, "cel.type", *advice.unequal(left, right), gives=BOOL)
        return BOOL

    def ordering(self, node: Call) -> Type:
        left, right = kinds = self.of(node.arguments[0]), self.of(node.arguments[1])
        if left is right and left in _ORDERED:
            return BOOL
        if all(map(_may_be_number, kinds)):
            return BOOL
        ordered = all(kind in _ORDERED or kind == DYN or kind.parameter for kind in kinds)
        if not ordered or not self.found.fits(left, right):
            return self.no_operator(node, kinds)
        return BOOL

    def membership(self, node: Call) -> Type:
        left, right = [self.of(part) for part in node.arguments]
        if right == DYN or right.parameter or (right.is_record and self.found.fits(left, STRING)):
            return BOOL
        if right.name in ("list", "map") and self.found.fits(left, right.arguments[0]):
            return BOOL
        return self.wrong(node.at, "cel.type", *advice.not_within(left, right), gives=BOOL)

    def resolve(self, node: Call, known: Function, target: Type | None, types: tuple[Type, ...]) -> Type:
        kind = given(known, target, types, self.found)
        if kind is None or (
            node.function in _OF_NUMBERS and len(types) > 1 and not all(map(_may_be_number, types))
        ):
            shown = None if target is None else self.found.final(target)
            code, message, fix = advice.misfit(
                node.function, known, shown, tuple(map(self.found.final, types))
            )
            return self.wrong(node.at, code, message, fix)
        return kind

    def no_operator(self, node: Call, kinds: tuple[Type, ...]) -> Type:
        message, fix = advice.not_defined(node.function, None, tuple(map(self.found.final, kinds)))
        return self.wrong(node.at, "cel.type", message, fix, gives=BOOL)

    def check_literals(self, node: Call) -> None:
        """Refuse a pattern, a time or a duration that is none: it would be an error in every decision."""
        wrong = unreadable(node)
        if wrong is not None:
            raise CompileError.at(self.source, wrong[0], "cel.literal", wrong[1])

    def wrong(self, at: int, code: str, message: str, fix: str = "", *, gives: Type = DYN) -> Type:
        """An error of whoever declared what there is; without declarations it is left to the evaluation."""
        if self.declarations is None:
            return gives
        raise CompileError.at(self.source, at, code, message, fix=fix)


_OF: Final[Mapping[type, Callable[[_Checker, Any], Type]]] = {
    Literal: _Checker.literal,
    Name: _Checker.name,
    Select: _Checker.select,
    Has: _Checker.has,
    Index: _Checker.index,
    ListOf: _Checker.items,
    MapOf: _Checker.entries,
    Comprehension: _Checker.comprehension,
    Bind: _Checker.bind,
    Call: _Checker.call,
}
_OF_NUMBERS: Final = frozenset({"math.greatest", "math.least"})
"""What takes many arguments, numbers of any type each: more mixtures than anyone would list as overloads."""


def _may_be_number(kind: Type) -> bool:
    return kind in _NUMBERS or kind == DYN or kind.parameter


_SPECIAL: Final[Mapping[str, Callable[[_Checker, Call], Type]]] = {
    AND: _Checker.logic,
    OR: _Checker.logic,
    TERNARY: _Checker.ternary,
    IN: _Checker.membership,
    **dict.fromkeys(_EQUALITIES, _Checker.equality),
    **dict.fromkeys(_ORDERINGS, _Checker.ordering),
}
_MAKES: Final = frozenset({"map", "sortBy", "transformList", "transformMap", "transformMapEntry"})
"""The macros whose last argument is what they make; all others have tests only."""
