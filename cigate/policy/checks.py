"""Code that loads the facts which rules read and checks that every fact fits the schema; odd ones raise.

What it accepts is what `Facts.of` accepts of plain dicts and of frozen facts, and a few odd things less: those are for
`Facts.of` itself to judge. What it gives the rules is what `Facts.of` would give them. All texts are checked at
once, by joining them: that fails on whatever is no text, and shows in one look whether all are ASCII.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field, frozen

from cigate.facts import BIGGEST_INTEGER, FactType, Schema
from cigate.policy import writing as py
from cigate.wire.times import parse_duration, parse_timestamp

Tree = dict[str, Any]


class NotStraight(Exception):
    """The rule needs more than the straight way does."""


class Odd(Exception):
    """Something about the facts that only the exact way can judge."""


ABSENT: Final[Any] = type("ABSENT", (), {"__slots__": (), "__repr__": lambda self: "ABSENT"})()
"""What stands for a fact that is not there, where a rule tests for it."""


def odd() -> Any:
    raise Odd


def moment(value: Any) -> datetime:
    """A timestamp as a datetime in UTC."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise Odd
        return value.astimezone(UTC)
    if type(value) is str:
        return parse_timestamp(value)
    raise Odd


def span(value: Any) -> timedelta:
    """A duration as a timedelta within the bounds of a fact."""
    if type(value) is str:
        value = -parse_duration(value[1:]) if value.startswith("-") else parse_duration(value)
    if type(value) is not timedelta or abs(value) > _LONGEST:
        raise Odd
    return value


def elapsed(later: datetime, earlier: datetime) -> timedelta:
    """The time between two timestamps, where CEL has a duration that long."""
    found = later - earlier
    if abs(found) > _LONGEST:
        raise Odd
    return found


def approvals(value: Any) -> None:
    """Approvals that fit, as `Facts.of` would have them."""
    for approval in value:
        if type(approval) is not dict or approval.keys() - _OF_APPROVAL:
            raise Odd
        roles = approval.get("roles", ())
        if type(roles) is not list and type(roles) is not tuple:
            raise Odd
        texts = "".join((approval["user"], *roles))
        if not texts.isascii():
            texts.encode()
        given = approval.get("at")
        if type(given) is not datetime:
            raise Odd
        if given.tzinfo is not UTC:
            moment(given)


def scalars(members: Mapping[str, Any]) -> None:
    """Members of an open map that are texts, bools and integers."""
    for value in members.values():
        kind = type(value)
        if kind is str:
            if not value.isascii():
                value.encode()
        elif kind is int:
            if not -BIGGEST_INTEGER <= value <= BIGGEST_INTEGER:
                raise Odd
        elif kind is not bool:
            raise Odd


def bounded(members: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]]) -> None:
    """Members of an open map whose integers have bounds of their own."""
    scalars(members)
    for member, (least, most) in bounds.items():
        value = members.get(member, least)
        if type(value) is int and not least <= value <= most:
            raise Odd


_ANY: Final = (-BIGGEST_INTEGER, BIGGEST_INTEGER)
_LONGEST: Final = timedelta(seconds=9_000_000_000)
"""Longer durations are facts, but CEL has 64 bits of nanoseconds: about 292 years."""

_OF_APPROVAL: Final = frozenset(("user", "roles", "at"))

SCOPE: Final[Mapping[str, Any]] = {
    "ABSENT": ABSENT,
    "approvals": approvals,
    "bounded": bounded,
    "EMPTY": {dict: {}, MappingProxyType: MappingProxyType({})},
    "LONG": _LONGEST,
    "SHORT": -_LONGEST,
    "UTC": UTC,
    "bool": bool,
    "datetime": datetime,
    "elapsed": elapsed,
    "all": all,
    "any": any,
    "int": int,
    "len": len,
    "list": list,
    "join": "".join,
    "moment": moment,
    "odd": odd,
    "scalars": scalars,
    "span": span,
    "str": str,
    "timedelta": timedelta,
    "tuple": tuple,
    "type": type,
}
"""What the code calls by name."""


@define
class Fact:
    """A fact that the code loads into a local variable."""

    path: str
    local: str
    kind: FactType | None
    optional: bool


