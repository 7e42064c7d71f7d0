"""Every public conformance test of CEL that needs no protobuf message, and which those are, exactly."""

from __future__ import annotations

from collections import Counter

import pytest

from cigate import cel
from tests.conformance.cases import EXCLUSIONS, Case, case, excluded, type_of
from tests.conformance.suite import SuiteMissing, tests
from tests.oracles.engines import OURS, attempt

IN_SCOPE = 1651
OUT_OF_SCOPE = {
    "messages of a proto2 schema": 126,
    "messages of a proto3 schema": 75,
    "enums of a protobuf schema": 85,
    "protobuf's wrapper messages, `Any`, `Struct`, `Value` and `ListValue`": 262,
    "a message of the suite's own schema among other sections": 117,
    "makes a message of `google.protobuf`": 28,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each case; without the suite one that fails and says why, for a skip would hide it."""
    if "one" not in metafunc.fixturenames:
        return
    try:
        found = [
            case(each["section"], each["test"], each["type"])
            for each in tests()
            if excluded(each["section"], each["test"]) is None
        ]
    except SuiteMissing as missing:
        metafunc.parametrize("one", [missing], ids=["the-suite-is-missing"])
    else:
        metafunc.parametrize("one", found, ids=[f"{each.section}/{each.name}" for each in found])


def given(one: Case | SuiteMissing) -> Case:
    if isinstance(one, SuiteMissing):
        pytest.fail(str(one))
    return one


def test_a_conformance_test_passes(one):
    one = given(one)
    try:
        program = compiled(one)
    except cel.CompileError as error:
        # What is wrong for every input may be found at load: then it is the error that is expected.
        assert one.expected is not None, error
        assert OURS_FAILED == one.expected, error
        return
    if one.deduced is not None:
        assert str(program.type) == one.deduced
    if one.expected is not None:
        assert attempt(program, one.bindings) == one.expected


def test_what_passes_with_its_types_checked_passes_without(one):
    one = given(one)
    if one.expected is not None:
        assert OURS.prepare(one.source, {}, container=one.container)(one.bindings) == one.expected


def test_each_test_of_the_suite_is_in_scope_or_excluded_for_a_reason():
    found = Counter(
        None if reason is None else reason.reason
        for each in tests()
        for reason in [excluded(each["section"], each["test"])]
    )
    assert found.pop(None) == IN_SCOPE
    assert found == OUT_OF_SCOPE
    assert set(OUT_OF_SCOPE) == {one.reason for one in EXCLUSIONS}


OURS_FAILED = OURS.prepare("1 +", {})({})


def compiled(one: Case) -> cel.Program:
    declarations = cel.Declarations.of(one.names) if one.checked else None
    functions = tuple(_function(name, overloads) for name, overloads in one.functions)
    return cel.compile(
        one.source, declarations=declarations, container=one.container, functions=functions
    )


def _function(name: str, overloads: list[dict]) -> cel.Function:
    """A function that the suite declares; its tests only check types, so nobody calls it."""
    signatures = tuple(
        cel.Overload(tuple(type_of(each) for each in one.get("params", ())), type_of(one["resultType"]))
        for one in overloads
    )
    return cel.Function(name, signatures, lambda *_: None)
