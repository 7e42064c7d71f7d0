"""A decision asks the rules that can be true and no others: the others are not even compiled."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from policy_writing import allow, deny, facts, policy

from cigate.policy import PolicyEngine
from cigate.policy.loading.compiled import CompiledRule

SLOW = "risk.score / 1 >= 0"
"""An expression that only the exact way can ask, so that asking it can be counted."""


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the tree of each rule was made, which its code begins with."""
    found: Counter[str] = Counter()
    node = CompiledRule.__dict__["node"].fget

    def counted(rule: CompiledRule) -> Any:
        found[rule.rule.name] += 1
        return node(rule)

    monkeypatch.setattr(CompiledRule, "node", property(counted))
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rules that were asked the exact way."""
    found: list[str] = []
    exactly = PolicyEngine._exactly

    def counted(engine: PolicyEngine, one: CompiledRule) -> Any:
        is_true = exactly(engine, one)

        def counting(document: Any) -> bool:
            found.append(one.rule.name)
            return is_true(document)

        return counting

    monkeypatch.setattr(PolicyEngine, "_exactly", counted)
    return found


def test_of_twenty_thousand_rules_those_of_the_action_alone_are_compiled(compiled: Counter[str]) -> None:
    rules = [allow("agent.managed", actions=[f"action-{at % 10_000}"]) for at in range(19_999)]
    engine = policy(*rules, deny("risk.score > 90"))
    compiled.clear()
    for _ in range(3):
        assert engine.decide(facts(action="action-7")).rules == ("rule-7", "rule-10007")
    assert set(compiled) == {"rule-7", "rule-10007", "rule-19999"}


@pytest.mark.parametrize("pin", ['action == "action-{}"', 'action in ["action-{}", "nothing"]'])
def test_a_rule_that_names_its_action_in_its_expression_is_asked_of_no_other(
    pin: str, asked: list[str]
) -> None:
    engine = policy(*(allow(f"{pin.format(at)} && {SLOW}") for at in range(20)))
    engine.decide(facts(action="action-7"))
    assert asked == ["rule-7"]


def test_rules_pinned_to_other_values_of_a_fact_are_not_asked(asked: list[str]) -> None:
    rules = [allow(f'user.team == "team-{at % 10}" && agent.id == "a-{at}" && {SLOW}') for at in range(100)]
    engine = policy(*rules, deny(f"!({SLOW})"))
    found = {"user": {"team": "team-7"}, "agent": {"id": "a-17"}}
    for _ in range(4):
        assert engine.decide(facts(**found)).rules == ("rule-17",)
    assert asked == ["rule-100", "rule-17"] * 4


def test_actions_that_no_rule_names_share_their_code(compiled: Counter[str]) -> None:
    engine = policy(allow("agent.managed"), deny("risk.score > 90", actions=["known"]))
    for at in range(100):
        assert engine.decide(facts(action=f"unknown-{at}")).rules == ("rule-0",)
    engine.decide(facts(action="known"))
    assert len(engine._candidates) == 2
    assert compiled["rule-1"] <= 4


def test_values_that_no_rule_names_leave_nothing_behind() -> None:
    rules = [allow(f'user.team == "team-{at}"') for at in range(10)]
    engine = policy(*rules)
    for at in range(1000):
        engine.decide(facts(user={"id": f"u-{at}", "team": f"strange-{at}"}))
    (candidates,) = engine._candidates.values()
    assert len(candidates.finishes) == 1
