"""Whether a document's facts fit the schema: one function for the whole policy, which raises where anything is odd.

What passes is what `Facts.of` accepts of plain dicts and of frozen facts, and a few odd things less: those are for
`Facts.of` itself to judge. `parameters` are left to the code of the action, which knows their types (reads.py).

Theory of operation. A check costs a tenth of a microsecond a fact if each is asked for with a default. But nearly all
documents that a policy sees have one shape: the same facts are there. So the code is written for that shape: it takes
each fact by its name, and counts the members of each group to know that there are no others. All texts are checked
at once, by joining them, which fails on whatever is no text and shows in one look whether all are ASCII; all bools by
one chain of comparisons. A document of another shape raises, and is checked by the code for all shapes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field

from cigate.facts import BIGGEST_INTEGER, FactType, Schema
from cigate.policy.straight import writing as py
from cigate.policy.straight.writing import Space
from cigate.wire.times import parse_duration, parse_timestamp

Tree = dict[str, Any]
"""The schema by groups: a `FactType`, or the members of a group."""

Shape = Mapping[str, FactType | None]
"""The dotted paths of all that a document has: of facts with their types, of groups and open maps without."""

_MOST_SHAPES: Final = 4096

_MOST_PATHS: Final = 256
"""More than that in one document is no usual shape: code for a million members would take minutes to make."""


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
    """A duration as a timedelta that CEL has."""
    if type(value) is str:
        value = -parse_duration(value[1:]) if value.startswith("-") else parse_duration(value)
    if type(value) is not timedelta or abs(value) > _LONGEST:
        raise Odd
    return value


def elapsed(later: datetime, earlier: datetime) -> timedelta:
    """The time between two timestamps, where CEL has a duration that long."""
    return span(later - earlier)


def approvals(value: Any) -> None:
    """Approvals that fit, as `Facts.of` would have them."""
    for approval in value:
        if type(approval) is not dict or approval.keys() - _OF_APPROVAL:
            raise Odd
        roles = approval.get("roles", ())
        if type(roles) is not list and type(roles) is not tuple:
            raise Odd
        texts("".join((approval["user"], *roles)))
        given = approval.get("at")
        if type(given) is not datetime:
            raise Odd
        if given.tzinfo is not UTC:
            moment(given)


def texts(joined: str) -> None:
    """Texts without half a surrogate pair in them."""
    if not joined.isascii():
        joined.encode()


def scalars(members: Mapping[str, Any]) -> None:
    """Members of an open map that are texts, bools and integers."""
    for text, value in members.items():
        kind = type(value)
        if kind is str:
            text += value  # both are looked at in one go
        elif kind is int:
            if not -BIGGEST_INTEGER <= value <= BIGGEST_INTEGER:
                raise Odd
        elif kind is not bool:
            raise Odd
        if not text.isascii():
            text.encode()


def bounded(members: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]]) -> None:
    """Members of an open map whose integers have bounds of their own."""
    scalars(members)
    for member, (least, most) in bounds.items():
        value = members.get(member, least)
        if type(value) is int and not least <= value <= most:
            raise Odd


ANY: Final = (-BIGGEST_INTEGER, BIGGEST_INTEGER)
_LONGEST: Final = timedelta(seconds=9_000_000_000)
"""Longer durations are facts, but CEL has 64 bits of nanoseconds: about 292 years."""

_OF_APPROVAL: Final = frozenset(("user", "roles", "at"))

_NAMES: Final[Mapping[str, Any]] = {
    "ABSENT": ABSENT,
    "EMPTY": {dict: {}, MappingProxyType: MappingProxyType({})},
    "LONG": _LONGEST,
    "NOTHING": MappingProxyType({}),
    "SHORT": -_LONGEST,
    "UTC": UTC,
    "all": all,
    "any": any,
    "approvals": approvals,
    "bool": bool,
    "bounded": bounded,
    "datetime": datetime,
    "elapsed": elapsed,
    "int": int,
    "join": "".join,
    "len": len,
    "list": list,
    "moment": moment,
    "odd": odd,
    "scalars": scalars,
    "span": span,
    "str": str,
    "texts": texts,
    "timedelta": timedelta,
    "tuple": tuple,
    "type": type,
}


def space() -> Space:
    """The names that the code of one policy calls; constants of its functions are added."""
    return Space(dict(_NAMES))


def tree_of(schema: Schema) -> Tree:
    """The schema by groups."""
    tree: Tree = {}
    for path, kind in schema.fields.items():
        *above, last = path.split(".")
        level = tree
        for step in above:
            level = level.setdefault(step, {})
        level[last] = kind
    return tree


@define(eq=False, repr=False)
class Checks:
    """Checks documents against a schema.

    Args:
        schema: what facts must fit.
        space: where the code's names are.
        fits: call it with a document; it raises if that is odd or not of the usual shape.
    """

    schema: Schema
    space: Space
    fits: Callable[[Any], None] = field(init=False)
    _general: Callable[[Any], None] | None = field(init=False, default=None)
    _unusual: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.fits = self.otherwise

    def otherwise(self, document: Any) -> None:
        """Check a document of any shape; raises if it is odd.

        The usual shape is that of the second document, and anew that of the fourth, eighth … which is not of it.
        """
        if self._general is None:
            self._general = self._written(None)
        self._general(document)
        self._unusual += 1
        if 1 < self._unusual < _MOST_SHAPES and self._unusual & (self._unusual - 1) == 0:
            shape = shape_of(document, tree_of(self.schema))
            if shape is not None:
                self.fits = self._written(shape)

    def _written(self, shape: Shape | None) -> Callable[[Any], None]:
        block = _Block(self.schema, self.space, shape)
        block.group("document", tree_of(self.schema), "")
        return py.function("fits", "document", block.statements(), self.space)


def shape_of(document: Any, tree: Tree) -> Shape | None:
    """The shape of a document; None if it has what the schema does not name, odd members of an open map or too many."""
    found: dict[str, FactType | None] = {}
    return found if _shape(document, tree, "", found) else None


def _shape(document: Any, tree: Tree, prefix: str, found: dict[str, FactType | None]) -> bool:
    for member, value in document.items():
        path = f"{prefix}{member}"
        below = tree.get(member)
        if below is None:
            return False
        if below is FactType.SCALARS and path != "parameters":
            if len(found) + len(value) > _MOST_PATHS:
                return False
            below = {name: _KIND_OF.get(type(each)) for name, each in value.items()}
        if isinstance(below, dict):
            found[path] = None
            if not _shape(value, below, f"{path}.", found):
                return False
        else:
            found[path] = below
    return True


_KIND_OF: Final = {bool: FactType.BOOL, int: FactType.INT, str: FactType.STRING}


@define(eq=False, repr=False)
class _Block:
    """Loads, and the checks that follow them."""

    schema: Schema
    space: Space
    shape: Shape | None
    maps: dict[int, list[tuple[str, ast.expr]]] = field(factory=dict)
    loads: list[ast.stmt] = field(factory=list)
    after: list[ast.stmt] = field(factory=list)
    texts: list[ast.expr] = field(factory=list)
    bools: list[ast.expr] = field(factory=list)
    conditions: list[ast.expr] = field(factory=list)

    def group(self, above: str, tree: Tree, prefix: str) -> None:
        """The members of a group that is in a local variable."""
        present = 0
        for member, below in tree.items():
            path = f"{prefix}{member}"
            if self.shape is not None and path not in self.shape:
                continue
            present += 1
            if isinstance(below, dict):
                local = self.map(above, member, path)
                self.group(local, below, f"{path}.")
                if path == "budget" and self.shape is None:
                    # One of nothing but members that nobody knows is none: see `reservation`.
                    known = py.method(self.space.constant(frozenset(below)), "issuperset", py.name(local))
                    self.conditions.append(known)
            elif below is FactType.SCALARS:
                self.open_map(self.map(above, member, path), path)
            else:
                self.fact(above, member, path, below)
        if self.shape is not None and present < len(
            tree
        ):  # all of them are there: what else is, nobody reads
            members = py.call("len", py.name(above))
            self.conditions.append(py.compare(members, (ast.Eq, py.constant(present))))

    def map(self, above: str, member: str, path: str) -> str:
        local = self.space.fresh("g")
        self.maps.setdefault(path.count("."), []).append((local, self.taken(above, member, py.name("empty"))))
        return local

    def open_map(self, local: str, path: str) -> None:
        if path == "parameters":
            return
        start = f"{path}."
        if self.shape is not None:
            members = {
                each[len(start) :]: kind for each, kind in self.shape.items() if each.startswith(start)
            }
            self.group(local, members, start)
            size = py.call("len", py.name(local))  # any other member may be odd, and rules may read it
            self.conditions.append(py.compare(size, (ast.Eq, py.constant(len(members)))))
            return
        bounds = {at[len(start) :]: pair for at, pair in self.schema.bounds.items() if at.startswith(start)}
        check = py.call("scalars", py.name(local))
        if bounds:
            check = py.call("bounded", py.name(local), self.space.constant(bounds))
        self.after.append(py.when(py.name(local), py.do(check)))

    def taken(self, above: str, member: str, default: ast.expr) -> ast.expr:
        return py.item(py.name(above), member) if self.shape is not None else py.get(above, member, default)

    def fact(self, above: str, member: str, path: str, kind: FactType) -> None:
        """Take a fact and check its type; where it is not there, a default passes."""
        if kind is FactType.STRING:
            self.texts.append(self.taken(above, member, py.constant("")))
        elif kind is FactType.BOOL:
            self.bools.append(self.taken(above, member, py.constant(True)))
        elif kind is FactType.INT:
            least, most = self.schema.bounds.get(path, ANY)
            value = self.local(above, member, py.constant(least))
            self.conditions += [
                py.is_a(value, "int"),
                py.between(py.constant(least), value, py.constant(most)),
            ]
        elif kind in (FactType.STRINGS, FactType.APPROVALS):
            value = self.local(above, member, py.constant(()))
            self.conditions.append(py.is_list(value))
            if kind is FactType.STRINGS:
                self.texts.append(py.spread(value))
            else:
                self.after.append(py.when(value, py.do(py.call("approvals", value))))
        else:
            value = self.local(above, member, py.name("ABSENT"))
            plain, check = (is_moment, "moment") if kind is FactType.TIMESTAMP else (is_span, "span")
            fine = [plain(value)] if self.shape is not None else [py.is_absent(value), plain(value)]
            self.after.append(py.when(py.negation(py.disjunction(fine)), py.do(py.call(check, value))))

    def local(self, above: str, member: str, default: ast.expr) -> ast.expr:
        local = self.space.fresh("u")
        self.loads.append(py.store(local, self.taken(above, member, default)))
        return py.name(local)

    def statements(self) -> list[ast.stmt]:
        """The loads, then all checks; but a map is checked before it is read, which would change a `defaultdict`."""
        made: list[ast.stmt] = [
            py.store("kind", py.call("type", py.name("document"))),
            py.store("empty", ast.Subscript(py.name("EMPTY"), py.name("kind"), ast.Load())),
        ]
        for _, maps in sorted(self.maps.items()):
            made += [py.store(local, found) for local, found in maps]
            made.append(py.odd_unless(_all_are([py.name(local) for local, _ in maps], "kind")))
        made += self.loads
        conditions = [_all_are(self.bools, "bool")] if self.bools else []
        conditions += self.conditions
        if conditions:
            made.append(py.odd_unless(py.conjunction(conditions)))
        if self.texts:
            made.append(py.store("joined", py.call("join", py.tuple_of(self.texts))))
            plain = py.method(py.name("joined"), "isascii")
            made.append(py.when(py.negation(plain), py.do(py.method(py.name("joined"), "encode"))))
        return [*made, *self.after]


def is_moment(value: ast.expr) -> ast.expr:
    """Whether a value is a datetime in UTC, in code."""
    utc = py.compare(py.attribute(value, "tzinfo"), (ast.Is, py.name("UTC")))
    return py.conjunction((py.is_a(value, "datetime"), utc))


def is_span(value: ast.expr) -> ast.expr:
    """Whether a value is a timedelta that CEL has, in code."""
    return py.conjunction((py.is_a(value, "timedelta"), py.between(py.name("SHORT"), value, py.name("LONG"))))


def _all_are(values: Sequence[ast.expr], kind: str) -> ast.expr:
    types = [py.call("type", value) for value in values]
    return py.compare(types[0], *((ast.Is, one) for one in (*types[1:], py.name(kind))))
