"""The meaning of a policy, written a second time and as plainly as possible: the oracle of the tests.

It knows nothing of CEL: each rule has come to true, false or an error already. It is written from the design's
words, apart from the engine, so that a mistake must be made twice to go unseen.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from attrs import field, frozen


@frozen
class ModelRule:
    """A rule that has been evaluated: `came_to` is "true", "false" or "error"."""

    name: str
    effect: str
    came_to: str
    applies: bool = True
    count: int = 0
    roles: tuple[str, ...] = ()
    ttl: timedelta = timedelta(minutes=30)
    key: tuple[str, ...] | None = None
    ttl_max: timedelta | None = None
    isolation: str | None = None
    notify: tuple[str, ...] = ()


@frozen
class ModelFacts:
    """What the combination itself reads of the facts; `key_values` of the bucket keys that are known."""

    requester: str | None
    approvals: tuple[dict[str, Any], ...] = ()
    now: Any = None
    key_values: dict[str, str] = field(factory=dict)
    estimate: int | None = None
    has_budget: bool = False


@frozen
class ModelDecision:
    effect: str
    code: str
    rules: tuple[str, ...]
    wants: frozenset[tuple[str, int]] = frozenset()
    takes: frozenset[tuple[Any, ...]] = frozenset()
    ttl_max: timedelta | None = None
    isolation: str | None = None
    notify: tuple[str, ...] = ()


def model_decision(rules: list[ModelRule], facts: ModelFacts) -> ModelDecision:
    """Only an allow rule opens; every other rule only restricts."""
    if not rules:
        return ModelDecision("deny", "policy.empty", ())
    applicable = [rule for rule in rules if rule.applies]

    # A true throttle rule whose bucket can't be named is in error.
    def came_to(rule: ModelRule) -> str:
        nameless = rule.key is not None and any(path not in facts.key_values for path in rule.key)
        return "error" if rule.came_to == "true" and nameless else rule.came_to

    true = [rule for rule in applicable if came_to(rule) == "true"]

    def answer(effect: str, code: str, **more: Any) -> ModelDecision:
        times = [rule.ttl_max for rule in true if rule.ttl_max is not None]
        isolations = {rule.isolation for rule in true} - {None}
        return ModelDecision(
            effect,
            code,
            tuple(rule.name for rule in true),
            ttl_max=min(times) if times else None,
            isolation="sandbox" if "sandbox" in isolations else "none" if isolations else None,
            notify=tuple(sorted({name for rule in true for name in rule.notify})),
            **more,
        )

    # deny
    if any(rule.effect == "deny" for rule in true):
        return answer("deny", "policy.denied")
    if any(came_to(rule) == "error" for rule in applicable):
        return answer("deny", "policy.rule-error")
    if not any(rule.effect == "allow" for rule in true):
        return answer("deny", "policy.no-allow-rule")

    # require_approval
    asking = [rule for rule in true if rule.effect == "require_approval"]
    people = {rule.name: _people(rule, facts) for rule in asking}
    wants = {
        (rule.name, rule.count - len(people[rule.name]))
        for rule in asking
        if len(people[rule.name]) < rule.count
    }
    if wants:
        return answer("require_approval", "approval.required", wants=frozenset(wants))

    # throttle
    throttling = [rule for rule in true if rule.effect == "throttle"]
    if any(rule.key is None for rule in throttling):
        return answer("throttle", "throttle.rule")

    # allow
    takes: set[tuple[Any, ...]] = {("quorum", rule.name, people[rule.name]) for rule in asking}
    for rule in throttling:
        takes.add(("token", rule.name, tuple(facts.key_values[path] for path in rule.key or ())))
    if facts.has_budget and facts.estimate is not None and facts.estimate > 0:
        takes.add(("budget", facts.estimate))
    return answer("allow", "policy.allowed", takes=frozenset(takes))


def _people(rule: ModelRule, facts: ModelFacts) -> tuple[str, ...]:
    if facts.requester is None:
        return ()
    found = set()
    for approval in facts.approvals:
        if approval["user"] == facts.requester:
            continue
        if rule.roles and not any(role in approval.get("roles", []) for role in rule.roles):
            continue
        if "at" not in approval or facts.now is None:
            continue
        age = facts.now - approval["at"]
        if age < timedelta(0) or age > rule.ttl:
            continue
        found.add(approval["user"])
    return tuple(sorted(found))
