"""Text to tree and back: precedence, literals, bounds, and the place that an error names."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.cel import CompileError, UInt, parse
from cigate.cel.parse import MAX_DEPTH
from cigate.cel.syntax import (
    BINARY,
    MACROS,
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
    render,
    render_readable,
    walk,
)

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
    "a.b.c(d)[e]": "a.b.c(d)[e]",
    "has(a.b)": "has(a.b)",
    "a.?b[?c]": "a.?b[?c]",
    "x.map(i, i > 1, i * 2)": "x.map(i, (i > 1), (i * 2))",
    "a // to the end\n + b": "(a + b)",
}


@pytest.mark.parametrize(("source", "full"), FULL_FORM.items())
def test_precedence_and_grouping_are_those_of_the_specification(source: str, full: str) -> None:
    assert render(parse(source)) == full


LITERALS: dict[str, object] = {
    "1": 1,
    "0x1F": 31,
    "-0X1f": -31,
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
    r"Rb'\x'": b"\\x",
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
}


@pytest.mark.parametrize(("source", "said"), NOT_CEL.items())
def test_what_is_not_cel_is_refused_with_its_place(source: str, said: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse(source)
    assert caught.value.code == "cel.syntax"
    assert said in str(caught.value)
    assert caught.value.where


@pytest.mark.parametrize("source", ["Foo{a: 1}", "a.b.Foo{}", ".a.b", "[?a]", "{?a: b}", "a.`b`"])
def test_what_is_cel_but_not_ours_is_unsupported(source: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse(source)
    assert caught.value.code == "cel.unsupported"
    assert caught.value.fix


@pytest.mark.parametrize(
    "source", ["has(a)", "has(a.?b)", "has()", "has(a.b, c)", "x.all(y)", "x.map(a, b, c, d)"]
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


def test_an_error_shows_the_line_and_a_caret_under_the_place() -> None:
    with pytest.raises(CompileError) as caught:
        parse("a &&\n  b = c")
    assert caught.value.where == "2:5"
    assert caught.value.offset == 9
    assert str(caught.value).splitlines()[1:] == ["    b = c", "      ^"]


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
    numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**64 - 1).map(UInt)
    floats = st.floats(allow_nan=False, allow_infinity=False)
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    values = st.none() | st.booleans() | numbers | floats | text | st.binary(max_size=8)
    leaves: st.SearchStrategy[Node] = st.builds(Literal, st.just(0), values) | st.builds(
        Name, st.just(0), names
    )

    def above(below: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        zero = st.just(0)
        some = st.lists(below, max_size=3).map(tuple)
        return st.one_of(
            st.builds(Select, zero, below, names, st.booleans()),
            st.builds(Has, zero, below, names),
            st.builds(Index, zero, below, below, st.booleans()),
            st.builds(Call, zero, st.sampled_from(["size", "f"]), st.none() | below, some),
            st.builds(Call, zero, st.sampled_from(sorted(BINARY)), st.none(), st.tuples(below, below)),
            st.builds(Call, zero, st.sampled_from(["!_", "-_"]), st.none(), st.tuples(below)),
            st.builds(Call, zero, st.just("_?_:_"), st.none(), st.tuples(below, below, below)),
            st.builds(ListOf, zero, some),
            st.builds(MapOf, zero, st.lists(st.tuples(below, below), max_size=2).map(tuple)),
            st.sampled_from(sorted(MACROS)).flatmap(
                lambda kind: st.builds(
                    Comprehension,
                    zero,
                    st.just(kind),
                    below,
                    names,
                    st.tuples(*[below] * (MACROS[kind][-1] - 1)),
                )
            ),
        )

    return st.recursive(leaves, above, max_leaves=12)


@given(trees())
def test_the_full_form_of_a_tree_parses_to_the_same_tree(node: Node) -> None:
    # What parses is normal already: a minus before a number has joined it.
    normal = parse(render(node))
    assert parse(render(normal)) == normal
    assert render(normal) == render(node)


@given(trees())
def test_the_readable_form_means_the_same(node: Node) -> None:
    readable = render_readable(node)
    assert render_readable(parse(readable)) == readable
    assert len(readable) <= len(render(node)) + 2


@given(st.text() | st.text(st.sampled_from("ab.?:!-+*/%<>=&|()[]{}'\"\\rbux019, \n"), max_size=60))
def test_only_a_compile_error_escapes_arbitrary_text(source: str) -> None:
    try:
        node = parse(source)
    except CompileError:
        return
    assert parse(render(node)) == node
