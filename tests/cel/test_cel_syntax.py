"""Text to tree and back: precedence, literals, bounds, and the place that an error names."""

from __future__ import annotations

import inspect
import pickle
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.cel import CompileError, Declarations, UInt, check, parse
from cigate.cel.library import LIBRARY
from cigate.cel.macros import variables_of
from cigate.cel.parse import MAX_DEPTH
from cigate.cel.rendering import render, render_readable
from cigate.cel.resolve import resolved
from cigate.cel.syntax import (
    BINARY,
    MACROS,
    Bind,
    Call,
    Comprehension,
    Has,
    Index,
    ListOf,
    Literal,
    MapOf,
    Name,
    Node,
    Select,
    line_column,
    path_of,
    walk,
)
from cigate.cel.types import DYN, STRING, list_of, map_of

FULL_FORM = {
    "a || b && c": "(a || (b && c))",
    "a && b || c": "((a && b) || c)",
    "a == b && c != d": "((a == b) && (c != d))",
    "a + b * c - d": "((a + (b * c)) - d)",
    "a - b - c": "((a - b) - c)",
    "a / b % c": "((a / b) % c)",
    "a < b == c": "((a < b) == c)",
    "a in b && c": "((a in b) && c)",
    "!a.b": "(!a.b)",
    "!a && b": "((!a) && b)",
    "-a + b": "((-a) + b)",
    "- -a": "(-(-a))",
    "a ? b : c ? d : e": "(a ? b : (c ? d : e))",
    "(a ? b : c) ? d : e": "((a ? b : c) ? d : e)",
    "a || b ? c : d": "((a || b) ? c : d)",
    "a || b || c || d": "((a || b) || (c || d))",
    "-5 - -5": "((-5) - (-5))",
    "-(5)": "(-(5))",
    "[1, 2,]": "[1, 2]",
    "{'k': 1,}": '{"k": 1}',
    "[,]": "[]",
    "{,}": "{}",
    "a.b.c(d)[e]": "a.b.c(d)[e]",
    "has(a.b)": "has(a.b)",
    "a.?b[?c]": "a.?b[?c]",
    "x.map(i, i > 1, i * 2)": "x.map(i, (i > 1), (i * 2))",
    "a // to the end\n + b": "(a + b)",
    "a.`b-c`.`d/e f`.`in`": "a.`b-c`.`d/e f`.`in`",
    "a.`plain`": "a.plain",
    "has(a.`b.c`)": "has(a.`b.c`)",
    ".a.b": ".a.b",
    ".f(.a)": ".f(.a)",
    "a.as().in_.if": "a.as().in_.if",
    "[?a, b, ?c,]": "[?a, b, ?c]",
    "{?'k': a, 'l': b,}": '{?"k": a, "l": b}',
    "has(f(a)[0].b)": "has(f(a)[0].b)",
    "has(a.?b.c)": "has(a.?b.c)",
    "!-!a": "(!(-(!a)))",
    "a && (b && c)": "((a && b) && c)",
    "(a || b) || (c || d)": "((a || b) || (c || d))",
    "a && (b && c && (d && e))": "(((a && b) && c) && (d && e))",
    "x.all(i, v, i < v)": "x.all(i, v, (i < v))",
    "x.transformMap(k, v, k != v, v)": "x.transformMap(k, v, (k != v), v)",
    "x.optMap(v, v + 1)": "x.optMap(v, (v + 1))",
    "cel.bind(a, 1, a + a)": "cel.bind(a, 1, (a + a))",
    "cel.block([1, cel.index(0)], cel.index(1))": (
        "cel.bind(cel.index(0), 1, cel.bind(cel.index(1), cel.index(0), cel.index(1)))"
    ),
    "x.map(cel.iterVar(0, 1), cel.accuVar(2, 3))": "x.map(cel.iterVar(0, 1), cel.accuVar(2, 3))",
    "a.has(b)": "a.has(b)",
    "map(a, b)": "map(a, b)",
    "a.bind(b)": "a.bind(b)",
}


@pytest.mark.parametrize(("source", "full"), FULL_FORM.items())
def test_precedence_and_grouping_are_those_of_the_specification(source: str, full: str) -> None:
    assert render(parse(source)) == full


