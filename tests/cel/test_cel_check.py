"""What is wrong for every request is found when the policy loads."""

from __future__ import annotations

import pytest

from cigate import cel
from cigate.cel import CompileError, Declarations
from cigate.cel.types import BOOL, INT, record_of
from cigate.facts import FactType, Schema

DEFAULT = Declarations.from_schema(Schema.default())

TYPES = {
    "agent.managed && cost.estimate <= 5000": "bool",
    "cost.estimate + 1": "int",
    "now - timestamp('2026-01-01T00:00:00Z')": "duration",
    "now + attestation.age": "timestamp",
    "user.roles": "list(string)",
    "user.roles[0]": "string",
    "user.roles + ['x']": "list(string)",
    "user.roles.map(r, size(r))": "list(int)",
    "user.roles.filter(r, r != '')": "list(string)",
    "approvals.map(a, a.at)": "list(timestamp)",
    "approvals.exists(a, a.user == user.id && 'sre' in a.roles)": "bool",
    "device.posture": "map(string, dyn)",
    "device.posture.os_patch_age_days": "dyn",
    "device.posture.os_patch_age_days > 30": "bool",
    "parameters.anything == 'x'": "bool",
    "agent": "agent",
    "agent['managed']": "bool",
    "'managed' in agent": "bool",
    "agent.managed ? 1 : 2": "int",
    "agent.managed ? dyn(1) : 'a'": "dyn",
    "type(cost) == map": "bool",
    "has(agent.id)": "bool",
    "dyn(agent.id) == 1": "bool",
    "{'a': cost.estimate}": "map(string, int)",
    "[]": "list(dyn)",
    "1 < 2.5": "bool",
    "'a'.matches('[a-z]+')": "bool",
    "now.getHours('UTC') + 1": "int",
}


@pytest.mark.parametrize(("source", "kind"), TYPES.items())
def test_an_expression_has_a_type(source: str, kind: str) -> None:
    assert str(cel.compile(source, declarations=DEFAULT).type) == kind


WRONG = {
    "agent.mananged": ("cel.unknown-field", "1:6", "did you mean 'managed'?"),
    "has(agent.mananged)": ("cel.unknown-field", "1:1", "did you mean 'managed'?"),
    "agent['mananged']": ("cel.unknown-field", "1:6", "managed"),
    "approvals.exists(a, a.usr == '')": ("cel.unknown-field", "1:22", "'user'"),
    "agnt.managed": ("cel.unknown-name", "1:1", "did you mean 'agent'?"),
    "variables.cheap": ("cel.unknown-name", "1:1", ""),
    "user.roles.exists(r, true) && r == 'x'": ("cel.unknown-name", "1:31", ""),
    "sise(user.roles)": ("cel.unknown-name", "1:1", "'size'"),
    "cost.estimate > '5'": ("cel.type", "1:15", "> is not defined on int and string"),
    "agent.id == 3": ("cel.type", "1:10", "string is never equal to int"),
    "1 == true": ("cel.type", "1:3", "int is never equal to bool"),
    "agent.managed == 1": ("cel.type", "1:15", "bool is never equal to int"),
    "agent.id && true": ("cel.type", "1:10", "&& is not defined on string and bool"),
    "!agent.id": ("cel.type", "1:1", "! is not defined on string"),
    "-agent.managed": ("cel.type", "1:1", "- is not defined on bool"),
    "agent.id ? 1 : 2": ("cel.type", "1:6", "expected bool"),
    "true ? 1 : 'a'": ("cel.type", "1:6", "one branch is int"),
    "cost.estimate + 1u": ("cel.type", "1:15", "int and uint"),
    "cost.estimate in ['a']": ("cel.type", "1:15", "can't be in"),
    "'a' in agent.id": ("cel.type", "1:5", "can't be in string"),
    "agent.id.x": ("cel.type", "1:9", "no fields"),
    "agent.id[0]": ("cel.type", "1:9", "no index"),
    "user.roles['a']": ("cel.type", "1:11", "no index of type string"),
    "user.roles.all(r, r)": ("cel.type", "1:19", "expected bool"),
    "user.roles.filter(r, size(r))": ("cel.type", "1:22", "expected bool"),
    "agent.id.all(c, true)": ("cel.type", "1:10", "goes through a list or a map"),
    "{1.5: 1}": ("cel.type", "1:2", "a key of a map"),
    "now + now": ("cel.type", "1:5", "timestamp and timestamp"),
    "now > attestation.age": ("cel.type", "1:5", ""),
    "user.roles.startsWith('a')": ("cel.type", "1:12", "list(string)"),
    "size(agent.managed)": ("cel.type", "1:1", "(bool)"),
    "agent.id.contains(1)": ("cel.type", "1:10", "contains is not defined on string and (int)"),
    "size()": ("cel.arguments", "1:1", "takes 1 arguments; found 0"),
    "size('a', 'b')": ("cel.arguments", "1:1", "found 2"),
    "agent.id.size(1)": ("cel.arguments", "1:10", "found 1"),
    "startsWith('a', 'b')": ("cel.arguments", "1:1", "call it on a value"),
    "purpose.int()": ("cel.arguments", "1:9", "call it as f(x)"),
    "purpose.matches('(')": ("cel.literal", "1:17", "RE2"),
    "purpose.matches('(?=a)')": ("cel.literal", "1:17", "RE2"),
    "matches(purpose, '[')": ("cel.literal", "1:18", "RE2"),
    "now > timestamp('now')": ("cel.literal", "1:17", "RFC 3339"),
    "attestation.age < duration('7d')": ("cel.literal", "1:28", "not a duration"),
    "attestation.age < duration('1ns')": ("cel.literal", "1:28", "microsecond"),
    "agent.?id": ("cel.unsupported", "1:6", "has(x.y)"),
    "user.roles[?0]": ("cel.unsupported", "1:11", "has(x.y)"),
    "device.posture.x.orValue(1)": ("cel.unsupported", "1:18", "has(x.y)"),
    "[1].all(a, [1].all(b, [1].all(c, true)))": ("cel.too-large", "1:27", "nest at most 2"),
}


