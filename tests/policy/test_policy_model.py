"""Engine and model decide alike: two readings of the design, written apart, never disagree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_model import ModelFacts, ModelRule, model_decision
from policy_writing import ACTION, document

from cigate.decision import Decision, Quorum, Reservation, Token
from cigate.policy import PolicyEngine

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)

approvals = st.lists(
    st.fixed_dictionaries(
        {
            "user": st.sampled_from(["alice", "bob", "carol"]),
            "roles": st.sampled_from([["sre"], ["lead"], []]),
        },
        optional={"at": st.sampled_from(["2026-11-24T07:45:00Z", "2026-11-24T07:00:00Z"])},
    ),
    max_size=3,
)

OUTCOMES = {"true": "history.t", "false": "history.f", "error": "history.e", "number": "history.n"}
KEYS = {"agent.id": "agent-1", "user.team": "qa", "action": ACTION}


@st.composite
def model_rules(draw: st.DrawFn) -> list[ModelRule]:
    return [
        ModelRule(
            name=f"rule-{at}",
            effect=draw(st.sampled_from(["allow", "allow", "deny", "require_approval", "throttle"])),
            came_to=draw(st.sampled_from(["true", "true", "true", "false", "false", "error", "number"])),
            applies=draw(st.sampled_from([True, True, True, False])),
            count=draw(st.integers(1, 2)),
            roles=draw(st.sampled_from([(), ("sre",), ("sre", "lead")])),
            ttl=draw(st.sampled_from([timedelta(minutes=30), timedelta(hours=2)])),
            key=draw(st.sampled_from([None, (), ("agent.id",), ("user.team", "action")])),
            ttl_max=draw(st.sampled_from([None, timedelta(minutes=1), timedelta(minutes=9)])),
            isolation=draw(st.sampled_from([None, "none", "sandbox"])),
            notify=draw(st.sampled_from([(), ("sre",), ("qa", "lead")])),
        )
        for at in range(draw(st.integers(0, 5)))
    ]


def written(rule: ModelRule) -> dict[str, Any]:
    """The rule as an author writes it, with an expression that comes to what the model says."""
    obligations = {
        **({"ttl_max": f"{rule.ttl_max.seconds}s"} if rule.ttl_max else {}),
        **({"isolation": rule.isolation} if rule.isolation else {}),
    }
    clauses: dict[str, Any] = {}
    if rule.effect == "require_approval":
        clauses["approval"] = {"count": rule.count, "roles": list(rule.roles), "ttl": f"{rule.ttl.seconds}s"}
    if rule.effect == "throttle" and rule.key is not None:
        clauses["throttle"] = {"limit": 1, "per": "1m", "key": list(rule.key)}
    return {
        "name": rule.name,
        "effect": rule.effect,
        "actions": [ACTION] if rule.applies else ["create-infra"],
        "expression": OUTCOMES[rule.came_to],
        "obligations": obligations,
        "advice": {"notify": list(rule.notify)},
        **clauses,
    }


def modelled(rule: ModelRule) -> ModelRule:
    key = rule.key if rule.effect == "throttle" else None
    return evolve(rule, came_to="error" if rule.came_to == "number" else rule.came_to, key=key)


def taken(decision: Decision) -> set[tuple[Any, ...]]:
    found: set[tuple[Any, ...]] = set()
    for take in decision.takes:
        match take:
            case Quorum():
                found.add(("quorum", take.rule, take.people))
            case Token():
                found.add(("token", take.rule, take.bucket))
            case Reservation():
                found.add(("budget", take.amount))
    return found


@settings(max_examples=400, deadline=None)
@given(
    rules=model_rules(),
    requester=st.sampled_from([None, "alice", "bob"]),
    given_=approvals,
    now=st.sampled_from([None, NOW]),
    known=st.sets(st.sampled_from(["agent.id", "user.team"])),
    estimate=st.sampled_from([None, 0, 5]),
    has_budget=st.booleans(),
)
def test_engine_and_model_decide_alike(
    rules: list[ModelRule],
    requester: str | None,
    given_: list[dict[str, Any]],
    now: datetime | None,
    known: set[str],
    estimate: int | None,
    has_budget: bool,
) -> None:
    document_: dict[str, Any] = {
        "action": ACTION,
        "history": {"t": True, "f": False, "n": 1},
        "approvals": given_,
        "agent": {"id": KEYS["agent.id"]} if "agent.id" in known else {},
        "user": {
            **({"id": requester} if requester else {}),
            **({"team": KEYS["user.team"]} if "user.team" in known else {}),
        },
        **({"now": now} if now else {}),
        **({"cost": {"estimate": estimate}} if estimate is not None else {}),
        **({"budget": {"remaining": 1}} if has_budget else {}),
    }
    facts = ModelFacts(
        requester,
        tuple(
            {**one, **({"at": datetime.fromisoformat(one["at"])} if "at" in one else {})} for one in given_
        ),
        now,
        {path: KEYS[path] for path in {*known, "action"}},
        estimate,
        has_budget,
    )
    decision = PolicyEngine.from_yaml(document(*map(written, rules))).decide(document_)
    model = model_decision([modelled(rule) for rule in rules], facts)
    assert (decision.effect.value, decision.code) == (model.effect, model.code)
    assert decision.rules == model.rules
    assert {(want.rule, want.count) for want in decision.wants} == model.wants
    assert taken(decision) == model.takes
    assert decision.obligations.ttl_max == model.ttl_max
    assert decision.obligations.isolation == model.isolation
    assert decision.advice.get("notify", ()) == model.notify