LITERALS: dict[str, object] = {
    "1": 1,
    "0x1F": 31,
    "-0x1f": -31,
    "-9223372036854775808": -(2**63),
    "18446744073709551615u": UInt(2**64 - 1),
    "0xAU": UInt(10),
    "1.5": 1.5,
    ".5": 0.5,
    "-1e3": -1000.0,
    "true": True,
    "null": None,
    "'a\"b'": 'a"b',
    '"a\'b"': "a'b",
    "'''a\n'b'''": "a\n'b",
    r"'\a\b\f\n\r\t\v\\\?\"\'\`'": "\a\b\f\n\r\t\v\\?\"'`",
    r"'\x41\101\u00e9\U0001F431'": "AAé\U0001f431",
    r"r'\n'": "\\n",
    r'R"""\x"""': "\\x",
    r"b'\xff\377é'": b"\xff\xff\xc3\xa9",
    r"br'\x'": b"\\x",
    r"bR'\'": b"\\",
    r"'''a\'''b'''": "a'''b",
    "'''a''b'''": "a''b",
    '""': "",
    "b''": b"",
    r"b'\000\x7f\X7F'": b"\0\x7f\x7f",
    r"'\X41'": "A",
    "007": 7,
    "1E+2": 100.0,
    r"BR'\x'": b"\\x",
}


@pytest.mark.parametrize(("source", "value"), LITERALS.items())
def test_a_literal_is_its_value_and_its_type(source: str, value: object) -> None:
    node = parse(source)
    assert isinstance(node, Literal)
    assert (type(node.value), node.value) == (type(value), value)


def test_literals_of_different_types_are_different() -> None:
    ones = [Literal(0, one) for one in (1, True, 1.0, UInt(1), "1", b"1")]
    zeros = [Literal(0, 0.0), Literal(0, -0.0), Literal(0, False), Literal(0, None)]
    assert len({*ones, *zeros}) == len(ones) + len(zeros)


NOT_CEL = {
    "": "expected a value, found the end",
    "a b": "an operator, or the end",
    "a = b": "equality is ==",
    "a & b": "and is &&",
    "'abc": "not closed",
    "'a\nb'": "not closed",
    r"'\q'": "no such escape",
    r"'\ud800'": "no Unicode scalar",
    r"b'\u0041'": "bytes take",
    "1x": "a number ends before a letter",
    "9223372036854775808": "too large",
    "-9223372036854775809": "too large",
    "18446744073709551616u": "too large",
    "1e999": "too large",
    "if": "reserved word",
    "a.in": "a name after the dot",
    "f(1,)": "an argument",
    "{1}": "':'",
    "a ? b": "':'",
    "(a": "')'",
    "[a": "']'",
    "x.map(1, 2)": "plain name",
    "a\ud800": "lone surrogate",
    "é": "starts nothing",
    "`a`": "expected a value",
    "a.`b": "backticks",
    "a.``": "backticks",
    "a.`b`(c)": "an operator, or the end",
    "a.?b(c)": "an operator, or the end",
    ".1a": "a number ends before a letter",
    ".": "a name after the dot",
    ".in": "a name after the dot",
    "f(?a)": "expected a value",
    "x.map(.y, 2)": "plain name",
    "cel.bind(a.b, 1, 2)": "plain name",
    r"'\400'": "no such escape",
    "ur'a'": "found",
    "rb'a'": "found",
    "0X1F": "a number ends before a letter",
    "[,,]": "']'",
    "{,a: 1}": "'}'",
}


