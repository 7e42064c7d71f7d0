"""Functions of one's own: they add to the language, change nothing of it, and give what they say or an error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cigate import cel
from cigate.cel import EvaluationError, Function, Overload
from cigate.cel.types import (
    BOOL,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
    optional_of,
    param,
    record_of,
)


def function(
    name: str, call: Callable[..., Any], *takes: Type, gives: Type = INT, of: Type | None = None
) -> Function:
    return Function(name, (Overload(takes, gives, of=of),), call)


def outcome(source: str, own: Function, facts: dict[str, Any] | None = None) -> object:
    try:
        return cel.compile(source, functions=[own])(facts or {})
    except EvaluationError as error:
        return error.code


@pytest.mark.parametrize(
    ("source", "takes", "of", "expected"),
    [
        ("size('abc')", (param("A"),), None, 3),
        ("size([1, 2])", (list_of(INT),), None, 2),
        ("size(dyn('abc'))", (DYN,), None, 3),
        ("'abc'.size()", (), DYN, 3),
        ("size(7)", (DYN,), None, -1),
    ],
)
def test_no_overload_of_ones_own_comes_before_one_of_the_library(
    source: str, takes: tuple[Type, ...], of: Type | None, expected: int
) -> None:
    assert outcome(source, function("size", lambda _: -1, *takes, of=of)) == expected


@pytest.mark.parametrize(
    "name",
    [
        "_+_",
        "_&&_",
        "_?_:_",
        "@in",
        "has",
        "all",
        "cel.bind",
        "cel.block",
        "if",
        "true",
        "",
        "a b",
        "a.",
        ".a",
        "a.in",
        "é",
    ],
)
def test_a_name_that_no_source_can_call_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        cel.compile("1", functions=[function(name, lambda *_: 1, DYN)])


RESULTS: list[tuple[Any, Type, bool]] = [
    (1, INT, True),
    (True, INT, False),
    ("a", INT, False),
    (None, INT, False),
    (["a"], list_of(INT), False),
    (datetime(2026, 11, 24, tzinfo=UTC), TIMESTAMP, True),
    (timedelta(hours=1), DURATION, True),
    (timedelta(hours=1), TIMESTAMP, False),
    ({"at": [datetime(2026, 11, 24, tzinfo=UTC)]}, map_of(STRING, list_of(TIMESTAMP)), True),
    ({"a": 1}, map_of(STRING, INT), True),
    ({"a": "b"}, map_of(STRING, INT), False),
    (cel.Optional("a"), optional_of(INT), False),
    ({"n": 1}, record_of("r", {"n": INT, "b": BOOL}), True),
    ({"n": "a"}, record_of("r", {"n": INT}), False),
    ({"n": [{"n": 1}]}, record_of("r", {"n": list_of(record_of("s", {"n": INT}))}), True),
    ({"n": [{"n": "a"}]}, record_of("r", {"n": list_of(record_of("s", {"n": INT}))}), False),
]


@pytest.mark.parametrize(("value", "kind", "fits"), RESULTS, ids=repr)
def test_a_result_of_another_type_is_an_error(value: Any, kind: Type, fits: bool) -> None:
    assert outcome("f()", function("f", lambda: value, gives=kind)) == (value if fits else "cel.result")
    taken = function("f", lambda _: 1, kind)
    assert outcome("f(x)", taken, {"x": value}) == (1 if fits else "cel.no-such-overload")
