"""The quick reader of JSON gives what the exact one gives, or says that it has a doubt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_wire_ijson import ACCEPTED, REFUSED

from cigate.wire import quickjson
from cigate.wire.ijson import JSONError, Limits, decode, scan

LIMITS = Limits(octets=2**18, depth=4, items=12)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**54), 2**54)
    | st.floats()
    | st.text('a\\"/\n\x00é\ud800\U0001f600', max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=12,
)
NUMBERS = ["NaN", "-Infinity", "1e999", "1e-999", "0.0", "9007199254740992", "-9007199254740991"]
STRINGS = ['"a"', '"b":', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\u00']
pieces = st.sampled_from([*'[]{}:,01-.eE" \n\t\x0b\ufeff١', "null", "true", *NUMBERS, *STRINGS])


def agrees(text: str, limits: Limits) -> Any:
    """What the quick reader says, once the exact one has said the same, types and all."""
    quick = quickjson.value(text, limits)
    if quick is not None:
        assert repr(scan(text, limits)) == repr(quick)
    return quick


@pytest.mark.parametrize("raw", [raw for raw, _ in ACCEPTED] + [raw for _, raw, _ in REFUSED])
def test_the_quick_reader_doubts_all_that_the_exact_one_refuses(raw: bytes) -> None:
    try:
        text = decode(raw, Limits())
    except JSONError:
        return
    for made in (text, f"[{text}]", f'{{"a": {text}}}'):
        agrees(made, Limits())


@given(values, st.sampled_from([None, 1]))
def test_what_json_writes_is_read_alike(value: Any, indent: int | None) -> None:
    for ascii_only in (True, False):
        agrees(json.dumps([value], indent=indent, ensure_ascii=ascii_only), LIMITS)


@given(st.lists(pieces, max_size=12).map("".join))
def test_what_is_hardly_json_is_read_alike(text: str) -> None:
    agrees(text, LIMITS)
    agrees(f"[{text}]", LIMITS)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=4))
def test_a_doubled_name_is_never_read(pairs: list[tuple[str, int]]) -> None:
    text = "{" + ",".join(f'"{name}": {at}' for name, at in pairs) + "}"
    assert (agrees(text, LIMITS) is None) == (len(dict(pairs)) < len(pairs))


@pytest.mark.parametrize(
    "text", ["[" * 10**5, "[" * 10**5 + "]" * 10**5, '{"a":' * 10**5, "[1" + "0" * 10**5 + "]"]
)
def test_what_is_hostile_is_doubted_and_no_exception_escapes(text: str) -> None:
    assert quickjson.value(text, Limits(octets=2**30, depth=32, items=2**30)) is None


def test_an_ordinary_document_is_beyond_doubt() -> None:
    text = '{"rules": [{"name": "a", "limit": 10, "half": 0.5, "on": true, "é": null}, []]}'
    assert agrees(text, LIMITS) == json.loads(text)
