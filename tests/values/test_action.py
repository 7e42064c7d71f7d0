"""Actions: what the catalogue says is checked at load, what a request gives is refused and never repaired."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.action import Action, CredentialUse, Parameter, Price, Source
from cigate.errors import ConfigError, RequestError
from cigate.wire import canonical, yamldoc

CATALOGUE = """\
pipeline: local
source: {git: /srv/repos/app.git, branches: [main, "release/*"]}
command: [/usr/bin/make, integration]
timeout: 10m
memory: 256Mi
cost: {per_run: 20, per_minute: 8}
credential: {broker: local, profile: tests-read-only, ttl: 5m}
output: status
parameters:
  test_suite: {type: string, pattern: "[a-z][a-z0-9-]{0,40}"}
  target: {type: string, enum: [staging, "-q"], optional: true}
  shards: {type: integer, minimum: 1, maximum: 8, optional: true}
  retries: {type: integer, enum: [0, 3], optional: true}
  fast: {type: boolean, optional: true}
  note: {type: string, pattern: "(?s).*", maxLength: 20, optional: true}
"""


def section() -> dict[str, Any]:
    value = yamldoc.parse(CATALOGUE, "gateway.yaml").value
    assert isinstance(value, dict)
    return value


def action() -> Action:
    return Action.from_config("run-test-suite", section())


def test_a_section_of_the_catalogue_is_an_action() -> None:
    read = action()
    assert read.name == "run-test-suite"
    assert read.source == Source("/srv/repos/app.git", ("main", "release/*"))
    assert read.command == ("/usr/bin/make", "integration")
    assert read.timeout == timedelta(minutes=10)
    assert read.memory == 256 * 2**20
    assert read.cost == Price(20, 8)
    assert read.credential == CredentialUse("local", "tests-read-only", timedelta(minutes=5))
    assert read.parameters["shards"] == Parameter("integer", minimum=1, maximum=8, optional=True)
    assert read.parameters["note"].max_length == 20


def test_what_is_not_given_has_the_documented_default() -> None:
    assert Action.from_config("a", {}) == Action("a")  # type: ignore[arg-type]
    assert (Action.from_config("a", {}).pipeline, Action.from_config("a", {}).output) == ("local", "status")


BAD_SECTIONS: list[tuple[Any, str, str]] = [
    ([], "config.type", ""),
    ({"tiemout": "1m"}, "config.unknown-key", "/tiemout"),
    ({"name": "b"}, "config.unknown-key", "/name"),
    ({"pipeline": ""}, "config.type", "/pipeline"),
    ({"pipeline": 1}, "config.type", "/pipeline"),
    ({"timeout": 10}, "config.type", "/timeout"),
    ({"timeout": "10"}, "config.duration", "/timeout"),
    ({"timeout": "0s"}, "config.duration", "/timeout"),
    ({"timeout": "25h"}, "action.timeout", "/timeout"),
    ({"memory": "256MB"}, "action.memory", "/memory"),
    ({"memory": "0Mi"}, "action.memory", "/memory"),
    ({"memory": "-1Mi"}, "action.memory", "/memory"),
    ({"memory": 1024}, "action.memory", "/memory"),
    ({"memory": True}, "action.memory", "/memory"),
    ({"memory": 1.5e9}, "action.memory", "/memory"),
    ({"memory": "9999999999Ti"}, "action.memory", "/memory"),
    ({"command": "make test"}, "action.command", "/command"),
    ({"command": []}, "action.command", "/command"),
    ({"command": ["make", 1]}, "action.command", "/command/1"),
    ({"command": ["make", "a\0b"]}, "action.command", "/command/1"),
    ({"command": [""]}, "config.type", "/command/0"),
    ({"output": "all"}, "action.output", "/output"),
    ({"output": None}, "config.type", "/output"),
    ({"accept_output_disclosure": "yes"}, "config.type", "/accept_output_disclosure"),
    ({"source": "app.git"}, "config.type", "/source"),
    ({"source": {"git": "app.git"}}, "config.missing-key", "/source"),
    ({"source": {"git": "app.git", "branches": []}}, "action.source", "/source/branches"),
    ({"source": {"git": "app.git", "branches": "main"}}, "config.type", "/source/branches"),
    ({"source": {"git": "--upload-pack=x", "branches": ["main"]}}, "action.source", "/source/git"),
    ({"source": {"git": "app.git", "branches": ["main", "-x"]}}, "action.source", "/source/branches/1"),
    ({"source": {"git": "app.git", "branches": ["a\n"]}}, "action.source", "/source/branches/0"),
    ({"source": {"git": "a", "branches": ["b"], "ref": "c"}}, "config.unknown-key", "/source/ref"),
    ({"cost": {"per_run": -1}}, "config.range", "/cost/per_run"),
    ({"cost": {"per_minute": 1.5}}, "config.type", "/cost/per_minute"),
    ({"cost": {"per_hour": 1}}, "config.unknown-key", "/cost/per_hour"),
    ({"credential": {"broker": "local", "ttl": "5m"}}, "config.missing-key", "/credential"),
    ({"credential": {"broker": "l", "profile": "p", "ttl": "2d"}}, "action.ttl", "/credential/ttl"),
    ({"parameters": []}, "config.type", "/parameters"),
    ({"parameters": {"1a": {"type": "boolean"}}}, "action.parameter", "/parameters/1a"),
    ({"parameters": {"a b": {"type": "boolean"}}}, "action.parameter", "/parameters/a b"),
    (
        {"parameters": {"a-b": {"type": "boolean"}, "A_B": {"type": "boolean"}}},
        "action.parameter",
        "/parameters/A_B",
    ),
    ({"parameters": {f"p{at}": {"type": "boolean"} for at in range(65)}}, "action.parameter", "/parameters"),
]

BAD_PARAMETERS: list[tuple[Any, str, str]] = [
    ("string", "config.type", ""),
    ({}, "config.missing-key", ""),
    ({"type": "text"}, "action.parameter", "/type"),
    ({"type": "number"}, "action.parameter", "/type"),
    ({"type": "string"}, "action.parameter", "/type"),
    ({"type": "string", "maxLength": 5}, "action.parameter", "/type"),
    ({"type": "string", "pattern": "("}, "action.pattern", "/pattern"),
    ({"type": "string", "pattern": "(a)\\1"}, "action.pattern", "/pattern"),
    ({"type": "string", "pattern": "(?=a)"}, "action.pattern", "/pattern"),
    ({"type": "string", "pattern": "a{1000}{1000}"}, "action.pattern", "/pattern"),
    ({"type": "string", "pattern": "a" * 1025}, "action.pattern", "/pattern"),
    ({"type": "string", "pattern": ""}, "config.type", "/pattern"),
    ({"type": "string", "pattern": 1}, "config.type", "/pattern"),
    ({"type": "string", "pattern": "a", "minimum": 1}, "action.parameter", "/minimum"),
    ({"type": "string", "pattern": "a", "maxLength": 0}, "action.range", "/maxLength"),
    ({"type": "string", "pattern": "a", "maxLength": 4097}, "action.range", "/maxLength"),
    ({"type": "string", "pattern": "a", "max_length": 1}, "config.unknown-key", "/max_length"),
    ({"type": "string", "enum": []}, "action.enum", "/enum"),
    ({"type": "string", "enum": "ab"}, "config.type", "/enum"),
    ({"type": "string", "enum": ["a", 1]}, "action.enum", "/enum/1"),
    ({"type": "string", "enum": ["a", "a"]}, "action.enum", "/enum/1"),
    ({"type": "string", "enum": ["a\n"]}, "action.enum", "/enum/0"),
    ({"type": "string", "enum": ["${{ x }}"]}, "action.enum", "/enum/0"),
    ({"type": "integer", "enum": [1, True]}, "action.enum", "/enum/1"),
    ({"type": "integer", "enum": [1.0]}, "action.enum", "/enum/0"),
    ({"type": "integer", "pattern": "1"}, "action.parameter", "/pattern"),
    ({"type": "integer", "maxLength": 1}, "action.parameter", "/maxLength"),
    ({"type": "integer", "minimum": 2, "maximum": 1}, "action.range", "/minimum"),
    ({"type": "integer", "minimum": "1"}, "config.type", "/minimum"),
    ({"type": "integer", "minimum": True}, "config.type", "/minimum"),
    ({"type": "integer", "maximum": 2**53}, "config.range", "/maximum"),
    ({"type": "boolean", "minimum": 0}, "action.parameter", "/minimum"),
    ({"type": "boolean", "optional": "no"}, "config.type", "/optional"),
    ({"type": "boolean", "default": True}, "config.unknown-key", "/default"),
]


@pytest.mark.parametrize(
    ("given", "code", "where"),
    [
        *BAD_SECTIONS,
        *(
            ({"parameters": {"x": given}}, code, f"/parameters/x{where}")
            for given, code, where in BAD_PARAMETERS
        ),
    ],
)
def test_what_the_catalogue_can_not_mean_is_an_error_at_its_place(given: Any, code: str, where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Action.from_config("a", given)
    assert (refused.value.code, refused.value.where) == (code, where)


@pytest.mark.parametrize("name", ["", "Run", "a b", "a/b", "-a", "a" * 65, "a\n"])
def test_an_action_is_named_as_requests_name_it(name: str) -> None:
    with pytest.raises(ConfigError, match=r"action\.name"):
        Action.from_config(name, {})


def test_full_output_beside_a_credential_must_be_accepted_in_words() -> None:
    """Threats E0: the agent chose the commit, so it chose the code that prints."""
    given = {**section(), "output": "full"}
    with pytest.raises(ConfigError) as refused:
        Action.from_config("a", given)
    assert (refused.value.code, refused.value.where) == ("action.output-disclosure", "/output")
    assert Action.from_config("a", {**given, "accept_output_disclosure": True}).output == "full"
    del given["credential"]
    assert Action.from_config("a", given).output == "full"
    with pytest.raises(ConfigError, match=r"action\.output-disclosure"):
        attrs.evolve(action(), output="full")


@pytest.mark.parametrize(
    "parameters",
    [
        {"test_suite": "integration-qa"},
        {"test_suite": "a", "shards": 1, "fast": False, "retries": 3, "target": "staging", "note": ""},
        {"test_suite": "a", "shards": 8, "retries": 0, "target": "-q", "note": "größer; $(x) 'y' \"z\""},
    ],
)
def test_parameters_that_fit_pass_unchanged(parameters: Mapping[str, bool | int | str]) -> None:
    checked = action().check(parameters)
    assert json.dumps(dict(checked), sort_keys=True) == json.dumps(dict(parameters), sort_keys=True)


@pytest.mark.parametrize(
    ("changes", "code", "where"),
    [
        ({"test_suite": ...}, "missing", "test_suite"),
        ({"tests": "a"}, "unknown", "tests"),
        ({"TEST_SUITE": "a"}, "unknown", "TEST_SUITE"),
        ({"LD_PRELOAD": "a"}, "unknown", "LD_PRELOAD"),
        ({"test_suite": 1}, "type", "test_suite"),
        ({"test_suite": True}, "type", "test_suite"),
        ({"test_suite": None}, "type", "test_suite"),
        ({"test_suite": ["a"]}, "type", "test_suite"),
        ({"test_suite": ""}, "pattern", "test_suite"),
        ({"test_suite": "A"}, "pattern", "test_suite"),
        ({"test_suite": "a b"}, "pattern", "test_suite"),
        ({"test_suite": "ab;ls"}, "pattern", "test_suite"),
        ({"test_suite": "1a"}, "pattern", "test_suite"),
        ({"test_suite": "a" * 42}, "pattern", "test_suite"),
        ({"test_suite": "a\n"}, "forbidden-character", "test_suite"),
        ({"test_suite": "-a"}, "forbidden-character", "test_suite"),
        ({"test_suite": "a" * 4097}, "length", "test_suite"),
        ({"note": "x" * 21}, "length", "note"),
        ({"note": "-rf"}, "forbidden-character", "note"),
        ({"note": "a ${{ token }}"}, "forbidden-character", "note"),
        ({"target": "production"}, "enum", "target"),
        ({"target": "Staging"}, "enum", "target"),
        ({"target": "-x"}, "forbidden-character", "target"),
        ({"shards": "1"}, "type", "shards"),
        ({"shards": True}, "type", "shards"),
        ({"shards": 1.0}, "type", "shards"),
        ({"shards": 0}, "range", "shards"),
        ({"shards": 9}, "range", "shards"),
        ({"shards": -1}, "range", "shards"),
        ({"retries": 1}, "enum", "retries"),
        ({"retries": False}, "type", "retries"),
        ({"fast": 1}, "type", "fast"),
        ({"fast": "true"}, "type", "fast"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_at_their_place(changes: Any, code: str, where: str) -> None:
    given = {"test_suite": "a", **changes}
    with pytest.raises(RequestError) as refused:
        action().check({name: value for name, value in given.items() if value is not ...})
    assert (refused.value.code, refused.value.where) == (f"parameter.{code}", f"/parameters/{where}")


INJECTIONS = [
    "a\n",
    "a\r\n",
    "\na",
    "a\0",
    "a\x1b[2J",
    "a\x7f",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "a\u200bb",
    "a\u202eb",
    "a\u2066b",
    "a\ufeff",
    "a\u00adb",
    "a\U000e0041",
    "a\ud800",
    "${{ secrets.TOKEN }}",
    "x${{x",
    "a\n::set-env name=PATH::x",
    "a<<EOF\nx\nEOF",
    "-x",
    "--upload-pack=touch x",
    "-",
]


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize("pattern", [".*", "(?s).*", "(?s-m).*", "[^a]*|.*", r"[\s\S]*", "(?m)^.*$"])
def test_no_pattern_lets_control_characters_templates_or_options_through(value: str, pattern: str) -> None:
    with pytest.raises(RequestError) as refused:
        Parameter("string", pattern=pattern).check(value, "/parameters/x")
    assert refused.value.code == "parameter.forbidden-character"


@pytest.mark.parametrize(
    "value",
    [
        "; id",
        "$(id)",
        "`id`",
        "| id",
        "&& id",
        "> /etc/passwd",
        "'",
        '"',
        "../../x",
        "{{ x }}",
        "%0a",
        "a=b",
        "ａ",
        "a b",
        "~",
        "*",
        "!",
    ],
)
def test_a_narrow_pattern_lets_nothing_else_through(value: str) -> None:
    schema = Parameter("string", pattern="[a-z][a-z0-9-]*")
    for text in (value, "a" + value, value + "a", "a" + value + "a"):
        with pytest.raises(RequestError):
            schema.check(text, "/parameters/x")


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("a|b", "ab"),
        ("a|b", "xb"),
        ("^a$", "ba"),
        ("a$", "a\n"),
        ("(?m)^a$", "a\nb"),
        ("a\\z", "ba"),
        ("a", "aa"),
    ],
)
def test_a_pattern_always_matches_the_whole_value(pattern: str, value: str) -> None:
    with pytest.raises(RequestError):
        Parameter("string", pattern=pattern).check(value, "/parameters/x")


@given(st.text(max_size=20))
def test_what_passes_the_widest_pattern_is_one_plain_line(value: str) -> None:
    schema = Parameter("string", pattern="(?s).*")
    try:
        assert schema.check(value, "") is value
    except RequestError:
        return
    assert not value.startswith("-")
    assert "${{" not in value
    assert {unicodedata.category(each) for each in value}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})


@given(st.text(alphabet="ab-\n\x00Z", max_size=8))
def test_a_pattern_agrees_with_its_own_words(value: str) -> None:
    expected = bool(value) and value[0] in "ab" and set(value) <= set("ab-")
    try:
        Parameter("string", pattern="[ab][ab-]*").check(value, "")
        passed = True
    except RequestError:
        passed = False
    assert passed is expected


def test_the_workflow_is_what_a_run_executes_and_nothing_else() -> None:
    base = action()
    assert base.workflow.startswith("sha256:")
    for changes in (
        {"name": "other"},
        {"pipeline": "other"},
        {"command": ("/usr/bin/make", "deploy")},
        {"source": Source("/srv/repos/app.git", ("main",))},
        {"source": None},
    ):
        assert attrs.evolve(base, **changes).workflow != base.workflow  # type: ignore[arg-type]
    assert attrs.evolve(base, timeout=timedelta(minutes=1)).workflow == base.workflow


def test_policies_see_the_type_of_each_parameter() -> None:
    assert action().fact_types() == {
        "test_suite": "string",
        "target": "string",
        "shards": "integer",
        "retries": "integer",
        "fast": "boolean",
        "note": "string",
    }


def test_every_field_of_an_action_is_in_the_configurations_digest() -> None:
    """Threats B10b: whoever adds a field must digest it."""
    base = action()
    assert set(base.to_json()) == {each.name for each in attrs.fields(Action)}
    assert len(base.to_json()["parameters"]["note"]) == 4
    changes: list[dict[str, Any]] = [
        {"timeout": timedelta(minutes=1)},
        {"memory": 2**30},
        {"cost": None},
        {"credential": None},
        {"output": "none"},
        {"accept_output_disclosure": True},
        {"parameters": {}},
        *(
            {"parameters": {**base.parameters, "shards": attrs.evolve(base.parameters["shards"], **change)}}
            for change in ({"minimum": 2}, {"maximum": 9}, {"optional": False}, {"enum": (1, 2)})
        ),
        *(
            {"parameters": {**base.parameters, "note": attrs.evolve(base.parameters["note"], **change)}}
            for change in ({"pattern": "a"}, {"max_length": 9}, {"max_length": None})
        ),
    ]
    digests = {canonical.digest(attrs.evolve(base, **change).to_json()) for change in changes}
    assert len(digests | {canonical.digest(base.to_json())}) == len(changes) + 1
