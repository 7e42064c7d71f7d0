"""In how many ways a rule can fail that is well typed, over facts that fit their types: in those that are named.

The list is the one of docs/reference/cel.md. Each way belongs to functions that stand in the expression, so an
expression without them does not fail at all.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from cigate import cel
from cigate.cel.library import FAILS
from cigate.cel.syntax import Call, Index, MapOf, Select, walk
from cigate.cel.types import BOOL, DOUBLE, INT, STRING, TIMESTAMP, UINT
from tests.cel.generating import INTS, NAMES, STRINGS, Expressions, bindings

TYPED = {name: kind for name, kind in NAMES.items() if name not in ("m", "x")}
"""Facts of known types: an open map's members have any."""

WAYS = {
    "cel.overflow": "a number, a time or a duration is out of its range",
    "cel.divide-by-zero": "an integer is divided by zero",
    "cel.out-of-range": "an index is outside the list or the string",
    "cel.no-such-field": "a key is not in the map; an optional is none",
    "cel.invalid": "a conversion, a pattern or a time zone refuses a text",
    "cel.too-costly": "a value or the work on it grows too large",
}
OPEN_WAYS = {
    "cel.no-such-overload": "a member of an open map has another type than what is done with it",
}
KINDS = (BOOL, INT, UINT, DOUBLE, STRING, INTS, STRINGS, TIMESTAMP)


def may_fail(program: cel.Program) -> set[str]:
    """The codes of all that stands in an expression."""
    names = set()
    for node in walk(program.node):
        match node:
            case Call(function=function):
                names.add(function)
            case Index():
                names.add("_[_]")
            case Select():
                names.add("_._")
            case MapOf():
                names.add("{_}")
    return {code for name in names for code in FAILS.get(name, ())}


@pytest.mark.parametrize("seed", range(4))
def test_a_well_typed_expression_over_facts_of_their_types_fails_in_the_named_ways_only(seed):
    random = Random(seed)
    expressions = Expressions(random, wrong=0, names=TYPED)
    declarations = cel.Declarations.of(TYPED)
    seen: Counter[str] = Counter()
    compiled = 0
    for _ in range(1500):
        source = expressions.next(random.choice(KINDS), 4)
        try:
            program = cel.compile(source, declarations=declarations)
        except cel.CompileError:
            continue
        compiled += 1
        for _ in range(4):
            try:
                program(bindings(random, TYPED, absent=0))
            except cel.EvaluationError as error:
                seen[error.code] += 1
                assert error.code in may_fail(program), (source, error)  # noqa: PT017
    assert compiled > 1300, "too many of them are not well typed"
    assert seen.keys() <= WAYS.keys()
    assert seen.keys() >= {"cel.overflow", "cel.divide-by-zero", "cel.out-of-range", "cel.invalid"}, (
        "the expressions reach too little to prove anything"
    )


def test_with_an_open_map_there_is_one_way_more():
    random = Random(9)
    expressions, declarations = Expressions(random, wrong=0), cel.Declarations.of(NAMES)
    seen = set()
    for _ in range(1500):
        try:
            program = cel.compile(expressions.next(BOOL, 4), declarations=declarations)
            program(bindings(random, absent=0))
        except cel.CompileError:
            continue
        except cel.EvaluationError as error:
            seen.add(error.code)
    assert "cel.no-such-overload" in seen
    assert seen <= WAYS.keys() | OPEN_WAYS.keys()


def test_the_page_lists_every_way():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "cel.md").read_text(encoding="utf-8")
    rows = [f"| `{code}` | {told} |" for code, told in (WAYS | OPEN_WAYS).items()]
    assert [row for row in rows if row not in page] == []
