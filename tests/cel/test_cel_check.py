"""What is wrong for every request is found when the policy loads."""

from __future__ import annotations

import pytest

from cigate import cel
from cigate.cel import CompileError, Declarations
from cigate.cel.check import check
from cigate.cel.functions import Function, Overload
from cigate.cel.library import LIBRARY
from cigate.cel.parse import parse
from cigate.cel.resolve import resolved
from cigate.cel.syntax import Call, Literal, Name, Node, Select, walk
from cigate.cel.types import BOOL, INT, STRING, Type, map_of, param, record_of
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
    "[1, 'a']": "list(dyn)",
    "[[], [1]]": "list(list(int))",
    "[[1], []][0]": "list(int)",
    "{'a': [], 'b': ['c']}": "map(string, list(string))",
    "[1, dyn('a')]": "list(dyn)",
    "[optional.none(), optional.of(1)]": "list(optional_type(int))",
    "[optional.of(1), null][0]": "optional_type(int)",
    "agent.managed ? [] : ['a']": "list(string)",
    "agent.?id": "optional_type(string)",
    "agent.?id.orValue('none')": "string",
    "device.posture.?x": "optional_type(dyn)",
    "user.roles[?0]": "optional_type(string)",
    "user.roles[?0].optMap(r, size(r))": "optional_type(int)",
    "user.roles[?0].optFlatMap(r, agent.?managed)": "optional_type(bool)",
    "optional.of(agent).id": "optional_type(string)",
    "[?user.roles[?0], 'b']": "list(string)",
    "{?'r': user.roles[?0]}": "map(string, string)",
    "user.roles.all(i, r, r != '' && i >= 0)": "bool",
    "user.roles.transformList(i, r, i)": "list(int)",
    "user.roles.transformMap(i, r, r)": "map(int, string)",
    "user.roles.transformMapEntry(i, r, {r: i})": "map(string, int)",
    "device.posture.exists_one(k, v, k == 'a' && v == 1)": "bool",
    "cel.bind(r, user.roles, size(r) + size(r))": "int",
    "cel.block([user.roles, cel.index(0)[0]], cel.index(1))": "string",
    "user.roles.map(cel.iterVar(0, 0), size(cel.iterVar(0, 0)))": "list(int)",
    "type(1)": "type(int)",
    "type(agent.id) == string": "bool",
    "type(now) == google.protobuf.Timestamp": "bool",
    "dyn(agent.id) == null": "bool",
    ".agent.id": "string",
    "user.roles.map(agent, .agent.id + agent)": "list(string)",
    "math.greatest(cost.estimate, 3)": "int",
    "[].map(x, x)": "list(dyn)",
    "[].map(x, x)[0].y": "dyn",
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
    "size()": ("cel.arguments", "1:1", "takes 1 argument; found 0"),
    "size('a', 'b')": ("cel.arguments", "1:1", "found 2"),
    "agent.id.size(1)": ("cel.arguments", "1:10", "found 1"),
    "startsWith('a', 'b')": ("cel.arguments", "1:1", "call it on a value"),
    "purpose.int()": ("cel.arguments", "1:9", "call it as int(…)"),
    "purpose.matches('(')": ("cel.literal", "1:17", "RE2"),
    "purpose.matches('(?=a)')": ("cel.literal", "1:17", "RE2"),
    "matches(purpose, '[')": ("cel.literal", "1:18", "RE2"),
    "now > timestamp('now')": ("cel.literal", "1:17", "RFC 3339"),
    "attestation.age < duration('7d')": ("cel.literal", "1:28", "not a duration"),
    "attestation.age < duration('0.5ns')": ("cel.literal", "1:28", "nanosecond"),
    "regex.replace(purpose, '(', '')": ("cel.literal", "1:24", "RE2"),
    "agent.?mananged": ("cel.unknown-field", "1:6", "did you mean 'managed'?"),
    "agent.id.?x": ("cel.type", "1:9", "no fields"),
    "agent.?id == 'a'": ("cel.type", "1:11", "optional_type(string) is never equal to string"),
    "agent.?id.orValue(1)": ("cel.type", "1:11", "orValue is not defined on optional_type(string) and (int)"),
    "[?agent.id]": ("cel.type", "1:8", "after ? comes an optional, not string"),
    "{?'a': 1}": ("cel.type", "1:8", "after ? comes an optional, not int"),
    "agent.id.optMap(x, x)": ("cel.type", "1:10", "optMap is for an optional"),
    "agent.?id.optFlatMap(x, x)": ("cel.type", "1:25", "use optMap"),
    "user.roles.transformMapEntry(i, r, r)": ("cel.type", "1:36", "write {key: value}"),
    "user.roles.exists(i, r, i == r)": ("cel.type", "1:27", "int is never equal to string"),
    "cel.bind(r, user.roles, r == 1)": ("cel.type", "1:27", "list(string) is never equal to int"),
    "cel.bind(r, 1, true) && r == 1": ("cel.unknown-name", "1:25", ""),
    "cel.index(0) == 1": ("cel.unknown-name", "1:5", "cel.index(0) is not bound here"),
    "cel.block([cel.index(1), 2], 3)": ("cel.unknown-name", "1:16", "cel.index(1)"),
    "math.greatist(1, 2)": ("cel.unknown-name", "1:6", "did you mean 'math.greatest'?"),
    "math.greatest('a')": ("cel.type", "1:1", "math.greatest is not defined on (string)"),
    "user.roles.map(r, .agnt.id)": ("cel.unknown-name", "1:20", "did you mean 'agent'?"),
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


