"""Presence tests are taken by polarity: what a missing fact could open does not load."""

from __future__ import annotations

from typing import Any

import pytest
from policy_writing import allow, ask, deny, facts, policy, throttle

from cigate.decision import Effect
from cigate.errors import PolicyError

AGE = "has(device.posture.age)"

# Each: an expression, and whether it may stand in an allow rule, and in one that restricts.
TESTS = {
    AGE: (True, False),
    f"!{AGE}": (False, True),
    f"!!{AGE}": (True, False),
    f"{AGE} && device.posture.age < 30": (True, False),
    f"!{AGE} || device.posture.age > 30": (False, True),
    f"!({AGE} && device.posture.age < 30)": (False, True),
    f"!(!{AGE} || device.posture.age > 30)": (True, False),
    f"{AGE} || !{AGE}": (False, False),
    f"{AGE} == true": (False, False),
    f"{AGE} ? true : false": (False, False),
    f"true ? {AGE} : false": (False, False),
    f"user.roles.exists(r, {AGE})": (False, False),
    f"[{AGE}] == [true]": (False, False),
    "variables.aged": (True, False),
    "!variables.aged": (False, True),
    "agent.managed && (risk.score > 3 || !variables.aged)": (False, True),
    "has(device.posture)": (True, False),
    '"age" in device.posture': (True, False),
    '!("age" in device.posture)': (False, True),
    "user.id in device.posture": (True, False),
    '"posture" in device': (True, False),
    "size(device.posture) > 0": (True, False),
    "device.posture.size() >= 2": (True, False),
    "0 < size(device.posture)": (True, False),
    "size(device.posture) != 0": (True, False),
    "device.posture != {}": (True, False),
    "size(device.posture) < 2": (False, True),
    "size(device.posture) == 0": (False, True),
    "{} == device.posture": (False, True),
    "2 >= size(device.posture)": (False, True),
    "size(device.posture) == 2": (False, False),
    "size(device.posture) + 1 > 2": (False, False),
    "size(device.posture) > size(history)": (False, False),
    'device.posture == {"age": 3}': (False, False),
    "device.posture == history": (False, False),
    "device.posture in [history]": (False, False),
    'device.posture.exists(k, k == "age")': (False, False),
    'device.posture.map(k, k) == ["age"]': (False, False),
    "(true ? device.posture : history).age > 1": (False, False),
    "type(device.posture) == map": (False, False),
    # An optional with a default, and the default that closes.
    "device.posture.?safe.orValue(false)": (True, False),
    "device.posture.?safe.orValue(true)": (False, True),
    "!device.posture.?safe.orValue(true)": (True, False),
    "!device.posture.?safe.orValue(false)": (False, True),
    'agent.managed && device.posture[?"safe"].orValue(false)': (True, False),
    "agent.managed || device.?posture.safe.orValue(true)": (False, True),
    "device.posture.?safe.hasValue()": (True, False),
    "!device.posture.?safe.hasValue()": (False, True),
    "!device.posture.?safe.hasValue() || device.posture.safe == true": (False, True),
    # Any other use of an optional: nobody can tell.
    "device.posture.?safe.orValue(false) == true": (False, False),
    "device.posture.?age.orValue(0) > 30": (False, False),
    "device.posture.?age.orValue(0) < 30": (False, False),
    "device.posture.?safe.orValue(agent.managed)": (False, False),
    "device.posture.?safe.or(history.?safe).orValue(false)": (False, False),
    "device.posture.?age.optMap(a, a > 30).orValue(false)": (False, False),
    "device.posture.?age.value() > 30": (False, False),
    "device.posture[?user.id].orValue(false)": (False, False),
    "has(device.?posture.age)": (False, False),
    "size([?device.posture.?age]) == 1": (False, False),
    '{?"a": device.posture.?age} != {}': (False, False),
    # A name for a part hides nothing of it.
    "cel.bind(t, has(device.posture.age), t)": (False, False),
    "cel.bind(p, device.posture, size(p) < 2)": (False, False),
    "cel.bind(p, device, has(p.posture))": (False, False),
    "cel.bind(n, user.id, n == 'bob')": (True, True),
    "device.posture.all(k, v, v != 3)": (False, False),
    "user.roles.all(i, r, has(device.posture.age))": (False, False),
    "user.roles.exists(i, r, i > 0 && r == 'sre')": (True, True),
    # No presence tests at all: without the fact these are errors.
    "device.posture.age > 30": (True, True),
    'device.posture["age"] > 30': (True, True),
    "device.posture[user.id] == 1": (True, True),
    '"sre" in user.roles': (True, True),
    'user.roles.exists(r, r == "sre")': (True, True),
    "size(user.roles) == 0": (True, True),
    'approvals.exists(a, a.user == "bob" && "sre" in a.roles)': (True, True),
    "size(user.id) < 3": (True, True),
    "user.id in ['a', 'b']": (True, True),
}
VARIABLES = {"aged": AGE}


