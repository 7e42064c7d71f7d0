"""The conformance tests as cases: what is to be run, and what it must come to.

In come tests as JSON of the message `cel.expr.conformance.test.SimpleTest`; out come a `Case` for each that is
in scope, and for each other the reason why it is not. What is out of scope is what needs a protobuf message.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from cigate.cel import Type, UInt
from cigate.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    list_of,
    map_of,
    param,
)
from tests.oracles.outcome import EPOCH, Failed, Outcome, double

Json = Any


@frozen
class Exclusion:
    """A kind of test that is out of scope.

    Args:
        reason: why, for readers.
        matches: whether a test is of this kind, from its section and its JSON.
    """

    reason: str
    matches: Callable[[str, Json], bool]


def _sections(*names: str) -> Callable[[str, Json], bool]:
    return lambda section, _: section.partition("/")[0] in names


def _mentions(pattern: str) -> Callable[[str, Json], bool]:
    compiled = re.compile(pattern)
    return lambda _, test: compiled.search(json.dumps(test)) is not None


EXCLUSIONS = (
    Exclusion("messages of a proto2 schema", _sections("proto2", "proto2_ext")),
    Exclusion("messages of a proto3 schema", _sections("proto3")),
    Exclusion("enums of a protobuf schema", _sections("enums")),
    Exclusion(
        "protobuf's wrapper messages, `Any`, `Struct`, `Value` and `ListValue`",
        _sections("wrappers", "dynamic"),
    ),
    Exclusion("a message of the suite's own schema among other sections", _mentions("TestAllTypes")),
    Exclusion("makes a message of `google.protobuf`", _mentions(r"google\.protobuf\.\w+\s*\{")),
)


@frozen
class Case:
    """One test that is in scope.

    Attributes:
        section: `file/section` of the suite.
        name: its name there.
        source: the expression.
        expected: the outcome; None where only the type is looked at.
        deduced: the type that the check must find, as `cel.Type` writes it; None: not asked.
        checked: whether its types are to be checked first.
        inferred: the type that cel-go deduces, which the suite tells but does not ask for.
    """

    section: str
    name: str
    source: str
    container: str
    names: Mapping[str, Type]
    functions: tuple[tuple[str, Json], ...]
    bindings: Mapping[str, Any]
    expected: Outcome | None
    deduced: str | None
    checked: bool
    inferred: str | None


def excluded(section: str, test: Json) -> Exclusion | None:
    """Why a test is out of scope; None: it is in."""
    return next((one for one in EXCLUSIONS if one.matches(section, test)), None)


def case(section: str, test: Json, inferred: str | None) -> Case:
    """A test that is in scope, with its values as ours."""
    names = [entry for entry in test.get("typeEnv", ()) if "ident" in entry]
    functions = [entry for entry in test.get("typeEnv", ()) if "function" in entry]
    typed = test.get("typedResult", {})
    deduced = typed.get("deducedType")
    expected: Outcome | None
    if "evalError" in test:
        expected = Failed()
    elif "typedResult" in test:
        expected = outcome(typed["result"]) if "result" in typed else None
    else:
        expected = outcome(test.get("value", {"boolValue": True}))  # what the suite means by no value
    return Case(
        section,
        test["name"],
        test["expr"],
        test.get("container", ""),
        {entry["name"]: type_of(entry["ident"]["type"]) for entry in names},
        tuple((entry["name"], entry["function"]["overloads"]) for entry in functions),
        {name: plain(given["value"]) for name, given in test.get("bindings", {}).items()},
        expected,
        None if deduced is None else str(type_of(deduced)),
        not test.get("disableCheck", False),
        inferred,
    )


_PRIMITIVES = {
    "BOOL": BOOL,
    "INT64": INT,
    "UINT64": UINT,
    "DOUBLE": DOUBLE,
    "STRING": STRING,
    "BYTES": BYTES,
}
_MESSAGES = {"google.protobuf.Timestamp": TIMESTAMP, "google.protobuf.Duration": DURATION}


def type_of(written: Json) -> Type:
    """A type of the suite (`cel.expr.Type` as JSON) as ours."""
    ((kind, inside),) = written.items()
    match kind:
        case "primitive":
            return _PRIMITIVES[inside]
        case "null":
            return NULL
        case "dyn":
            return DYN
        case "listType":
            return list_of(type_of(inside["elemType"]))
        case "mapType":
            return map_of(type_of(inside["keyType"]), type_of(inside["valueType"]))
        case "messageType":
            return _MESSAGES[inside]
        case "abstractType":
            return Type(inside["name"], tuple(type_of(one) for one in inside.get("parameterTypes", ())))
        case "typeParam":
            return param(inside)
    raise AssertionError(f"the suite has a type that was never seen: {written}")


def outcome(written: Json) -> Outcome:
    """A value of the suite (`cel.expr.Value` as JSON) as an outcome."""
    ((kind, value),) = written.items()
    match kind:
        case "nullValue":
            return ("null",)
        case "boolValue":
            return ("bool", value)
        case "int64Value":
            return ("int", int(value))
        case "uint64Value":
            return ("uint", int(value))
        case "doubleValue":
            return double(float(value))
        case "stringValue":
            return ("string", value)
        case "bytesValue":
            return ("bytes", b64decode(value))
        case "typeValue":
            return ("type", value)
        case "listValue":
            return ("list", tuple(outcome(item) for item in value.get("values", ())))
        case "mapValue":
            entries = value.get("entries", ())
            return ("map", frozenset((outcome(one["key"]), outcome(one["value"])) for one in entries))
        case "objectValue":
            return _time(value)
    raise AssertionError(f"the suite has a value that was never seen: {written}")


def _time(value: Json) -> Outcome:
    name = value["@type"].rpartition(".")[2].lower()
    if name == "duration":
        sign = -1 if value["value"].startswith("-") else 1
        whole, _, fraction = value["value"].removesuffix("s").lstrip("-").partition(".")
        return (name, sign * (int(whole) * 10**9 + int(fraction.ljust(9, "0"))))
    whole, _, fraction = value["value"].removesuffix("Z").partition(".")
    seconds = (datetime.fromisoformat(whole + "+00:00") - EPOCH).total_seconds()
    return (name, int(seconds) * 10**9 + int(fraction.ljust(9, "0")))


def plain(written: Json) -> Any:
    """A binding of the suite as a value that `cigate.cel` takes."""
    return _plain(outcome(written))


def _plain(found: Outcome) -> Any:
    match found:
        case ("null",):
            return None
        case ("uint", whole):
            return UInt(whole)
        case ("double", "nan"):
            return float("nan")
        case ("double", written):
            return float.fromhex(written)
        case ("type", name):
            return Type(name)
        case ("list", items):
            return [_plain(item) for item in items]
        case ("map", entries):
            return {_plain(key): _plain(item) for key, item in entries}
        case ("timestamp", count):
            return EPOCH + timedelta(microseconds=count // 1000)
        case ("duration", count):
            return timedelta(microseconds=count // 1000)
    return found[1]