@pytest.mark.parametrize(("source", "said"), NOT_CEL.items())
def test_what_is_not_cel_is_refused_with_its_place(source: str, said: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse(source)
    assert caught.value.code == "cel.syntax"
    assert said in str(caught.value)
    assert caught.value.where


@pytest.mark.parametrize("source", ["Foo{a: 1}", "a.b.Foo{}", ".a.Foo{?b: c}"])
def test_what_is_cel_but_not_ours_is_unsupported(source: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse(source)
    assert caught.value.code == "cel.unsupported"
    assert "messages are not supported" in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize(
    "source",
    [
        *(
            "has(a)",
            "has(a.?b)",
            "has()",
            "has(a.b, c)",
            "x.all(y)",
            "x.map(a, b, c, d)",
            "x.all(a, a, true)",
        ),
        *("x.optMap(a)", "x.transformList(a, b)", "cel.bind(a, b)", "cel.block(a, b)", "cel.block([?a], b)"),
        *("cel.index()", "cel.index(-1)", "cel.index(a)", "cel.iterVar(0)", "cel.accuVar(0, 1u)"),
    ],
)
def test_a_macro_takes_what_it_takes(source: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse(source)
    assert caught.value.code == "cel.arguments"


TOO_LARGE = {
    "2,000 nots": "!" * 2000 + "true",
    "2,000 minus signs": "-" * 2000 + "a",
    "80 nested parentheses": "(" * 80 + "1" + ")" * 80,
    "500 nested lists": "[" * 500 + "]" * 500,
    "500 unclosed lists": "[" * 500,
    "nested maps": "{1:" * 100 + "1" + "}" * 100,
    "nested calls": "size(" * 100 + "a" + ")" * 100,
    "nested ternaries": "a ? b : " * 500 + "c",
    "a long sum": "+".join(["1"] * 1000),
    "a long path": "a" + ".b" * 3000,
    "many nodes": "[" + ",".join(["1"] * 3000) + "]",
    "more than 16 KiB": "a" * 17_000,
    "more than 16 KiB of UTF-8": "'" + "é" * 9_000 + "'",
}


@pytest.mark.parametrize("source", TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_is_too_large_is_refused_before_anything_recurses(source: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse(source)
    assert caught.value.code == "cel.too-large"


def test_a_long_list_of_alternatives_is_not_deep() -> None:
    assert parse(" || ".join(f"a == {number}" for number in range(400)))


def test_a_tree_of_the_greatest_depth_still_parses_from_its_full_form() -> None:
    source = "a"
    for _ in range(MAX_DEPTH - 1):
        source = f"!{source}"
    node = parse(source)
    assert parse(render(node)) == node


def test_parsing_ends_in_a_compile_error_where_the_stack_is_almost_full() -> None:
    source = "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH

    def parsed_below(levels: int) -> bool:
        if levels:
            return parsed_below(levels - 1)
        try:
            parse(source)
        except CompileError as error:
            return error.code != "cel.too-large"
        return True

    assert not parsed_below(0), "one level more than there may be"
    source = source[1:-1]
    assert parsed_below(0)
    room = sys.getrecursionlimit() - len(inspect.stack(0))
    assert not parsed_below(room - 120)


def test_an_error_shows_the_line_and_a_caret_under_the_place() -> None:
    with pytest.raises(CompileError) as caught:
        parse("a &&\n  b = c")
    assert caught.value.where == "2:5"
    assert caught.value.offset == 9
    assert str(caught.value).splitlines()[1:] == ["    b = c", "      ^"]


HOSTILE = {
    "blanks before what starts nothing": "a" + " " * 16_000 + "#",
    "comments before what starts nothing": "a" + "//b + c\n" * 2_000 + "#",
    "lines of blanks": " \n" * 8_000 + "#",
    "an open string": "'" + "\\n" * 8_000,
    "an open triple string": "'''" + "''a" * 5_000,
    "a long name": "a" * 16_000 + "#",
    "a long number": "1" * 16_000,
    "a long float": "." + "1" * 16_000 + "e",
    "an open name": "a.`" + "b" * 16_000,
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_more_than_time_in_proportion_to_its_length(source: str) -> None:
    begun = time.process_time()
    with pytest.raises(CompileError):
        parse(source)
    assert time.process_time() - begun < 5  # what is not in proportion takes hours


def test_what_starts_nothing_is_not_looked_for_in_the_comment_before_it() -> None:
    with pytest.raises(CompileError) as caught:
        parse("a // + b\n #")
    assert (caught.value.where, caught.value.code) == ("2:2", "cel.syntax")
    assert "'#' starts nothing" in caught.value.message


def test_a_long_line_is_cut_around_the_caret() -> None:
    with pytest.raises(CompileError) as caught:
        parse("a " * 400)
    assert max(map(len, str(caught.value).splitlines()[1:])) < 110


def test_an_error_survives_pickling() -> None:
    with pytest.raises(CompileError) as caught:
        parse("a b")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_nodes_know_their_place_in_the_source() -> None:
    source = "agent.id ==\n 'x'"
    places = {type(node).__name__: line_column(source, node.at) for node in walk(parse(source))}
    assert places == {"Call": (1, 10), "Select": (1, 6), "Name": (1, 1), "Literal": (2, 2)}


@pytest.mark.parametrize(
    ("source", "path"),
    [("a", "a"), ("a.b.c", "a.b.c"), ("a['b'].c", "a.b.c"), ("a[0]", None), ("f(a).b", None), ("a[b]", None)],
)
def test_the_path_of_a_chain_of_selections(source: str, path: str | None) -> None:
    assert path_of(parse(source)) == path


def trees() -> st.SearchStrategy[Node]:
    names = st.sampled_from(["a", "bc", "_x", "inbox", "trueish"])
    variables = names | st.sampled_from(["@index0", "@index12", "@it:0:1", "@ac:2:30"])
    fields = names | st.sampled_from(["in", "as", "x-y", "1", "a b/c.d"])
    numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**64 - 1).map(UInt)
    floats = st.floats(allow_nan=False, allow_infinity=False)
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    values = st.none() | st.booleans() | numbers | floats | text | st.binary(max_size=8)
    zero = st.just(0)
    leaves: st.SearchStrategy[Node] = (
        st.builds(Literal, zero, values)
        | st.builds(Name, zero, variables)
        | st.builds(Name, zero, names, st.just(True))
    )

    def above(below: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        some = st.lists(below, max_size=3).map(tuple)
        entries = st.lists(st.tuples(below, below), max_size=2).map(tuple)

        def comprehension(case: tuple[str, int]) -> st.SearchStrategy[Node]:
            kind, count = case
            two = variables_of(kind, count) == 2
            arguments = st.tuples(*[below] * (count - 1 - two))
            first = variables.filter(lambda name: name != "bc")
            second = st.just("bc" if two else "")
            return st.builds(Comprehension, zero, st.just(kind), below, first, arguments, second)

        return st.one_of(
            st.builds(Select, zero, below, fields, st.booleans()),
            st.builds(Has, zero, below, fields),
            st.builds(Index, zero, below, below, st.booleans()),
            st.builds(Call, zero, st.sampled_from(["size", "f", ".f"]), st.none(), some),
            st.builds(Call, zero, st.sampled_from(["size", "f", "as"]), below, some),
            st.builds(Call, zero, st.sampled_from(sorted(BINARY)), st.none(), st.tuples(below, below)),
            st.builds(Call, zero, st.sampled_from(["!_", "-_"]), st.none(), st.tuples(below)),
            st.builds(Call, zero, st.just("_?_:_"), st.none(), st.tuples(below, below, below)),
            some.flatmap(lambda items: st.builds(ListOf, zero, st.just(items), places(len(items)))),
            entries.flatmap(lambda pairs: st.builds(MapOf, zero, st.just(pairs), places(len(pairs)))),
            st.builds(Bind, zero, variables, below, below),
            st.sampled_from([(kind, count) for kind in sorted(MACROS) for count in MACROS[kind]]).flatmap(
                comprehension
            ),
        )

    return st.recursive(leaves, above, max_leaves=12)


def places(count: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(0, max(0, count - 1)), max_size=count).map(sorted).map(tuple)


@given(trees())
def test_the_full_form_of_a_tree_parses_to_the_same_tree(node: Node) -> None:
    # What parses is normal already: a minus before a number has joined it.
    normal = parse(render(node))
    assert parse(render(normal)) == normal


@given(trees())
def test_the_readable_form_of_a_tree_parses_to_the_same_tree(node: Node) -> None:
    readable = render_readable(node)
    # Chains of && and || are grouped anew, and a minus joins the number after it; nothing else changes.
    normal = parse(render(node))
    assert parse(readable) == normal
    assert parse(render_readable(normal)) == normal
    assert len(readable) <= len(render(node)) + 2


@given(trees(), st.sampled_from([None, Declarations.of({"a": STRING, "bc": list_of(map_of(STRING, DYN))})]))
def test_only_a_compile_error_escapes_the_stages_behind(
    node: Node, declarations: Declarations | None
) -> None:
    code = "none"
    try:
        check(resolved(node, declarations, "a", LIBRARY), declarations)
    except CompileError as error:
        code = error.code
    unchecked = {"none", "cel.unknown-name", "cel.literal"}
    assert code in (
        unchecked | {"cel.unknown-field", "cel.type", "cel.arguments"} if declarations else unchecked
    )


@given(st.text() | st.text(st.sampled_from("ab.?:!-+*/%<>=&|()[]{}'\"`\\rbux019, \n"), max_size=60))
def test_only_a_compile_error_escapes_arbitrary_text(source: str) -> None:
    try:
        node = parse(source)
    except CompileError:
        return
    assert parse(render_readable(node)) == node
