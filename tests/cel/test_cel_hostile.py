"""Whoever writes the rule, and whoever hands in the facts, gets a value or an error, and soon."""

from __future__ import annotations

import random
import time
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Iterator, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any

import pytest

from cigate import cel
from cigate.cel import CompileError, EvaluationError

_SOON = 15.0
"""Seconds of processor time. Half of one is wanted, and what is not bounded takes minutes; traced lines take long."""


def outcome(source: str, facts: dict[str, Any]) -> object:
    """A value, or the code of the error; and it is here soon."""
    begun = time.process_time()
    found: object
    try:
        found = cel.compile(source)(facts)
    except (CompileError, EvaluationError) as error:
        found = error.code
    assert time.process_time() - begun < _SOON
    return found


def test_when_the_steps_are_spent_no_operand_goes_on() -> None:
    many = list(range(100_000))
    source = "cel.bind(a, l, cel.bind(b, a, " + "a == b && " * 400 + "true))"
    assert outcome(source, {"l": many}) == "cel.too-costly"
    assert outcome(" || ".join(["l.all(x, x + l[0] >= 0 && l == l)"] * 20), {"l": many}) == "cel.too-costly"


def test_spent_steps_are_not_absorbed_as_errors_of_operands_are() -> None:
    costly = "l.exists(x, l.exists(y, l.exists(z, x + y + z < 0)))"
    with pytest.raises(CompileError):
        cel.compile(costly)
    spent = "l.exists(x, m.exists(y, x + y < 0))"
    facts = {"l": list(range(1000)), "m": list(range(1000)), "t": True}
    assert outcome(f"{spent} || t", facts) == "cel.too-costly"
    assert outcome(f"t || {spent}", facts) is True


_ITSELF: list[Any] = []
_ITSELF.append(_ITSELF)
_DOUBLED: list[Any] = []
for _ in range(40):
    _DOUBLED = [_DOUBLED, _DOUBLED]


@pytest.mark.parametrize(
    "value", [_ITSELF, _DOUBLED, {str(at): at for at in range(10**6)}], ids=["itself", "doubled", "wide"]
)
def test_several_deep_walks_are_soon_over(value: Any) -> None:
    source = "x == y || x in [y] || [x, y].distinct().size() == 1 || sets.contains([x], [y])"
    assert outcome(source, {"x": value, "y": value}) in ("cel.too-costly", "cel.too-deep", True)


def test_types_of_nested_bindings_do_not_grow() -> None:
    opened = "".join(
        f"cel.bind(x{at}, [x{at - 1}, x{at - 1}], " if at else "cel.bind(x0, [], " for at in range(60)
    )
    assert outcome(f"{opened}x59 == x59{')' * 60}", {}) == "cel.too-costly"


@pytest.mark.parametrize(
    "pattern", ["(?:a|b)*a(?:a|b){50}c", "[ab](?:[ab]*a[ab]{30}c)?", "(?:(a)|(b))(.*a(?:a|b){20}c)?"]
)
def test_patterns_that_undo_the_fast_engine_are_soon_over(pattern: str) -> None:
    text = "".join(random.Random(1).choices("ab", k=2**20))
    for size in (2**14, 2**17, 2**20):
        cut = text[:size]
        assert outcome("s.matches(p)", {"s": cut, "p": pattern}) in (True, False, "cel.too-costly")
        assert outcome("regex.replace(s, p, '')", {"s": cut, "p": pattern}) is not None


class _AnythingElse:
    """A caller's object that says of all that it is that."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("a")


@pytest.mark.parametrize("item", ["'a'", "b'a'", "2", "2.5", "1", "true", "null", "[1]"])
def test_an_object_that_claims_to_equal_everything_is_no_item(item: str) -> None:
    assert outcome(f"{item} in l", {"l": [_AnythingElse()]}) in ("cel.input", False)


@pytest.mark.parametrize("item", ["'a'", "2", "2.5"])
def test_what_stands_behind_a_foreign_object_is_found(item: str) -> None:
    class Name(str):
        __slots__ = ()

    assert outcome(f"{item} in l", {"l": [Name("a"), "a", 2, 2.5]}) is True
    assert outcome("'a' in l", {"l": [Name("a")]}) is True


class _Endless(list[int]):
    """A list whose own idea of its items never ends."""

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1

    def __len__(self) -> int:
        raise RuntimeError("private")


class _EndlessMap(dict[Any, Any]):
    def items(self) -> Any:
        return ((at, at) for at in count())

    def __missing__(self, key: object) -> int:
        return 5


class _Foreign(Mapping[str, int]):
    """A map that is no dict, and that has far too many entries."""

    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return map(str, count())

    def __len__(self) -> int:
        return 1


CONTAINERS: dict[str, tuple[Any, str, object]] = {
    "what a list really has": (_Endless([1, 2]), "x == [1, 2] && size(x) == 2", True),
    "what a map really has": (_EndlessMap(a=1), "x == {'a': 1} && !has(x.b) && !('b' in x)", True),
    "an absent key of such a map": (_EndlessMap(a=1), "x.b", "cel.no-such-field"),
    "a default is no value": (MappingProxyType(defaultdict(int)), "x.b == 0", "cel.no-such-field"),
    "nor by its index": (MappingProxyType(defaultdict(int)), "x['b'] == 0", "cel.no-such-field"),
    "nor deeper": (MappingProxyType({"a": MappingProxyType(defaultdict(int))}), "x.a.b", "cel.no-such-field"),
    "a foreign map without end": (_Foreign(), "x.a == 1", "cel.too-costly"),
    "a generator": ((at for at in range(3)), "size(x) == 3", "cel.input"),
    "a named tuple": (namedtuple("Pair", "a b")(1, 2), "x == [1, 2]", True),
    "an ordered map": (OrderedDict(a=1), "x == {'a': 1}", True),
    "a map by another name": (UserDict(a=1), "x.a == 1", True),
}


@pytest.mark.parametrize(("value", "source", "expected"), CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_is_what_it_holds_and_not_what_it_says(value: Any, source: str, expected: object) -> None:
    assert outcome(source, {"x": value}) == expected
    assert outcome(f"[y][0] == y || true ? {source} : false", {"x": value, "y": 1}) == expected


def test_asking_for_a_field_adds_none() -> None:
    below: defaultdict[str, int] = defaultdict(int)
    for source in ("x.b", "x['b']", "has(x.b)", "'b' in x", "x.?b", "x == {}", "x.b.c"):
        outcome(source, {"x": MappingProxyType(below)})
        outcome(source, {"x": below})
    assert not below
