"""Code that loads the facts which the rules about an action read, each once, of a document whose facts all fit.

What they fit is the schema (checks.py), so only what that leaves open is asked here: the type of a member of an open
map, which is the one that it is compared with; a time that is written as text; and the action's own parameters.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from typing import Final

from attrs import define, field, frozen

from cigate.facts import FactType, Schema
from cigate.policy.straight import writing as py
from cigate.policy.straight.checks import ANY, Tree, is_moment, is_span, tree_of
from cigate.policy.straight.writing import Space


class NotStraight(Exception):
    """The rule needs more than the straight way does."""


@define(eq=False, repr=False)
class Fact:
    """A fact that the code loads into a local variable."""

    path: str
    local: str
    kind: FactType | None
    optional: bool


@frozen(eq=False, repr=False)
class FactTypes:
    """The types of facts, for one action (or for none in particular)."""

    schema: Schema
    parameters: Mapping[str, FactType] | None

    @classmethod
    def about(cls, schema: Schema, action: str | None) -> FactTypes:
        """With the action's own parameters, where the schema has them."""
        known = schema.parameters if action is not None else None
        return cls(schema, known.get(action) if known is not None and action is not None else None)

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


@define(eq=False, repr=False)
class Reads:
    """Which facts the code loads, and how.

    Args:
        types: their types.
        optional: those that may be absent, for a rule tests for them.
        space: where the code's names are.
        facts: what is loaded so far, by path.
    """

    types: FactTypes
    optional: Collection[str]
    space: Space
    facts: dict[str, Fact] = field(factory=dict)
    _loads: list[ast.stmt] = field(init=False, factory=list)
    _conditions: list[ast.expr] = field(init=False, factory=list)
    _after: list[ast.stmt] = field(init=False, factory=list)

    def fact(self, path: str, wanted: FactType | None = None) -> Fact:
        """The fact at a path, to be loaded; `wanted` is the type that an open one must have.

        Raises:
            NotStraight: it has another type than wanted, or an open one is wanted as two types.
        """
        kind = self.types.kind(path)
        if kind is FactType.APPROVALS or (kind is None and wanted not in (None, *_SIMPLE)):
            raise NotStraight
        if kind is not None and wanted is not None and wanted is not kind:
            raise NotStraight
        known = self.facts.get(path)
        if known is None:
            local = self.space.fresh("f")
            known = self.facts[path] = Fact(path, local, kind or wanted, path in self.optional)
        elif kind is None and wanted is not None:
            if known.kind is not None and known.kind is not wanted:
                raise NotStraight
            known.kind = wanted
        return known

    def statements(self, document: str, *, whole: bool) -> list[ast.stmt]:
        """The code that loads the facts from the document in a local variable.

        Args:
            document: the variable.
            whole: whether all parameters are to be checked, or those that are read.
        """
        self._group(document, tree_of(self.types.schema), "", whole=whole)
        odd = [py.odd_unless(py.conjunction(self._conditions))] if self._conditions else []
        return [*self._loads, *odd, *self._after]

    def _group(self, above: str, tree: Tree, prefix: str, *, whole: bool) -> None:
        for member, below in tree.items():
            path = f"{prefix}{member}"
            if path in self.facts:
                self._load(above, member, self.facts[path])
                continue
            read = [fact for at, fact in self.facts.items() if at.startswith(f"{path}.")]
            if path == "parameters" and below is FactType.SCALARS and (read or whole):
                self._parameters(self._map(above, member, read), read, whole=whole)
            elif isinstance(below, dict) and read:
                self._group(self._map(above, member, read), below, f"{path}.", whole=whole)
            elif read:
                local = self._map(above, member, read)
                for fact in read:
                    self._load_open(local, fact)

    def _map(self, above: str, member: str, read: list[Fact]) -> str:
        local = self.space.fresh("g")
        found = py.get(above, member, py.name("NOTHING"))
        if any(not fact.optional for fact in read):
            found = py.item(py.name(above), member)
        self._loads.append(py.store(local, found))
        return local

    def _load(self, above: str, member: str, fact: Fact) -> list[ast.expr]:
        """Load a fact; gives the condition that it is absent, where it may be."""
        value = py.name(fact.local)
        found = py.get(above, member, py.name("ABSENT")) if fact.optional else py.item(py.name(above), member)
        self._loads.append(py.store(fact.local, found))
        absent = [py.is_absent(value)] if fact.optional else []
        if fact.kind in (FactType.TIMESTAMP, FactType.DURATION):
            plain, convert = (is_moment, "moment") if fact.kind is FactType.TIMESTAMP else (is_span, "span")
            fine = py.disjunction((*absent, plain(value)))
            self._after.append(py.when(py.negation(fine), py.store(fact.local, py.call(convert, value))))
        return absent

    def _load_open(self, above: str, fact: Fact) -> None:
        absent = self._load(above, fact.path.rpartition(".")[2], fact)
        if fact.kind is not None:
            kind = py.is_a(py.name(fact.local), _PYTHON[fact.kind])
            self._conditions.append(py.disjunction((*absent, kind)))

    def _parameters(self, local: str, read: list[Fact], *, whole: bool) -> None:
        for fact in read:
            self._load_open(local, fact)
        typed = self.types.parameters
        if whole and typed is not None:
            known = [fact for fact in read if fact.kind is not None and not fact.optional]
            self._after += self._half_checked(known)
            for member, kind in typed.items():
                if all(fact.path != f"parameters.{member}" for fact in known):
                    self._typed(local, member, kind)
            fine = py.method(self.space.constant(frozenset(typed)), "issuperset", py.name(local))
            self._after.append(py.when(py.negation(fine), py.do(self._scalars(local))))
        elif whole:
            self._open_parameters(local, read)

    def _typed(self, local: str, member: str, kind: FactType) -> None:
        """Check a parameter that the action declares."""
        if kind not in _SIMPLE:
            raise NotStraight
        least, most = self._bounds(f"parameters.{member}")
        default = {FactType.BOOL: True, FactType.INT: least, FactType.STRING: ""}[kind]
        value = self.space.fresh("u")
        self._loads.append(py.store(value, py.get(local, member, py.constant(default))))
        self._conditions.append(py.is_a(py.name(value), _PYTHON[kind]))
        if kind is FactType.INT:
            self._conditions.append(py.between(py.constant(least), py.name(value), py.constant(most)))
        elif kind is FactType.STRING:
            self._after.append(py.do(py.call("texts", py.name(value))))

    def _open_parameters(self, local: str, read: list[Fact]) -> None:
        """Check parameters that nobody declares; those that were read, and are all, have been half checked."""
        check = py.do(self._scalars(local))
        if not read or any(fact.optional or fact.kind is None for fact in read):
            self._after.append(py.when(py.name(local), check))
            return
        members = py.compare(py.call("len", py.name(local)), (ast.NotEq, py.constant(len(read))))
        self._after.append(ast.If(members, [check], self._half_checked(read)))

    def _bounds(self, path: str) -> tuple[int, int]:
        return self.types.schema.bounds.get(path, ANY)

    def _scalars(self, local: str) -> ast.expr:
        bounds = {
            path.removeprefix("parameters."): pair
            for path, pair in self.types.schema.bounds.items()
            if path.startswith("parameters.")
        }
        if bounds:
            return py.call("bounded", py.name(local), self.space.constant(bounds))
        return py.call("scalars", py.name(local))

    def _half_checked(self, read: list[Fact]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for fact in read:
            if fact.kind is FactType.INT:
                least, most = map(py.constant, self._bounds(fact.path))
                made.append(py.odd_unless(py.between(least, py.name(fact.local), most)))
            elif fact.kind is FactType.STRING:
                plain = py.method(py.name(fact.local), "isascii")
                encoded = py.method(py.name(fact.local), "encode")
                made.append(py.when(py.negation(plain), py.do(encoded)))
        return made


_PYTHON: Final = {FactType.BOOL: "bool", FactType.INT: "int", FactType.STRING: "str"}
_SIMPLE: Final = tuple(_PYTHON)
"""What the members of an open map may be here: in there times are written as maps, which is odd."""
