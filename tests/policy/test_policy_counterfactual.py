"""The smallest change: what it says, what it may touch, and where it stops."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from policy_writing import allow, ask, deny, facts, policy, throttle

from cigate.decision import Effect
from cigate.facts import FactType, Schema
from cigate.policy import counterfactual
from cigate.policy.explaining.patterns import example

GIVEN = [{"user": "bob", "roles": ["sre"], "at": "2026-11-24T07:59:00Z"}]

SAID: list[tuple[list[dict[str, Any]], dict[str, Any], list[str]]] = [
    ([allow("agent.managed")], {"agent": {"id": "a", "managed": False}}, ["agent.managed = true"]),
    ([allow("cost.estimate <= 50")], {}, ["cost.estimate at most 50"]),
    ([allow("risk.score >= 50")], {}, ["risk.score at least 50"]),
    ([allow("risk.score > 20 && risk.score < 30")], {}, ["risk.score from 21 to 29"]),
    ([allow("risk.score == 7")], {}, ["risk.score = 7"]),
    ([allow("risk.score < 5 && agent.managed")], {"risk": {}}, ["risk.score known and at most 4"]),
    ([allow('user.team == "web"')], {}, ['user.team = "web"']),
    ([allow('user.team in ["web", "ops"]')], {}, ['user.team one of "ops", "web"']),
    ([allow('user.team != "qa"')], {}, ['user.team not "qa"']),
    ([allow('"sre" in user.roles')], {}, ['user.roles with "sre"']),
    ([allow('user.roles.all(r, r != "developer")')], {}, ['user.roles without "developer"']),
    (
        [allow('risk.as_of > timestamp("2026-11-24T07:00:00Z")')],
        {},
        ["risk.as_of known and at least 2026-11-24T07:00:01Z"],
    ),
    ([allow('purpose.startsWith("release ")')], {}, ['purpose known and such as "release "']),
    ([allow('parameters.ref.matches("^v[0-9]+$")')], {}, ['parameters.ref known and such as "v0"']),
    ([allow("size(device.posture) > 2")], {}, ["device.posture.other_1 = 0"]),
    ([allow("device.posture.compliant == false")], {}, ["device.posture.compliant = false"]),
    ([allow(), ask(roles=["sre"], name="infra")], {}, ["one approval by sre for infra"]),
    ([allow(), ask(count=2, name="two")], {"approvals": GIVEN}, ["one approval by any approver for two"]),
    (
        [allow(), ask("cost.estimate > 100", roles=["sre", "lead"], name="q")],
        {},
        ["one approval by sre or lead for q", "cost.estimate at most 100"],
    ),
    (
        [allow(), ask(roles=["sre"], name="a"), ask(roles=["lead"], name="b")],
        {},
        ["one approval by sre and lead for a, b"],
    ),
    ([allow(), throttle("risk.score > 5")], {}, ["risk.score at most 5"]),
    ([allow(), throttle(key=["user.team"])], {"user": {"id": "alice"}}, ["user.team known"]),
    ([allow("risk.score < cost.estimate - 115")], {}, ["cost.estimate = 126", "risk.score = 4"]),
    (
        [allow("agent.managed || user.team == 'x'"), deny("risk.score > 5 && cost.estimate > 5")],
        {},
        ["cost.estimate at most 5", "risk.score at most 5"],
    ),
    ([allow("agent.managed && history.runs < 3")], {}, ["history.runs known and at most 2"]),
    (
        [allow(), deny("!has(device.posture.age) || device.posture.age > 30")],
        {"device": {"id": "d"}},
        ["device.posture.age known and at most 30"],
    ),
]


@pytest.mark.parametrize(("rules", "changed", "words"), SAID)
def test_the_least_that_would_have_been_allowed_is_said_as_one_would_say_it(
    rules: list[dict[str, Any]], changed: dict[str, Any], words: list[str]
) -> None:
    engine = policy(*rules)
    found = counterfactual(engine, facts(**changed))
    assert [change.words for change in found.changes] == words, found.why
    for change in found.changes:
        assert engine.decide(change.changed).effect is Effect.ALLOW


WITHOUT: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [
    ([deny()], {}, "no rule allows run-test-suite"),
    (
        [allow(), deny(name="always")],
        {},
        "no change of facts within reach gives an allow: see the rule always",
    ),
    (
        [allow('user.id == "root"', name="root")],
        {},
        "no change of facts within reach gives an allow: see the rule root",
    ),
    (
        [allow(name="open"), ask(name="gate")],
        {"now": None, "user": None},
        "no change of facts within reach gives an allow: see the rule gate; "
        "an approval counts only where now and user.id are known",
    ),
    (
        [allow('user.id == "root"', name="root"), ask(name="gate")],
        {"now": None},
        "no change of facts within reach gives an allow: see the rule root; "
        "an approval counts only where now is known",
    ),
    ([], {}, "the policy tested has no rule, so nothing is allowed"),
    ([allow()], {"action": None}, "/action is not known, so no rule can apply"),
    (
        [allow()],
        {"risk": {"score": 200}},
        "the facts do not fit the schema: /risk/score: 200 is not from 0 to 100",
    ),
]


@pytest.mark.parametrize(("rules", "changed", "why"), WITHOUT)
def test_where_nothing_helps_it_says_why(
    rules: list[dict[str, Any]], changed: dict[str, Any], why: str
) -> None:
    found = counterfactual(policy(*rules), facts(**changed))
    assert (found.changes, found.why) == ((), why)


def test_an_allow_needs_no_change() -> None:
    found = counterfactual(policy(allow(), throttle(key=[])), facts())
    assert (found.changes, found.why, found.tried) == ((), "", 0)


def test_what_is_fixed_is_never_changed_and_what_is_not_may_be() -> None:
    engine = policy(allow('user.id == "root" || (risk.score < 5 && cost.estimate < 5)'))
    [change] = counterfactual(engine, facts()).changes
    assert change.words == "cost.estimate at most 4 and risk.score at most 4"
    [change] = counterfactual(engine, facts(), fixed=["action"]).changes
    assert change.words == 'user.id = "root"'
    assert counterfactual(engine, facts(), fixed=["user.*", "risk.score"]).changes == ()


def test_after_as_many_tries_as_may_be_it_says_that_it_stopped() -> None:
    engine = policy(allow(" && ".join(f"history.n{at} == {at}" for at in range(12))))
    found = counterfactual(engine, facts(), most=50)
    assert (found.changes, found.why) == ((), "none was found in 50 tries, not searched further")
    assert found.tried == 51


def test_a_known_fact_is_never_made_unknown() -> None:
    engine = policy(allow(), deny("has(device.posture.compliant)", on_unknown="ignore", name="d"))
    assert counterfactual(engine, facts()).changes == ()


def test_a_range_is_given_only_where_all_of_it_serves_with_all_of_the_others() -> None:
    engine = policy(allow("cost.estimate < risk.score && risk.score > 80"))
    words = [change.words for change in counterfactual(engine, facts()).changes]
    assert words == ["cost.estimate at most 80 and risk.score at least 81"]
    engine = policy(allow("cost.estimate < risk.score && risk.score > 80 && cost.estimate > 79"))
    words = [change.words for change in counterfactual(engine, facts()).changes]
    assert words == ["cost.estimate = 80 and risk.score at least 81"]


def test_where_expressions_look_at_approvals_a_role_is_named_and_tried() -> None:
    engine = policy(
        allow(),
        ask(roles=["sre", "lead"], name="q"),
        deny('approvals.exists(a, "lead" in a.roles)'),
    )
    assert [change.words for change in counterfactual(engine, facts()).changes] == [
        "one approval by sre for q"
    ]


def test_an_added_approver_is_nobody_who_is_there_already() -> None:
    given = [{"user": "approver-1", "roles": ["qa"], "at": "2026-11-24T07:59:00Z"}]
    engine = policy(allow(), ask(roles=["sre"]))
    [change] = counterfactual(engine, facts(approvals=given)).changes
    assert [each["user"] for each in change.changed.get("approvals")] == ["approver-1", "approver-2"]


def test_the_types_of_an_actions_own_parameters_hold() -> None:
    schema = Schema.default().with_actions(
        {"run-test-suite": {"count": FactType.INT, "ref": FactType.STRING}}
    )
    engine = policy(allow('parameters.count > 3 && parameters.ref == "main"'), schema=schema)
    [change] = counterfactual(engine, facts(parameters={"count": 1})).changes
    assert change.words == 'parameters.count at least 4 and parameters.ref = "main"'


def test_the_data_is_plain_json() -> None:
    engine = policy(allow('risk.as_of > timestamp("2026-11-24T07:00:00Z")'), ask(roles=["sre"], name="q"))
    found = counterfactual(engine, facts())
    assert json.loads(json.dumps(found.to_json())) == {
        "changes": [
            {
                "size": 2,
                "words": "risk.as_of known and at least 2026-11-24T07:00:01Z and one approval by sre for q",
                "facts": {"risk.as_of": "2026-11-24T07:00:01Z"},
                "approvals": [{"count": 1, "roles": [["sre"]], "rules": ["q"]}],
            }
        ]
    }


def test_the_same_facts_always_give_the_same_changes() -> None:
    engine = policy(allow('agent.trusted && (risk.score < 5 || user.team == "a" || cost.estimate < 3)'))
    first, second = counterfactual(engine, facts()), counterfactual(engine, facts())
    assert first == second
    assert len(first.changes) == 3


@pytest.mark.parametrize(
    "pattern",
    [
        "^[a-z]+-[0-9]{3}$",
        "main|release/.*",
        r"v\d+\.\d+",
        "(?:a|b)+c?",
        "[^/]+/x",
        r"^refs/heads/[\w-]+$",
        "a{2,}",
    ],
)
def test_an_example_of_a_pattern_matches_it(pattern: str) -> None:
    found = example(pattern)
    assert found is not None
    assert re.search(pattern, found)


@pytest.mark.parametrize(
    "pattern", ["(?i)x", r"\1", "[[:alpha:]]", "(?=x)", "a{9999}", "(", "*", "a{500}", r"\pN"]
)
def test_a_pattern_beyond_the_small_grammar_gives_no_example(pattern: str) -> None:
    assert example(pattern) is None
