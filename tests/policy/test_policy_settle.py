"""What a decision comes to once the controls have answered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from policy_writing import allow, ask, deny, facts, policy, throttle

from cigate.decision import Decision, Effect, Quorum, Reason, Reservation, Taken, Token
from cigate.policy import settle

BOB = {"user": "bob", "at": "2026-11-24T07:59:00Z"}


def wanting() -> Decision:
    decision = policy(allow(), ask(), throttle(key=["agent.id"])).decide(facts(approvals=[BOB]))
    assert [type(take) for take in decision.takes] == [Quorum, Reservation, Token]
    return decision


def test_with_all_of_it_taken_an_allow_is_allowed() -> None:
    decision = wanting()
    assert not decision.allowed
    settled = settle(decision, Taken())
    assert settled.allowed
    assert (settled.code, settled.rules, settled.takes) == ("policy.allowed", decision.rules, ())


@pytest.mark.parametrize(
    ("kind", "effect", "code", "retry"),
    [
        (Quorum, Effect.DENY, "approval.spent", None),
        (Reservation, Effect.DENY, "budget.exhausted", None),
        (Token, Effect.THROTTLE, "throttle.empty", timedelta(seconds=90)),
    ],
)
def test_what_is_refused_decides(kind: type, effect: Effect, code: str, retry: timedelta | None) -> None:
    decision = wanting()
    refused = next(take for take in decision.takes if isinstance(take, kind))
    settled = settle(decision, Taken(refused, code, "it is gone", retry_after=timedelta(seconds=90)))
    assert (settled.effect, settled.code, settled.retry_after) == (effect, code, retry)
    assert (settled.takes, settled.wants, settled.allowed) == ((), (), False)
    assert [(reason.code, reason.message) for reason in settled.reasons] == [(code, "it is gone")]
    assert settled.rules == decision.rules
    assert code in settled.explain()


def test_a_throttle_rule_says_itself_why_its_bucket_is_empty() -> None:
    computed = {"messageExpression": '"wait, " + agent.id', "message": "later"}
    for more, said in ((computed, "wait, agent-1"), ({"message": "later"}, "later")):
        rule = throttle(key=["agent.id"], name="t", **more)
        decision = policy(allow(message="go ahead"), rule).decide(facts(budget=None))
        settled = settle(decision, Taken(decision.takes[0], "throttle.empty", "10 an hour"))
        assert settled.reasons == (Reason("throttle.empty", said, "t"),)
        assert "10 an hour" in settled.explain()


def test_what_would_deny_is_taken_before_what_would_throttle_wherever_the_rules_stand() -> None:
    engine = policy(throttle(key=["agent.id"]), ask(), allow())
    takes = engine.decide(facts(approvals=[BOB])).takes
    assert [type(take) for take in takes] == [Quorum, Reservation, Token]


@pytest.mark.parametrize("rules", [[deny()], [allow(), ask()], [allow(), throttle()], []])
def test_a_decision_that_is_no_allow_comes_back_as_it_was(rules: list[dict[str, object]]) -> None:
    decision = policy(*rules).decide(facts())
    token = Token("rule-0", (), 1, timedelta(seconds=1))
    for taken in (Taken(), Taken(token, "throttle.empty", "empty")):
        assert settle(decision, taken) is decision
