"""What a policy decides: who opens, who restricts, and what doubt comes to."""

from __future__ import annotations

import logging
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from policy_writing import ACTION, allow, ask, deny, document, facts, policy, throttle

from cigate.decision import Effect, Obligations, Quorum, Reservation, Token, Want
from cigate.facts import Facts, FactType, Schema
from cigate.policy import PolicyEngine

GIVEN = "2026-11-24T07:59:00Z"
BOB = {"user": "bob", "roles": ["sre"], "at": GIVEN}
CAROL = {"user": "carol", "roles": ["sre", "lead"], "at": GIVEN}
NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)

ERROR = "device.posture.nothing == 1"

# Each: the rules, changed facts, the effect, the code.
CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str, str]] = {
    "no rule": ([], {}, "deny", "policy.empty"),
    "an allow rule": ([allow()], {}, "allow", "policy.allowed"),
    "a false allow rule": ([allow("agent.id == 'x'")], {}, "deny", "policy.no-allow-rule"),
    "no allow rule": ([ask(), throttle()], {}, "deny", "policy.no-allow-rule"),
    "another action's allow rule": (
        [allow(actions=["create-infra"])],
        {},
        "deny",
        "policy.no-allow-rule",
    ),
    "a deny rule beside it": ([allow(), deny()], {}, "deny", "policy.denied"),
    "a deny rule in error": ([allow(), deny(ERROR)], {}, "deny", "policy.rule-error"),
    "an approval rule in error": ([allow(), ask(ERROR)], {}, "deny", "policy.rule-error"),
    "a throttle rule in error": ([allow(), throttle(ERROR)], {}, "deny", "policy.rule-error"),
    "another allow rule in error": ([allow(), allow(ERROR)], {}, "deny", "policy.rule-error"),
    "a broken rule about another action": (
        [allow(), deny(ERROR, actions=["create-infra"])],
        {},
        "allow",
        "policy.allowed",
    ),
    "an error that is absorbed": (
        [allow(), deny(f"risk.score > 99 && {ERROR}")],
        {},
        "allow",
        "policy.allowed",
    ),
    "a number where a bool was meant": (
        [allow("history.n"), allow()],
        {"history": {"n": 1}},
        "deny",
        "policy.rule-error",
    ),
    "a text that says true": ([allow("history.n")], {"history": {"n": "true"}}, "deny", "policy.rule-error"),
    "an approval that is wanted": ([allow(), ask()], {}, "require_approval", "approval.required"),
    "an approval that is given": ([allow(), ask()], {"approvals": [BOB]}, "allow", "policy.allowed"),
    "an approval rule that is false": ([allow(), ask("risk.score > 50")], {}, "allow", "policy.allowed"),
    "a throttle rule without a bucket": ([allow(), throttle()], {}, "throttle", "throttle.rule"),
    "a throttle rule with one": ([allow(), throttle(key=["agent.id"])], {}, "allow", "policy.allowed"),
    "a bucket without a name": (
        [allow(), throttle(key=["agent.id", "device.id"])],
        {"device": None},
        "deny",
        "policy.rule-error",
    ),
    "deny before approval": ([allow(), ask(), deny()], {}, "deny", "policy.denied"),
    "approval before throttle": (
        [throttle(), allow(), ask()],
        {},
        "require_approval",
        "approval.required",
    ),
    "no action": ([allow()], {"action": None}, "deny", "facts.missing"),
    "a fact of a wrong type": ([allow()], {"agent": {"managed": "yes"}}, "deny", "facts.type"),
    "a number out of range": ([allow()], {"risk": {"score": 2**60}}, "deny", "facts.range"),
    "a price below zero": ([allow()], {"cost": {"estimate": -1}}, "deny", "facts.range"),
    "an unread fact is absent": ([allow()], {"risk": None, "device": None}, "allow", "policy.allowed"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_case_has_its_answer(case: str) -> None:
    rules, changed, effect, code = CASES[case]
    decision = policy(*rules).decide(facts(**changed))
    assert (decision.effect.value, decision.code) == (effect, code), decision.explain()
    assert decision.reasons
    assert decision.reasons[0].code == code


def test_rules_are_every_true_applicable_one_in_order_whatever_its_effect() -> None:
    engine = policy(
        deny("false", name="d"), throttle(name="t"), ask(name="q"), allow(name="a"), allow(name="b")
    )
    assert engine.decide(facts()).rules == ("t", "q", "a", "b")


def test_nothing_is_asked_of_people_or_buckets_unless_an_allow_rule_is_true() -> None:
    decision = policy(allow("false"), ask(), throttle(key=["agent.id"])).decide(facts())
    assert (decision.wants, decision.takes) == ((), ())


def test_nothing_is_taken_while_people_are_wanted() -> None:
    decision = policy(allow(), ask(count=2), throttle(key=["agent.id"])).decide(facts(approvals=[BOB]))
    assert decision.effect is Effect.REQUIRE_APPROVAL
    assert decision.takes == ()
    assert decision.wants == (Want("rule-1", 1, (), timedelta(minutes=30)),)


def test_an_allow_names_what_must_be_taken_and_is_not_allowed_before() -> None:
    engine = policy(throttle(key=["agent.id", "action"]), allow(), ask(roles=["sre"]))
    decision = engine.decide(facts(approvals=[BOB]))
    assert decision.takes == (
        Quorum("rule-2", 1, ("sre",), ("bob",)),
        Reservation(120, "EUR"),
        Token("rule-0", ("agent-1", ACTION), 10, timedelta(hours=1)),
    )
    assert not decision.allowed


@pytest.mark.parametrize(
    ("changed", "taken"),
    [
        ({}, True),
        ({"cost": {"estimate": 0}}, False),
        ({"cost": None}, False),
        ({"budget": None}, False),
        ({"budget": {}}, False),
        ({"budget": {"currency": "EUR"}}, True),
    ],
)
def test_budget_is_taken_for_a_cost_above_zero_where_the_facts_carry_a_budget(
    changed: dict[str, Any], taken: bool
) -> None:
    takes = policy(allow()).decide(facts(**changed)).takes
    assert any(isinstance(take, Reservation) for take in takes) is taken


# Each: the clause, the approvals, how many are still missing.
PEOPLE: dict[str, tuple[dict[str, Any], list[dict[str, Any]], int]] = {
    "nobody": ({}, [], 1),
    "one": ({}, [BOB], 0),
    "the requester": ({}, [{**BOB, "user": "alice@example.com"}], 1),
    "the requester in capitals": ({}, [{**BOB, "user": "ALICE@example.com"}], 1),
    "one person twice": ({"count": 2}, [BOB, {**BOB, "roles": ["lead"]}], 1),
    "one person in two spellings": ({"count": 2}, [BOB, {**BOB, "user": "Bob"}], 1),
    "two people": ({"count": 2}, [BOB, CAROL], 0),
    "the wrong role": ({"roles": ["lead"]}, [BOB], 1),
    "any of the roles": ({"roles": ["lead", "sre"], "count": 2}, [BOB, CAROL], 0),
    "no role where one is asked": ({"roles": ["sre"]}, [{"user": "bob", "at": GIVEN}], 1),
    "no role where none is asked": ({}, [{"user": "bob", "at": GIVEN}], 0),
    "just in time": ({"ttl": "30m"}, [{**BOB, "at": NOW - timedelta(minutes=30)}], 0),
    "too late": ({"ttl": "30m"}, [{**BOB, "at": NOW - timedelta(minutes=30, seconds=1)}], 1),
    "at a time that is unknown": ({}, [{"user": "bob", "roles": ["sre"]}], 1),
    "from the future": ({}, [{**BOB, "at": NOW + timedelta(seconds=1)}], 1),
}


@pytest.mark.parametrize("case", PEOPLE)
def test_a_quorum_is_of_distinct_people_with_the_role_in_time(case: str) -> None:
    clause, approvals, missing = PEOPLE[case]
    decision = policy(allow(), ask(**clause)).decide(facts(approvals=approvals))
    assert sum(want.count for want in decision.wants) == missing
    assert (decision.effect is Effect.ALLOW) is (missing == 0)


def test_each_true_approval_rule_wants_its_own_quorum() -> None:
    engine = policy(allow(), ask(roles=["sre"]), ask(roles=["lead"], count=2))
    wants = engine.decide(facts(approvals=[CAROL])).wants
    assert [(want.rule, want.count) for want in wants] == [("rule-2", 1)]


@pytest.mark.parametrize("unknown", [{"user": None}, {"now": None}])
def test_without_the_requester_or_the_time_nobody_counts_who_might_not(unknown: dict[str, Any]) -> None:
    approvals = [{**BOB, "at": NOW - timedelta(minutes=1)}]
    decision = policy(allow(), ask()).decide(facts(approvals=approvals, **unknown))
    assert decision.effect is Effect.REQUIRE_APPROVAL


def test_obligations_of_all_true_rules_bind_at_their_narrowest() -> None:
    engine = policy(
        allow(obligations={"ttl_max": "10m", "isolation": "none"}, advice={"notify": ["sre", "qa"]}),
        throttle(key=[], obligations={"ttl_max": "5m"}, advice={"notify": ["lead", "sre"]}),
        deny("false", obligations={"ttl_max": "1s"}, advice={"notify": ["ceo"]}),
        allow("risk.score < 50", obligations={"isolation": "sandbox"}),
    )
    decision = engine.decide(facts())
    assert decision.obligations == Obligations(timedelta(minutes=5), "sandbox")
    assert decision.advice == {"notify": ("lead", "qa", "sre")}


def test_a_message_says_why_and_falls_back_where_it_has_no_value() -> None:
    computed = '"risk " + string(risk.score) + " is high"'
    cases = [
        ({"messageExpression": computed, "message": "no"}, {}, "risk 10 is high"),
        ({"messageExpression": computed, "message": "too risky"}, {"risk": None}, "too risky"),
        ({"messageExpression": computed}, {"risk": None}, "the rule rule-1 is true"),
        ({"message": "closed"}, {}, "closed"),
    ]
    for more, changed, said in cases:
        decision = policy(allow(), deny(**more)).decide(facts(**changed))
        assert [reason.message for reason in decision.reasons] == [said]


def test_an_action_that_does_not_exist_is_denied_even_where_everything_is_allowed() -> None:
    engine = policy(allow(), schema=Schema.default().with_actions({"create-infra": {}}))
    assert engine.decide(facts()).code == "policy.unknown-action"
    assert engine.decide(facts(action="create-infra")).code == "policy.allowed"


def test_a_parameter_of_another_type_than_its_action_says_is_denied_before_any_rule_reads_it() -> None:
    schema = Schema.default().with_actions({ACTION: {"shards": FactType.INT}})
    engine = policy(allow(), deny("parameters.shards == 3"), schema=schema)
    assert engine.decide(facts(parameters={"shards": 3})).code == "policy.denied"
    refused = engine.decide(facts(parameters={"shards": "3"}))
    assert (refused.code, refused.reasons[0].message[:18]) == ("facts.type", "/parameters/shards")


def test_an_open_fact_of_another_type_than_it_is_compared_with_is_an_error_and_no_difference() -> None:
    expressions = [
        "device.posture.compliant == false",
        "!(device.posture.compliant != false)",
        "device.posture.compliant in [false]",
        "[1, 2].exists(n, device.posture.compliant == (n == 3))",
        "[4, 5].exists(i, n, device.posture.compliant == (n == i))",
        "cel.bind(c, device.posture.compliant, c == false)",
        "cel.bind(no, false, device.posture.compliant == no)",
        "variables.bad",
    ]
    for expression in expressions:
        engine = policy(allow(), deny(expression), variables={"bad": "device.posture.compliant == false"})
        codes = [
            engine.decide(facts(device={"posture": {"compliant": value}})).code
            for value in (True, False, "false", 0)
        ]
        assert codes == ["policy.allowed", "policy.denied", "policy.rule-error", "policy.rule-error"]


def test_a_dict_and_facts_are_decided_alike_and_facts_that_fit_no_schema_are_denied() -> None:
    engine = policy(allow("now > timestamp('2026-01-01T00:00:00Z') && attestation.age < duration('10m')"))
    plain = facts(attestation={"age": "5m"})
    assert engine.decide(plain) == engine.decide(Facts.of(plain)) == engine.exactly(plain)
    assert engine.decide(plain).effect is Effect.ALLOW
    unchecked = Facts.of(plain).including("agent.managed", "yes")
    assert engine.decide(unchecked).code == "facts.type"
    assert engine.decide([]).code == "facts.type"  # type: ignore[arg-type]


class _Broken(dict[str, Any]):
    def items(self) -> Any:
        raise ZeroDivisionError


def test_what_nobody_expected_is_a_deny_and_is_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    engine = policy(allow())
    with caplog.at_level(logging.ERROR, "cigate"):
        decision = engine.decide(_Broken())
    assert (decision.effect, decision.code) == (Effect.DENY, "policy.error")
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_want_of_memory_and_interrupts_pass_through(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise error

    for room in ("exact", "rulings"):
        monkeypatch.setattr(f"cigate.policy.{room}.combine", fail)
    with pytest.raises(error):
        policy(allow()).decide(facts())


def test_a_recursion_error_in_the_evaluator_is_a_deny(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise RecursionError

    for room in ("exact", "rulings"):
        monkeypatch.setattr(f"cigate.policy.{room}.combine", fail)
    assert policy(allow()).decide(facts()).code == "policy.error"


def test_the_same_policy_and_facts_give_the_same_decision_and_its_json_is_plain() -> None:
    text = document(allow(), ask("risk.score > 5"), throttle(key=["user.id"]))
    first, second = (PolicyEngine.from_yaml(text).decide(facts()) for _ in range(2))
    assert first == second
    assert pickle.dumps(first.to_json()) == pickle.dumps(second.to_json())
    assert first.policy_digest == PolicyEngine.from_yaml(text).digest


def test_importing_the_policy_room_loads_no_evaluator() -> None:
    import subprocess
    import sys

    code = "import sys, cigate.policy; print([m for m in ('celpy', 'lark', 're2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