def loads(rule: dict[str, Any]) -> bool:
    try:
        policy(rule, variables=VARIABLES)
    except PolicyError as error:
        refused = error
    else:
        return True
    assert refused.code == "policy.presence", str(refused)
    return False


@pytest.mark.parametrize("expression", TESTS)
def test_a_presence_test_loads_only_where_a_missing_fact_can_only_close(expression: str) -> None:
    opens, restricts = TESTS[expression]
    assert loads(allow(expression)) is opens
    for rule in (deny, ask, throttle):
        assert loads(rule(expression)) is restricts


@pytest.mark.parametrize("expression", TESTS)
def test_who_accepts_that_a_rule_ignores_the_unknown_may_write_anything(expression: str) -> None:
    assert loads(deny(expression, on_unknown="ignore"))
    assert loads(allow(expression, on_unknown="ignore"))


def test_the_error_shows_the_idiom_that_is_right_and_where_it_belongs() -> None:
    with pytest.raises(PolicyError) as caught:
        policy(deny(f"agent.managed && {AGE} && device.posture.age > 30"))
    text = str(caught.value)
    assert "has(device.posture.age) is a presence test" in text
    assert "!has(device.posture.age) || …, as in !has(x) || x > 30" in text
    assert "on_unknown: ignore" in text
    assert ":1:" in caught.value.where


def test_the_idioms_mean_what_they_say() -> None:
    known, unknown = facts(), facts(device={"posture": {}})
    nothing = facts(device=None)
    opening = policy(allow(f"{AGE} && device.posture.age < 30"))
    closing = policy(allow(), deny(f"!{AGE} || device.posture.age > 30"))
    asking = policy(allow(), ask(f"!{AGE} || device.posture.age > 30"))
    for engine, effects in (
        (opening, ["allow", "deny", "deny"]),
        (closing, ["allow", "deny", "deny"]),
        (asking, ["allow", "require_approval", "require_approval"]),
    ):
        assert [engine.decide(each).effect.value for each in (known, unknown, nothing)] == effects


def test_a_rule_that_ignores_the_unknown_does_not_fire_then() -> None:
    engine = policy(allow(), deny(f"{AGE} && device.posture.age > 2", on_unknown="ignore"))
    assert engine.decide(facts()).effect is Effect.DENY
    assert engine.decide(facts(device={"posture": {}})).effect is Effect.ALLOW


UNKNOWN = "device.posture.nothing > 2"
IGNORING = {
    "an unknown member": (deny(UNKNOWN), "allow"),
    "an unknown fact": (deny("attestation.level < 1"), "allow"),
    "an approval rule": (ask(UNKNOWN), "allow"),
    "a throttle rule": (throttle(UNKNOWN), "allow"),
    "an allow rule": (allow(UNKNOWN), "allow"),
    "an error of another kind": (deny("device.posture.age > 'a'"), "deny"),
    "a division": (deny("1 / (risk.score - 10) == 1"), "deny"),
    "a bucket without a name": (throttle(key=["user.team"]), "deny"),
}


@pytest.mark.parametrize("case", IGNORING)
def test_to_ignore_the_unknown_is_to_ignore_nothing_else(case: str) -> None:
    rule, effect = IGNORING[case]
    given = facts(user={"id": "alice"})
    assert policy(allow(), rule).decide(given).code == "policy.rule-error"
    assert policy(allow(), {**rule, "on_unknown": "ignore"}).decide(given).effect.value == effect


def test_an_allow_rule_that_ignores_the_unknown_opens_nothing_by_it() -> None:
    decision = policy(allow(f"{UNKNOWN} || risk.score > 50", on_unknown="ignore")).decide(facts())
    assert decision.code == "policy.no-allow-rule"


# The agent chooses whether an optional parameter is there. Each: a rule beside `allow()`, that is in error while
# the parameter is given, because the risk is unknown.
HIDING = {
    "an allow rule": allow("risk.score < 30 && has(parameters.ref)"),
    "an allow rule, deeper": allow("(risk.score < 30 || has(parameters.tag)) && has(parameters.ref)"),
    "an approval rule": ask("risk.score > 80 || !has(parameters.ref)"),
    "a throttle rule": throttle("!has(parameters.ref) || risk.score > 80", key=["agent.id"]),
    "a default that closes": allow("risk.score < 30 && parameters.?sure.orValue(false)"),
    "a default that restricts": ask("risk.score > 80 || parameters.?wild.orValue(true)"),
    "a comparison of both": allow("has(parameters.ref) && parameters.ref == string(risk.score)"),
}


