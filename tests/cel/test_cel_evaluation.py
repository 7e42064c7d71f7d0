"""What expressions are worth: the semantics of cel-spec, and what a caller's own functions may do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate import cel
from cigate.cel import CompileError, Declarations, EvaluationError, UInt
from cigate.cel.types import BOOL, INT, STRING

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FACTS: Mapping[str, Any] = MappingProxyType(
    {
        "a": MappingProxyType({"b": 1, "s": "text", "t": True, "none": None, "inbox": 1, "nullable": 2}),
        "l": (1, 2, 3),
        "words": ("red", "blue"),
        "now": NOON,
        "age": timedelta(minutes=5),
    }
)

VALUES: dict[str, object] = {
    # arithmetic
    "1 + 2 * 3": 7,
    "7 / 2": 3,
    "-7 / 2": -3,
    "-7 % 2": -1,
    "7 % -2": 1,
    "1u + 2u": UInt(3),
    "1.5 * 2.0": 3.0,
    "1.0 / 0.0": math.inf,
    "-(1.5)": -1.5,
    "'a' + 'b'": "ab",
    "b'a' + b'b'": b"ab",
    "[1] + [2]": [1, 2],
    # equality: by type, never an error
    "dyn(1) == dyn(1.0)": True,
    "dyn(1) == 1u": True,
    "dyn(1) == true": False,
    "dyn('1') == 1": False,
    "dyn(1) != true": True,
    "dyn(null) == false": False,
    "null == null": True,
    "[1, 2] == [1, 2]": True,
    "dyn([1]) == [1.0]": True,
    "dyn([1]) == [true]": False,
    "dyn([1]) == {}": False,
    "{'a': 1} == {'a': 1}": True,
    "dyn({'a': 1}) == {'a': true}": False,
    "0.0 / 0.0 == 0.0 / 0.0": False,
    "0.0 / 0.0 != 0.0 / 0.0": True,
    "-0.0 == 0.0": True,
    "1.0 / -0.0 == 1.0 / 0.0": False,
    # order
    "1 < 2": True,
    "'a' < 'b'": True,
    "false < true": True,
    "1 < 1.5": True,
    "9223372036854775808.0 > 9223372036854775807": False,  # as the conformance tests want it
    "9007199254740993 > 9007199254740992.0": True,
    "dyn(9007199254740993) == 9007199254740992.0": False,
    "18446744073709551615u > -1": True,
    # logic and absorption
    "a.missing == 1 || true": True,
    "true || a.missing == 1": True,
    "a.missing == 1 && false": False,
    "false && a.missing == 1": False,
    "a.s > 1 || true": True,
    "true ? 1 : 1 / 0": 1,
    "false ? 1 / 0 : 2": 2,
    "!a.t": False,
    # strings
    "size('é🐱')": 2,
    "size(b'\\xff')": 1,
    "'hello'.contains('ell')": True,
    "'hello'.startsWith('he')": True,
    "'hello'.endsWith('he')": False,
    "'hello'.matches('l+')": True,
    "'hello'.matches('^l+$')": False,
    "matches('hello', '^h.*o$')": True,
    # conversions
    "int('-12')": -12,
    "int(1.9)": 1,
    "int(-1.9)": -1,
    "int(3u)": 3,
    "int(timestamp('1970-01-01T00:01:00Z'))": 60,
    "uint(3)": UInt(3),
    "double('1.5')": 1.5,
    "double(2)": 2.0,
    "string(1)": "1",
    "string(1.0)": "1",
    "string(1.5)": "1.5",
    "string(true)": "true",
    "string(b'abc')": "abc",
    "string(now)": "2026-11-24T12:00:00Z",
    "string(duration('1h'))": "3600s",
    "string(duration('1.5s'))": "1.5s",
    "bytes('é')": b"\xc3\xa9",
    "bool('true')": True,
    "bool('false')": False,
    "type(1) == int": True,
    "type(1u) == int": False,
    "type(true) == bool": True,
    "type([]) == list": True,
    "type({}) == map": True,
    "type(null) == null_type": True,
    "type(int) == type": True,
    "type(1)": cel.Type("int"),
    "[type(1), int]": [cel.Type("int"), cel.Type("int")],
    "int": cel.Type("int"),
    "type(now)": cel.Type("google.protobuf.Timestamp"),
    # lists and maps
    "l[0]": 1,
    "2 in l": True,
    "5 in l": False,
    "dyn(true) in l": False,
    "'b' in a": True,
    "'c' in a": False,
    "{'a': {'b': 2}}.a.b": 2,
    "{1: 'x'}[1]": "x",
    "{true: 'x'}[true]": "x",
    "size(l) + l.size()": 6,
    "size({'a': 1})": 1,
    "has(a.b)": True,
    "has(a.c)": False,
    "has(a.none)": True,
    "a.inbox + a.nullable": 3,
    # macros
    "l.all(x, x > 0)": True,
    "l.exists(x, x == 2)": True,
    "l.exists(x, x == 9)": False,
    "l.exists_one(x, x > 2)": True,
    "l.exists_one(x, x > 1)": False,
    "[].all(x, 1 / 0 == 1)": True,
    "[].exists(x, true)": False,
    "l.map(x, x * 2)": [2, 4, 6],
    "l.map(x, x > 1, x * 2)": [4, 6],
    "l.filter(x, x > 1)": [2, 3],
    "{'k': 1}.all(key, key == 'k')": True,
    "l.exists(x, words.exists(w, size(w) == x))": True,
    "l.exists(a, a == 1) && a.b == 1": True,
    "[1, 0].exists(x, 1 / x == 1)": True,
    "[0, 1].exists(x, 1 / x == 1)": True,
    "[0, 1].all(x, 1 / x == 2)": False,
    # times
    "now": NOON,
    "now - duration('1h')": NOON - timedelta(hours=1),
    "duration('1h') + now": NOON + timedelta(hours=1),
    "now - timestamp('2026-11-24T11:00:00Z')": timedelta(hours=1),
    "now - timestamp('2026-11-24T11:00:00Z') > duration('10m')": True,
    "now == timestamp('2026-11-24T13:00:00+01:00')": True,
    "now < timestamp('2026-11-24T12:00:00.000001Z')": True,
    "timestamp(60)": datetime(1970, 1, 1, 0, 1, tzinfo=UTC),
    "age < duration('10m')": True,
    "age == duration('300s')": True,
    "duration('1h30m') - duration('90m')": timedelta(0),
    "duration('-1.5h')": timedelta(hours=-1, minutes=-30),
    "duration('300ms')": timedelta(milliseconds=300),
    "now.getFullYear()": 2026,
    "now.getMonth()": 10,
    "now.getDate()": 24,
    "now.getDayOfMonth()": 23,
    "now.getDayOfWeek()": 2,
    "now.getDayOfYear()": 327,
    "now.getHours()": 12,
    "now.getHours('Europe/Paris')": 13,
    "now.getHours('-02:30')": 9,
    "now.getMinutes('-02:30')": 30,
    "now.getSeconds() + now.getMilliseconds()": 0,
    "duration('3730s').getHours()": 1,
    "duration('3730s').getMinutes()": 62,
    "duration('3730s').getSeconds()": 3730,
    "duration('1.321s').getMilliseconds()": 321,
    "duration('-90s').getMinutes()": -1,
    # finer than a microsecond
    "duration('1ns') + duration('999ns')": timedelta(microseconds=1),
    "duration('1ns') < duration('2ns')": True,
    "timestamp('2026-01-01T00:00:00.000000001Z') > timestamp('2026-01-01T00:00:00Z')": True,
    # keys that Python takes for one
    "{1: 'a', true: 'b'}[true]": "b",
    "{1: 'a', true: 'b'}[1.0]": "a",
    # absorbed wherever they are
    "size([0].map(x, 1 / x)) == 1 || true": True,
    "[0].filter(x, 1 / x == 1) == [] || true": True,
    "false && [0].exists_one(x, 1 / x == 1)": False,
    "true || nothing(1)": True,
    "true || size(l, l) == 1": True,
    # optionals
    "a.?b.orValue(9)": 1,
    "a.?x.orValue(9)": 9,
    "a.?b": cel.Optional(1),
    "a.?x.y": cel.NONE,
    "[?a.?b, ?a.?x, 2]": [1, 2],
    "{?'b': a.?b, ?'x': a.?x}": {"b": 1},
    "l[?0].optMap(x, x + 1)": cel.Optional(2),
    "l[?9].optMap(x, 1 / 0)": cel.NONE,
    "l[?0].optFlatMap(x, l[?x]).value()": 2,
    "has(a.?x.y)": False,
    # bindings
    "cel.bind(x, a.b + 1, x * x)": 4,
    "cel.bind(x, a.missing, true || x)": True,
    "cel.bind(x, a.missing, 1)": 1,
    "cel.bind(x, 1, cel.bind(x, x + 1, x + 1))": 3,
    "l.map(x, cel.bind(y, x * x, y + y))": [2, 8, 18],
    "cel.bind(x, l, x.exists(l, l == 3))": True,
    "l.sortBy(x, -x)": [3, 2, 1],
    "[{'n': 2}, {'n': 1}].sortBy(x, x.n).map(x, x.n)": [1, 2],
    # two variables
    "l.all(i, x, x == i + 1)": True,
    "{'k': 1}.exists(k, v, k == 'k' && v == 1)": True,
    "l.existsOne(i, x, i == x - 1 && i == 2)": True,
    "l.transformList(i, x, i > 0, i * x)": [2, 6],
    "{'k': 1}.transformMap(k, v, v + 1)": {"k": 2},
    "l.transformMap(i, x, i == 1, x)": {1: 2},
    "{'k': 'v'}.transformMapEntry(k, v, {v: k})": {"v": "k"},
    # whatever comes out is itself
    "null": None,
    "a": {"b": 1, "s": "text", "t": True, "none": None, "inbox": 1, "nullable": 2},
}


@pytest.mark.parametrize(("source", "value"), VALUES.items())
def test_an_expression_has_the_value_that_the_specification_gives_it(source: str, value: object) -> None:
    found = cel.compile(source)(FACTS)
    assert (type(found), found) == (type(value), value)


ERRORS = {
    "missing": "cel.no-such-field",
    "missing.b": "cel.no-such-field",
    "a.missing": "cel.no-such-field",
    "a['missing']": "cel.no-such-field",
    "a.b.c": "cel.no-such-overload",
    "a.missing == 1 || false": "cel.no-such-field",
    "false || a.missing == 1": "cel.no-such-field",
    "a.missing == 1 && true": "cel.no-such-field",
    "a.missing ? true : true": "cel.no-such-field",
    "a.b ? true : true": "cel.no-such-overload",
    "a.b && true": "cel.no-such-overload",
    "true && a.b": "cel.no-such-overload",
    "a.s || false": "cel.no-such-overload",
    "!a.b": "cel.no-such-overload",
    "a.s > 1": "cel.no-such-overload",
    "a.t < 1": "cel.no-such-overload",
    "a.t + a.t": "cel.no-such-overload",
    "a.t + 1": "cel.no-such-overload",
    "-a.t": "cel.no-such-overload",
    "a.b + 'x'": "cel.no-such-overload",
    "a.b + 1.5": "cel.no-such-overload",
    "a.none + 1": "cel.no-such-overload",
    "size(a.none)": "cel.no-such-overload",
    "size(a.b)": "cel.no-such-overload",
    "l.contains(a.s)": "cel.no-such-overload",
    "a.b in a.s": "cel.no-such-overload",
    "'e' in a.s": "cel.no-such-overload",
    "a.s[0]": "cel.no-such-overload",
    "a.b.startsWith('x')": "cel.no-such-overload",
    "a.s.all(c, true)": "cel.no-such-overload",
    "a.b.exists(c, true)": "cel.no-such-overload",
    "l.filter(x, a.b)": "cel.no-such-overload",
    "l.all(x, a.b)": "cel.no-such-overload",
    "l.exists(x, a.b)": "cel.no-such-overload",
    "l.exists_one(x, a.s)": "cel.no-such-overload",
    "has(a.b.c)": "cel.no-such-overload",
    "has(missing.c)": "cel.no-such-field",
    "9223372036854775807 + 1": "cel.overflow",
    "-9223372036854775808 - 1": "cel.overflow",
    "-(-9223372036854775808)": "cel.overflow",
    "-9223372036854775808 / -1": "cel.overflow",
    "9223372036854775807 * 2": "cel.overflow",
    "0u - 1u": "cel.overflow",
    "uint(-1)": "cel.overflow",
    "int(1e30)": "cel.overflow",
    "int(0.0 / 0.0)": "cel.overflow",
    "int(18446744073709551615u)": "cel.overflow",
    "1 / 0": "cel.divide-by-zero",
    "1 % 0": "cel.divide-by-zero",
    "1u / 0u": "cel.divide-by-zero",
    "l[3]": "cel.out-of-range",
    "l[-1]": "cel.out-of-range",
    "int('0x10')": "cel.invalid",
    "int('1_000')": "cel.invalid",
    "int(' 1 ')": "cel.invalid",
    "int('١')": "cel.invalid",
    "double('one')": "cel.invalid",
    "bool('yes')": "cel.invalid",
    "string(b'\\xff')": "cel.invalid",
    "a.s.matches(a.s + '(')": "cel.invalid",
    "timestamp(string(a.s))": "cel.invalid",
    "duration(a.s)": "cel.invalid",
    "now.getHours('Mars/Base')": "cel.invalid",
    "now.getHours('')": "cel.invalid",
    "now.getHours('local')": "cel.invalid",
    "{'k': 1, 'k': 2}": "cel.invalid",
    "{a.none: 1}": "cel.no-such-overload",
    "{'k': 1 / 0}.k": "cel.divide-by-zero",
    "timestamp('9999-12-31T23:59:59Z') + duration('1s')": "cel.overflow",
    "timestamp(253402300800)": "cel.overflow",
    "size": "cel.no-such-field",
    "{1: 'a', true: 'b'}": "cel.result",  # no dict has both
    "nothing(1)": "cel.no-such-overload",
    "a.nothing()": "cel.no-such-overload",
    "size(l, l)": "cel.no-such-overload",
    "a.startsWith": "cel.no-such-field",
    "startsWith('ab', 'a')": "cel.no-such-overload",
    "optional.none().value()": "cel.no-such-field",
    "a.b.optMap(x, x)": "cel.no-such-overload",
    "optional.of(1).optFlatMap(x, x)": "cel.no-such-overload",
    "[?a.b]": "cel.no-such-overload",
    "{?'k': a.b}": "cel.no-such-overload",
    "l.transformMapEntry(i, x, x)": "cel.no-such-overload",
    "a.sortBy(x, x)": "cel.no-such-overload",
    "l.sortBy(x, [x])": "cel.no-such-overload",
    "l.sortBy(x, 1 / (x - 1))": "cel.divide-by-zero",
    "l.transformMapEntry(i, x, {'k': x})": "cel.invalid",
    "cel.bind(x, a.missing, x)": "cel.no-such-field",
}


@pytest.mark.parametrize(("source", "code"), ERRORS.items())
def test_what_has_no_value_is_an_error_and_never_false(source: str, code: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        cel.compile(source)(FACTS)
    assert caught.value.code == code


def test_an_error_tells_no_fact() -> None:
    with pytest.raises(EvaluationError) as caught:
        cel.compile("missing || known + 1 == 2")({"known": "very private", "other": "private too"})
    assert "private" not in str(caught.value)
    assert "private" not in repr(caught.value.__cause__)


@pytest.mark.parametrize(
    "value", [0, 1, UInt(1), 1.0, "", "true", b"", None, [], [True], {}, NOON, timedelta(1)]
)
def test_what_is_not_a_bool_does_not_come_back_as_one(value: object) -> None:
    found = cel.compile("x")({"x": value})
    assert type(found) is type(value)
    assert found == value
    assert found is not True


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        UInt(2**64),
        datetime(2026, 1, 1),  # noqa: DTZ001 - a naive time is what is refused
        {1, 2},
        object(),
        [object()],
        {"k": 1j},
    ],
)
def test_what_cel_has_no_type_for_is_refused(value: object) -> None:
    with pytest.raises(EvaluationError) as caught:
        cel.compile("x == x")({"x": value})
    assert caught.value.code == "cel.input"


def test_a_time_comes_back_in_utc() -> None:
    there = timezone(timedelta(hours=5))
    found = cel.compile("x")({"x": NOON.astimezone(there)})
    assert (found, found.tzinfo) == (NOON, UTC)


def test_facts_that_an_expression_does_not_read_are_not_even_looked_at() -> None:
    assert cel.compile("a == 1")({"a": 1, "b": object()}) is True


_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
)
_DATA = st.recursive(
    _SCALARS
    | st.binary()
    | st.datetimes(timezones=st.just(UTC))
    | st.timedeltas(timedelta(-9999), timedelta(9999)),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=6,
)


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


@given(_DATA)
def test_a_value_passes_through_unchanged_in_value_and_type(value: Any) -> None:
    assert _same(cel.compile("x")({"x": value}), value)


@given(_SCALARS, _SCALARS)
def test_equality_is_total_and_holds_between_a_bool_and_nothing_but_a_bool(one: Any, other: Any) -> None:
    found = cel.compile("x == y")({"x": one, "y": other})
    assert type(found) is bool
    if (type(one) is bool) != (type(other) is bool):
        assert found is False


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), st.sampled_from("+-*"))
def test_integers_are_exact_or_overflow(one: int, other: int, sign: str) -> None:
    exact = {"+": one + other, "-": one - other, "*": one * other}[sign]
    program = cel.compile(f"x {sign} y")
    if -(2**63) <= exact < 2**63:
        assert program({"x": one, "y": other}) == exact
    else:
        with pytest.raises(EvaluationError) as caught:
            program({"x": one, "y": other})
        assert caught.value.code == "cel.overflow"


_TRUTHS = ["true", "false", "missing", "1 / 0 == 1", "dyn(1)"]


@pytest.mark.parametrize("left", _TRUTHS)
@pytest.mark.parametrize("right", _TRUTHS)
def test_logic_is_commutative_and_only_what_decides_absorbs(left: str, right: str) -> None:
    for sign, deciding in (("&&", False), ("||", True)):
        decides = str(deciding).lower()
        outcomes = {_outcome(f"{left} {sign} {right}"), _outcome(f"{right} {sign} {left}")}
        if decides in (left, right):
            assert outcomes == {deciding}
        elif left == right == str(not deciding).lower():
            assert outcomes == {not deciding}
        else:
            assert outcomes == {"error"}


def _outcome(source: str) -> object:
    try:
        return cel.compile(source)({})
    except EvaluationError:
        return "error"


# -- functions of one's own

DOUBLE = cel.Function(
    "double_it", (cel.Overload((INT,), INT), cel.Overload((), STRING, of=STRING)), lambda x: x * 2
)


def test_a_function_of_ones_own_is_called_like_any_other() -> None:
    program = cel.compile("double_it(x) == 4 && 'ab'.double_it() == 'abab'", functions=[DOUBLE])
    assert program({"x": 2}) is True


@pytest.mark.parametrize("value", [True, UInt(2), 2.0, "ab", None, [1]])
def test_a_function_of_ones_own_sees_only_what_its_overloads_take(value: object) -> None:
    seen: list[object] = []
    only_int = cel.Function("f", (cel.Overload((INT,), INT),), seen.append)
    with pytest.raises(EvaluationError) as caught:
        cel.compile("f(x)", functions=[only_int])({"x": value})
    assert (caught.value.code, seen) == ("cel.no-such-overload", [])


@pytest.mark.parametrize("given", [True, 2**63, "1", None, object(), 1.0])
def test_a_function_of_ones_own_gives_what_its_overload_declares_or_an_error(given: object) -> None:
    liar = cel.Function("f", (cel.Overload((), INT),), lambda: given)
    with pytest.raises(EvaluationError):
        cel.compile("f()", functions=[liar])({})


def test_what_a_function_of_ones_own_raises_is_an_error_that_is_absorbed_like_any() -> None:
    broken = cel.Function("f", (cel.Overload((), BOOL),), lambda: 1 // 0 == 1)
    with pytest.raises(EvaluationError) as caught:
        cel.compile("f()", functions=[broken])({})
    assert caught.value.code == "cel.failed"
    assert cel.compile("f() || true", functions=[broken])({}) is True


def test_a_function_of_ones_own_is_not_called_while_compiling() -> None:
    calls: list[int] = []
    counted = cel.Function("f", (cel.Overload((INT,), INT),), calls.append)
    program = cel.compile("false ? f(1) : 2", functions=[counted])
    assert (program({}), calls) == (2, [])


def test_a_function_of_ones_own_is_checked_against_declarations() -> None:
    declared = Declarations.of({"x": STRING})
    with pytest.raises(CompileError) as caught:
        cel.compile("double_it(x) == 4", declarations=declared, functions=[DOUBLE])
    assert caught.value.code == "cel.type"


def test_programs_tell_functions_of_one_name_apart() -> None:
    one, two = (cel.Function("f", (cel.Overload((), INT),), lambda value=value: value) for value in (1, 2))
    assert [cel.compile("f()", functions=[each])({}) for each in (one, two, one)] == [1, 2, 1]


def test_a_function_of_ones_own_may_add_a_form_to_one_of_the_library_but_replace_none() -> None:
    more = cel.Function("size", (cel.Overload((INT,), INT),), lambda x: -x)
    assert cel.compile("size(3) + size('ab')", functions=[more])({}) == -1
    with pytest.raises(ValueError, match="already"):
        cel.compile("size('ab')", functions=[cel.Function("size", (cel.Overload((STRING,), INT),), len)])


def test_an_expression_without_declarations_looks_for_names_in_its_container_first() -> None:
    facts = {"a.b.x": 1, "a.x": 2, "x": 3, "y": 4, "m": {"n": 5}, "a.m.n": 6}
    assert cel.compile("[x, .x, y, m.n, .m.n]", container="a.b")(facts) == [1, 3, 4, 6, 5]
