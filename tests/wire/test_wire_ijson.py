"""Strict I-JSON: one meaning for each sequence of bytes, or a typed refusal at a bounded cost."""

from __future__ import annotations

import contextlib
import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.wire.ijson import BIGGEST_INTEGER, JSONError, Limits, parse

ROOMY = Limits(octets=2**21)

ACCEPTED: list[tuple[bytes, Any]] = [
    (b"[]", []),
    (b"{}", {}),
    (b' \t\r\n{"a" : [ 1 , 2 ] }\n', {"a": [1, 2]}),
    (b"null", None),
    (b"true", True),
    (b"false", False),
    (b'"asd"', "asd"),
    (b'""', ""),
    (b'{"":0}', {"": 0}),
    (b"42", 42),
    (b"-0", 0),
    (b"-1", -1),
    (b"0", 0),
    (b"9007199254740991", BIGGEST_INTEGER),
    (b"-9007199254740991", -BIGGEST_INTEGER),
    (b"0e+1", 0.0),
    (b"0e1", 0.0),
    (b"1E22", 1e22),
    (b"1E-2", 0.01),
    (b"1E+2", 100.0),
    (b"123.456e78", 123.456e78),
    (b"-0.0", -0.0),
    (b"0.0e-999", 0.0),
    (b"-0." + b"0" * 77 + b"1", -1e-78),
    (b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\/\b\f\n\r\t'),
    (b'"\\u0060\\u012a\\u12AB"', "`\u012a\u12ab"),
    (b'"\\u0000"', "\0"),
    (b'"\\ud801\\udc37"', "\U00010437"),
    (b'"\\uDBFF\\uDFFF"', "\U0010ffff"),
    (b'"\\ud83d\\ude39\\ud83d\\udc8d"', "\U0001f639\U0001f48d"),
    (b'"\\\\u0000"', "\\u0000"),
    (b'"\x7f"', "\x7f"),
    ('"\u2028\u2029"'.encode(), "\u2028\u2029"),
    ('"\U0010ffff\uffff"'.encode(), "\U0010ffff\uffff"),
    ('"€𝄞"'.encode(), "€𝄞"),
    (b'[[[[["deep"]]]],{"a":{"b":{}}}]', [[[[["deep"]]]], {"a": {"b": {}}}]),
    (b'{"a":{"a":{"a":1}},"b":{"a":1}}', {"a": {"a": {"a": 1}}, "b": {"a": 1}}),
    (b'[{},[],"",0,null]', [{}, [], "", 0, None]),
]

REFUSED: list[tuple[str, bytes, str]] = [
    *(
        ("json.syntax", text, "")
        for text in (
            b"",
            b" ",
            b"[",
            b"]",
            b"[1",
            b"[1,",
            b"[1,]",
            b"[,1]",
            b"[,]",
            b"[1,,2]",
            b"[1 2]",
            b"[1 true]",
            b"[1]]",
            b"[1]x",
            b"[]{}",
            b"[}",
            b"{]",
            b"[1}",
            b"{",
            b'{"a"',
            b'{"a":',
            b'{"a":1',
            b'{"a":1,',
            b'{"a":1,}',
            b'{"a":1,,"b":2}',
            b'{,"a":1}',
            b'{"a"}',
            b'{"a" 1}',
            b'{"a","b"}',
            b'{"a"::1}',
            b'{"a":1:2}',
            b'{"a":1 "b":2}',
            b"{a:1}",
            b"{'a':1}",
            b"{1:1}",
            b"{null:1}",
            b"{[]:1}",
            b"{[:1}",
            b'{"a":1}#',
            b'{"a":1}//',
            b"/**/[]",
            b"[/**/]",
            b"nul",
            b"nulll",
            b"True",
            b"TRUE",
            b"NaN",
            b"-NaN",
            b"Infinity",
            b"-Infinity",
            b"[inf]",
            b"undefined",
            b"+1",
            b"++1",
            b"--1",
            b"-",
            b"- 1",
            b"-a",
            b"01",
            b"-01",
            b"012",
            b".5",
            b"-.5",
            b"5.",
            b"-5.",
            b"1.e1",
            b"1e",
            b"1e+",
            b"1eE2",
            b"1e1.5",
            b"1+2",
            b"0x1F",
            b"1_000",
            b"1 000",
            b"1.2.3",
            "１".encode(),
            "[٣]".encode(),
            b'"',
            b'"a',
            b'"a\\',
            b'"\\"',
            b"'a'",
            b"a",
            b'"\\x00"',
            b'"\\a"',
            b'"\\u"',
            b'"\\u1"',
            b'"\\u12"',
            b'"\\u123"',
            b'"\\u00g0"',
            b'"\\u 041"',
            b'"\\u+041"',
            b'"\\u0_41"',
            b'"\\U0041"',
            b'"\\ud800\\u12"',
            b'"\\ud800\\u00zz"',
            b'"\n"',
            b'"\t"',
            b'"\x00"',
            b'"\x1f"',
            b"\x0c[]",
            b"[\x0b]",
            b"\x00",
            b"[1]\x00",
            b'{"a":1}\x00',
            "\u00a0[]".encode(),
            "\u2060[]".encode(),
            "[]\u2028".encode(),
            "[1]".encode("utf-16-le"),
            "[1]".encode("utf-16-be"),
        )
    ),
    ("json.encoding", b"\xef\xbb\xbf{}", "1:1"),
    ("json.encoding", "[1]".encode("utf-16"), "1:1"),
    ("json.encoding", b'"\xff"', "1:2"),
    ("json.encoding", b'\n "\xe9"', "2:3"),
    ("json.encoding", b'"\xc0\xaf"', "1:2"),
    ("json.encoding", b'"\xe0\xff"', "1:2"),
    ("json.encoding", b'"\xed\xa0\x80"', "1:2"),
    ("json.encoding", b'"\xf4\xbf\xbf\xbf"', "1:2"),
    ("json.encoding", b'"\xfc\x80\x80\x80\x80\x80"', "1:2"),
    ("json.encoding", b'"\xe4"', "1:2"),
    ("json.surrogate", b'"\\ud800"', ""),
    ("json.surrogate", b'["\\udc00"]', "/0"),
    ("json.surrogate", b'{"a":"\\ud800x"}', "/a"),
    ("json.surrogate", b'{"a":"\\ud800\\n"}', "/a"),
    ("json.surrogate", b'{"a":"\\ud800\\ud800"}', "/a"),
    ("json.surrogate", b'{"a":"\\udc00\\ud800"}', "/a"),
    ("json.surrogate", b'{"a":"\\ud800\\u0041"}', "/a"),
    ("json.surrogate", b'{"a":{"\\udfff":1}}', "/a/"),
    ("json.duplicate-key", b'{"a":1,"a":1}', "/a"),
    ("json.duplicate-key", b'{"a":1,"\\u0061":1}', "/a"),
    ("json.duplicate-key", b'{"x":[0,{"b":1,"c":2,"b":3}]}', "/x/1/b"),
    ("json.duplicate-key", b'{"a/b":{"~":1,"~":2}}', "/a~1b/~0"),
    ("json.duplicate-key", b'{"":1,"":2}', "/"),
    ("json.duplicate-key", b'{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":2}', "/\U0001f600"),
    ("json.number", b"9007199254740992", ""),
    ("json.number", b"[-9007199254740992]", "/0"),
    ("json.number", b"[1,100000000000000000000]", "/1"),
    ("json.number", b"[1e400]", "/0"),
    ("json.number", b"[-1.5e+9999]", "/0"),
    ("json.number", b"[123.456e-789]", "/0"),
    (
        "json.number",
        b"[0.4e00669999999999999999999999999999999999999999999999999999999999969999999006]",
        "/0",
    ),
    ("json.number", b"[0." + b"3" * 200 + b"]", "/0"),
    ("json.too-deep", b"[" * 33, "/0" * 32),
    ("json.too-deep", b'{"a":' * 33, "/a" * 32),
    ("json.too-many", b"[" + b"1," * 5000 + b"1]", "/4095"),
    ("json.too-large", b" " * 65537, ""),
]


@pytest.mark.parametrize(("raw", "value"), ACCEPTED)
def test_every_i_json_text_has_its_value(raw: bytes, value: Any) -> None:
    parsed = parse(raw)
    assert parsed == value
    assert json.dumps(parsed) == json.dumps(value)  # types as well: 1, 1.0 and true are different


@pytest.mark.parametrize(("code", "raw", "where"), REFUSED)
def test_everything_else_is_refused_with_its_code(code: str, raw: bytes, where: str) -> None:
    with pytest.raises(JSONError) as refused:
        parse(raw)
    assert refused.value.code == code
    if code != "json.syntax":
        assert refused.value.where == where


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"", "1:1"),
        (b'{\n  "a": tru\n}', "2:8"),
        (b'[1,\n"x', "2:1"),
        (b"[1] 2", "1:5"),
        ('["€", x]'.encode(), "1:7"),
    ],
)
def test_broken_syntax_says_line_and_column_in_characters(raw: bytes, where: str) -> None:
    with pytest.raises(JSONError) as refused:
        parse(raw)
    assert (refused.value.code, refused.value.where) == ("json.syntax", where)


