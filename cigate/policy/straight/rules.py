"""The straight way: one Python function that says which of a few rules are true, as long as nothing is odd.

Theory of operation. CEL's rules about errors and unknown facts cost time at every step, and nearly every request
needs none of them: its facts are all there and all of their declared types. So this writes code for that case
alone. All facts have been checked (checks.py); the code loads each fact that any of the rules reads once, and
asks the rules in plain Python, where `&&` is `and`. Whatever is odd (a fact that is not there, or of another type,
or out of its range) raises, whatever it is that is raised, and the caller decides the exact way.
So this code never says what an error means, and can't get it wrong.

One rule limits what it may write: given facts that pass the checks, an expression gives CEL's value or raises. A
part that CEL absorbs the error of may be left out, and that is what Python's short circuits do. A rule with a part
for which there is no such code (an index, a conversion, a sum that could overflow) is asked the exact way, by itself.

A fact that some rule tests for (`has(x)`) may be absent. Where a rule reads it and does not know that it is
there, the code asks first, and an absent one is odd.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from attrs import define, evolve, field, frozen

from cigate.cel.patterns import matcher, string_test
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
    Name,
    Node,
    UInt,
    path_of,
    walk,
)
from cigate.cel.times import parse_duration, parse_timestamp
from cigate.facts import Facts, FactType
from cigate.policy.straight import writing as py
from cigate.policy.straight.reads import Fact, FactTypes, NotStraight, Reads
from cigate.policy.straight.settled import settled
from cigate.policy.straight.writing import Space

Exactly = Callable[[Facts], bool]
"""Whether one rule is true of facts, asked the exact way; raises if it is in error."""

PER_MASK: Final = 30
"""How many rules one integer says: beyond 30 bits Python's arithmetic is slower."""


@frozen(eq=False, repr=False)
class Question:
    """A rule as this asks it.

    Args:
        node: its expression, variables in place; None: it has none, and is true.
        strict: an absent fact that it tests for must not hide that another one is missing.
        exactly: the same, asked the exact way.
    """

    node: Node | None
    strict: bool
    exactly: Exactly


