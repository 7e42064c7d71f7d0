"""Values: what a caller's objects are taken for, what callers get, and times with nanoseconds."""

from __future__ import annotations

import copy
import pickle
import sys
from collections import OrderedDict, defaultdict
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cigate.cel import times
from cigate.cel.error import EvaluationError
from cigate.cel.syntax import UInt
from cigate.cel.times import Duration, Timestamp, moment, nanoseconds, span
from cigate.cel.values import NONE, NOTHING, MixedMap, Optional, adopted, result, type_of

FIRST = nanoseconds(datetime.min.replace(tzinfo=UTC))
LAST = nanoseconds(datetime.max.replace(tzinfo=UTC)) + 999
MOMENTS = st.integers(FIRST, LAST) | st.integers(-3000, 3000)
SPANS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3000, 3000)


class Level(StrEnum):
    """A string with a name."""

    HIGH = "high"


class Count(IntEnum):
    """A number with a name."""

    ONE = 1


class OwnFloat(float):
    """A float of one's own."""


def code_of(function: Any, *operands: Any) -> str:
    with pytest.raises(EvaluationError) as caught:
        function(*operands)
    return caught.value.code


# -- what comes in

TAKEN_AS: list[tuple[Any, Any]] = [
    (Level.HIGH, "high"),
    (Count.ONE, 1),
    (OwnFloat(1.5), 1.5),
    (UInt(2**64 - 1), UInt(2**64 - 1)),
    (True, True),
    (None, None),
    (defaultdict(int, a=1), {"a": 1}),
    (OrderedDict(a=1), {"a": 1}),
    (datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 1, 1, 10, tzinfo=UTC)),
]


@pytest.mark.parametrize(("given_", "taken"), TAKEN_AS, ids=repr)
def test_an_object_of_a_subclass_is_taken_for_the_plain_value(given_: Any, taken: Any) -> None:
    found = adopted(given_)
    assert found == taken
    assert type(found) is type(taken)


