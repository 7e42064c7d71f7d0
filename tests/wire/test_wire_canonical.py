"""Canonical JSON: RFC 8785 without floats."""

from __future__ import annotations

import hashlib
import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.wire.canonical import digest, encode
from cigate.wire.ijson import BIGGEST_INTEGER, JSONError, parse

TABLE: list[tuple[Any, bytes]] = [
    (None, b"null"),
    (True, b"true"),
    (False, b"false"),
    (0, b"0"),
    (-BIGGEST_INTEGER, b"-9007199254740991"),
    ("", b'""'),
    ([], b"[]"),
    ({}, b"{}"),
    ((1, (2,)), b"[1,[2]]"),
    (MappingProxyType({"b": 1, "a": [None]}), b'{"a":[null],"b":1}'),
    # RFC 8785, 3.2.2.2: the two-character escapes where there are some, else lower-case \u00xx, nothing more
    ('\b\t\n\f\r"\\/', b'"\\b\\t\\n\\f\\r\\"\\\\/"'),
    ("\x00\x0b\x1f\x7f", b'"\\u0000\\u000b\\u001f\x7f"'),
    ("€\u2028\U0001f600", '"€\u2028\U0001f600"'.encode()),
    # no normalisation (RFC 8785, 3.1): composed and decomposed stay what they are
    ("\u00c5A\u030a", '"\u00c5A\u030a"'.encode()),
    # RFC 8785, 3.2.3: UTF-16 code units, so a surrogate pair (d83d…) sorts before U+FB33
    (
        {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\u00f6": 7},
        '{"\\r":2,"1":4,"\x80":6,"ö":7,"€":1,"\U0001f600":5,"\ufb33":3}'.encode(),
    ),
    ({"aa": 1, "a": 2, "A": 3, "": 4, "a\0": 5}, b'{"":4,"A":3,"a":2,"a\\u0000":5,"aa":1}'),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("json.float", 1.0, ""),
    ("json.float", {"a": [0.5]}, "/a/0"),
    ("json.float", [float("nan")], "/0"),
    ("json.number", BIGGEST_INTEGER + 1, ""),
    ("json.number", {"a/b": -BIGGEST_INTEGER - 1}, "/a~1b"),
    ("json.surrogate", "\ud800", ""),
    ("json.surrogate", {"x": {"\udc00": 1}}, "/x/\\udc00"),
    ("json.key", {1: 2}, ""),
    ("json.key", {"a": {None: 2}}, "/a"),
    ("json.key", {True: 2}, ""),
    ("json.type", b"bytes", ""),
    ("json.type", {"a": {1, 2}}, "/a"),
    ("json.type", [object()], "/0"),
]


@pytest.mark.parametrize(("value", "octets"), TABLE)
def test_one_value_has_one_spelling(value: Any, octets: bytes) -> None:
    assert encode(value) == octets


@pytest.mark.parametrize(("code", "value", "where"), REFUSED)
def test_what_has_no_canonical_form_here_is_refused(code: str, value: Any, where: str) -> None:
    with pytest.raises(JSONError) as refused:
        encode(value)
    assert (refused.value.code, refused.value.where) == (code, where)


def test_a_value_inside_itself_is_refused_as_too_deep() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(JSONError, match=r"json\.too-deep"):
        encode(circle)


def test_a_digest_is_sha256_over_the_canonical_bytes() -> None:
    assert digest({"b": 1, "a": 2}) == "sha256:" + hashlib.sha256(b'{"a":2,"b":1}').hexdigest()


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-BIGGEST_INTEGER, BIGGEST_INTEGER) | names,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=5),
    max_leaves=30,
)


@given(values)
def test_canonical_bytes_are_read_back_as_the_same_value(value: Any) -> None:
    parsed = parse(encode(value))
    assert json.dumps(parsed, sort_keys=True) == json.dumps(value, sort_keys=True)
    assert encode(parsed) == encode(value)


@given(st.dictionaries(names, values, max_size=6), st.randoms())
def test_the_order_of_names_never_matters(value: dict[str, Any], random: Any) -> None:
    shuffled = list(value.items())
    random.shuffle(shuffled)
    assert encode(dict(shuffled)) == encode(value)


@given(values, values)
def test_different_values_have_different_bytes(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (encode(one) == encode(other)) is same