@frozen
class Schemed:
    """The schema as this code needs it, for one action (or for none in particular)."""

    schema: Schema
    tree: Tree
    parameters: Mapping[str, FactType] | None

    @classmethod
    def of(cls, schema: Schema, action: str | None) -> Schemed:
        tree: Tree = {}
        for path, kind in schema.fields.items():
            *above, last = path.split(".")
            level = tree
            for step in above:
                level = level.setdefault(step, {})
            level[last] = kind
        known = schema.parameters if action is not None else None
        return cls(schema, tree, known.get(action) if known is not None and action is not None else None)

    def kind(self, path: str) -> FactType | None:
        """The type of a fact; None for a member of an open map.

        Raises:
            NotStraight: it is a group, or nobody declares it.
        """
        above, _, last = path.rpartition(".")
        if above == "parameters" and self.parameters is not None:
            typed = self.parameters.get(last)
            if typed not in _SIMPLE:  # a time that is written as a text stays one within `parameters`
                raise NotStraight
            return typed
        found = self.schema.fields.get(path)
        if found is not None and found is not FactType.SCALARS:
            return found
        if self.schema.fields.get(above) is FactType.SCALARS:
            return None
        raise NotStraight


Shape = Mapping[str, FactType | None]
"""The dotted paths of all that a document has: of facts with their types, of groups and open maps without."""


def shape_of(document: Any, schemed: Schemed) -> Shape | None:
    """The shape of a document; None if it has what the schema does not name, or odd members of an open map."""
    found: dict[str, FactType | None] = {}
    fits = _shape(document, schemed.tree, "", schemed, found)
    return found if fits else None


def _shape(
    document: Any, tree: Tree, prefix: str, schemed: Schemed, found: dict[str, FactType | None]
) -> bool:
    for member, value in document.items():
        path = f"{prefix}{member}"
        below = tree.get(member)
        if below is None:
            return False
        if below is FactType.SCALARS:
            found[path] = None
            if path == "parameters" and schemed.parameters is not None:
                below = dict(schemed.parameters)
            else:
                below = {name: _SIMPLE_KINDS.get(type(each)) for name, each in value.items()}
        if isinstance(below, dict):
            found[path] = None
            if not _shape(value, below, f"{path}.", schemed, found):
                return False
        else:
            found[path] = below
    return True


def _members_of(shape: Shape, path: str) -> Tree:
    start = len(path) + 1
    return {each[start:]: kind for each, kind in shape.items() if each.startswith(f"{path}.")}