REFUSED: list[Any] = [
    2**63,
    -(2**63) - 1,
    UInt(2**64),
    UInt(-1),
    datetime(2026, 1, 1),  # noqa: DTZ001
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    timedelta(days=200_000),
    {1, 2},
    object(),
    1j,
    bytearray(b"a"),
    range(3),
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
def test_what_is_no_value_is_refused(value: Any) -> None:
    assert code_of(adopted, value) == "cel.input"


@pytest.mark.parametrize("length", [2**63 - 1, -(2**63)])
def test_the_longest_durations_are_values(length: int) -> None:
    assert adopted(span(length)) == result([span(length)])[0] == span(length)


def test_a_refusal_never_shows_the_value() -> None:
    with pytest.raises(EvaluationError) as caught:
        adopted({"secret"})
    assert "secret" not in str(caught.value)


def test_times_of_one_zone_are_compared_by_the_moment_and_not_by_the_clock() -> None:
    zone = ZoneInfo("Europe/Berlin")
    before = adopted(datetime(2026, 10, 25, 2, 30, tzinfo=zone, fold=0))
    after = adopted(datetime(2026, 10, 25, 2, 30, tzinfo=zone, fold=1))
    assert after - before == timedelta(hours=1)


# -- what goes out


def test_lists_and_maps_go_out_as_list_and_dict_however_deep() -> None:
    inside = MappingProxyType({"a": (1, MappingProxyType({"b": ()}))})
    assert result(inside) == {"a": [1, {"b": []}]}
    assert type(result(inside)) is dict
    assert type(result(inside)["a"][1]) is dict


def test_an_optional_goes_out_with_its_value_converted() -> None:
    assert result(Optional((1,))) == Optional([1])
    assert result(NONE) == NONE


def test_a_map_that_no_dict_can_hold_is_no_result() -> None:
    assert code_of(result, [MixedMap([(1, "one"), (True, "yes")])]) == "cel.result"


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


def test_a_value_of_many_levels_is_refused_and_never_runs_out_of_stack() -> None:
    assert result(nested(90)) == nested(90)
    assert code_of(result, nested(sys.getrecursionlimit() * 2)) == "cel.too-deep"


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert code_of(result, endless) == "cel.too-deep"


def test_a_small_value_that_unfolds_to_a_huge_one_is_refused() -> None:
    doubled: list[Any] = [1]
    for _ in range(60):
        doubled = [doubled, doubled]
    assert code_of(result, doubled) == "cel.too-costly"


TYPES: list[tuple[Any, str]] = [
    (None, "null_type"),
    (True, "bool"),
    (1, "int"),
    (UInt(1), "uint"),
    (1.0, "double"),
    ("", "string"),
    (b"", "bytes"),
    ([], "list"),
    ((), "list"),
    ({}, "map"),
    (MixedMap([]), "map"),
    (moment(0), "google.protobuf.Timestamp"),
    (moment(1), "google.protobuf.Timestamp"),
    (span(0), "google.protobuf.Duration"),
    (span(1), "google.protobuf.Duration"),
    (NONE, "optional_type"),
    (type_of(1), "type"),
]


@pytest.mark.parametrize(("value", "name"), TYPES, ids=lambda value: type(value).__name__)
def test_every_value_has_a_type(value: Any, name: str) -> None:
    assert type_of(value).name == name


def test_an_optional_is_neither_true_nor_false() -> None:
    with pytest.raises(TypeError):
        bool(Optional(True))


def test_none_is_still_none_after_a_copy() -> None:
    for again in (copy.deepcopy(NONE), pickle.loads(pickle.dumps(NONE))):
        assert again == NONE
        assert again.value is NOTHING


# -- nanoseconds


@given(MOMENTS, MOMENTS)
@example(0, 1)
@example(FIRST, LAST)
def test_timestamps_compare_as_their_nanoseconds(one: int, other: int) -> None:
    left, right = moment(one), moment(other)
    assert nanoseconds(left) == one
    assert (left == right) is (one == other)
    assert (left < right) is (one < other)
    assert (left <= right) is (one <= other)
    assert (left > right) is (one > other)
    assert (left >= right) is (one >= other)
    assert hash(left) == hash(moment(one))


@given(SPANS, SPANS)
@example(0, 1)
@example(-1, 1)
def test_durations_compare_as_their_nanoseconds(one: int, other: int) -> None:
    left, right = span(one), span(other)
    assert nanoseconds(left) == one
    assert (left == right) is (one == other)
    assert (left < right) is (one < other)
    assert (left <= right) is (one <= other)
    assert (left > right) is (one > other)
    assert (left >= right) is (one >= other)
    assert hash(left) == hash(span(one))


@given(MOMENTS, MOMENTS)
def test_timestamps_are_subtracted_to_the_nanosecond(one: int, other: int) -> None:
    assert nanoseconds(moment(one) - moment(other)) == one - other


@given(SPANS, SPANS)
def test_durations_are_added_and_subtracted_to_the_nanosecond(one: int, other: int) -> None:
    assert nanoseconds(span(one) + span(other)) == one + other
    assert nanoseconds(span(one) - span(other)) == one - other
    assert nanoseconds(-span(one)) == -one


@given(MOMENTS)
def test_a_timestamp_is_a_plain_datetime_unless_it_is_finer_than_a_microsecond(at: int) -> None:
    assert type(moment(at)) is (Timestamp if at % 1000 else datetime)


@given(MOMENTS)
def test_a_timestamp_comes_back_from_its_text_a_copy_and_another_zone(at: int) -> None:
    value = moment(at)
    assert times.parse_timestamp(times.timestamp_text(value)) == value
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value
    if FIRST + 10**14 < at < LAST - 10**14:
        assert value.astimezone(timezone(timedelta(hours=5))) == value


@given(SPANS)
def test_a_duration_comes_back_from_its_text_and_a_copy(length: int) -> None:
    value = span(length)
    assert times.parse_duration(times.duration_text(value)) == value
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value


def test_a_nanosecond_is_true_and_no_duration_is_not() -> None:
    assert Duration.of(timedelta(0), 1)
    assert not span(0)


DURATIONS: dict[str, int] = {
    "0": 0,
    "-0": 0,
    "10m": 600 * 10**9,
    "1h30m": 5400 * 10**9,
    "-1.5h": -5400 * 10**9,
    "+2s": 2 * 10**9,
    "300ms": 300 * 10**6,
    "1us": 1000,
    "1µs": 1000,
    "1μs": 1000,
    "1ns": 1,
    "1h34us": 3600 * 10**9 + 34_000,
    ".5s": 5 * 10**8,
    "1.s": 10**9,
    "0.000000001s": 1,
    "9223372036s": 9223372036 * 10**9,
    "-9223372036854775808ns": -(2**63),
}


@pytest.mark.parametrize(("text", "length"), DURATIONS.items())
def test_a_duration_is_read(text: str, length: int) -> None:
    assert nanoseconds(times.parse_duration(text)) == length


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "s",
        "1d",
        "1 s",
        "--1s",
        "1s ",
        "1s\n",
        ".s",
        "1e3s",
        "٣s",
        "0.1ns",
        "9223372037s",
        "320000000000s",
        "9223372036854775808ns",
        "1h" * 200,
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        times.parse_duration(text)


TIMESTAMPS: dict[str, int] = {
    "1970-01-01T00:00:00Z": 0,
    "1970-01-01T00:00:00.000000001Z": 1,
    "1970-01-01T01:00:00+01:00": 0,
    "1969-12-31T23:00:00-01:00": 0,
    "1970-01-01T00:00:00.5Z": 5 * 10**8,
    "2000-02-29T00:00:00Z": 951782400 * 10**9,
    "0001-01-01T00:00:00Z": FIRST,
    "9999-12-31T23:59:59.999999999Z": LAST,
}


@pytest.mark.parametrize(("text", "at"), TIMESTAMPS.items())
def test_a_timestamp_is_read(text: str, at: int) -> None:
    assert nanoseconds(times.parse_timestamp(text)) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2026-01-01T00:00:00.1234567891Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:60",
        "2026-01-01T00:00:00.Z",
        "٢٠٢٦-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
    ],
)
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        times.parse_timestamp(text)