def test_limits_are_met_exactly_and_no_further() -> None:
    assert parse(b"[" * 32 + b"]" * 32)
    assert parse(b"[" + b"1," * 4094 + b"1]")
    assert parse(b'"' + b"x" * (64 * 1024 - 2) + b'"')
    assert parse(b"[[[]]]", limits=Limits(depth=3)) == [[[]]]
    with pytest.raises(JSONError, match=r"json\.too-deep"):
        parse(b"[[[]]]", limits=Limits(depth=2))
    with pytest.raises(JSONError, match=r"json\.too-many"):
        parse(b"[1,2]", limits=Limits(items=2))


HOSTILE = {
    "1 MiB of [": b"[" * 2**20,
    '1 MiB of {"":': b'{"":' * 2**18,
    "an integer of a million digits": b"1" * 10**6,
    "a fraction of a million digits": b"0." + b"1" * 10**6,
    "an exponent of a million digits": b"1e" + b"1" * 10**6,
    "a hundred thousand names": b"{" + b",".join(b'"k%d":0' % at for at in range(10**5)) + b"}",
    "a string that does not end": b'"' + b"x" * 10**6,
    "half a million escapes that do not end": b'"' + b"\\\\" * 5 * 10**5,
    "a million spaces": b" " * 10**6,
    "a million commas": b"[" + b"," * 10**6,
}