@define
class Loads:
    """Which facts the code loads, and how it checks all of them.

    With a shape the code is for documents that have just these facts: it loads them all without asking whether they
    are there, and counts the members of each group to know that there are no others.
    """

    schemed: Schemed
    optional: Collection[str]
    shape: Shape | None = None
    facts: dict[str, Fact] = field(factory=dict)
    scope: dict[str, Any] = field(factory=lambda: dict(SCOPE))
    count: int = 0

    def read(self, path: str, wanted: FactType | None = None) -> Fact:
        """The fact at a path, to be loaded; `wanted` is the type that an open one must have.

        Raises:
            NotStraight: it has another type than wanted, or an open one is wanted as two types.
        """
        kind = self.schemed.kind(path)
        if kind is FactType.APPROVALS or (kind is None and wanted not in (None, *_SIMPLE)):
            raise NotStraight
        if kind is not None and wanted is not None and wanted is not kind:
            raise NotStraight
        known = self.facts.get(path)
        if known is None:
            known = self.facts[path] = Fact(path, self.fresh("f"), kind or wanted, path in self.optional)
        elif kind is None and wanted is not None:
            if known.kind is not None and known.kind is not wanted:
                raise NotStraight
            known.kind = wanted
        return known

    def fresh(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def constant(self, value: Any) -> ast.expr:
        """A value that is no constant of Python's syntax, as a global of the code."""
        local = self.fresh("k")
        self.scope[local] = value
        return py.name(local)

    def statements(self, document: str, *, whole: bool) -> list[ast.stmt]:
        """The code that loads the facts which are read, and checks them, or all that the document has."""
        block = _Block(self, whole)
        block.group(document, self.schemed.tree, "")
        start: list[ast.stmt] = [
            py.store("kind", py.call("type", py.name(document))),
            py.store("empty", ast.Subscript(py.name("EMPTY"), py.name("kind"), ast.Load())),
        ]
        return [*start, *block.statements()]

    def reads_below(self, prefix: str) -> list[Fact]:
        return [fact for path, fact in self.facts.items() if path.startswith(prefix)]


@define
class _Block:
    """Loads, and the checks that follow them."""

    of: Loads
    whole: bool
    maps: dict[int, list[tuple[str, ast.expr]]] = field(factory=dict)
    loads: list[ast.stmt] = field(factory=list)
    after: list[ast.stmt] = field(factory=list)
    texts: list[ast.expr] = field(factory=list)
    bools: list[ast.expr] = field(factory=list)
    ints: list[ast.expr] = field(factory=list)
    conditions: list[ast.expr] = field(factory=list)

    def group(self, above: str, tree: Tree, prefix: str) -> None:
        shape = self.of.shape
        present = 0
        for member, below in tree.items():
            path = f"{prefix}{member}"
            if not self.whole and path not in self.of.facts and not self.of.reads_below(f"{path}."):
                continue
            if shape is not None and path not in shape:
                self.missing(path)
                continue
            present += 1
            if isinstance(below, dict):
                self.subgroup(above, member, below, path)
            elif below is FactType.SCALARS:
                self.open_map(above, member, path)
            elif path in self.of.facts:
                self.read(above, member, self.of.facts[path])
            elif shape is not None:
                self.read(above, member, Fact(path, self.of.fresh("u"), below, optional=False))
            else:
                self.unread(above, member, path, below)
        if shape is not None:
            self.count(above, present)

    def missing(self, path: str) -> None:
        """A fact or a group that the shape does not have."""
        for fact in self.of.facts.values():
            if fact.path == path or fact.path.startswith(f"{path}."):
                if not fact.optional:
                    raise NotStraight
                self.loads.append(py.store(fact.local, py.name("ABSENT")))

    def count(self, above: str, members: int) -> None:
        self.conditions.append(py.compare(py.call("len", py.name(above)), (ast.Eq, py.constant(members))))

    def map(self, above: str, member: str, path: str) -> tuple[str, list[Fact]]:
        read = self.of.reads_below(f"{path}.")
        local = self.of.fresh("g")
        if self.of.shape is not None or any(not fact.optional for fact in read):
            found = py.item(py.name(above), member)
        else:
            found = _get(above, member, py.name("empty"))
        self.maps.setdefault(path.count("."), []).append((local, found))
        return local, read

    def subgroup(self, above: str, member: str, tree: Tree, path: str) -> None:
        local, read = self.map(above, member, path)
        if path == "budget" and self.whole and self.of.shape is None:
            # A budget of nothing but unknown members is none: see `reservation`.
            keys, known = py.method(py.name(local), "keys"), self.of.constant(frozenset(tree))
            self.conditions.append(py.compare(keys, (ast.LtE, known)))
        if read or self.of.shape is not None:
            self.group(local, tree, f"{path}.")
            return
        inside = _Block(self.of, self.whole)
        inside.group(local, tree, f"{path}.")
        self.after.append(py.when(py.name(local), *inside.statements()))

    def open_map(self, above: str, member: str, path: str) -> None:
        local, read = self.map(above, member, path)
        schemed = self.of.schemed
        if path == "parameters" and schemed.parameters is not None:
            self.group(local, dict(schemed.parameters), "parameters.")
        elif self.of.shape is not None:
            self.group(local, _members_of(self.of.shape, path), f"{path}.")
        else:
            for fact in read:
                self.read(local, fact.path.rpartition(".")[2], fact, is_open=True)
        if not self.whole or self.of.shape is not None:
            return
        start = len(path) + 1
        bounds = {at[start:]: pair for at, pair in schemed.schema.bounds.items() if at.startswith(f"{path}.")}
        check = py.call("scalars", py.name(local))
        if bounds:
            check = py.call("bounded", py.name(local), self.of.constant(bounds))
        self.texts.append(py.spread(py.name(local)))  # its names
        self.after.append(py.when(py.name(local), py.do(check)))

    def read(self, above: str, member: str, fact: Fact, *, is_open: bool = False) -> None:
        """Load a fact that a rule reads, and check it."""
        value = py.name(fact.local)
        optional = fact.optional and self.of.shape is None
        found = _get(above, member, py.name("ABSENT")) if optional else py.item(py.name(above), member)
        self.loads.append(py.store(fact.local, found))
        absent = [py.compare(value, (ast.Is, py.name("ABSENT")))] if optional else []
        kind = fact.kind or (self.of.shape or {}).get(fact.path)
        match kind:
            case FactType.STRING if not is_open:
                self.texts.append(py.choice(absent[0], py.constant(""), value) if absent else value)
            case FactType.STRINGS:
                self.list_of_texts(value, absent)
            case FactType.TIMESTAMP:
                plain = py.conjunction((_is(value, "datetime"), _is_utc(value)))
                self.convert(fact.local, plain, absent, "moment")
            case FactType.DURATION:
                plain = py.conjunction(
                    (_is(value, "timedelta"), _between(py.name("SHORT"), value, py.name("LONG")))
                )
                self.convert(fact.local, plain, absent, "span")
            case FactType.INT if not is_open:
                least, most = self.bounds(fact.path)
                self.condition(
                    absent, _is(value, "int"), _between(py.constant(least), value, py.constant(most))
                )
            case FactType.BOOL if not absent:
                self.bools.append(value)
            case FactType.APPROVALS:
                self.conditions.append(_is_list(value))
                self.after.append(py.when(value, py.do(py.call("approvals", value))))
            case FactType.BOOL | FactType.INT | FactType.STRING:
                self.condition(absent, _is(value, _PYTHON[kind]))
            case _:
                pass  # only asked for: `scalars` has looked at its type

    def unread(self, above: str, member: str, path: str, kind: FactType) -> None:
        """Check a fact that no rule here reads: a wrong type is a wrong type."""
        match kind:
            case FactType.STRING:
                self.texts.append(_get(above, member, py.constant("")))
                return
            case FactType.BOOL:
                self.bools.append(_get(above, member, py.constant(True)))
                return
            case _:
                pass
        local = self.of.fresh("u")
        value = py.name(local)
        default = py.name("ABSENT")
        if kind is FactType.INT:
            least, most = self.bounds(path)
            default = py.constant(least)
            self.condition([], _is(value, "int"), _between(py.constant(least), value, py.constant(most)))
        elif kind in (FactType.STRINGS, FactType.APPROVALS):
            default = py.tuple_of(())
            if kind is FactType.STRINGS:
                self.list_of_texts(value, [])
            else:
                self.after.append(py.when(value, py.do(py.call("approvals", value))))
                self.condition([], _is_list(value))
        else:
            check = py.call("moment" if kind is FactType.TIMESTAMP else "span", value)
            given = py.compare(value, (ast.IsNot, py.name("ABSENT")))
            self.after.append(py.when(given, py.do(check)))
        self.loads.append(py.store(local, _get(above, member, default)))

    def list_of_texts(self, value: ast.expr, absent: list[ast.expr]) -> None:
        self.condition(absent, _is_list(value))
        items = py.choice(absent[0], py.tuple_of(()), value) if absent else value
        self.texts.append(py.spread(items))

    def convert(self, local: str, plain: ast.expr, absent: list[ast.expr], function: str) -> None:
        fine = py.disjunction((*absent, plain))
        self.after.append(py.when(py.negation(fine), py.store(local, py.call(function, py.name(local)))))

    def condition(self, absent: list[ast.expr], *parts: ast.expr) -> None:
        if absent:
            self.conditions.append(py.disjunction((*absent, py.conjunction(parts))))
        else:
            self.conditions.extend(parts)

    def bounds(self, path: str) -> tuple[int, int]:
        return self.of.schemed.schema.bounds.get(path, _ANY)

    def statements(self) -> list[ast.stmt]:
        """The loads, then all checks; but a map is checked before it is read, which would change a `defaultdict`."""
        made: list[ast.stmt] = []
        for _, maps in sorted(self.maps.items()):
            made += [py.store(local, found) for local, found in maps]
            made.append(_odd_unless(_all_are([py.name(local) for local, _ in maps], "kind")))
        made += self.loads
        conditions = [_all_are(self.bools, "bool")] if self.bools else []
        conditions += self.conditions
        if conditions:
            made.append(_odd_unless(py.conjunction(conditions)))
        if self.texts:
            joined = self.of.fresh("j")
            made.append(py.store(joined, py.call("join", py.tuple_of(self.texts))))
            plain = py.method(py.name(joined), "isascii")
            made.append(py.when(py.negation(plain), py.do(py.method(py.name(joined), "encode"))))
        return [*made, *self.after]


_SIMPLE_KINDS: Final = {bool: FactType.BOOL, int: FactType.INT, str: FactType.STRING}
_PYTHON: Final = {FactType.BOOL: "bool", FactType.INT: "int", FactType.STRING: "str"}
_SIMPLE: Final = (FactType.BOOL, FactType.INT, FactType.STRING)
"""What the members of an open map may be here: in there times are written as maps, which is odd."""


def _get(above: str, member: str, default: ast.expr) -> ast.expr:
    return py.method(py.name(above), "get", py.constant(member), default)


def _is(value: ast.expr, kind: str) -> ast.expr:
    return py.compare(py.call("type", value), (ast.Is, py.name(kind)))


def _all_are(values: Sequence[ast.expr], kind: str) -> ast.expr:
    types = [py.call("type", value) for value in values]
    return py.compare(types[0], *((ast.Is, one) for one in (*types[1:], py.name(kind))))


def _odd_unless(condition: ast.expr) -> ast.stmt:
    return py.when(py.negation(condition), py.do(py.call("odd")))


def _is_list(value: ast.expr) -> ast.expr:
    return py.disjunction((_is(value, "list"), _is(value, "tuple")))


def _is_utc(value: ast.expr) -> ast.expr:
    return py.compare(py.attribute(value, "tzinfo"), (ast.Is, py.name("UTC")))


def _between(least: ast.expr, value: ast.expr, most: ast.expr) -> ast.expr:
    return py.compare(least, (ast.LtE, value), (ast.LtE, most))
