"""Operators and standard functions over plain values, against Python's own exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import product
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from cigate.cel.error import EvaluationError
from cigate.cel.functions import Function, Overload
from cigate.cel.library import FAILS, LIBRARY, core, optionals
from cigate.cel.library import times as of_times
from cigate.cel.operators import (
    OPERATORS,
    boolean,
    equal,
    has,
    index,
    items,
    make_map,
    optional_index,
    optional_select,
    pairs,
    select,
)
from cigate.cel.syntax import UInt
from cigate.cel.times import moment, nanoseconds, span
from cigate.cel.types import Type
from cigate.cel.values import LISTS, LONGEST_LIST, LONGEST_TEXT, MAPS, NONE, NOTHING, Optional, type_of

FIRST = nanoseconds(datetime.min.replace(tzinfo=UTC))
LAST = nanoseconds(datetime.max.replace(tzinfo=UTC)) + 999
EDGES = [0, 1, -1, 2, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), -(2**63) + 1]

INTS = st.sampled_from(EDGES) | st.integers(-(2**63), 2**63 - 1)
UINTS = (st.sampled_from([0, 1, 2**53 + 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)).map(UInt)
DOUBLES = st.sampled_from([0.0, -0.0, 1.0, math.inf, -math.inf, math.nan, 2.0**63, -(2.0**63)]) | st.floats()
TEXTS = st.text(max_size=5) | st.sampled_from(
    ["1", "-7", "1.5", "true", "UTC", "+05:30", "1h", "Asia/Kathmandu"]
)
MOMENTS = (st.integers(FIRST, LAST) | st.sampled_from([FIRST, LAST, 0, 1])).map(moment)
SPANS = (st.integers(-(2**63), 2**63 - 1) | st.integers(-2000, 2000)).map(span)
SCALARS = st.one_of(
    *(st.none(), st.booleans(), INTS, UINTS, DOUBLES, TEXTS, st.binary(max_size=5), MOMENTS, SPANS),
    st.sampled_from([type_of(1), type_of("")]),
)


def map_of_distinct(entries: list[tuple[Any, Any]]) -> Any:
    return make_map({(type(key) is bool, key): (key, value) for key, value in entries}.values())


KEYS = st.booleans() | st.integers(-2, 2) | st.integers(0, 2).map(UInt) | st.text(max_size=1)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3).map(MappingProxyType),
        st.lists(st.tuples(KEYS, inner), max_size=3).map(map_of_distinct),
        inner.map(Optional),
        st.just(NONE),
    ),
    max_leaves=6,
)


def call(name: str, *operands: Any) -> Any:
    return (OPERATORS.get(name) or LIBRARY[name]).call(*operands)


def outcome(name: str, *operands: Any) -> Any:
    """The value, or the code of the error."""
    try:
        return call(name, *operands)
    except EvaluationError as error:
        return error.code


def code_of(function: Callable[..., Any], *operands: Any) -> str:
    with pytest.raises(EvaluationError) as caught:
        function(*operands)
    return caught.value.code


# -- arithmetic

EXACT: Mapping[str, Callable[[int, int], int]] = {
    "_+_": lambda left, right: left + right,
    "_-_": lambda left, right: left - right,
    "_*_": lambda left, right: left * right,
    "_/_": lambda left, right: math.trunc(Fraction(left, right)),
    # without a remainder's quotient there is no remainder, say both of Google's engines
    "_%_": lambda left, right: (
        2**64 if (left, right) == (-(2**63), -1) else left - right * math.trunc(Fraction(left, right))
    ),
}


@pytest.mark.parametrize("name", EXACT)
@given(left=INTS, right=INTS)
@example(left=-(2**63), right=-1)
@example(left=1, right=0)
def test_ints_are_computed_exactly_or_overflow(name: str, left: int, right: int) -> None:
    found = outcome(name, left, right)
    if right == 0 and name in ("_/_", "_%_"):
        assert found == "cel.divide-by-zero"
        return
    exact = EXACT[name](left, right)
    if name == "_%_" and (left, right) == (-(2**63), -1):
        exact = 2**63  # the division that it comes from overflows
    assert found == (exact if -(2**63) <= exact < 2**63 else "cel.overflow")
    assert type(found) in (int, str)


@pytest.mark.parametrize("name", EXACT)
@given(left=UINTS, right=UINTS)
def test_uints_are_computed_exactly_or_overflow(name: str, left: UInt, right: UInt) -> None:
    found = outcome(name, left, right)
    if right == 0 and name in ("_/_", "_%_"):
        assert found == "cel.divide-by-zero"
        return
    exact = EXACT[name](int(left), int(right))
    assert found == (exact if 0 <= exact < 2**64 else "cel.overflow")
    assert type(found) in (UInt, str)


@given(DOUBLES, DOUBLES)
def test_doubles_divide_by_zero_as_ieee_has_it(left: float, right: float) -> None:
    found = call("_/_", left, right)
    assert type(found) is float
    if right == 0 and left != 0 and not math.isnan(left):
        assert math.isinf(found)
        assert math.copysign(1, found) == math.copysign(1, left) * math.copysign(1, right)
    elif right == 0:
        assert math.isnan(found)


@given(DOUBLES, DOUBLES, st.sampled_from(["_+_", "_-_", "_*_", "_/_"]))
def test_arithmetic_on_doubles_never_fails(left: float, right: float, name: str) -> None:
    assert type(call(name, left, right)) is float


@given(MOMENTS, SPANS)
def test_a_duration_is_added_to_a_timestamp_to_the_nanosecond(start: datetime, length: timedelta) -> None:
    exact = nanoseconds(start) + nanoseconds(length)
    expected = moment(exact) if FIRST <= exact <= LAST else "cel.overflow"
    assert outcome("_+_", start, length) == outcome("_+_", length, start) == expected
    exact = nanoseconds(start) - nanoseconds(length)
    assert outcome("_-_", start, length) == (moment(exact) if FIRST <= exact <= LAST else "cel.overflow")


@given(MOMENTS, MOMENTS)
def test_timestamps_are_subtracted_to_the_nanosecond_within_292_years(
    left: datetime, right: datetime
) -> None:
    exact = nanoseconds(left) - nanoseconds(right)
    assert outcome("_-_", left, right) == (span(exact) if -(2**63) <= exact < 2**63 else "cel.overflow")


@given(SPANS, SPANS)
def test_durations_are_added_to_the_nanosecond_within_292_years(left: timedelta, right: timedelta) -> None:
    for name, exact in (
        ("_+_", nanoseconds(left) + nanoseconds(right)),
        ("_-_", nanoseconds(left) - nanoseconds(right)),
    ):
        assert outcome(name, left, right) == (span(exact) if -(2**63) <= exact < 2**63 else "cel.overflow")


TOO_LARGE: list[tuple[Any, Any]] = [
    ("a" * LONGEST_TEXT, "a"),
    (b"a" * LONGEST_TEXT, b"a"),
    ([1] * LONGEST_LIST, [1]),
]


@pytest.mark.parametrize(("left", "right"), TOO_LARGE, ids=["string", "bytes", "list"])
def test_what_would_be_too_large_is_refused(left: Any, right: Any) -> None:
    assert code_of(OPERATORS["_+_"].call, left, right) == "cel.too-costly"
    assert len(call("_+_", left[:-1], right)) == len(left)


# -- equality and order


def on_one_line(left: Any, right: Any) -> tuple[Any, Any]:
    """Two numbers on one number line, exactly."""
    return tuple(  # type: ignore[return-value]
        Fraction(number) if math.isfinite(number) else number for number in (left, right)
    )


@given(INTS | UINTS | DOUBLES, INTS | UINTS | DOUBLES)
@example(2**53 + 1, 2.0**53)
@example(2**53 - 1, 2.0**53)
@example(-(2**53) - 1, -(2.0**53))
@example(-(2**63), -(2.0**63))
@example(2**63 - 1, UInt(2**63))
@example(UInt(2**63), 2.0**63)
@example(UInt(2**63 - 1), 2.0**63)
@example(UInt(2**64 - 1), 2.0**64)
def test_numbers_of_any_types_compare_on_one_line(left: float, right: float) -> None:
    assume({left, right} != {2**63 - 1, 2.0**63})
    one, other = on_one_line(left, right)
    assert call("_==_", left, right) is (one == other)
    assert call("_!=_", left, right) is (one != other)
    assert call("_<_", left, right) is (one < other)
    assert call("_<=_", left, right) is (one <= other)
    assert call("_>_", left, right) is (one > other)
    assert call("_>=_", left, right) is (one >= other)


def test_the_greatest_int_is_not_below_the_double_nearest_to_it_but_is_not_it_either() -> None:
    """The one place where the conformance tests want less than the number line."""
    for left, right in ((2**63 - 1, 2.0**63), (2.0**63, 2**63 - 1)):
        assert call("_<_", left, right) is call("_>_", left, right) is False
        assert call("_<=_", left, right) is call("_>=_", left, right) is True
        assert call("_==_", left, right) is False
    assert call("_<_", 2**63 - 1, math.nextafter(2.0**63, math.inf)) is True


NUMBERS_THAT_ROUND = [
    *(2**53 + more for more in (-1, 0, 1)),
    *(kind(2**53) for kind in (float, UInt)),
    *(2**63 - 1, UInt(2**63), 2.0**63, UInt(2**64 - 1), 2.0**64, 1, UInt(1), 1.0, True, 0, 0.0, -0.0, False),
]


@pytest.mark.parametrize("one", NUMBERS_THAT_ROUND, ids=repr)
def test_every_search_finds_what_is_equal(one: Any) -> None:
    """One rule for `==`, `in`, keys of maps, `distinct` and sets."""
    for other in NUMBERS_THAT_ROUND:
        found = equal(one, other)
        assert found is equal(other, one)
        assert call("@in", one, ["x", other]) is found
        assert equal([one], [other]) is found
        assert (len(LIBRARY["distinct"].call([one, other])) == 1) is found
        assert LIBRARY["sets.contains"].call([one], [other]) is found
        if type(other) is not float:
            made = make_map([(other, 1)])
            assert call("@in", one, made) is found
            assert (optional_index(made, one) == Optional(1)) is found


ORDERED = st.sampled_from(
    [
        INTS | UINTS,
        DOUBLES.filter(lambda value: value == value),
        TEXTS,
        st.binary(),
        st.booleans(),
        MOMENTS,
        SPANS,
    ]
).flatmap(lambda kind: st.tuples(kind, kind, kind))


@given(ORDERED)
def test_order_is_total_on_values_of_one_kind(triple: tuple[Any, Any, Any]) -> None:
    one, two, three = triple
    assert [call("_<_", one, two), call("_==_", one, two), call("_>_", one, two)].count(True) == 1
    assert call("_<=_", one, two) is not call("_>_", one, two)
    assert call("_>=_", one, two) is not call("_<_", one, two)
    if call("_<=_", one, two) and call("_<=_", two, three):
        assert call("_<=_", one, three)


@given(TEXTS, TEXTS)
def test_strings_are_ordered_by_their_bytes_in_utf_8(left: str, right: str) -> None:
    assert call("_<_", left, right) is (
        left.encode(errors="surrogatepass") < right.encode(errors="surrogatepass")
    )


def kind_of(value: Any) -> object:
    return "number" if type(value) in (int, UInt, float) else type_of(value).name


def modelled(left: Any, right: Any) -> bool:
    """Equality as the specification words it, without a thought for speed."""
    if kind_of(left) != kind_of(right):
        return False
    if type(left) in LISTS:
        return len(left) == len(right) and all(map(modelled, left, right))
    if type(left) in MAPS:
        return len(left) == len(right) and all(
            any(same_key(key, other) and modelled(value, worth) for other, worth in right.items())
            for key, value in left.items()
        )
    if type(left) is Optional:
        if left.value is NOTHING or right.value is NOTHING:
            return left.value is right.value
        return modelled(left.value, right.value)
    if kind_of(left) == "number":
        left, right = on_one_line(left, right)
    return bool(left == right)


def same_key(left: Any, right: Any) -> bool:
    """A key is found by a number that is worth exactly the same, however large."""
    return kind_of(left) == kind_of(right) and bool(left == right)


@given(VALUES, VALUES)
@settings(max_examples=300)
@example([True], [1])
@example({1: 2}, {True: 2})
@example({0: 2}, {UInt(0): 2.0})
@example([math.nan], [math.nan])
@example(Optional(True), Optional(1))
def test_equality_is_that_of_the_specification(left: Any, right: Any) -> None:
    assert equal(left, right) is equal(right, left) is modelled(left, right)
    assert equal(left, left) is modelled(left, left)


@given(VALUES, VALUES)
def test_what_is_in_a_list_is_equal_to_an_item(item: Any, other: Any) -> None:
    for container in ([other], (other, item), [other, other]):
        assert call("@in", item, container) is any(modelled(item, one) for one in container)


@given(st.lists(st.tuples(KEYS, INTS), max_size=4), KEYS | DOUBLES)
def test_a_key_is_found_by_equality(entries: list[tuple[Any, int]], key: Any) -> None:
    made = map_of_distinct(entries)
    expected = [value for known, value in made.items() if same_key(known, key)]
    assert call("@in", key, made) is bool(expected)
    assert optional_index(made, key) == (Optional(expected[0]) if expected else NONE)
    if expected:
        assert index(made, key) == expected[0]
    else:
        assert code_of(index, made, key) == "cel.no-such-field"


def test_no_equality_runs_out_of_stack() -> None:
    left: list[Any] = []
    right: list[Any] = []
    for _ in range(50_000):
        left, right = [left], [right]
    assert equal(left, right)


def test_an_equality_that_would_never_end_is_refused() -> None:
    left: list[Any] = [1]
    right: list[Any] = [1]
    for _ in range(60):
        left, right = [left, left], [right, right]
    assert code_of(equal, left, right) == "cel.too-costly"
    assert code_of(OPERATORS["@in"].call, left, [[2], right]) == "cel.too-costly"


NOT_DEFINED: list[tuple[str, tuple[Any, ...]]] = [
    *((name, (1, True)) for name in ("_+_", "_-_", "_*_", "_/_", "_%_", "_<_", "_>=_")),
    *((name, (True, True)) for name in ("_+_", "_-_", "_*_", "_/_", "_%_")),
    *((name, (1, UInt(1))) for name in EXACT),
    *((name, (1, 1.0)) for name in EXACT),
    *((name, (None, None)) for name in ("_<_", "_<=_", "_>_", "_>=_", "_+_")),
    *((name, ([1], [2])) for name in ("_<_", "_<=_", "_>_", "_>=_", "_-_")),
    ("_%_", (1.5, 1.0)),
    ("_+_", ("a", b"a")),
    ("_-_", (span(1), moment(1))),
    ("_+_", (moment(1), moment(1))),
    ("_<_", (moment(1), span(1))),
    ("-_", (UInt(1),)),
    ("-_", (True,)),
    ("!_", (1,)),
    ("!_", (None,)),
    ("@in", ("a", "abc")),
]


@pytest.mark.parametrize(("name", "operands"), NOT_DEFINED)
def test_an_operation_on_other_types_is_no_such_overload(name: str, operands: tuple[Any, ...]) -> None:
    assert code_of(OPERATORS[name].call, *operands) == "cel.no-such-overload"


def test_the_message_of_a_missing_overload_shows_types_and_no_values() -> None:
    with pytest.raises(EvaluationError) as caught:
        call("_+_", "secret", 1)
    assert "secret" not in str(caught.value)
    assert "(string, int)" in str(caught.value)


# -- reading

FACTS = {"a": {"b": 1, "null": None}, "l": [7, 8, 9], "o": Optional({"c": "x", "l": ["y"]}), "bad": {1, 2}}


def test_selection_reads_maps_and_adopts_what_it_reads() -> None:
    assert select(FACTS, "l") == [7, 8, 9]
    assert code_of(select, FACTS, "none") == "cel.no-such-field"
    assert code_of(select, FACTS, "bad") == "cel.input"
    for value in (None, 1, "a", [1], True):
        assert code_of(select, value, "a") == "cel.no-such-overload"


@pytest.mark.parametrize("key", [0, UInt(0), 0.0, -0.0])
def test_a_list_is_indexed_by_whole_numbers_of_any_type(key: Any) -> None:
    assert index(FACTS["l"], key) == 7
    assert optional_index(FACTS["l"], key) == Optional(7)


@pytest.mark.parametrize("key", [3, -1, 0.1, 2.0**70, math.nan, math.inf, UInt(2**64 - 1)])
def test_an_index_outside_the_list_is_an_error_or_none(key: Any) -> None:
    assert code_of(index, FACTS["l"], key) == "cel.out-of-range"
    assert optional_index(FACTS["l"], key) == NONE


@pytest.mark.parametrize("key", [True, "0", None, b""])
def test_a_list_has_no_such_index(key: Any) -> None:
    assert code_of(index, FACTS["l"], key) == "cel.no-such-overload"
    assert code_of(optional_index, FACTS["l"], key) == "cel.no-such-overload"


def test_an_optional_is_read_through() -> None:
    held = FACTS["o"]
    assert select(held, "c") == optional_select(held, "c") == index(held, "c") == Optional("x")
    assert select(held, "none") == select(NONE, "c") == index(NONE, 0) == optional_index(NONE, 0) == NONE
    assert has(held, "c")
    assert not has(held, "none")
    assert not has(NONE, "c")
    assert code_of(select, Optional(None), "c") == "cel.no-such-overload"


def test_a_field_that_is_null_is_there() -> None:
    assert has(FACTS["a"], "null")
    assert optional_select(FACTS["a"], "null") == Optional(None)
    assert not has(FACTS["a"], "none")
    assert code_of(has, None, "a") == "cel.no-such-overload"


def test_loops_go_through_items_keys_and_pairs() -> None:
    assert items((1, 2)) == [1, 2]
    assert items({"a": 1, 2: 3}) == ["a", 2]
    assert pairs(["x", "y"]) == [(0, "x"), (1, "y")]
    assert pairs({"a": 1}) == [("a", 1)]
    for value in ("text", 1, None, NONE):
        assert code_of(items, value) == code_of(pairs, value) == "cel.no-such-overload"
    assert code_of(items, [{1}]) == code_of(pairs, [{1}]) == "cel.input"


def test_a_map_has_true_and_1_for_two_keys() -> None:
    made = make_map([(True, "yes"), (1, "one"), (0, "zero")])
    assert [index(made, key) for key in (True, 1, 1.0, UInt(1), 0)] == ["yes", "one", "one", "one", "zero"]
    assert code_of(index, made, False) == "cel.no-such-field"
    assert call("size", made) == 3
    assert items(made) == [True, 1, 0]
    assert equal(made, make_map([(0, "zero"), (UInt(1), "one"), (True, "yes")]))


@pytest.mark.parametrize(
    "entries", [[(1, 0), (UInt(1), 0)], [("a", 0), ("a", 0)], [(True, 0), (1, 0), (1, 0)]]
)
def test_a_map_has_each_key_once(entries: list[tuple[Any, Any]]) -> None:
    assert code_of(make_map, entries) == "cel.invalid"


@pytest.mark.parametrize("key", [1.0, None, b"a", (), NONE])
def test_a_key_is_a_bool_an_integer_or_a_string(key: Any) -> None:
    assert code_of(make_map, [(key, 1)]) == "cel.no-such-overload"
    assert code_of(make_map, [(1, 1), (True, 1), (key, 1)]) == "cel.no-such-overload"


@pytest.mark.parametrize("value", [1, 0, "true", None, [], 1.0])
def test_nothing_but_true_and_false_is_a_bool(value: Any) -> None:
    assert code_of(boolean, value) == "cel.no-such-overload"
    assert boolean(True) is True
    assert boolean(False) is False


# -- conversions

CONVERSIONS: list[tuple[str, Any, Any]] = [
    ("int", -7.9, -7),
    ("int", UInt(5), 5),
    ("int", "+5", 5),
    ("int", "-9223372036854775808", -(2**63)),
    ("int", "00000000000000000000000007", 7),
    ("int", moment(-1), -1),
    ("int", 2.0**63, "cel.overflow"),
    ("int", -(2.0**63), "cel.overflow"),
    ("int", math.nan, "cel.overflow"),
    ("int", "9223372036854775808", "cel.overflow"),
    ("int", "1_000", "cel.invalid"),
    ("int", " 1", "cel.invalid"),
    ("int", "1\n", "cel.invalid"),
    ("int", "١", "cel.invalid"),
    ("int", "1" * 5000, "cel.invalid"),
    ("int", True, "cel.no-such-overload"),
    ("uint", "18446744073709551615", UInt(2**64 - 1)),
    ("uint", -1, "cel.overflow"),
    ("uint", -0.5, "cel.overflow"),
    ("uint", -0.0, UInt(0)),
    ("uint", 2.0**64, "cel.overflow"),
    ("uint", "-1", "cel.invalid"),
    ("double", 2**63 - 1, 2.0**63),
    ("double", "1e3", 1000.0),
    ("double", "-Infinity", -math.inf),
    ("double", "1e999", "cel.overflow"),
    ("double", "1_0", "cel.invalid"),
    ("double", "", "cel.invalid"),
    ("double", "0x1p3", "cel.invalid"),
    ("string", True, "true"),
    ("string", UInt(7), "7"),
    ("string", 1.0, "1"),
    ("string", 1e6, "1e+06"),
    ("string", 123456.5, "123456.5"),
    ("string", 1e-5, "1e-05"),
    ("string", -0.0, "-0"),
    ("string", math.inf, "+Inf"),
    ("string", moment(1), "1970-01-01T00:00:00.000000001Z"),
    ("string", moment(5 * 10**8), "1970-01-01T00:00:00.5Z"),
    ("string", moment(0), "1970-01-01T00:00:00Z"),
    ("string", span(-1), "-0.000000001s"),
    ("string", span(90 * 10**9), "90s"),
    ("string", b"\xff", "cel.invalid"),
    ("string", None, "cel.no-such-overload"),
    ("bytes", "é", "é".encode()),
    ("bytes", "\ud800", "cel.invalid"),
    ("bool", "T", True),
    ("bool", "F", False),
    ("bool", "yes", "cel.invalid"),
    ("bool", 1, "cel.no-such-overload"),
    ("timestamp", 2**62, "cel.overflow"),
    ("timestamp", "now", "cel.invalid"),
    ("duration", "1d", "cel.invalid"),
    ("size", "é🐱", 2),
    ("size", 5, "cel.no-such-overload"),
]


@pytest.mark.parametrize(("name", "value", "expected"), CONVERSIONS)
def test_a_conversion_gives_its_value_or_its_error(name: str, value: Any, expected: Any) -> None:
    found = outcome(name, value)
    assert found == expected
    assert type(found) is type(expected)


@given(DOUBLES)
def test_a_double_comes_back_from_its_text(value: float) -> None:
    found = call("double", call("string", value))
    assert found == value or (math.isnan(found) and math.isnan(value))
    assert math.copysign(1, found) == math.copysign(1, value) or math.isnan(value)


@given(INTS | UINTS)
def test_an_integer_comes_back_from_its_text(value: int) -> None:
    name = "uint" if type(value) is UInt else "int"
    assert call(name, call("string", value)) == value


# -- times

ONE_DAY = datetime(2009, 2, 13, 23, 31, 30, 123456, tzinfo=UTC)
PARTS: list[tuple[str, tuple[Any, ...], Any]] = [
    ("getFullYear", (), 2009),
    ("getMonth", (), 1),
    ("getDate", (), 13),
    ("getDate", ("Australia/Sydney",), 14),
    ("getDayOfMonth", (), 12),
    ("getDayOfWeek", (), 5),
    ("getDayOfYear", (), 43),
    ("getHours", ("02:00",), 1),
    ("getHours", ("-08:00",), 15),
    ("getMinutes", ("Asia/Kathmandu",), 16),
    ("getSeconds", ("-00:00",), 30),
    ("getMilliseconds", (), 123),
    ("getHours", ("",), "cel.invalid"),
    ("getHours", ("local",), "cel.invalid"),
    ("getHours", ("localtime",), "cel.invalid"),
    ("getHours", ("right/UTC",), "cel.invalid"),
    ("getHours", ("../../etc/passwd",), "cel.invalid"),
    ("getHours", ("/etc/localtime",), "cel.invalid"),
    ("getHours", ("America",), "cel.invalid"),
    ("getHours", ("+24:00",), "cel.invalid"),
    ("getHours", ("+1:00",), "cel.invalid"),
    ("getHours", ("Nowhere/Else",), "cel.invalid"),
    ("getHours", (1,), "cel.no-such-overload"),
]


@pytest.mark.parametrize(("name", "zone", "expected"), PARTS)
def test_a_part_of_a_timestamp_in_a_zone(name: str, zone: tuple[Any, ...], expected: Any) -> None:
    assert outcome(name, ONE_DAY, *zone) == expected


@pytest.mark.parametrize(
    ("getter", "first", "last"),
    [
        ("getFullYear", 0, 10_000),
        ("getMonth", 11, 0),
        ("getDate", 31, 1),
        ("getDayOfWeek", 0, 6),
        ("getDayOfYear", 365, 0),
        ("getHours", 23, 0),
    ],
)
def test_a_zone_may_move_a_time_out_of_the_years_that_can_be_written(
    getter: str, first: int, last: int
) -> None:
    assert outcome(getter, datetime.min.replace(tzinfo=UTC), "-01:00") == first
    assert outcome(getter, datetime.max.replace(tzinfo=UTC), "+01:00") == last


def test_no_zone_is_the_host_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert call("getHours", ONE_DAY) == 23


UNITS: list[tuple[str, int, int]] = [
    ("getHours", 10_000 * 10**9, 2),
    ("getMinutes", 3730 * 10**9, 62),
    ("getSeconds", 3730 * 10**9, 3730),
    ("getMilliseconds", 123_321_456_789, 321),
    ("getSeconds", -1, 0),
    ("getSeconds", -1_500_000_000, -1),
    ("getMilliseconds", -1_500_000_000, -500),
]


@pytest.mark.parametrize(("name", "length", "expected"), UNITS)
def test_a_duration_in_whole_units(name: str, length: int, expected: int) -> None:
    assert call(name, span(length)) == expected


# -- optionals


@pytest.mark.parametrize(
    "value", [None, False, 0, UInt(0), 0.0, "", b"", [], (), {}, span(0), moment(0)], ids=repr
)
def test_a_zero_value_makes_no_optional(value: Any) -> None:
    assert call("optional.ofNonZeroValue", value) == NONE
    assert call("optional.of", value) == Optional(value)


@pytest.mark.parametrize(
    "value", [True, 1, math.nan, "0", [0], span(1), moment(1), NONE, type_of(1)], ids=repr
)
def test_any_other_value_makes_one(value: Any) -> None:
    assert call("optional.ofNonZeroValue", value) == Optional(value) or value != value


def test_optionals_are_asked_and_joined() -> None:
    some = Optional(1)
    assert call("hasValue", some) is True
    assert call("hasValue", NONE) is False
    assert call("value", some) == 1
    assert outcome("value", NONE) == "cel.no-such-field"
    assert call("or", NONE, some) == call("or", some, Optional(2)) == some
    assert call("orValue", NONE, 2) == 2
    assert call("orValue", some, 2) == 1
    assert call("optional.unwrap", [some, NONE]) == call("unwrapOpt", (some, NONE)) == [1]
    assert call("first", [1, 2]) == some
    assert call("last", (1, 2)) == Optional(2)
    assert call("first", []) == call("last", []) == call("optional.none") == NONE
    for name in ("hasValue", "value", "first", "optional.unwrap"):
        assert outcome(name, 1) == "cel.no-such-overload"


# -- what can go wrong in a well-typed call


def failure(function: Function, operands: tuple[Any, ...]) -> str | None:
    """The code of the error, or None if there is a value."""
    try:
        function.call(*operands)
    except EvaluationError as error:
        return error.code
    return None


OF_TYPE: Mapping[str, Any] = {
    "bool": st.booleans(),
    "int": INTS,
    "uint": UINTS,
    "double": DOUBLES,
    "string": TEXTS,
    "bytes": st.binary(max_size=5),
    "timestamp": MOMENTS,
    "duration": SPANS,
    "null_type": st.none(),
    "dyn": VALUES,
}


def of_type(kind: Type, assigned: dict[str, Any]) -> Any:
    if kind.parameter:
        return assigned[kind.name]
    inner = [of_type(argument, assigned) for argument in kind.arguments]
    if kind.name == "list":
        return st.lists(inner[0], max_size=3)
    if kind.name == "map":
        return st.dictionaries(KEYS, inner[1], max_size=3)
    if kind.name == "optional_type":
        return inner[0].map(Optional) | st.just(NONE)
    return OF_TYPE[kind.name]


HERE: list[tuple[Function, Overload]] = [
    (function, overload)
    for function in (*OPERATORS.values(), *core.FUNCTIONS, *of_times.FUNCTIONS, *optionals.FUNCTIONS)
    for overload in function.overloads
]


@pytest.mark.parametrize(
    ("function", "overload"), HERE, ids=[f"{function.name}-{at}" for at, (function, _) in enumerate(HERE)]
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_well_typed_call_fails_only_in_the_ways_that_are_listed(
    function: Function, overload: Overload, data: st.DataObject
) -> None:
    kinds = (overload.of, *overload.takes) if overload.of is not None else overload.takes
    assigned = {"A": data.draw(st.sampled_from(list(OF_TYPE.values()))), "B": VALUES}
    operands = data.draw(st.tuples(*(of_type(kind, assigned) for kind in kinds)))
    assert failure(function, operands) in FAILS.get(function.name, frozenset()) | {None}


LISTED = frozenset(
    {"cel.overflow", "cel.divide-by-zero", "cel.out-of-range", "cel.no-such-field", "cel.invalid"}
    | {"cel.too-costly", "cel.too-deep", "cel.input"}
)
"""All the ways in which a well-typed rule can fail."""


def test_every_listed_failure_is_of_a_function_that_there_is() -> None:
    reading = {"_[_]", "_[?_]", "_.?_", "_._", "{_}"}
    assert set(FAILS) - reading <= set(OPERATORS) | set(LIBRARY)
    assert frozenset[str]().union(*FAILS.values()) <= LISTED


WRONG = [None, True, 1, UInt(1), 1.5, "a", b"a", [1], {"a": 1}, moment(1), span(1), NONE, type_of(1)]


@pytest.mark.parametrize("name", sorted({function.name for function, _ in HERE}))
def test_an_ill_typed_call_fails_with_an_error_of_cel_and_no_other(name: str) -> None:
    function = OPERATORS.get(name) or LIBRARY[name]
    counts = {len(one.takes) + (one.of is not None) for one in function.overloads}
    for operands in (operands for count in counts for operands in product(WRONG, repeat=count)):
        assert failure(function, operands) in FAILS.get(name, frozenset()) | {None, "cel.no-such-overload"}
