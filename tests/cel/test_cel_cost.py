"""The static bound: what may cost too much is refused when it loads, and what need not is not."""

from __future__ import annotations

import pytest

from cigate import cel
from cigate.cel import CompileError, Declarations
from cigate.cel.types import DYN, INT, STRING, Type, list_of, map_of, record_of

DECLARED = Declarations.of(
    {
        "l": list_of(INT),
        "deep": list_of(list_of(list_of(INT))),
        "m": map_of(STRING, DYN),
        "who": list_of(record_of("who", {"roles": list_of(STRING)})),
        "user": record_of("user", {"roles": list_of(STRING), "id": STRING}),
    }
)

ADMITTED = [
    "l.all(x, l.exists(y, x == y))",
    "who.exists(w, 'sre' in w.roles && user.roles.exists(r, r in w.roles))",
    "who.all(w, w.roles.exists(r, r == user.id)) && l.all(x, l.exists(y, x == y))",
    "m.exists(k, m[k] == 1)",
    "[1, 2].all(a, [1, 2].all(b, [1, 2].all(c, [1, 2].all(d, a + b + c + d > 0))))",
    "l.map(a, a + 1).filter(b, b > 1).map(c, c * 2).all(d, d > 0)",
    "cel.bind(r, user.roles, who.exists(w, w.roles.exists(x, x in r)))",
    "l.all(x, ['a', 'b'].exists(y, l.exists(z, x == z)))",
]
REFUSED = {
    "l.all(x, l.all(y, l.all(z, x + y + z > 0)))": "1:3",
    "deep.all(x, x.all(y, y.all(z, z > 0)))": "1:6",
    "l.all(x, l.map(y, l.filter(z, z > x)).size() > 0)": "1:3",
    "cel.bind(all, l + l, all.map(x, all.map(y, all.map(z, 1)))) == []": "1:26",
    "l.map(x, l).all(y, y.all(z, l.all(w, w > z)))": "1:13",
    "(true ? l : []).all(x, l.all(y, l.all(z, z > 0)))": "1:17",
}


@pytest.mark.parametrize("source", ADMITTED)
def test_two_loops_over_facts_and_any_over_what_is_written_are_admitted(source: str) -> None:
    cel.compile(source, declarations=DECLARED)


@pytest.mark.parametrize(("source", "where"), REFUSED.items())
def test_three_loops_over_facts_are_refused_with_the_place_and_the_way_out(source: str, where: str) -> None:
    with pytest.raises(CompileError) as caught:
        cel.compile(source, declarations=DECLARED)
    assert (caught.value.code, bool(caught.value.fix)) == ("cel.too-large", True)
    assert caught.value.where == where
    with pytest.raises(CompileError):
        cel.compile(source)


def test_names_that_nobody_declared_are_taken_for_lists() -> None:
    with pytest.raises(CompileError):
        cel.compile("a.b.all(x, c.all(y, d.all(z, true == z)))")


@pytest.mark.parametrize("kind", [INT, STRING, Type("timestamp")])
def test_a_loop_over_what_is_no_list_costs_nothing(kind: Type) -> None:
    declared = Declarations.of({"x": DYN, "s": kind})
    cel.compile("x.all(a, x.all(b, [s].all(c, c == s)))", declarations=declared)


def test_what_a_macro_makes_is_as_long_as_what_it_goes_through() -> None:
    doubled = "x"
    for _ in range(12):
        doubled = f"({doubled} + {doubled})" if len(doubled) < 500 else doubled
    with pytest.raises(CompileError) as caught:
        cel.compile(f"{doubled}.all(a, x.all(b, a == b))", declarations=Declarations.of({"x": list_of(INT)}))
    assert caught.value.code == "cel.too-large"