def which_are_true(
    questions: Sequence[Question],
    types: FactTypes,
    known: Mapping[str, str],
    space: Space,
    *,
    whole: bool = True,
) -> Callable[[Any], Any]:
    """A function from a document of facts to which questions are true: a mask of bits, or a tuple of them.

    The bit `1 << n % 30` of the mask `n // 30` is question `n`. The function raises if anything is odd. Its facts
    have been checked (`Checks`) but for `parameters`.

    Args:
        questions: the rules that may be true of these facts.
        types: the facts' types.
        known: facts whose value is known already, as the action is.
        space: where the code's names are.
        whole: check all parameters; else those that these rules read, for the others have been checked.
    """
    nodes = [settled(question.node, known) for question in questions]
    optional = {test for node in nodes if node is not None for test in _tested(node)}
    reads = Reads(types, optional, space)
    body: list[ast.stmt] = [py.store("facts", py.constant(None))]
    masks = max(1, -(-len(questions) // PER_MASK))
    for mask in range(masks):
        body.append(py.store(f"m{mask}", py.constant(0)))
    for at, (question, node) in enumerate(zip(questions, nodes, strict=True)):
        mask, bit = divmod(at, PER_MASK)
        found = py.add(f"m{mask}", py.constant(1 << bit))
        condition, before = _asked(question, node, reads)
        body += before
        match condition:
            case ast.Constant(value=True):
                body.append(found)
            case ast.Constant(value=False):
                pass
            case _:
                body.append(py.when(condition, found))
    result = [py.name(f"m{mask}") for mask in range(masks)]
    body.append(py.give(result[0] if masks == 1 else py.tuple_of(result)))
    return py.function(
        "which_are_true", "document", [*reads.statements("document", whole=whole), *body], space
    )


def _tested(node: Node) -> Iterator[str]:
    for part in walk(node):
        if isinstance(part, Has):
            above = path_of(part.operand)
            if above is not None:
                yield f"{above}.{part.field}"


def _facts(reads: Reads) -> ast.expr:
    """The document as facts, for the rules that are asked exactly: made for the first of them."""
    conform = reads.space.keep(partial(Facts.of, schema=reads.types.schema))
    made = py.named("facts", py.call(conform, py.name("document")))
    return py.choice(py.compare(py.name("facts"), (ast.Is, py.constant(None))), made, py.name("facts"))


def _asked(question: Question, node: Node | None, reads: Reads) -> tuple[ast.expr, list[ast.stmt]]:
    """The condition of a rule, and what must hold before it is asked."""
    if node is None:
        return py.constant(True), []
    before = {path: evolve(fact) for path, fact in reads.facts.items()}
    try:
        writer = _Writer(reads)
        condition = writer.truth(node, frozenset())
    except NotStraight:
        reads.facts = before
        return py.call(reads.space.keep(question.exactly), _facts(reads)), []
    if not question.strict:
        return condition, []
    tested = set(_tested(node))
    missing = [
        py.when(py.compare(py.name(fact.local), (ast.Is, py.name("ABSENT"))), py.do(py.call("odd")))
        for path, fact in writer.read.items()
        if fact.optional and path not in tested
    ]
    return condition, missing if tested else []


@frozen(eq=False, repr=False)
class Written:
    """The code of an expression and the type of its value; of an integer also how large it can get."""

    code: ast.expr
    kind: FactType
    most: int = 0


_SIGNS: Final[Mapping[str, type[ast.cmpop]]] = {
    "_==_": ast.Eq,
    "_!=_": ast.NotEq,
    "_<_": ast.Lt,
    "_<=_": ast.LtE,
    "_>_": ast.Gt,
    "_>=_": ast.GtE,
}
_SCALARS: Final = (FactType.BOOL, FactType.INT, FactType.STRING, FactType.TIMESTAMP, FactType.DURATION)
_ARITHMETIC: Final[Mapping[str, type[ast.operator]]] = {"_+_": ast.Add, "_-_": ast.Sub, "_*_": ast.Mult}
_FACT_LIMIT: Final = 2**53
_INT_LIMIT: Final = 2**63


@define(eq=False, repr=False)
class _Writer:
    """Writes one rule's expression. `present` are the optional facts that are known to be there at a place."""

    reads: Reads
    scope: Mapping[str, Written] = field(factory=dict)
    read: dict[str, Fact] = field(factory=dict)

    def truth(self, node: Node, present: frozenset[str]) -> ast.expr:
        return self.of(node, present, FactType.BOOL).code

    def of(self, node: Node, present: frozenset[str], wanted: FactType | None = None) -> Written:
        """The code of an expression of the type that is wanted.

        Raises:
            NotStraight: it might fail, or its type can't be told.
        """
        found = self.any(node, present, wanted)
        if wanted is not None and found.kind is not wanted:
            raise NotStraight
        return found

    def any(self, node: Node, present: frozenset[str], wanted: FactType | None) -> Written:
        match node:
            case Literal(value=value):
                return _literal(value)
            case Name(name=name) if name in self.scope:
                return self.scope[name]
            case Has():
                return self.has(node)
            case Call(function=function, target=None, arguments=parts) if function in (AND, OR):
                return self.junction(function, parts, present)
            case Call(function=function, target=None, arguments=(part,)) if function == NOT:
                return Written(py.negation(self.truth(part, present)), FactType.BOOL)
            case Call(function=function, target=None, arguments=(condition, yes, no)) if function == TERNARY:
                return self.choice(condition, yes, no, present, wanted)
            case Call(function=function, target=None, arguments=(left, right)) if function in _SIGNS:
                return self.relation(function, left, right, present)
            case Call(function=function, target=None, arguments=(left, right)) if function == IN:
                return self.contained(left, right, present)
            case Call(function=function, target=None, arguments=(left, right)) if function in _ARITHMETIC:
                return self.arithmetic(function, left, right, present)
            case Comprehension():
                return self.loop(node, present)
            case Call():
                return self.call(node, present)
        path = path_of(node)
        if path is None or path.partition(".")[0] in self.scope:
            raise NotStraight
        return self.fact(path, present, wanted)

    def fact(self, path: str, present: frozenset[str], wanted: FactType | None) -> Written:
        fact = self.reads.fact(path, wanted)
        self.read[path] = fact
        if fact.kind is None:
            raise NotStraight
        code = py.name(fact.local)
        if fact.optional and path not in present:
            code = py.choice(py.compare(code, (ast.IsNot, py.name("ABSENT"))), code, py.call("odd"))
        return Written(code, fact.kind, _FACT_LIMIT)

    def has(self, node: Has) -> Written:
        path = path_of(node)
        above = path_of(node.operand)
        if above is None or above.partition(".")[0] in self.scope:
            raise NotStraight
        path = f"{above}.{node.field}"
        fact = self.reads.fact(path)
        self.read[path] = fact
        return Written(py.compare(py.name(fact.local), (ast.IsNot, py.name("ABSENT"))), FactType.BOOL)

    def junction(self, function: str, parts: Sequence[Node], present: frozenset[str]) -> Written:
        codes: list[ast.expr] = []
        for part in _flat(function, parts):
            codes.append(self.truth(part, present))
            present |= _presence(part, when=function == AND)
        return Written(py.conjunction(codes) if function == AND else py.disjunction(codes), FactType.BOOL)

    def choice(
        self, condition: Node, yes: Node, no: Node, present: frozenset[str], wanted: FactType | None
    ) -> Written:
        asked = self.truth(condition, present)
        first = self.of(yes, present | _presence(condition, when=True), wanted)
        other = self.of(no, present | _presence(condition, when=False), wanted or first.kind)
        if first.kind is not other.kind:
            raise NotStraight
        return Written(py.choice(asked, first.code, other.code), first.kind, max(first.most, other.most))

    def relation(self, function: str, left: Node, right: Node, present: frozenset[str]) -> Written:
        one, other = self.alike(left, right, present)
        if one.kind not in _SCALARS:
            raise NotStraight
        if one.kind is FactType.BOOL and function in ("_==_", "_!=_"):
            for side, against in ((one, right), (other, left)):
                if isinstance(against, Literal):  # `x == true` is x
                    same = (function == "_==_") is against.value
                    return Written(side.code if same else py.negation(side.code), FactType.BOOL)
        return Written(py.compare(one.code, (_SIGNS[function], other.code)), FactType.BOOL)

    def alike(self, left: Node, right: Node, present: frozenset[str]) -> tuple[Written, Written]:
        """Two operands of one type; the type of an open fact is that of what it stands beside."""
        if self.is_open(left):
            other = self.of(right, present)
            return self.of(left, present, other.kind), other
        one = self.of(left, present)
        return one, self.of(right, present, one.kind)

    def is_open(self, node: Node) -> bool:
        path = path_of(node)
        if path is None or path.partition(".")[0] in self.scope:
            return False
        return self.reads.types.kind(path) is None

    def contained(self, item: Node, container: Node, present: frozenset[str]) -> Written:
        if isinstance(container, ListOf):
            values = [part.value for part in container.items if isinstance(part, Literal)]
            kinds = {_literal(value).kind for value in values}
            if len(values) != len(container.items) or len(kinds) != 1 or container.optional:
                raise NotStraight
            found = self.of(item, present, kinds.pop())
            return Written(
                py.compare(found.code, (ast.In, self.reads.space.constant(frozenset(values)))), FactType.BOOL
            )
        within = self.of(container, present, FactType.STRINGS)
        found = self.of(item, present, FactType.STRING)
        return Written(py.compare(found.code, (ast.In, within.code)), FactType.BOOL)

    def arithmetic(self, function: str, left: Node, right: Node, present: frozenset[str]) -> Written:
        one, other = self.alike(left, right, present)
        if one.kind is FactType.TIMESTAMP and function == "_-_":
            return Written(py.call("elapsed", one.code, other.code), FactType.DURATION)
        if one.kind is not FactType.INT:
            raise NotStraight
        made = ast.BinOp(one.code, _ARITHMETIC[function](), other.code)
        most = one.most * other.most if function == "_*_" else one.most + other.most
        if most >= _INT_LIMIT:
            raise NotStraight
        return Written(made, FactType.INT, most)

    def loop(self, node: Comprehension, present: frozenset[str]) -> Written:
        """`any` or `all` over a list of texts, of an expression that reads nothing but its item."""
        if node.kind not in ("all", "exists") or node.second or len(node.arguments) != 1:
            raise NotStraight
        within = self.of(node.operand, present, FactType.STRINGS)
        local = self.reads.space.fresh("v")
        inside = _Writer(self.reads, {**self.scope, node.variable: Written(py.name(local), FactType.STRING)})
        body = inside.truth(node.arguments[0], frozenset())
        if inside.read:
            raise NotStraight
        each = ast.GeneratorExp(body, [ast.comprehension(ast.Name(local, ast.Store()), within.code, [], 0)])
        return Written(py.call("all" if node.kind == "all" else "any", each), FactType.BOOL)

    def call(self, node: Call, present: frozenset[str]) -> Written:
        match node:
            case (
                Call(function="size", target=None, arguments=(of,))
                | Call(function="size", target=of, arguments=())
            ):
                assert of is not None
                found = self.of(of, present)
                if found.kind not in (FactType.STRING, FactType.STRINGS):
                    raise NotStraight
                return Written(py.call("len", found.code), FactType.INT, _FACT_LIMIT)
            case Call(
                function="startsWith" | "endsWith" | "contains" as function, target=of, arguments=(part,)
            ) if of is not None:
                text = self.of(of, present, FactType.STRING)
                wanted = self.of(part, present, FactType.STRING)
                return Written(_text_test(function, text.code, wanted.code), FactType.BOOL)
            case (
                Call(function="matches", target=None, arguments=(text_, Literal(value=str() as pattern)))
                | Call(function="matches", target=text_, arguments=(Literal(value=str() as pattern),))
            ) if text_ is not None:
                return self.match(self.of(text_, present, FactType.STRING).code, pattern)
            case Call(
                function="timestamp" | "duration", target=None, arguments=(Literal(value=str() as text),)
            ):
                return self.moment(node.function, text)
            case Call(function=function, target=of, arguments=()) if of is not None and function in _MOMENTS:
                found = self.of(of, present, FactType.TIMESTAMP)
                return Written(_MOMENTS[function](found.code), FactType.INT, 10_000)
            case _:
                raise NotStraight

    def match(self, text: ast.expr, pattern: str) -> Written:
        shape = string_test(pattern)
        if shape is None:
            return Written(py.call(self.reads.space.keep(matcher(pattern)), text), FactType.BOOL)
        kind, literals = shape
        if kind == "equals":
            among = self.reads.space.constant(frozenset(literals))
            return Written(py.compare(text, (ast.In, among)), FactType.BOOL)
        if kind == "contains":
            tests = [py.compare(py.constant(one), (ast.In, text)) for one in literals]
            return Written(py.disjunction(tests), FactType.BOOL)
        called = "startswith" if kind == "prefix" else "endswith"
        one = literals[0] if len(literals) == 1 else literals
        return Written(py.method(text, called, py.constant(one)), FactType.BOOL)

    def moment(self, function: str, text: str) -> Written:
        try:
            found: datetime | timedelta = (
                parse_timestamp(text) if function == "timestamp" else parse_duration(text)
            )
        except ValueError:
            raise NotStraight from None
        if type(found) not in (datetime, timedelta):  # it is finer than a microsecond
            raise NotStraight
        kind = FactType.TIMESTAMP if function == "timestamp" else FactType.DURATION
        return Written(self.reads.space.constant(found), kind)


def _text_test(function: str, text: ast.expr, part: ast.expr) -> ast.expr:
    if function == "contains":
        return py.compare(part, (ast.In, text))
    return py.method(text, "startswith" if function == "startsWith" else "endswith", part)


def _sunday_is_zero(moment: ast.expr) -> ast.expr:
    return ast.BinOp(py.method(moment, "isoweekday"), ast.Mod(), py.constant(7))


def _less_one(number: ast.expr) -> ast.expr:
    return ast.BinOp(number, ast.Sub(), py.constant(1))


_MOMENTS: Final[Mapping[str, Callable[[ast.expr], ast.expr]]] = {
    "getFullYear": lambda moment: py.attribute(moment, "year"),
    "getMonth": lambda moment: _less_one(py.attribute(moment, "month")),
    "getDate": lambda moment: py.attribute(moment, "day"),
    "getDayOfMonth": lambda moment: _less_one(py.attribute(moment, "day")),
    "getDayOfWeek": _sunday_is_zero,
    "getHours": lambda moment: py.attribute(moment, "hour"),
    "getMinutes": lambda moment: py.attribute(moment, "minute"),
    "getSeconds": lambda moment: py.attribute(moment, "second"),
}
"""Parts of a timestamp in UTC, as CEL counts them: months, days of a month and days of a week from zero."""


def _literal(value: Any) -> Written:
    match value:
        case bool():
            return Written(py.constant(value), FactType.BOOL)
        case UInt():
            raise NotStraight
        case int():
            return Written(py.constant(value), FactType.INT, abs(value))
        case str():
            return Written(py.constant(value), FactType.STRING)
    raise NotStraight


def _flat(function: str, parts: Sequence[Node]) -> Iterator[Node]:
    for part in parts:
        match part:
            case Call(function=found, target=None, arguments=below) if found == function:
                yield from _flat(function, below)
            case _:
                yield part


def _presence(node: Node, *, when: bool) -> frozenset[str]:
    """The facts that are there if the expression is true (`when`), or if it is false."""
    match node:
        case Has() if when:
            return frozenset(_tested(node))
        case Call(function=function, target=None, arguments=(part,)) if function == NOT:
            return _presence(part, when=not when)
        case Call(function=function, target=None, arguments=parts) if function == (AND if when else OR):
            return frozenset().union(*(_presence(part, when=when) for part in parts))
        case _:
            return frozenset()
