"""Every public conformance test of CEL that needs no protobuf message, and which those are, exactly."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from cigate import cel
from tests.conformance.cases import EXCLUSIONS, Case, excluded
from tests.conformance.standing import compiled, in_scope, ours
from tests.conformance.suite import SuiteMissing, whole_suite
from tests.oracles.engines import OURS
from tests.oracles.outcome import Failed

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
        found = in_scope()
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
    assert ours(one) == (one.deduced, one.expected)


def test_what_passes_with_its_types_checked_passes_without(one):
    one = given(one)
    if one.expected is not None:
        assert OURS.prepare(one.source, {}, container=one.container)(one.bindings) == one.expected


def test_each_test_of_the_suite_is_in_scope_or_excluded_for_a_reason():
    reasons = [excluded(each["section"], each["test"]) for each in whole_suite()]
    found = Counter(one.reason for one in reasons if one is not None)
    assert found == OUT_OF_SCOPE
    assert reasons.count(None) == IN_SCOPE
    assert set(OUT_OF_SCOPE) == {one.reason for one in EXCLUSIONS}


OTHERWISE = {
    "block_ext/basic": 7,  # cel-go's check knows no block, so all in it is dyn to it
    "optionals/optionals": 1,  # an index of an optional of nothing is dyn to ours, a string to cel-go
    "type_deductions/legacy_nullable_types": 1,  # there the suite asks for another type, which ours finds
}
"""How many types of ours are not those of cel-go, by section, and why."""


def test_the_check_finds_the_types_that_cel_go_finds():
    """The package tells them beside the tests, which do not ask for them."""
    different, refused, alike = Counter(), Counter(), 0
    for one in in_scope():
        if not one.checked or one.inferred is None:
            continue
        try:
            found = str(compiled(one).type)
        except cel.CompileError as error:
            refused[error.code] += 1
            assert one.expected == Failed()
            continue
        if found == re.sub(r"\bnull\b", "null_type", one.inferred):
            alike += 1
        else:
            different[one.section] += 1
    assert different == OTHERWISE
    assert refused == {"cel.literal": 8}, "texts that are no timestamp and no duration do not load"
    assert alike == 1433
