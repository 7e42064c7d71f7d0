"""cel-go's methods of lists and `sets.*`, against what CEL's equality says pair by pair."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.cel.equality import equal
from cigate.cel.error import EvaluationError
from cigate.cel.identity import identities
from cigate.cel.library import lists, sets
from cigate.cel.syntax import UInt
from cigate.cel.times import parse_duration, parse_timestamp
from cigate.cel.types import INT, STRING
from cigate.cel.values import LONGEST_LIST, NONE, Optional

CALLS = {function.name: function.call for file in (lists, sets) for function in file.FUNCTIONS}
NAN = float("nan")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def outcome(name: str, *operands: Any) -> Any:
    """The result, or the code of the error."""
    try:
        return CALLS[name](*operands)
    except EvaluationError as error:
        return error.code


CASES: list[tuple[str, tuple[Any, ...], object]] = [
    ("slice", ([1, 2, 3, 4], 1, 3), [2, 3]),
    ("slice", ((1, 2, 3, 4), 2, 4), [3, 4]),
    ("slice", ([1], 1, 1), []),
    ("slice", ([1], 0, 2), "cel.out-of-range"),
    ("slice", ([1], -1, 1), "cel.out-of-range"),
    ("slice", ([1, 2], 2, 1), "cel.out-of-range"),
    ("slice", ([1], False, 1), "cel.no-such-overload"),
    ("flatten", ([1, [2, 3], [4]],), [1, 2, 3, 4]),
    ("flatten", ([1, [2, [3, 4]]],), [1, 2, [3, 4]]),
    ("flatten", ([1, 2, [], [], (3, 4)],), [1, 2, 3, 4]),
    ("flatten", ([1, [2, [3, [4]]]], 2), [1, 2, 3, [4]]),
    ("flatten", ([1, [2]], 0), [1, [2]]),
    ("flatten", ([1, [2]], 2**62), [1, 2]),
    ("flatten", ([1, [2]], -1), "cel.invalid"),
    ("flatten", ("a",), "cel.no-such-overload"),
    ("distinct", ([1, 2, 2, 3, 3, 3],), [1, 2, 3]),
    ("distinct", (["b", "b", "c", "a", "c"],), ["b", "c", "a"]),
    ("distinct", ([1, "b", 2, "b"],), [1, "b", 2]),
    ("distinct", ([1, 1.0, UInt(1), True],), [1, True]),
    ("distinct", ([[1], [1.0], [True], {"a": 1}, {"a": UInt(1)}],), [[1], [True], {"a": 1}]),
    ("distinct", ([None, False, 0, "", b"", [], {}],), [None, False, 0, "", b"", [], {}]),
    ("reverse", ([5, 3, 1, 2],), [2, 1, 3, 5]),
    ("reverse", (1,), "cel.no-such-overload"),
    ("sort", ([3, 2, 1],), [1, 2, 3]),
    ("sort", (["b", "c", "a"],), ["a", "b", "c"]),
    ("sort", ([True, False],), [False, True]),
    ("sort", ([b"b", b"a"],), [b"a", b"b"]),
    ("sort", ([timedelta(2), timedelta(1)],), [timedelta(1), timedelta(2)]),
    ("sort", ([NOON + timedelta(1), NOON],), [NOON, NOON + timedelta(1)]),
    ("sort", ([],), []),
    ("sort", ([1, "b"],), "cel.no-such-overload"),
    ("sort", ([1, UInt(2)],), "cel.no-such-overload"),
    ("sort", ([1, True],), "cel.no-such-overload"),
    ("sort", ([[1, 2, 3]],), "cel.no-such-overload"),
    ("sort", ([1.0, NAN],), "cel.invalid"),
    ("@sortByAssociatedKeys", (["foo", "bar", "baz"], [3, 1, 2]), ["bar", "baz", "foo"]),
    ("@sortByAssociatedKeys", (["a", "b", "c"], [1, 1, 0]), ["c", "a", "b"]),
    ("@sortByAssociatedKeys", (["a"], [1, 2]), "cel.no-such-overload"),
    ("lists.range", (5,), [0, 1, 2, 3, 4]),
    ("lists.range", (-5,), []),
    ("lists.range", (2**60,), "cel.too-costly"),
    ("lists.range", (True,), "cel.no-such-overload"),
    ("sets.contains", ([], []), True),
    ("sets.contains", ([], [1]), False),
    ("sets.contains", ([1, 2, 3, 4], [2, 3]), True),
    ("sets.contains", ([1, 2.0, UInt(3)], [1.0, UInt(2), 3]), True),
    ("sets.contains", ([1], [True]), False),
    ("sets.contains", ([NAN], [NAN]), False),
    ("sets.contains", ([[1], {"a": [2]}], [{"a": [2.0]}]), True),
    ("sets.equivalent", ([], []), True),
    ("sets.equivalent", ([1], [1, 1]), True),
    ("sets.equivalent", ([1], [UInt(1), 1.0]), True),
    ("sets.equivalent", ([1, 2, 3], [UInt(3), 2.0, 1]), True),
    ("sets.equivalent", ([1, 2], [1]), False),
    ("sets.intersects", ([1], []), False),
    ("sets.intersects", ([1], [1, 2]), True),
    ("sets.intersects", ([[1], [2, 3]], [[1, 2], [2, 3.0]]), True),
    ("sets.intersects", ("a", ["a"]), "cel.no-such-overload"),
    ("sets.intersects", ([object()], ["a"]), "cel.input"),
]


def exactly(value: Any) -> Any:
    """The value with its types, which Python's equality doesn't see."""
    return (list, [exactly(item) for item in value]) if isinstance(value, list) else (type(value), value)


@pytest.mark.parametrize(("name", "operands", "expected"), CASES)
def test_a_function_of_lists_gives(name: str, operands: tuple[Any, ...], expected: object) -> None:
    assert exactly(outcome(name, *operands)) == exactly(expected)


def test_the_list_that_comes_in_is_not_changed() -> None:
    given_list = [3, 1, 2]
    for name in ("sort", "reverse", "distinct", "flatten"):
        CALLS[name](given_list)
    assert given_list == [3, 1, 2]


scalars = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, 2, UInt(0), UInt(1), 0.0, 1.0, 2.0, -0.0, NAN, "", "1", b"", b"1"]
    ),
    st.sampled_from(
        [
            NOON,
            NOON + timedelta(1),
            timedelta(0),
            timedelta(1),
            INT,
            STRING,
            NONE,
            Optional(1),
            Optional(True),
        ]
    ),
    st.sampled_from(
        [parse_timestamp("2026-11-24T12:00:00.000000001Z"), parse_duration("1ns"), 2**62, 2.0**62]
    ),
    st.sampled_from([UInt(2**63), float("inf")]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", 1, True]), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(values, values)
def test_two_values_have_one_identity_exactly_if_they_are_equal(one: Any, other: Any) -> None:
    first, second = identities([one, other])
    assert (first == second) is equal(one, other)


@given(st.lists(values, max_size=6), st.lists(values, max_size=6))
def test_sets_are_what_equality_says_pair_by_pair(one: list[Any], other: list[Any]) -> None:
    def holds(items: list[Any], item: Any) -> bool:
        return any(equal(item, among) for among in items)

    assert CALLS["sets.contains"](one, other) is all(holds(one, item) for item in other)
    assert CALLS["sets.intersects"](one, other) is any(holds(one, item) for item in other)
    assert CALLS["sets.equivalent"](one, other) is (
        all(holds(one, item) for item in other) and all(holds(other, item) for item in one)
    )


@given(st.lists(values, max_size=8))
def test_distinct_keeps_the_first_of_those_that_are_equal(items: list[Any]) -> None:
    expected: list[Any] = []
    for item in items:
        if not any(equal(item, kept) for kept in expected):
            expected.append(item)
    found = CALLS["distinct"](items)
    assert len(found) == len(expected)
    assert all(one is other for one, other in zip(found, expected, strict=True))


numbers = st.integers(0, 9)


@given(st.lists(st.one_of(numbers, st.lists(st.lists(numbers, max_size=2), max_size=3)), max_size=5))
def test_flattening_twice_by_one_is_flattening_by_two(items: list[Any]) -> None:
    once = CALLS["flatten"](items)
    assert CALLS["flatten"](once) == CALLS["flatten"](items, 2)


def test_large_lists_take_no_time_that_grows_with_their_square() -> None:
    large: list[Any] = [[index, str(index)] for index in range(LONGEST_LIST // 4)]
    began = time.process_time()
    assert len(CALLS["distinct"](large)) == len(large)
    assert CALLS["sets.equivalent"](large, large[::-1])
    assert time.process_time() - began < 5  # pair by pair it is hours


def test_lists_that_double_at_each_level_or_hold_themselves_are_errors() -> None:
    doubled: list[Any] = []
    for _ in range(60):
        doubled = [doubled, doubled]
    endless: list[Any] = []
    endless.append(endless)
    assert outcome("distinct", [doubled]) == "cel.too-costly"
    assert outcome("flatten", doubled, 100) == "cel.too-costly"
    assert outcome("flatten", endless, 2**62) == "cel.too-costly"
    assert outcome("sets.contains", [endless], [1]) == "cel.too-deep"
    assert outcome("reverse", [1] * (LONGEST_LIST + 1)) == "cel.too-costly"
