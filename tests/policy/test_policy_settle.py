"""What a decision comes to once the controls have answered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from policy_writing import allow, ask, deny, facts, policy, throttle

from cigate.decision import Decision, Effect, Quorum, Reservation, Taken, Token
from cigate.policy import settle

BOB = {"user": "bob"}


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
    assert (settled.reasons[0].code, settled.reasons[0].message) == (code, "it is gone")
    assert settled.reasons[1:] == decision.reasons
    assert code in settled.explain()


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
