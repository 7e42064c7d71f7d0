"""Why, in words and as data."""

from __future__ import annotations

import json
import sys

import pytest
from policy_writing import ACTION, allow, ask, deny, facts, policy, throttle

from cigate.decision import Taken
from cigate.policy import explain, settle


def test_each_rule_is_shown_with_what_it_saw_and_others_are_counted() -> None:
    engine = policy(
        allow("agent.managed && risk.score < 50", name="managed"),
        deny("device.posture.missing > 3", name="posture"),
        deny(actions=["create-infra"]),
    )
    text = engine.decide(facts()).explain()
    assert "deny (policy.rule-error)" in text
    assert "allow rule managed is true" in text
    assert "  risk.score < 50 is true: risk.score is 10" in text
    assert "deny rule posture is in error" in text
    assert "  device.posture.missing > 3 is in error: device.posture.missing is not known" in text
    assert "1 other rule speaks of other actions only" in text


def test_a_deny_for_want_of_an_allow_rule_says_what_the_nearest_one_lacks() -> None:
    engine = policy(
        allow("agent.trusted && risk.score < 5 && cost.estimate < 10", name="far"),
        allow("agent.trusted && risk.score < variables.least && agent.managed", name="near"),
        variables={"least": "cost.estimate - 115"},
    )
    found = explain(engine, facts())
    assert found.missing == (
        "risk.score < cost.estimate - 115, for the allow rule near "
        "(found risk.score = 10, cost.estimate = 120)",
    )


def test_where_no_rule_allows_the_action_the_explanation_says_so() -> None:
    assert explain(policy(deny("false")), facts()).missing == (f"a rule that allows {ACTION}: there is none",)


def test_people_tokens_and_budget_that_are_missing_are_named() -> None:
    asking = explain(policy(allow(), ask(count=2, roles=["sre", "lead"], name="two")), facts())
    assert asking.missing == ("2 more approvals by sre or lead for the rule two",)
    taking = explain(
        policy(allow(), ask(name="one"), throttle(key=["agent.id"], name="ten")),
        facts(approvals=[{"user": "bob", "at": "2026-11-24T07:59:00Z"}]),
    )
    assert taking.missing == (
        "the approvals of bob for the rule one, used once",
        "120 minor units of EUR from the budget",
        "a token of the rule ten, whose bucket for agent-1 holds 10 per 3600s",
    )
    throttled = explain(policy(allow(), throttle(name="closed")), facts())
    assert throttled.missing == ("the throttle rule closed must not be true",)


def test_each_approval_that_does_not_count_is_shown_with_why() -> None:
    given = [
        {"user": "bob", "roles": ["sre"], "at": "2026-11-24T07:00:00Z"},
        {"user": "carol", "roles": ["qa"], "at": "2026-11-24T07:59:00Z"},
        {"user": "Alice@example.com", "roles": ["sre"], "at": "2026-11-24T07:59:00Z"},
        {"user": "dave", "roles": ["sre"], "at": "2026-11-24T07:59:00Z"},
    ]
    engine = policy(allow(), ask(count=2, roles=["sre", "lead"], ttl="30m", name="two"))
    assert explain(engine, facts(approvals=given)).missing == (
        "1 more approval by sre or lead for the rule two",
        "the approval of bob does not count for the rule two: it was not given within the 1800s before now",
        "the approval of carol does not count for the rule two: they hold none of the roles sre, lead",
        "the approval of Alice@example.com does not count for the rule two: it is the requester's own",
    )
    assert explain(engine, facts(approvals=given[3:], user=None)).missing[1:] == (
        "the approval of dave does not count for the rule two: nobody knows who asks",
    )


def test_a_settled_decision_explains_what_was_taken() -> None:
    decision = policy(allow(), throttle(key=[])).decide(facts())
    assert "All that it names was taken" in settle(decision, Taken()).explain()


def test_what_no_rule_was_asked_about_is_explained_too() -> None:
    for engine, given, code in (
        (policy(), facts(), "policy.empty"),
        (policy(allow()), facts(action=None), "facts.missing"),
        (policy(allow()), {"action": 3}, "facts.type"),
    ):
        found = explain(engine, given)
        assert (found.decision.code, found.rules) == (code, ())
        assert found.missing


def test_the_data_is_plain_json_and_says_the_same() -> None:
    engine = policy(allow("agent.managed", name="a"), ask("risk.score > 5", name="q"))
    found = json.loads(json.dumps(explain(engine, facts()).to_json()))
    assert (found["effect"], found["code"]) == ("require_approval", "approval.required")
    assert [(rule["rule"], rule["outcome"]) for rule in found["rules"]] == [("a", "true"), ("q", "true")]
    assert {"part": "risk.score", "value": "10"} in found["rules"][1]["seen"]
    assert found["rules"][1]["decided"] == [
        {"part": "risk.score > 5", "value": "true", "facts": [{"part": "risk.score", "value": "10"}]}
    ]
    assert [change["words"] for change in found["counterfactual"]["changes"]] == [
        "one approval by any approver for q",
        "risk.score at most 5",
    ]


@pytest.mark.parametrize(
    ("expression", "decided"),
    [
        ("agent.managed && risk.score < 5 && cost.estimate < 10", ["risk.score < 5", "cost.estimate < 10"]),
        ("agent.managed && risk.score < 50", ["agent.managed", "risk.score < 50"]),
        ("risk.score < 5 || agent.managed || agent.trusted", ["agent.managed", "agent.trusted"]),
        ("risk.score < 5 || !agent.managed", ["risk.score < 5", "agent.managed"]),
        ("!(risk.score < 5 || cost.estimate < 10)", ["risk.score < 5", "cost.estimate < 10"]),
        ("!(agent.managed && risk.score < 5)", ["risk.score < 5"]),
        ("agent.managed && (agent.trusted || risk.score < 5)", ["agent.managed", "agent.trusted"]),
        ("agent.managed && history.runs > 3", ["history.runs > 3"]),
        ("risk.score < 5 && history.runs > 3", ["risk.score < 5"]),
        ('user.roles.exists(r, r == "developer")', ['user.roles.exists(r, r == "developer")']),
    ],
)
def test_only_the_parts_that_decided_a_rule_are_said_to_have(expression: str, decided: list[str]) -> None:
    [rule] = explain(policy(allow(expression)), facts()).rules
    assert [one.part.part for one in rule.decided] == decided


def test_of_a_part_in_error_it_is_said_what_failed_in_it() -> None:
    [rule] = explain(policy(deny("cost.estimate + history.runs * 2 > 3")), facts()).rules
    assert rule.decided[0].to_text() == (
        "cost.estimate + history.runs * 2 > 3 is in error: history.runs is not known"
    )
    [rule] = explain(policy(deny("cost.estimate / (risk.score - 10) > 3")), facts()).rules
    assert "cost.estimate / (risk.score - 10) > 3 is in error" in rule.decided[0].to_text()
    assert "cel.divide-by-zero" in rule.decided[0].to_text()


def test_the_smallest_change_is_not_looked_for_until_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(sys.modules[explain.__module__], "counterfactual", lambda *given: asked.append(given))
    found = explain(policy(deny("true")), facts())
    assert asked == []
    assert found.counterfactual is None
    assert len(asked) == 1
