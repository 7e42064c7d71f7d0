"""cel-go's methods of strings, `format` and `regex.*`, value by value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.cel.error import EvaluationError
from cigate.cel.library import lists, regex, strings
from cigate.cel.syntax import UInt
from cigate.cel.types import STRING
from cigate.cel.values import LONGEST_LIST, LONGEST_TEXT, NONE, Optional

FUNCTIONS = {function.name: function.call for file in (strings, regex, lists) for function in file.FUNCTIONS}


def outcome(name: str, *operands: Any) -> Any:
    """The result, or the code of the error."""
    try:
        return FUNCTIONS[name](*operands)
    except EvaluationError as error:
        return error.code


CASES = [
    ("charAt", ("tacocat", 3), "o"),
    ("charAt", ("tacocat", 7), ""),
    ("charAt", ("©αT", 1), "α"),
    ("charAt", ("tacocat", 30), "cel.out-of-range"),
    ("charAt", ("tacocat", -1), "cel.out-of-range"),
    ("charAt", ("a", True), "cel.no-such-overload"),
    ("indexOf", ("tacocat", "ac"), 1),
    ("indexOf", ("tacocat", ""), 0),
    ("indexOf", ("tacocat", "", 3), 3),
    ("indexOf", ("tacocat", "none"), -1),
    ("indexOf", ("ta©o©αT", "©", 3), 4),
    ("indexOf", ("tacocat", "a", 7), -1),
    ("indexOf", ("tacocat", "a", 30), "cel.out-of-range"),
    ("indexOf", ("tacocat", "a", -1), "cel.out-of-range"),
    ("indexOf", ("42", "4", "0"), "cel.no-such-overload"),
    ("lastIndexOf", ("tacocat", ""), 7),
    ("lastIndexOf", ("tacocat", "", 3), 3),
    ("lastIndexOf", ("tacocat", "at"), 5),
    ("lastIndexOf", ("tacocat", "a", 3), 1),
    ("lastIndexOf", ("ta©o©αT", "©α", 4), 4),
    ("lastIndexOf", ("bananananana", "nana", 7), 6),
    ("lastIndexOf", ("", "@@"), -1),
    ("lastIndexOf", ("tacocat", "a", 30), "cel.out-of-range"),
    ("lastIndexOf", ("tacocat", "a", -1), "cel.out-of-range"),
    ("lastIndexOf", ("tacocat", "a", True), "cel.no-such-overload"),
    ("join", (["x", "y"],), "xy"),
    ("join", (["x", "y"], "-"), "x-y"),
    ("join", ([], "-"), ""),
    ("join", (["x", 1], "-"), "cel.no-such-overload"),
    ("join", (["x" * 1000] * 2000,), "cel.too-costly"),
    ("lowerAscii", ("TacoCÆt Xii",), "tacocÆt xii"),
    ("upperAscii", ("TacoCæt İıſ",), "TACOCæT İıſ"),
    ("replace", ("{0} days {0} hours", "{0}", "2"), "2 days 2 hours"),
    ("replace", ("{0} days {0} hours", "{0}", "2", 1), "2 days {0} hours"),
    ("replace", ("hello hello", "he", "we", 0), "hello hello"),
    ("replace", ("hello hello", "he", "we", -1), "wello wello"),
    ("replace", ("ab", "", "-"), "-a-b-"),
    ("replace", ("ab", "", "-", 2), "-a-b"),
    ("replace", ("42", "2", 1), "cel.no-such-overload"),
    ("replace", ("a" * 10_000, "a", "b" * 1000), "cel.too-costly"),
    ("split", ("hello world", " "), ["hello", "world"]),
    ("split", ("a b c", " ", 0), []),
    ("split", ("a b c", " ", 1), ["a b c"]),
    ("split", ("a b c", " ", 2), ["a", "b c"]),
    ("split", ("o©o©o", "©", -1), ["o", "o", "o"]),
    ("split", ("abc", ""), ["a", "b", "c"]),
    ("split", ("abc", "", 2), ["a", "bc"]),
    ("split", ("", ""), []),
    ("split", ("", ","), [""]),
    ("split", ("," * (LONGEST_LIST + 1), ","), "cel.too-costly"),
    ("split", ("," * (LONGEST_LIST + 1), ",", 2), ["", "," * LONGEST_LIST]),
    ("substring", ("tacocat", 4), "cat"),
    ("substring", ("tacocat", 7), ""),
    ("substring", ("ta©o©αT", 2, 6), "©o©α"),
    ("substring", ("tacocat", 40), "cel.out-of-range"),
    ("substring", ("tacocat", -1), "cel.out-of-range"),
    ("substring", ("tacocat", 1, 50), "cel.out-of-range"),
    ("substring", ("tacocat", 4, 3), "cel.out-of-range"),
    ("substring", ("tacocat", True, 3), "cel.no-such-overload"),
    ("trim", (" \f\n\r\t\vtext\u2009\u3000",), "text"),
    ("trim", ("\u0085\u00a0\u1680text\u2028",), "text"),
    ("trim", ("\u180etext\u200b\ufeff",), "\u180etext\u200b\ufeff"),
    ("trim", ("\x1ctext\x1f",), "\x1ctext\x1f"),  # white space to Python only
    ("reverse", ("gums©",), "©smug"),
    ("strings.quote", ("two escape sequences \a\n",), '"two escape sequences \\a\\n"'),
    ("strings.quote", ('\\ and "',), '"\\\\ and \\""'),
    ("strings.quote", ("\b\f\r\t\v",), '"\\b\\f\\r\\t\\v"'),
    ("strings.quote", ("a\ud800😀",), '"a\ufffd😀"'),
    ("regex.replace", ("hello world hello", "hello", "hi"), "hi world hi"),
    ("regex.replace", ("banana", "a", "x", 0), "banana"),
    ("regex.replace", ("banana", "a", "x", 2), "bxnxna"),
    ("regex.replace", ("banana", "a", "x", -12), "bxnxnx"),
    ("regex.replace", ("foo bar", "(fo)o (ba)r", r"\2 \1"), "ba fo"),
    ("regex.replace", ("foo", "(f)|(x)", r"[\2\\]"), "[\\]oo"),
    ("regex.replace", ("abc", "", "-"), "-a-b-c-"),
    ("regex.replace", ("héé", "é", r"<\0>"), "h<é><é>"),
    ("regex.replace", ("aa", "^a", "b"), "ba"),
    ("regex.replace", ("ab ab", r"\bb|\ba", "x"), "xb xb"),
    ("regex.replace", ("test", "(.)", r"\2"), "cel.invalid"),
    ("regex.replace", ("id=123", r"id=(?P<value>\d+)", r"value: \values"), "cel.invalid"),
    ("regex.replace", ("a", "a", "\\"), "cel.invalid"),
    ("regex.replace", ("a", "a", "\\٣"), "cel.invalid"),
    ("regex.replace", ("foo", "(", "x"), "cel.invalid"),
    ("regex.replace", ("a" * 5000, "a", "b" * 1000), "cel.too-costly"),
    ("regex.replace", ("a", "a", 1), "cel.no-such-overload"),
    ("regex.extract", ("hello world", "hello(.*)"), Optional(" world")),
    ("regex.extract", ("item-A, item-B", r"item-(\w+)"), Optional("A")),
    ("regex.extract", ("item-A, item-B", r"item-\w+"), Optional("item-A")),
    ("regex.extract", ("HELLO", "hello"), NONE),
    ("regex.extract", ("b", "b(a)?"), NONE),
    ("regex.extract", ("é", r"\C"), "cel.invalid"),
    ("regex.extract", ("testuser@testdomain", "(.*)@([^.]*)"), "cel.invalid"),
    ("regex.extractAll", ("id:123, id:456", r"id:\d+"), ["id:123", "id:456"]),
    ("regex.extractAll", ("id:123, id:456", r"id:(\d*)"), ["123", "456"]),
    ("regex.extractAll", ("id:, id:456", r"id:(\d*)"), ["456"]),
    ("regex.extractAll", ("id:123", "assa"), []),
    ("regex.extractAll", ("a@b", "(.*)@([^.]*)"), "cel.invalid"),
    ("regex.extractAll", (1, "a"), "cel.no-such-overload"),
    ("matches", ("hubba", "ubb"), True),
    ("matches", ("hubba", "^ubb"), False),
    ("matches", ("hubba", "("), "cel.invalid"),
    ("matches", (b"hubba", "ubb"), "cel.no-such-overload"),
]


@pytest.mark.parametrize(("name", "operands", "expected"), CASES)
def test_a_function_of_strings_gives(name: str, operands: tuple[Any, ...], expected: object) -> None:
    found = outcome(name, *operands)
    assert found == expected
    assert type(found) is type(expected)


NAN, INFINITY = float("nan"), float("inf")
FORMATS = [
    ("no substitution", [], "no substitution"),
    ("%%%s%%", ["text"], "%text%"),
    ("%d %s", [1, "A", "left over"], "1 A"),
    ("%.3f", [1.2345], "1.234"),
    ("%.0f %.0f", [2.5, 3.5001], "2 4"),
    ("%f %.1f", [UInt(3), -2], "3.000000 -2.0"),
    ("%.6e", [1052.032911275], "1.052033e+03"),
    ("%e %f %d", [NAN, INFINITY, -INFINITY], "NaN Infinity -Infinity"),
    ("%d %d", [1e22, 0.5], "10000000000000000000000 0.5"),
    ("%b %b %b %b", [5, -5, UInt(64), True], "101 -101 1000000 1"),
    ("%o", [11], "13"),
    ("%x %X %x", [30, UInt(6000), -30], "1e 1770 -1e"),
    ("%x %X", ["é!", b"\xff!"], "c3a921 FF21"),
    ("%s %s %s", [None, True, UInt(7)], "null true 7"),
    ("%s %s %s", [2.71828, 5.0, -0.0], "2.71828 5 -0"),
    ("%s", [b"xyz"], "xyz"),
    ("%s", [STRING], "string"),
    ("%s", [datetime(2023, 2, 3, 23, 31, 20, tzinfo=UTC)], "2023-02-03T23:31:20Z"),
    ("%s %s", [timedelta(seconds=6347), timedelta(milliseconds=-1500)], "6347s -1.5s"),
    ("%s", [["abc", 3.14, None, [9], (8,)]], "[abc, 3.14, null, [9], [8]]"),
    ("%s", [{"strKey": "x", 6: timedelta(seconds=422), True: 42}], "{6: 422s, strKey: x, true: 42}"),
    ("%s", [{}], "{}"),
    ("%a", [1], "cel.invalid"),
    ("%E", [0.5], "cel.invalid"),
    ("%", [1], "cel.invalid"),
    ("%.", [1], "cel.invalid"),
    ("%.f", [1.0], "cel.invalid"),
    ("%.101f", [1.0], "cel.invalid"),
    ("%-3d", [1], "cel.invalid"),
    ("%\n", [1], "cel.invalid"),
    ("%d %d %d", [0, 1], "cel.invalid"),
    ("%b", ["abc"], "cel.invalid"),
    ("%d", [True], "cel.invalid"),
    ("%d", [timedelta(1)], "cel.invalid"),
    ("%o", ["a"], "cel.invalid"),
    ("%x", [0.5], "cel.invalid"),
    ("%f", [None], "cel.invalid"),
    ("%e", ["1"], "cel.invalid"),
    ("%s", [Optional(1)], "cel.invalid"),
    ("%s", [b"\xff"], "cel.invalid"),
    ("%x", ["\ud800"], "cel.invalid"),
    ("%s", [[["x" * 10_000] * 100] * 100], "cel.too-costly"),
    ("%s", [object()], "cel.input"),
]


@pytest.mark.parametrize(("form", "values", "expected"), FORMATS)
def test_a_format_gives(form: str, values: list[Any], expected: str) -> None:
    assert outcome("format", form, values) == expected


def test_a_format_of_a_list_that_holds_itself_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert outcome("format", "%s", [endless]) == "cel.too-deep"


@given(st.text(), st.text(min_size=1, max_size=3))
def test_joining_what_was_split_gives_the_text(text: str, by: str) -> None:
    assert FUNCTIONS["join"](FUNCTIONS["split"](text, by), by) == text
    assert FUNCTIONS["join"](FUNCTIONS["split"](text, "")) == text


@given(st.text(max_size=40), st.text(max_size=3), st.integers(-2, 45))
def test_the_last_index_is_no_less_than_the_first(text: str, wanted: str, start: int) -> None:
    if not 0 <= start <= len(text):
        assert outcome("indexOf", text, wanted, start) == "cel.out-of-range"
        assert outcome("lastIndexOf", text, wanted, start) == "cel.out-of-range"
        return
    last = FUNCTIONS["lastIndexOf"](text, wanted, start)
    assert last <= start
    assert last < 0 or text.startswith(wanted, last)
    first = FUNCTIONS["indexOf"](text, wanted, start)
    assert first < 0 or (first >= start and text.startswith(wanted, first))


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.text(max_size=4),
        st.binary(max_size=4),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


COUNTS = [
    (function.name, len(overload.takes) + (overload.of is not None))
    for file in (strings, regex, lists)
    for function in file.FUNCTIONS
    for overload in function.overloads
]


@given(st.sampled_from(COUNTS), st.lists(values, min_size=4, max_size=4))
def test_whatever_it_is_given_a_function_gives_a_value_or_an_error_of_its_own(
    count: tuple[str, int], operands: list[Any]
) -> None:
    outcome(count[0], *operands[: count[1]])


@given(st.text(st.sampled_from("%.sdfeboxX019 a"), max_size=8), st.lists(values, max_size=4))
def test_any_format_of_any_values_is_a_text_or_an_error(form: str, operands: list[Any]) -> None:
    found = outcome("format", form, operands)
    assert type(found) is str
    assert len(found) <= LONGEST_TEXT