@pytest.mark.parametrize(("source", "wanted"), WRONG.items())
def test_what_is_wrong_for_every_request_does_not_load(source: str, wanted: tuple[str, str, str]) -> None:
    with pytest.raises(CompileError) as caught:
        cel.compile(source, declarations=DEFAULT)
    code, where, said = wanted
    assert (caught.value.code, caught.value.where) == (code, where)
    assert said in str(caught.value)


def test_comprehensions_may_follow_each_other_and_nest_twice() -> None:
    assert cel.compile("[1].map(a, a).filter(b, b > 0).all(c, [1].exists(d, c == d))")({}) is True


def test_the_parameters_of_an_action_are_checked_once_its_schema_is_known() -> None:
    typed = Declarations.from_schema(
        Schema.default(), action_parameters={"shards": FactType.INT, "fast": FactType.BOOL}
    )
    assert cel.compile("parameters.shards <= 4", declarations=typed).type == BOOL
    with pytest.raises(CompileError) as caught:
        cel.compile("parameters.shard <= 4", declarations=typed)
    assert caught.value.fix == "did you mean 'shards'?"
    none = Declarations.from_schema(Schema.default(), action_parameters={})
    with pytest.raises(CompileError) as caught:
        cel.compile("has(parameters.shards)", declarations=none)
    assert caught.value.code == "cel.unknown-field"


def test_variables_are_names_of_their_own() -> None:
    with_variables = Declarations.from_schema(Schema.default(), variables={"cheap": BOOL})
    assert cel.compile("variables.cheap", declarations=with_variables).type == BOOL
    with pytest.raises(CompileError, match=r"cel\.unknown-field"):
        cel.compile("variables.cheep", declarations=with_variables)


def test_a_variable_of_a_comprehension_hides_a_fact_within_it_only() -> None:
    declarations = Declarations.of({"x": BOOL, "y": record_of("y", {"z": INT})})
    program = cel.compile("[1, 2].exists(x, x == 2) && x", declarations=declarations)
    assert program({"x": True}) is True
    assert program.references == {"x"}


def test_without_declarations_names_are_dynamic_but_functions_are_not() -> None:
    assert str(cel.compile("what.ever").type) == "dyn"
    with pytest.raises(CompileError, match=r"cel\.unknown-name"):
        cel.compile("what.ever(1)")


def test_declarations_of_the_same_facts_are_the_same() -> None:
    again = Declarations.from_schema(Schema.default())
    assert again == DEFAULT
    assert cel.compile("agent.id", declarations=again) is cel.compile("agent.id", declarations=DEFAULT)


@pytest.mark.parametrize("given", [{"container": "a.b"}, {"functions": (print,)}])
def test_containers_and_custom_functions_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(CompileError) as caught:
        cel.compile("true", **given)  # type: ignore[arg-type]
    assert caught.value.code == "cel.unsupported"
