"""Trees for hypothesis: of every kind of node, mostly such that they have a value, over facts of every kind.

A tree grows from the kind of value that it should have, so that its parts fit each other; now and then one doesn't,
or reads what is not there or is no value. Nothing has checked it: so it also shows what becomes of a wrong caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from attrs import define
from hypothesis import strategies as st

from cigate import cel
from cigate.cel import UInt
from cigate.cel.parse import parse
from cigate.cel.syntax import (
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
)

FACTS: Mapping[str, Any] = MappingProxyType(
    {
        "a": {"b": 1, "c": {"d": "text", "n": None}, "l": [1, 2], "t": True},
        "l": (0, 1, 2, 3),
        "m": MappingProxyType({"k": 1, "d": 2}),
        "s": "text",
        "t": True,
        "n": None,
        "u": UInt(1),
        "f": 1.5,
        "when": datetime(2026, 11, 24, tzinfo=UTC),
        "bad": object(),
        "o": cel.Optional(1),
    }
)
ODDITIES = ["n", "u", "f", "when", "bad", "missing", "int", "a"]
PLACES = {
    "bool": ["t", "a.t"],
    "int": ["a.b", "m.k", "m.zz"],
    "string": ["s", "a.c.d"],
    "list": ["l", "a.l"],
} | {
    "map": ["m"],
    "optional": ["o", "m.?k", "m.?zz", "zz.?k"],
}
CONSTANTS: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [0, 1, 2, -1, 2**63 - 1],
    "string": ["", "k", "text"],
}
KINDS = sorted(PLACES)


@define
class _Growing:
    """Grows a tree of a kind: mostly one that fits, sometimes of another kind or with something odd in it."""

    draw: st.DrawFn
    scope: tuple[tuple[str, str], ...] = ()

    def pick(self, among: Sequence[Any]) -> Any:
        return among[self.draw(st.integers(0, len(among) - 1))]

    def tree(self, kind: str, depth: int) -> Node:
        odd = self.draw(st.integers(0, 39))
        if odd == 0:
            return Name(0, self.pick(ODDITIES))
        kind = self.pick(KINDS) if odd == 1 else kind
        if depth <= 0 or self.pick([False, False, False, True]):
            return self.leaf(kind)
        grow = self.pick([self.ternary, self.binding, *[getattr(self, f"a_{kind}")] * 5])
        return grow(kind, depth - 1)

    def leaf(self, kind: str) -> Node:
        bound = [name for name, its in self.scope if its == kind]
        if bound and self.pick([True, True, False]):
            return Name(0, self.pick(bound))
        if kind in CONSTANTS and self.pick([True, False]):
            return Literal(0, self.pick(CONSTANTS[kind]))
        return parse(self.pick(PLACES[kind]))

    def within(self, **variables: str) -> _Growing:
        return _Growing(self.draw, (*self.scope, *variables.items()))

    def operator(self, name: str, *kinds: str, depth: int) -> Node:
        return Call(0, name, None, tuple(self.tree(kind, depth) for kind in kinds))

    def method(self, name: str, target: str, *kinds: str, depth: int) -> Node:
        return Call(0, name, self.tree(target, depth), tuple(self.tree(kind, depth) for kind in kinds))

    def macro(self, name: str, of: str, *arguments: str, depth: int) -> Node:
        two = name in _TWO and (name not in _ONE or self.pick([True, False]))
        first, second = self.pick([("x", "y"), ("y", "x"), ("l", "m")])
        if two:
            inside = self.within(**{first: "int" if of == "list" else "string", second: "int"})
        else:
            inside = self.within(**{first: "string" if of == "map" else "int"})
        parts = tuple(inside.tree(kind, depth) for kind in arguments)
        return Comprehension(0, name, self.tree(of, depth), first, parts, second if two else "")

    def ternary(self, kind: str, depth: int) -> Node:
        return self.operator(TERNARY, "bool", kind, kind, depth=depth)

    def binding(self, kind: str, depth: int) -> Node:
        bound, name = self.pick(KINDS), self.pick(["x", "y", "l", "a"])
        return Bind(0, name, self.tree(bound, depth), self.within(**{name: bound}).tree(kind, depth))

    def a_bool(self, _: str, depth: int) -> Node:
        kind = self.pick(KINDS)
        over = self.pick(["list", "map"])
        return self.pick(
            [
                *[lambda: self.operator(self.pick(["_&&_", "_||_"]), "bool", "bool", depth=depth)] * 5,
                lambda: self.operator("!_", "bool", depth=depth),
                lambda: self.operator(self.pick(["_==_", "_!=_"]), kind, kind, depth=depth),
                lambda: self.operator(self.pick(["_<_", "_>=_"]), "int", "int", depth=depth),
                lambda: self.operator("@in", self.pick(["int", "string"]), over, depth=depth),
                *[lambda: self.macro(self.pick(["all", "exists", "exists_one"]), over, "bool", depth=depth)]
                * 4,
                lambda: Has(0, self.tree("map", depth), self.pick(["k", "zz"])),
                lambda: Has(0, parse(self.pick(["a.c", "zz.y", "missing", "s"])), self.pick(["d", "zz"])),
                lambda: self.method("hasValue", "optional", depth=depth),
                lambda: self.method("contains", "string", "string", depth=depth),
                lambda: self.operator("bool", "bool", depth=depth),
            ]
        )()

    def a_int(self, _: str, depth: int) -> Node:
        of = self.pick(["list", "map", "string"])
        return self.pick(
            [
                lambda: self.operator(
                    self.pick(["_+_", "_-_", "_*_", "_/_", "_%_"]), "int", "int", depth=depth
                ),
                lambda: self.operator("-_", "int", depth=depth),
                lambda: self.operator("size", of, depth=depth),
                lambda: self.method("size", of, depth=depth),
                lambda: Index(0, self.tree("list", depth), self.tree("int", depth)),
                lambda: Index(0, self.tree("map", depth), self.tree("string", depth)),
                lambda: Select(0, self.tree("map", depth), self.pick(["k", "zz"])),
                lambda: self.method("orValue", "optional", "int", depth=depth),
                lambda: self.method("value", "optional", depth=depth),
                lambda: self.operator("int", "int", depth=depth),
            ]
        )()

    def a_string(self, _: str, depth: int) -> Node:
        kind = self.pick(["int", "bool", "string"])
        return self.pick(
            [
                lambda: self.operator("_+_", "string", "string", depth=depth),
                lambda: self.operator("string", kind, depth=depth),
            ]
        )()

    def a_list(self, _: str, depth: int) -> Node:
        return self.pick(
            [
                self.written_list,
                lambda depth: self.operator("_+_", "list", "list", depth=depth),
                lambda depth: self.macro("map", self.pick(["list", "map"]), "int", depth=depth),
                lambda depth: self.macro("map", self.pick(["list", "map"]), "bool", "int", depth=depth),
                lambda depth: self.macro("filter", "list", "bool", depth=depth),
                lambda depth: self.macro("sortBy", self.pick(["list", "list", "map"]), "int", depth=depth),
                lambda depth: self.macro("transformList", self.pick(["list", "map"]), "int", depth=depth),
                lambda depth: self.macro("transformList", "list", "bool", "int", depth=depth),
            ]
        )(depth)

    def written_list(self, depth: int) -> Node:
        flags = self.draw(st.lists(st.booleans(), max_size=3))
        items = tuple(self.tree("optional" if flag else "int", depth) for flag in flags)
        return ListOf(0, items, tuple(at for at, flag in enumerate(flags) if flag))

    def a_map(self, _: str, depth: int) -> Node:
        return self.pick(
            [
                self.written_map,
                lambda depth: self.macro("transformMap", "map", "int", depth=depth),
                lambda depth: self.macro("transformMap", "map", "bool", "int", depth=depth),
                lambda depth: self.macro("transformMapEntry", "map", "map", depth=depth),
                lambda depth: self.macro("transformMapEntry", "list", "bool", "map", depth=depth),
            ]
        )(depth)

    def written_map(self, depth: int) -> Node:
        flags = self.draw(st.lists(st.booleans(), max_size=2))
        keys = self.pick([("k", "d"), ("k", "k"), (True, 1)])
        entries = [
            (Literal(0, key), self.tree("optional" if flag else "int", depth))
            for flag, key in zip(flags, keys, strict=False)
        ]
        return MapOf(0, tuple(entries), tuple(at for at, flag in enumerate(flags) if flag))

    def a_optional(self, _: str, depth: int) -> Node:
        return self.pick(
            [
                lambda: self.operator("optional.of", "int", depth=depth),
                lambda: Call(0, "optional.none", None, ()),
                lambda: Select(0, self.tree(self.pick(["map", "optional"]), depth), "k", optional=True),
                lambda: Index(0, self.tree("list", depth), self.tree("int", depth), optional=True),
                lambda: self.macro("optMap", "optional", "int", depth=depth),
                lambda: self.macro("optFlatMap", "optional", "optional", depth=depth),
                lambda: self.method("or", "optional", "optional", depth=depth),
            ]
        )()


_ONE = ("all", "exists", "exists_one", "map", "filter")
_TWO = ("all", "exists", "transformList", "transformMap", "transformMapEntry")


@st.composite
def _trees(draw: st.DrawFn) -> Node:
    return _Growing(draw).tree(draw(st.sampled_from(["bool", "bool", *KINDS])), draw(st.integers(1, 5)))


TREES: st.SearchStrategy[Node] = _trees()
