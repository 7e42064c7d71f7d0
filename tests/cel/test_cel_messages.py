"""What an author reads when a rule does not fit: what is wrong, where, and what to write instead."""

from __future__ import annotations

import pytest

from cigate import cel
from cigate.cel import CompileError, Declarations
from cigate.cel.types import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    list_of,
    map_of,
    optional_of,
    record_of,
)

DECLARED = Declarations.of(
    {
        "s": STRING,
        "i": INT,
        "u": UINT,
        "d": DOUBLE,
        "b": BOOL,
        "t": TIMESTAMP,
        "span": DURATION,
        "ls": list_of(STRING),
        "li": list_of(INT),
        "lli": list_of(list_of(INT)),
        "m": map_of(STRING, INT),
        "mi": map_of(INT, STRING),
        "x": DYN,
        "o": optional_of(INT),
        "agent": record_of("agent", {"id": STRING, "managed": BOOL, "groups": list_of(STRING)}),
    }
)

SAID = {
    # a number beside another kind of number may well be equal to it: it is a matter of writing it
    "i == 1.0": ("int and double are not compared by ==", "convert one: int(…), uint(…) or double(…)"),
    "u == 1": ("uint and int are not compared by ==", "convert one: int(…), uint(…) or double(…)"),
    "i + d": ("+ is not defined on int and double", "convert one: int(…), uint(…) or double(…)"),
    "s + 1": ("+ is not defined on string and int", "write a number as text: string(…)"),
    "1 + s": ("+ is not defined on int and string", "write a number as text: string(…)"),
    "i == null": ("int is never null", "has(…) asks whether a field is there"),
    "null != s": ("string is never null", "has(…) asks whether a field is there"),
    "agent.id == null": ("string is never null", "has(…) asks whether a field is there"),
    "o == 1": ("optional_type(int) is never equal to int", "x.orValue(…) is what is in an optional"),
    "'a' in s": ("string can't be in string", "s.contains('a') looks within a string"),
    # places
    "m[1]": ("a value of type map(string, int) takes no index of type int", "its keys are of type string"),
    "li['a']": ("a value of type list(int) takes no index of type string", "its items are counted from 0"),
    "li.a": ("a value of type list(int) has no fields", "take an item: x[0], or ask all: x.exists(i, …)"),
    "has(agent.x)": ("agent has no field 'x'", "known: groups, id, managed"),
    # calls
    "size()": ("size takes 1 argument; found 0", ""),
    "s.charAt()": ("charAt takes 1 argument; found 0", ""),
    "math.greatest()": ("math.greatest takes 1 to 16 arguments; found 0", ""),
    "s.replace('a')": ("replace takes 2 or 3 arguments; found 1", ""),
    "i.size()": ("size is not defined on int", "it is for string, bytes, list(A), map(A, B)"),
    "size(i)": ("size is not defined on (int)", "it takes (string), (bytes), (list(A)), (map(A, B))"),
    "s.startsWith(1)": ("startsWith is not defined on string and (int)", "it takes (string)"),
    "li.join()": ("join is not defined on list(int)", "it is for list(string)"),
    "t.getHours(1)": ("getHours is not defined on timestamp and (int)", "it takes (string)"),
    "bool(i)": ("bool is not defined on (int)", "it takes (bool), (string)"),
    "startsWith(s, 'a')": ("startsWith is a method", "call it on a value: x.startsWith(…)"),
    "s.math.abs()": ("a value of type string has no fields", ""),
    # what had been let through, and was an error of every evaluation
    "ls.sortBy(v, [v])": ("sortBy takes what has an order, not list(string)", ""),
    "m.sortBy(k, k)": ("sortBy goes through a list, not map(string, int)", ""),
    "math.greatest(1, 2, 3, s)": ("math.greatest is not defined on (int, int, int, string)", ""),
    "math.least(i, d, u, i, b)": ("math.least is not defined on (int, double, uint, int, bool)", ""),
    "lli.sort()": ("sort is not defined on list(list(int))", ""),
    "string(null)": ("string is not defined on (null_type)", ""),
    "t + null": ("+ is not defined on timestamp and null_type", ""),
}


@pytest.mark.parametrize(("source", "said"), SAID.items())
def test_an_error_says_what_is_wrong_and_what_to_write(source: str, said: tuple[str, str]) -> None:
    with pytest.raises(CompileError) as caught:
        cel.compile(source, declarations=DECLARED)
    message, fix = said
    assert caught.value.message == message
    assert caught.value.fix == fix or not fix
    assert caught.value.where.startswith("1:")
    assert caught.value.excerpt.startswith(f"  {source}\n")


@pytest.mark.parametrize(
    "source", ["x == null", "null == null", "o == optional.none()", "[x, null][0] == 1", "b ? t : null"]
)
def test_null_may_stand_where_it_may_be(source: str) -> None:
    cel.compile(source, declarations=DECLARED)


def test_without_declarations_a_wrong_type_is_left_to_the_evaluation() -> None:
    assert cel.compile("[3, 1].sortBy(v, v) == [1, 3] && 1 != null")({}) is True
    cel.compile("[3].sortBy(v, [v])")
