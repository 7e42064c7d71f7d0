"""Decisions: an answer that is never mistaken for true."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import timedelta

import pytest
from attrs import asdict, evolve

from cigate.decision import (
    Decision,
    Effect,
    Obligations,
    Quorum,
    Reason,
    Reservation,
    Take,
    Taken,
    Token,
    Want,
    denied,
)
from cigate.policy import PolicyEngine

TOKEN = Token("rule", ("agent-1",), 10, timedelta(hours=1))
QUORUM = Quorum("rule", 2, ("sre",), ("alice", "bob"))
BUDGET = Reservation(20, "EUR")


@pytest.mark.parametrize("effect", list(Effect))
def test_a_decision_has_no_truth_value(effect: Effect) -> None:
    with pytest.raises(TypeError, match=r"decision\.allowed"):
        bool(Decision(effect, "code", "sha256:00"))


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("takes", [(), (TOKEN,), (QUORUM,), (BUDGET,), (TOKEN, QUORUM, BUDGET)])
def test_only_an_allow_with_nothing_left_to_take_is_allowed(effect: Effect, takes: tuple[Take, ...]) -> None:
    decision = Decision(effect, "code", "sha256:00", takes=takes)
    assert decision.allowed is (effect is Effect.ALLOW and takes == ())


def test_a_later_refusal_comes_first_and_takes_nothing() -> None:
    allow = Decision(
        Effect.ALLOW,
        "policy.allowed",
        "sha256:00",
        rules=("opens",),
        reasons=(Reason("policy.allowed", "it opens", "opens"),),
        wants=(Want("rule", 1, (), timedelta(minutes=5)),),
        takes=(BUDGET,),
        retry_after=timedelta(seconds=1),
    )
    deny = allow.refused("stop.halted", "halted")
    assert (deny.effect, deny.code, deny.takes, deny.wants, deny.retry_after) == (
        Effect.DENY,
        "stop.halted",
        (),
        (),
        None,
    )
    assert [reason.code for reason in deny.reasons] == ["stop.halted", "policy.allowed"]
    assert deny.rules == allow.rules
    assert not deny.allowed


def test_a_deny_that_no_rule_gave_says_why() -> None:
    deny = denied("facts.type", "a fact has the wrong type")
    assert deny.effect is Effect.DENY
    assert deny.reasons == (Reason("facts.type", "a fact has the wrong type"),)


def test_a_decision_is_json_that_names_all_it_wants_and_takes() -> None:
    decision = Decision(
        Effect.THROTTLE,
        "throttle.empty",
        "sha256:00",
        rules=["b", "a"],  # type: ignore[arg-type]  # any sequence is kept as a tuple
        reasons=(Reason("throttle.empty", "wait"),),
        takes=(TOKEN, QUORUM, BUDGET),
        obligations=Obligations(timedelta(minutes=5), "sandbox"),
        advice={"notify": ("sre",)},
        retry_after=timedelta(seconds=90),
    )
    assert json.loads(json.dumps(decision.to_json())) == {
        "effect": "throttle",
        "code": "throttle.empty",
        "rules": ["b", "a"],
        "reasons": [{"code": "throttle.empty", "message": "wait"}],
        "wants": [],
        "takes": [
            {"kind": "token", "rule": "rule", "bucket": ["agent-1"], "limit": 10, "per": "3600s"},
            {"kind": "quorum", "rule": "rule", "count": 2, "roles": ["sre"], "people": ["alice", "bob"]},
            {"kind": "budget", "amount": 20, "currency": "EUR"},
        ],
        "obligations": {"ttl_max": "300s", "isolation": "sandbox"},
        "advice": {"notify": ["sre"]},
        "policy_digest": "sha256:00",
        "retry_after": "90s",
    }


def test_what_was_taken_is_all_or_says_what_was_refused() -> None:
    assert Taken().to_json() == {"all": True}
    refused = Taken(refused=TOKEN, code="throttle.empty", message="empty", retry_after=timedelta(seconds=2))
    assert refused.to_json() == {
        "all": False,
        "refused": TOKEN.to_json(),
        "code": "throttle.empty",
        "message": "empty",
        "retry_after": "2s",
    }


def test_an_effect_prints_as_its_word() -> None:
    assert [str(effect) for effect in Effect] == ["deny", "require_approval", "throttle", "allow"]


def test_a_decision_that_no_rule_made_is_explained_by_its_reasons():
    assert denied("facts.type", "/agent: it is a text").explain() == (
        "deny (facts.type)\n  because /agent: it is a text"
    )


def test_what_is_refused_after_the_policy_says_so_in_its_explanation():
    allowed = Decision(Effect.ALLOW, "policy.allowed", policy_digest="sha256:00")
    told = allowed.refused("obligation.isolation", "it is no sandbox").explain()
    assert told.splitlines() == [
        "allow (policy.allowed)",
        "But it is no sandbox (obligation.isolation), so the answer is deny.",
    ]


def test_a_decision_travels_to_another_process_and_leaves_what_explains_it_behind() -> None:
    engine = PolicyEngine.from_yaml(_POLICY)
    decision = engine.decide({"action": "x"})
    assert "allow rule all" in decision.explain()
    read = pickle.loads(pickle.dumps(decision))
    assert read == decision
    assert (read.to_json(), read.allowed) == (decision.to_json(), False)
    assert read.explain() == "require_approval (approval.required)\n  because the rule ask is true"


def test_a_copy_of_a_decision_is_the_decision() -> None:
    decision = PolicyEngine.from_yaml(_POLICY).decide({"action": "x"})
    assert copy.copy(decision) is decision
    assert copy.deepcopy([decision]) == [decision]


def test_to_attrs_a_decision_has_the_fields_that_it_is_made_of() -> None:
    decision = PolicyEngine.from_yaml(_POLICY).decide({"action": "x"})
    changed = evolve(decision, effect=Effect.DENY, wants=())
    assert (changed.effect, changed.wants, changed.rules) == ("deny", (), decision.rules)
    assert decision.effect == "require_approval"
    assert changed == Decision(**{name: getattr(changed, name) for name in asdict(changed)})


_POLICY = """
apiVersion: cigate/v1
kind: GatewayPolicy
metadata: {name: tested, sequence: 1}
spec:
  rules:
    - {name: all, effect: allow, actions: ["*"], expression: "true", advice: {notify: [sre]}}
    - {name: ask, effect: require_approval, approval: {count: 1}}
"""
