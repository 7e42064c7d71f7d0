"""YAML with one reading, and with the line and column of every value."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.wire.ijson import Limits
from cigate.wire.yamldoc import YAMLError, parse

SCALARS: list[tuple[str, Any]] = [
    # the core schema
    ("", None),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("NULL", None),
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("false", False),
    ("False", False),
    ("FALSE", False),
    ("0", 0),
    ("-0", 0),
    ("42", 42),
    ("+42", 42),
    ("-42", -42),
    ("9007199254740991", 2**53 - 1),
    ("0.5", 0.5),
    (".5", 0.5),
    ("-1.5e3", -1500.0),
    ("1e3", 1000.0),
    ("1.", 1.0),
    # what YAML 1.1 makes something else of
    ("yes", "yes"),
    ("Yes", "Yes"),
    ("no", "no"),
    ("NO", "NO"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("n", "n"),
    ("1:30", "1:30"),
    ("190:20:30", "190:20:30"),
    ("0o17", "0o17"),
    ("0x1f", "0x1f"),
    ("0b1", "0b1"),
    ("010", "010"),
    ("007", "007"),
    ("1_000", "1_000"),
    ("1_0.5", "1_0.5"),
    ("2026-11-24", "2026-11-24"),
    ("2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z"),
    ("=", "="),
    ("nULL", "nULL"),
    ("tRUE", "tRUE"),
    ("1.2.3", "1.2.3"),
    ("١", "١"),
    ("nan", "nan"),
    ("Infinity", "Infinity"),
    # quoted is a string
    ('"true"', "true"),
    ("'1'", "1"),
    ('""', ""),
    ("'null'", "null"),
    ('"\\u00e9\\x41\\t"', "éA\t"),
    ("a b", "a b"),
    ("a#b", "a#b"),
    ("a # comment", "a"),
]

REFUSED: list[tuple[str, str, str]] = [
    ("yaml.duplicate-key", "a: 1\nb: 2\na: 3\n", "3:1"),
    ("yaml.duplicate-key", "x:\n  a: 1\n  'a': 2\n", "3:3"),
    ("yaml.duplicate-key", '{a: 1, "\\u0061": 2}', "1:8"),
    ("yaml.duplicate-key", '{"a": 1,\n "a": 2}', "2:2"),
    ("yaml.alias", "a: &x 1\nb: *x\n", "1:4"),
    ("yaml.alias", "a: *x\n", "1:4"),
    ("yaml.alias", "&x a: 1\n", "1:1"),
    ("yaml.alias", "a: &x {b: 1}\n", "1:4"),
    ("yaml.alias", "a: &x\n  - 1\n", "1:4"),
    ("yaml.alias", "? *x\n: 1\n", "1:3"),
    ("yaml.alias", "<<: {a: 1}\n", "1:1"),
    ("yaml.tag", "a: !!str 1\n", "1:4"),
    ("yaml.tag", "a: !x 1\n", "1:4"),
    ("yaml.tag", "a: ! 1\n", "1:4"),
    ("yaml.tag", "!!python/object/apply:os.system [id]\n", "1:1"),
    ("yaml.tag", "!!map {a: 1}\n", "1:1"),
    ("yaml.tag", "!!str a: 1\n", "1:1"),
    ("yaml.tag", "--- !!set\n? a\n", "1:5"),
    ("yaml.directive", "%YAML 1.1\n---\na: 1\n", "1:1"),
    ("yaml.directive", "%TAG ! tag:example.com,2026:\n---\na: 1\n", "1:1"),
    ("yaml.documents", "a: 1\n---\nb: 2\n", "2:1"),
    ("yaml.documents", "--- 1\n--- 2\n", "2:1"),
    ("yaml.documents", "", "1:1"),
    ("yaml.documents", "# nothing\n", "1:1"),
    ("yaml.key", "1: a\n", "1:1"),
    ("yaml.key", "true: a\n", "1:1"),
    ("yaml.key", "~: a\n", "1:1"),
    ("yaml.key", "?\n: a\n", "1:2"),
    ("yaml.key", "a:\n  1.5: b\n", "2:3"),
    ("yaml.key", "? [a]\n: b\n", "1:3"),
    ("yaml.key", "? {a: 1}\n: b\n", "1:3"),
    ("yaml.number", "a: .inf\n", "1:4"),
    ("yaml.number", "a: -.INF\n", "1:4"),
    ("yaml.number", "a: .nan\n", "1:4"),
    ("yaml.number", "a: 9007199254740992\n", "1:4"),
    ("yaml.number", "a: 1e999\n", "1:4"),
    ("yaml.number", "a: " + "1" * 5000 + "\n", "1:4"),
    ("yaml.number", '{"a": 9007199254740992}', "1:7"),
    ("yaml.too-deep", "[" * 33, "1:33"),
    ("yaml.too-deep", "[" * 33 + "]" * 33, "1:33"),
    ("yaml.too-deep", "[" * 33 + "x" + "]" * 33, "1:33"),
    ("yaml.too-deep", "- " * 33 + "a", "1:65"),
    ("yaml.too-large", "a: " + "x" * 2**18, ""),
    ("yaml.character", "a: \x00\n", "1:4"),
    ("yaml.character", "a: b\x1b[2J\n", "1:5"),
    ("yaml.character", "a: \x85b\n", "1:4"),
    ("yaml.character", "a: b\u2028c: d\n", "1:5"),
    ("yaml.character", "a: b\n# \u202e hidden\n", "2:3"),
    ("yaml.character", "\ufeffa: b\n", "1:1"),
    ("yaml.character", "a: \ud800\n", "1:4"),
    ("yaml.syntax", "a: b: c\n", "1:5"),
    ("yaml.syntax", "a:\n\t- b\n", "2:1"),
    ("yaml.syntax", "a: [1, 2\n", "2:1"),
    ("yaml.syntax", "a: 'b\n", "2:1"),
    ("yaml.syntax", "a: @b\n", "1:4"),
    ("yaml.syntax", "a: `b`\n", "1:4"),
    ("yaml.syntax", 'a: "\\q"\n', "1:5"),
    ("yaml.syntax", 'a: "\\ud800"\n', "1:7"),
    ("yaml.syntax", "a: 1\n b: 2\n", "2:3"),
    ("yaml.syntax", '{"a": "\\ud800"}', "1:10"),
]

POLICY = """\
# a comment
spec:
  rules:
    - name: first
      actions: [a, b]
    - name: "second"
      expression: >-
        agent.managed &&
        risk.score < 5
  empty:
a/b~c: {x: 1}
"""


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_read_by_the_core_schema(text: str, value: Any) -> None:
    document = parse(f"a: {text}\n", "f").value
    assert isinstance(document, dict)
    assert json.dumps(document["a"]) == json.dumps(value)


@pytest.mark.parametrize(("code", "text", "where"), REFUSED)
def test_everything_with_two_readings_is_refused_at_its_place(code: str, text: str, where: str) -> None:
    with pytest.raises(YAMLError) as refused:
        parse(text, "policy.yaml")
    assert (refused.value.code, refused.value.where) == (code, where)
    place = f"policy.yaml:{where}" if where else "policy.yaml"
    assert str(refused.value).startswith(f"{place}: {code}: ")


@pytest.mark.parametrize("raw", [b"a: \xff", b"\xef\xbb\xbfa: 1", "a: 1".encode("utf-16")])
def test_bytes_are_utf_8_without_a_mark(raw: bytes) -> None:
    with pytest.raises(YAMLError) as refused:
        parse(raw, "f")
    assert refused.value.code == "yaml.encoding"
    assert refused.value.name == "f"


@pytest.mark.parametrize(
    ("pointer", "line", "column"),
    [
        ("", 2, 1),
        ("/spec", 3, 3),
        ("/spec/rules", 4, 5),
        ("/spec/rules/0", 4, 7),
        ("/spec/rules/0/name", 4, 13),
        ("/spec/rules/0/actions", 5, 16),
        ("/spec/rules/0/actions/1", 5, 20),
        ("/spec/rules/1/name", 6, 13),
        ("/spec/rules/1/expression", 7, 19),
        ("/spec/empty", 10, 9),
        ("/a~1b~0c/x", 11, 12),
        # what is not there stands where its nearest parent stands
        ("/spec/rules/0/nane", 4, 7),
        ("/spec/rules/7/x/y", 4, 5),
        ("/nothing", 2, 1),
    ],
)
def test_every_value_has_its_line_and_column(pointer: str, line: int, column: int) -> None:
    document = parse(POLICY, "p.yaml")
    assert document.position(pointer) == (line, column)
    assert document.place(pointer) == f"p.yaml:{line}:{column}"


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        ("/spec", "2:1"),
        ("/spec/rules/0/name", "4:7"),
        ("/spec/rules/1/expression", "7:7"),
        ("/a~1b~0c/x", "11:9"),
        # what stands under no key is where its value is
        ("", "2:1"),
        ("/spec/rules/0", "4:7"),
        ("/spec/rules/0/actions/1", "5:20"),
        ("/nothing", "2:1"),
    ],
)
def test_every_key_has_its_line_and_column(pointer: str, place: str) -> None:
    assert parse(POLICY, "p").place_of_key(pointer) == f"p:{place}"


def test_a_key_in_json_has_its_line_and_column() -> None:
    document = parse('{"a":\n  {"b": [1],\n "\\u0063": 2}}', "p")
    places = [(document.place_of_key(each), document.place(each)) for each in ("/a", "/a/b", "/a/c")]
    assert places == [("p:1:2", "p:2:3"), ("p:2:4", "p:2:9"), ("p:3:2", "p:3:12")]


def test_a_document_is_plain_values() -> None:
    assert parse(POLICY, "p").value == {
        "spec": {
            "rules": [
                {"name": "first", "actions": ["a", "b"]},
                {"name": "second", "expression": "agent.managed && risk.score < 5"},
            ],
            "empty": None,
        },
        "a/b~c": {"x": 1},
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"\\ud83d\\ude00"}',
        '{"a"\n:\n1}',
        '{\n\t"a": [1,\t2]\n}',
        '{"' + "k" * 2000 + '":1}',
        '{"a":{"b":[true,null,"\\/",-1.5e3]}}',
        "[]",
        '  {"yes":"no"}  ',
        '"text"',
        "true",
    ],
)
def test_json_is_read_as_json(text: str) -> None:
    assert parse(text, "f").value == json.loads(text)


def test_json_has_positions_too() -> None:
    document = parse('{"a":\n  [1,\n   {"b": 2}]}', "f.json")
    assert document.position("/a/1/b") == (3, 10)


def test_an_error_keeps_its_place_when_it_is_copied_or_pickled() -> None:
    with pytest.raises(YAMLError) as refused:
        parse("a: *x", "f.yaml")
    for twin in (copy.copy(refused.value), pickle.loads(pickle.dumps(refused.value))):
        assert str(twin) == str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 2**18,
        "- " * 2**17,
        "{a: " * 2**16,
        "? " * 2**17,
        "a: [" + "b, " * 80000,
        "a: '" + "'' " * 80000,
        "&a [" * 60000,
        "a: &a x\n" + "".join(f"k{at}: *a\n" for at in range(20000)),
        "".join(f"k{at}: v\n" for at in range(25000)) + "k0: v\n",
        "a:\n" + "".join(f"{' ' * depth}a:\n" for depth in range(1, 700)),
        "!" * 2**18,
        "|" * 2**18,
        '"' + "\\\n" * 2**16,
    ],
)
def test_hostile_documents_are_refused_at_a_small_cost(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(YAMLError):
        parse(text, "f")
    assert time.process_time() - begun < 5  # what grows with the square of 256 KiB takes minutes


@given(st.binary(max_size=60) | st.text(alphabet="ab:-?[]{},&*!|>'\"%@`#\n \t~0.<", max_size=40))
def test_only_typed_refusals_escape_whatever_the_text(text: str | bytes) -> None:
    with contextlib.suppress(YAMLError):
        parse(text, "f")


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.text("ab\n é:#'\"-", max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text("abc: ", max_size=4), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_what_json_writes_is_read_back_with_a_position_for_every_value(value: Any) -> None:
    document = parse(json.dumps(value, indent=1), "f")
    assert json.dumps(document.value) == json.dumps(value)
    assert len(document.positions) == _count(value)


@pytest.mark.parametrize(
    ("limits", "text", "code"),
    [
        (Limits(octets=9, depth=9, items=9), "a: [1, 2]\n", "yaml.too-large"),
        (Limits(octets=9, depth=9, items=9), '{"a": [1]}', "yaml.too-large"),
        (Limits(octets=99, depth=1, items=9), "a: [1, 2]", "yaml.too-deep"),
        (Limits(octets=99, depth=1, items=9), '{"a": [1]}', "yaml.too-deep"),
        (Limits(octets=99, depth=9, items=3), "a: [1, 2]", "yaml.too-many"),
        (Limits(octets=99, depth=9, items=3), '{"a": [1, 2]}', "yaml.too-many"),
    ],
)
def test_each_reader_of_documents_has_its_own_limits(limits: Limits, text: str, code: str) -> None:
    with pytest.raises(YAMLError) as refused:
        parse(text, "f", limits=limits)
    assert refused.value.code == code
    assert parse("[1, 2]", "f", limits=Limits(octets=6, depth=1, items=3)).value == [1, 2]
    assert parse("- 1\n- 2", "f", limits=Limits(octets=7, depth=1, items=3)).value == [1, 2]


@given(
    st.recursive(
        st.sampled_from(["x", "'it''s'", '"\\t"', "-1", "|\n  a\n  b", "~", ""]),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "'b/~'", '"c d"', "e"]), inner, min_size=1, max_size=3)
        ),
        max_leaves=12,
    ).filter(lambda value: not isinstance(value, str))
)
def test_every_value_and_key_in_yaml_has_a_position_where_it_begins(value: Any) -> None:
    text = _block(value, 0).lstrip("\n")
    document = parse(text, "f")
    rows = text.split("\n")
    assert len(document.positions) == _count(document.value)
    for pointer, (line, column) in document.positions.items():
        found = document.value
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found[int(name)] if isinstance(found, list) else found[name]  # type: ignore[index, call-overload]
        if isinstance(found, str) and "\n" not in found:
            assert found == parse(rows[line - 1][column - 1 :], "f").value
    for pointer, (line, column) in document.keys.items():
        (key,) = parse(rows[line - 1][column - 1 :].partition(":")[0] + ": 1", "f").value  # type: ignore[misc, union-attr]
        assert key == pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")


def _block(value: Any, depth: int) -> str:
    """A value in block style, on lines of its own where it is a container."""
    space = "\n" + "  " * depth
    if isinstance(value, dict):
        return "".join(f"{space}{key}: {_block(each, depth + 1)}" for key, each in value.items())
    if isinstance(value, list):
        return "".join(f"{space}- {_block(each, depth + 1)}" for each in value)
    return str(value).replace("\n", space)


def _count(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(_count(each) for each in inside)