UNCHECKED = {
    "what.ever": "dyn",
    "what.ever(1) || true": "bool",
    "false && 32": "bool",
    "true ? 'a' : 1": "dyn",
    "1 == 1.0": "bool",
    "1 + 'a'": "dyn",
    "[1].map(x, x)": "list(int)",
}


@pytest.mark.parametrize(("source", "kind"), UNCHECKED.items())
def test_without_declarations_types_are_left_to_the_evaluation(source: str, kind: str) -> None:
    assert str(check(parse(source), None, source)) == kind


def test_without_declarations_a_pattern_that_is_none_still_does_not_load() -> None:
    with pytest.raises(CompileError, match=r"cel\.literal"):
        check(parse("a.matches('(')"), None)


NAMES = Declarations.of({"a.b.c": INT, "a.b": map_of(STRING, STRING), "x.a": BOOL, "x.y.z": INT, "z": BOOL})

RESOLVED = {
    ("a.b.c", ""): Name(0, "a.b.c"),
    ("a.b.d", ""): Select(0, Name(0, "a.b"), "d"),
    ("z", "x.y"): Name(0, "x.y.z"),
    ("z", "x"): Name(0, "z"),
    (".z", "x.y"): Name(0, "z", absolute=True),
    ("a", "x.y"): Name(0, "x.a"),
    ("y.z", "x"): Name(0, "x.y.z"),
    ("google.protobuf.Duration", ""): Name(0, "google.protobuf.Duration"),
    ("math.least(1)", ""): Call(0, "math.least", None, (Literal(0, 1),)),
    (".math.least(1)", "x"): Call(0, "math.least", None, (Literal(0, 1),)),
    ("least(1)", "math"): Call(0, "math.least", None, (Literal(0, 1),)),
    (".size('a')", "math"): Call(0, "size", None, (Literal(0, "a"),)),
}


@pytest.mark.parametrize(("case", "node"), RESOLVED.items())
def test_a_name_is_the_longest_that_is_declared_from_the_container_outwards(
    case: tuple[str, str], node: Node
) -> None:
    source, container = case
    assert resolved(parse(source), NAMES, container, LIBRARY, source) == node


def test_a_variable_of_a_macro_hides_names_that_begin_like_it() -> None:
    node = resolved(parse("[1].map(a, a.b.c) == [a.b.c]"), NAMES, "", LIBRARY)
    hidden = Select(0, Select(0, Name(0, "a"), "b"), "c")
    found = list(walk(node))
    assert hidden in found
    assert Name(0, "a.b.c") in found


def test_a_signature_has_its_parameters_for_each_call_anew() -> None:
    pair = Type("pair", (param("A"), param("B")))
    functions = {
        **LIBRARY,
        "pair": Function("pair", (Overload((param("A"), param("B")), pair),), lambda a, b: None),
        "same": Function(
            "same", (Overload((Type("pair", (param("T"), param("T"))),), param("T")),), lambda a: a
        ),
    }

    def kind(source: str) -> str:
        return str(check(parse(source), Declarations.of({}), source, functions=functions))

    assert kind("pair(1, 'a')") == "pair(int, string)"
    assert kind("[pair(1, 'a'), pair(dyn(1), dyn('a'))]") == "list(pair(dyn, dyn))"
    assert kind("pair(pair(1, 2), [])") == "pair(pair(int, int), list(dyn))"
    assert kind("same(pair(1, 2)) + 1") == "int"
    assert kind("same(pair([], ['a']))") == "list(string)"
    with pytest.raises(CompileError, match=r"cel\.type"):
        kind("same(pair(1, 'a'))")


def test_declarations_of_the_same_facts_are_the_same() -> None:
    again = Declarations.from_schema(Schema.default())
    assert again == DEFAULT
    assert cel.compile("agent.id", declarations=again) is cel.compile("agent.id", declarations=DEFAULT)
