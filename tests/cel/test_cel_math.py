"""`math.*`, value by value and against Python's own arithmetic."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.cel.error import EvaluationError
from cigate.cel.library.math import FUNCTIONS
from cigate.cel.syntax import UInt

CALLS = {function.name.removeprefix("math."): function.call for function in FUNCTIONS}
NAN, INFINITY = math.nan, math.inf
LEAST = -(2**63)


def outcome(name: str, *operands: Any) -> Any:
    """The result, or the code of the error."""
    try:
        return CALLS[name](*operands)
    except EvaluationError as error:
        return error.code


CASES = [
    ("greatest", (-5,), -5),
    ("greatest", (1, 1.0), 1),
    ("greatest", (1.0, 1), 1.0),
    ("greatest", (UInt(1), 1), UInt(1)),
    ("greatest", (5.4, 10, UInt(3), -5.0, 2**63 - 1), 2**63 - 1),
    ("greatest", ([5.4, UInt(10), -5.0],), UInt(10)),
    ("greatest", (2**63 - 1, 9223372036854775808.0), 9223372036854775808.0),
    ("greatest", ([],), "cel.invalid"),
    ("greatest", (1.0, NAN), "cel.invalid"),
    ("greatest", ("a",), "cel.no-such-overload"),
    ("greatest", (1, True), "cel.no-such-overload"),
    ("greatest", ([1, "a"],), "cel.no-such-overload"),
    ("greatest", (), "cel.no-such-overload"),
    ("least", (5.4, 10, UInt(1), 2**63 - 1), UInt(1)),
    ("least", ((3, -7),), -7),
    ("ceil", (-1.2,), -1.0),
    ("ceil", (1,), "cel.no-such-overload"),
    ("floor", (-1.2,), -2.0),
    ("round", (-1.5,), -2.0),
    ("round", (2.5,), 3.0),
    ("round", (0.49999999999999994,), 0.0),
    ("round", (4503599627370497.0,), 4503599627370497.0),
    ("round", (INFINITY,), INFINITY),
    ("trunc", (-1.9,), -1.0),
    ("abs", (UInt(1),), UInt(1)),
    ("abs", (-11,), 11),
    ("abs", (-11.5,), 11.5),
    ("abs", (LEAST,), "cel.overflow"),
    ("abs", (True,), "cel.no-such-overload"),
    ("sign", (UInt(100),), UInt(1)),
    ("sign", (-11,), -1),
    ("sign", (-32.0,), -1.0),
    ("sign", (0.0,), 0.0),
    ("sign", (True,), "cel.no-such-overload"),
    ("isNaN", (NAN,), True),
    ("isNaN", (True,), "cel.no-such-overload"),
    ("isInf", (-INFINITY,), True),
    ("isFinite", (INFINITY,), False),
    ("isFinite", (1.5,), True),
    ("sqrt", (81,), 9.0),
    ("sqrt", (UInt(4),), 2.0),
    ("sqrt", (985.25,), 31.388692231439016),
    ("bitAnd", (-3, -5), -7),
    ("bitAnd", (UInt(1), UInt(3)), UInt(1)),
    ("bitAnd", (UInt(2), 1), "cel.no-such-overload"),
    ("bitOr", (4, -2), -2),
    ("bitOr", (1.2, 1), "cel.no-such-overload"),
    ("bitXor", (4, -2), -6),
    ("bitXor", (UInt(3), UInt(5)), UInt(6)),
    ("bitNot", (1,), -2),
    ("bitNot", (UInt(0),), UInt(2**64 - 1)),
    ("bitNot", ("",), "cel.no-such-overload"),
    ("bitShiftLeft", (-1, 2), -4),
    ("bitShiftLeft", (1, 63), LEAST),
    ("bitShiftLeft", (-1, 200), 0),
    ("bitShiftLeft", (UInt(1), 2), UInt(4)),
    ("bitShiftLeft", (UInt(1), -1), "cel.invalid"),
    ("bitShiftLeft", (1, UInt(1)), "cel.no-such-overload"),
    ("bitShiftRight", (-1024, 3), 2305843009213693824),
    ("bitShiftRight", (-1024, 64), 0),
    ("bitShiftRight", (-1024, 0), -1024),
    ("bitShiftRight", (UInt(1024), 2), UInt(256)),
    ("bitShiftRight", (UInt(1), -1), "cel.invalid"),
]


@pytest.mark.parametrize(("name", "operands", "expected"), CASES)
def test_a_function_of_numbers_gives(name: str, operands: tuple[Any, ...], expected: object) -> None:
    found = outcome(name, *operands)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "operand"),
    [("round", NAN), ("trunc", NAN), ("ceil", NAN), ("sign", NAN), ("sqrt", -15), ("abs", NAN)],
)
def test_what_has_no_number_is_nan(name: str, operand: float) -> None:
    assert math.isnan(CALLS[name](operand))


@pytest.mark.parametrize("name", ["round", "trunc", "ceil"])
def test_what_rounds_to_zero_from_below_stays_negative(name: str) -> None:
    assert math.copysign(1, CALLS[name](-0.3)) == -1


doubles = st.floats(allow_nan=False, allow_infinity=False)


@given(doubles)
def test_rounding_gives_a_whole_number_not_half_away(value: float) -> None:
    found = CALLS["round"](value)
    assert found == int(found)
    assert abs(found - value) <= 0.5
    assert CALLS["floor"](value) <= CALLS["trunc"](value) or value < 0
    assert CALLS["floor"](value) <= value <= CALLS["ceil"](value)


@given(st.integers(LEAST, 2**63 - 1), st.integers(0, 80))
def test_shifting_is_that_of_a_word_of_64_bits(value: int, by: int) -> None:
    word = value % 2**64
    assert CALLS["bitShiftRight"](value, by) % 2**64 == word >> by
    assert CALLS["bitShiftLeft"](value, by) % 2**64 == (word << by) % 2**64
    assert CALLS["bitNot"](CALLS["bitNot"](value)) == value


@given(
    st.lists(
        st.one_of(st.integers(LEAST, 2**63 - 1), doubles, st.integers(0, 2**64 - 1).map(UInt)), min_size=1
    )
)
def test_nothing_is_greater_than_the_greatest_nor_less_than_the_least(numbers: list[Any]) -> None:
    assert CALLS["greatest"](numbers) == max(numbers)
    assert CALLS["least"](*numbers) == min(numbers)