@pytest.mark.parametrize("limits", [Limits(), ROOMY], ids=["as given", "2 MiB allowed"])
@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_hostile_input_is_refused_at_a_small_cost(raw: bytes, limits: Limits) -> None:
    begun = time.process_time()
    with pytest.raises(JSONError):
        parse(raw, limits=limits)
    # 50 ms is the promise; a text 16 times as long may take longer, but not 16 times 16
    assert time.process_time() - begun < (5 if limits is ROOMY else 0.05)


@pytest.mark.parametrize("given", ["[]", None, 1, [91, 93]])
def test_what_is_no_bytes_is_refused_as_encoding(given: Any) -> None:
    with pytest.raises(JSONError, match=r"json\.encoding"):
        parse(given)


@pytest.mark.parametrize("raw", [bytearray(b"[1]"), memoryview(b"[1]")])
def test_any_buffer_will_do(raw: Any) -> None:
    assert parse(raw) == [1]


def test_a_strangers_name_can_neither_move_the_cursor_nor_fill_the_log() -> None:
    name = "\\u001b[2J\\n" + "x" * 1000
    with pytest.raises(JSONError) as refused:
        parse(f'{{"{name}":1,"{name}":2}}'.encode())
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


@given(st.binary(max_size=200))
def test_only_typed_refusals_escape_whatever_the_bytes(raw: bytes) -> None:
    with contextlib.suppress(JSONError):
        parse(raw)


@given(st.text(alphabet='[]{}",:0123456789.eE+-tfn\\u dD8aA\n\x00é', max_size=40))
def test_what_is_accepted_means_the_same_to_the_standard_library(text: str) -> None:
    try:
        value = parse(text.encode())
    except JSONError:
        return
    assert json.dumps(value) == json.dumps(json.loads(text))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-BIGGEST_INTEGER, BIGGEST_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
    max_leaves=30,
)


@given(json_values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_what_the_standard_library_writes_is_read_back(
    value: Any, ascii_only: bool, indent: int | str | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    parsed = parse(text.encode())
    assert json.dumps(parsed) == json.dumps(value)


@given(json_values.filter(lambda value: isinstance(value, list | dict) and bool(value)), st.data())
def test_no_text_cut_short_is_accepted(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    with pytest.raises(JSONError):
        parse(text[: data.draw(st.integers(0, len(text) - 1))])


def test_floats_that_are_accepted_are_finite() -> None:
    parsed = parse(b"[1.7976931348623157e308, 5e-324, 1e-320]")
    assert isinstance(parsed, list)
    assert all(isinstance(each, float) and math.isfinite(each) and each > 0 for each in parsed)