@pytest.mark.parametrize("case", HIDING)
def test_an_absent_fact_excuses_no_error_but_its_own(case: str) -> None:
    engine = policy(allow(), HIDING[case])
    for parameters in ({"ref": "main", "sure": True, "wild": False}, {}):
        decision = engine.decide(facts(risk=None, parameters=parameters))
        assert decision.code == "policy.rule-error", decision.explain()
    assert engine.decide(facts(parameters={})).effect is not Effect.DENY


@pytest.mark.parametrize("restricting", [ask, throttle], ids=["ask", "throttle"])
def test_a_map_that_lacks_what_a_rule_reads_counts_as_absent_where_the_rule_tests_for_it(
    restricting: Any,
) -> None:
    """Else taking away the rest of it would heal the error, and open."""
    engine = policy(allow(), restricting("!has(device.posture) || device.posture.age > 30"))
    absent = engine.decide(facts(device=None))
    for posture in ({}, {"compliant": True}):
        partial = engine.decide(facts(device={"posture": posture}))
        assert (partial.effect, partial.rules) == (absent.effect, absent.rules)
    assert len(absent.rules) == 2
    assert len(engine.decide(facts(device={"posture": {"age": 3}})).rules) == 1


def test_a_map_that_no_rule_tests_for_is_no_excuse_for_its_members() -> None:
    engine = policy(allow(), ask("device.posture.age > 30"))
    assert engine.decide(facts(device={"posture": {}})).code == "policy.rule-error"


@pytest.mark.parametrize(
    "expression",
    [
        "[device.posture.compliant] == [false]",
        "[false] == [device.posture.compliant]",
        "[1, device.posture.compliant] != [1, true]",
        "[[device.posture.compliant]] == [[false]]",
        '{"a": device.posture.compliant} == {"a": false}',
        '{device.posture.name: 1} == {"a": 1}',
        "[device.posture.compliant].map(x, x) == [false]",
        "(true ? [device.posture.compliant] : []) == [false]",
        "[device.posture.compliant] in [[false]]",
        "false in [device.posture.compliant]",
        "false in [device.posture.compliant].filter(x, true)",
        "false in {device.posture.compliant: 1}",
        "device.posture.compliant in [history.compliant, false]",
        "user.roles.exists(r, [device.posture.compliant] == [r == 'sre'])",
        "variables.buried == [false]",
    ],
)
@pytest.mark.parametrize("rule", [deny, allow])
def test_an_open_fact_within_a_list_or_map_is_compared_with_nothing(rule: Any, expression: str) -> None:
    with pytest.raises(PolicyError, match="compare the fact itself") as caught:
        policy(allow(), rule(expression), variables={"buried": "[device.posture.compliant]"})
    assert caught.value.code == "policy.type"


@pytest.mark.parametrize(
    "expression",
    [
        "device.posture.compliant in [false, false]",
        "device.posture.compliant in {false: 1}",
        "device.posture.compliant in {false: device.posture.age}",
        '{"a": device.posture.compliant}.a == false',
        "[device.posture.compliant][0] == false",
        "[device.posture.compliant].exists(x, x == false)",
    ],
)
def test_where_an_open_fact_can_be_compared_another_type_is_an_error(expression: str) -> None:
    engine = policy(allow(), deny(expression))
    codes = [
        engine.decide(facts(device={"posture": {"compliant": value, "age": 3}})).code
        for value in (True, False, "false", 0)
    ]
    assert codes == ["policy.allowed", "policy.denied", "policy.rule-error", "policy.rule-error"]


def test_a_default_stands_for_an_absent_fact_and_hides_nothing_that_a_fact_says() -> None:
    sure = policy(allow("device.posture.?sure.orValue(false)"))
    wild = policy(allow(), deny("device.posture.?wild.orValue(true)"))
    for engine, name, opening in ((sure, "sure", True), (wild, "wild", False)):
        opens = [
            engine.decide(facts(device={"posture": posture})).effect is Effect.ALLOW
            for posture in ({name: opening}, {name: not opening}, {name: "true"}, {name: "false"}, {})
        ]
        assert opens == [True, False, False, False, False]
    # False as a fact decides: the risk that nobody knows is not read.
    both = policy(allow("agent.managed"), allow("parameters.?sure.orValue(false) && risk.score < 30"))
    assert both.decide(facts(risk=None, parameters={"sure": False})).effect is Effect.ALLOW
    assert both.decide(facts(risk=None, parameters={})).code == "policy.rule-error"
