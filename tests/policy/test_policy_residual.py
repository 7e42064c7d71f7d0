"""What is left of a policy when some facts are known: simple where people read it, and right for every rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_writing import ACTION, allow, ask, deny, policy, throttle
from test_policy_properties import documents, loaded, policies, policies_of

from cigate import cel
from cigate.decision import Effect
from cigate.errors import FactsError
from cigate.facts import Facts, FactType, Schema
from cigate.policy import PolicyEngine, residual
from cigate.policy.absence import Outcome
from cigate.policy.exact import verdicts

KNOWN = {"action": ACTION, "agent": {"id": "a", "managed": True}, "user": {"id": "alice", "team": "qa"}}

LEFT: list[tuple[str, str]] = [
    ("agent.managed && risk.score < 30", "risk.score < 30"),
    ("!agent.managed || risk.score < 30", "risk.score < 30"),
    ("!agent.managed && risk.score < 30", "false"),
    ("agent.managed || risk.score < 30", "true"),
    ("agent.managed ? risk.score < 30 : risk.score < 5", "risk.score < 30"),
    ("agent.trusted ? user.team == 'qa' : user.team == 'web'", "agent.trusted ? true : false"),
    ("risk.score < 30 && agent.managed && cost.estimate < 5", "risk.score < 30 && cost.estimate < 5"),
    ("user.team in user.roles", '"qa" in user.roles'),
    ("user.roles.exists(r, r == user.team)", 'user.roles.exists(r, r == "qa")'),
    ("!(user.team == 'web' && agent.trusted)", "true"),
    ("has(user.team) && agent.trusted", "agent.trusted"),
    (
        "has(device.posture.age) && device.posture.age < 3",
        "has(device.posture.age) && device.posture.age < 3",
    ),
    (
        "agent.trusted && now < timestamp('2027-01-01T00:00:00Z')",
        'agent.trusted && now < timestamp("2027-01-01T00:00:00Z")',
    ),
    ("variables.calm && agent.managed", "risk.score < 50 && cost.estimate < 50"),
]


@pytest.mark.parametrize(("expression", "left"), LEFT)
def test_what_is_known_is_put_in_place_and_only_the_rest_is_left(expression: str, left: str) -> None:
    engine = policy(allow(expression), variables={"calm": "risk.score < 50 && cost.estimate < 50"})
    [rule] = residual(engine, KNOWN).rules
    assert rule.shown == left


def test_the_condition_joins_all_rules_and_is_strict_about_errors() -> None:
    engine = policy(
        allow("agent.managed && risk.score < 30"),
        allow("agent.trusted"),
        deny("cost.estimate > 50"),
        ask("user.team == 'web'"),
        ask("cost.estimate > 20"),
        throttle("risk.score > 90"),
        throttle(key=["user.team"]),
        throttle("agent.trusted", key=["device.id"]),
    )
    found = residual(engine, KNOWN)
    assert found.condition == (
        "true in [risk.score < 30, agent.trusted] && !(cost.estimate > 50) && !(cost.estimate > 20)"
        " && !(risk.score > 90) && (agent.trusted ? type(device.id) == string : true)"
    )
    assert found.exact
    assert found.of(Effect.REQUIRE_APPROVAL) == "cost.estimate > 20"
    assert found.of(Effect.ALLOW) == "(risk.score < 30) || agent.trusted"
    rest = {"risk": {"score": 3}, "cost": {"estimate": 9}, "device": {"id": "d"}, "agent": {"trusted": True}}
    assert found.program(Facts.of(rest).document) is True
    with pytest.raises(cel.EvaluationError):
        found.program(Facts.of({**rest, "agent": {}}).document)


@pytest.mark.parametrize(
    ("rules", "condition"),
    [
        ([allow()], "true"),
        ([deny()], "false"),
        ([], "false"),
        ([allow("user.team == 'qa'"), deny("user.team == 'web'")], "true"),
        ([allow(), deny("agent.managed")], "false"),
        ([allow(), ask()], "false"),
        ([allow(), throttle()], "false"),
        ([allow(), throttle(key=["user.id"])], "true"),
        ([allow(), deny("cost.estimate / 0 > 3")], "!(cost.estimate / 0 > 3)"),
    ],
)
def test_a_condition_that_is_decided_is_one_word(rules: list[dict[str, Any]], condition: str) -> None:
    assert residual(policy(*rules), KNOWN).condition == condition


def test_a_fact_that_will_never_be_known_is_an_error_or_ignored() -> None:
    engine = policy(allow(), deny("device.posture.age > 30", name="old"))
    assert residual(engine, KNOWN).condition == "!(device.posture.age > 30)"
    found = residual(engine, KNOWN, absent=["device.posture"])
    assert (found.condition, found.rules[1].outcome) == ("false", Outcome.ERROR)
    ignoring = policy(allow(), deny("device.posture.age > 30", on_unknown="ignore"))
    assert residual(ignoring, KNOWN, absent=["device.posture.age"]).condition == "true"
    tested = policy(allow(), deny("!has(device.posture.age) || device.posture.age > 30"))
    assert residual(tested, KNOWN, absent=["device.posture.age"]).condition == "false"


def test_without_an_action_it_says_what_each_action_needs() -> None:
    engine = policy(
        allow("agent.managed", actions=["build", "test"]),
        allow("agent.trusted", actions=["deploy"]),
        ask(actions=["test"]),
    )
    found = residual(engine, {"agent": {"managed": True}})
    assert {name: one.condition for name, one in found.by_action.items()} == {
        "build": "true",
        "deploy": "agent.trusted",
        "test": "false",
        "*": "false",
    }
    assert found.condition == ('action == "build" ? true : (action == "deploy" ? agent.trusted : false)')
    assert found.program({"action": "deploy", "agent": {"trusted": True}}) is True
    assert found.program({"action": "else"}) is False
    known = Schema.default().with_actions({"build": {"n": FactType.INT}, "test": {"n": FactType.STRING}})
    typed = policy(
        allow("parameters.n > 3", actions=["build"]),
        allow("parameters.n == 'x'", actions=["test"]),
        schema=known,
    )
    assert residual(typed, {}).condition == (
        'action == "build" ? (parameters.n > 3) : (action == "test" ? (parameters.n == "x") : false)'
    )


def test_what_does_not_fit_the_schema_is_refused() -> None:
    with pytest.raises(FactsError):
        residual(policy(allow()), {"risk": {"score": "high"}})
    schema = Schema.default().with_actions({"build": {}})
    found = residual(policy(allow(actions=["build"]), schema=schema), {"action": "else"})
    assert (found.condition, found.why) == ("false", "there is no action else")


def test_the_data_is_plain_json() -> None:
    found = json.loads(json.dumps(residual(policy(allow("agent.trusted", name="a")), KNOWN).to_json()))
    assert found == {
        "action": ACTION,
        "condition": "agent.trusted",
        "exact": True,
        "rules": [
            {
                "rule": "a",
                "effect": "allow",
                "outcome": None,
                "condition": "agent.trusted",
                "shown": "agent.trusted",
            }
        ],
    }


# --- for every policy, and every way to split the facts ---------------------------------------------------------

WHOLE = ("device.posture", "history", "parameters")
"""Maps that the drawn policies look at as a whole: the rest has them, also where they are known."""


def leaves(document: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in document.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and path not in WHOLE:
            yield from leaves(value, f"{path}.")
        else:
            yield path


def without_people(engine: PolicyEngine, facts: Facts) -> bool:
    decision = engine.decide(facts)
    asked = any(
        verdict.outcome is Outcome.TRUE and verdict.rule.approval for verdict in verdicts(engine, facts)
    )
    return decision.effect is Effect.ALLOW and not asked


def came_to(program: cel.Program, facts: Facts) -> Outcome:
    try:
        value = program(facts.document)
    except cel.EvaluationError:
        return Outcome.ERROR
    return Outcome.TRUE if value is True else Outcome.FALSE if value is False else Outcome.ERROR


properly = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@properly
@given(
    rules=policies,
    ignoring=st.one_of(st.just(set()), st.sets(st.integers(0, 3), max_size=2)),
    document=documents,
    data=st.data(),
)
def test_promise_what_is_left_opens_for_no_rest_that_the_policy_denies(
    rules: list[dict[str, Any]], ignoring: set[int], document: dict[str, Any], data: st.DataObject
) -> None:
    engine = loaded(
        [{**rule, "on_unknown": "ignore"} if at in ignoring else rule for at, rule in enumerate(rules)]
    )
    whole = rest = Facts.of(document)
    unknown = data.draw(st.sets(st.sampled_from(sorted(set(leaves(document)) - {"action"}))))
    known = whole
    for path in unknown:
        known = known.without(path)
    for path in set(leaves(document)) - unknown - set(WHOLE):
        rest = rest.without(path)
    found = residual(engine, known)
    left = came_to(found.program, rest)
    allowed = without_people(engine, whole)
    said = f"{found.condition}\n{engine.decide(whole).explain()}"
    assert left is not Outcome.TRUE or allowed, said
    assert not found.exact or (left is Outcome.TRUE) == allowed, said


@properly
@given(rules=policies_of(any_sign=False), document=documents, data=st.data())
def test_each_rule_comes_to_the_same_from_what_is_left_of_it(
    rules: list[dict[str, Any]], document: dict[str, Any], data: st.DataObject
) -> None:
    plain = [rule for rule in rules if "has(" not in str(rule) and "variables.described" not in str(rule)]
    engine = loaded(plain)
    whole = rest = Facts.of(document)
    unknown = data.draw(st.sets(st.sampled_from(sorted(set(leaves(document)) - {"action"}))))
    known = whole
    for path in unknown:
        known = known.without(path)
    for path in set(leaves(document)) - unknown - set(WHOLE):
        rest = rest.without(path)
    found = residual(engine, known)
    for view, compiled in zip(found.rules, engine.applicable(ACTION), strict=True):
        if compiled.program is None:
            assert view.condition == "true"
            continue
        left = came_to(cel.compile(view.condition, declarations=compiled.declarations), rest)
        assert left is came_to(compiled.program, whole), (compiled.program.source, view.condition)
        assert view.outcome in (None, left)
