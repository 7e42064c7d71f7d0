"""Cedar through cedarpy: permits and forbids of a parsed policy set, one request a decision.

Cedar knows permit and forbid. What waits for approval and what throttles are forbids whose `@id` says so; the
answer names every forbid that holds, so the effect is the strongest of them. An error in a policy denies.
"""

from __future__ import annotations

import json

import cedarpy

from policies import combining
from policies.combining import Decide, approved_roles
from policies.documents import Document
from policies.rules import All, Compare, Condition, Either, Holds, Is, Matches, Not, OneOf, Policy, Rule

_READ = ("parameters", "agent", "user", "device", "attestation", "risk", "cost")
_WAITS, _CLOSED = "require_approval:", "throttle:"


def build(policy: Policy) -> Decide:
    return _authorizer(policy.rules)


def indexed(policy: Policy) -> Decide:
    return combining.by_action(policy, _authorizer)


def _authorizer(rules: tuple[Rule, ...]) -> Decide:
    policies = cedarpy.PolicySet.from_str("\n".join(_policy(rule) for rule in rules if rule.limit is None))
    permits = cedarpy.PolicySet.from_str("\n".join(_policy(rule) for rule in rules if rule.effect == "allow"))
    nobody = cedarpy.Entities.from_json_str("[]")

    def decide(document: Document) -> str:
        context = {name: document[name] for name in _READ if name in document}
        context["approved_roles"] = approved_roles(document)
        request = {
            "principal": {"type": "Agent", "id": document["agent"]["id"]},
            "action": {"type": "Action", "id": document["action"]},
            "resource": {"type": "Gateway", "id": "ci"},
            "context": context,
        }
        found = cedarpy.is_authorized(request, policies, nobody)
        if found.diagnostics.errors:
            return "deny"
        if found.allowed:
            return "allow"
        said = found.diagnostics.id_annotations_by_reason
        reasons = [said.get(one, "") for one in found.diagnostics.reasons]
        if not reasons or not all(one.startswith((_WAITS, _CLOSED)) for one in reasons):
            return "deny"
        # No permit is named where a forbid holds: whether anything opens what is gated is a second question.
        if not cedarpy.is_authorized(request, permits, nobody).allowed:
            return "deny"
        return "require_approval" if any(one.startswith(_WAITS) for one in reasons) else "throttle"

    return decide


def _policy(rule: Rule) -> str:
    name = {"require_approval": _WAITS, "throttle": _CLOSED}.get(rule.effect, "") + rule.name
    when = _text(rule.when)
    if rule.role:
        when = f"({when}) && !context.approved_roles.contains({json.dumps(rule.role)})"
    scope = "action" if rule.actions is None else f'action == Action::"{rule.actions[0]}"'
    effect = "permit" if rule.effect == "allow" else "forbid"
    return f"@id({json.dumps(name)}) {effect} (principal, {scope}, resource) when {{ {when} }};"


def _text(condition: Condition) -> str:
    match condition:
        case Is(path=path):
            return f"context.{path}"
        case Compare(path=path, operator=operator, value=value):
            return f"context.{path} {operator} {value}"
        case OneOf(path=path, values=values):
            return f"{json.dumps(values)}.contains(context.{path})"
        case Holds(path=path, item=item):
            return f"context.{path}.contains({json.dumps(item)})"
        case Matches(path=path, like=like):
            return f"({' || '.join(f'context.{path} like {json.dumps(one)}' for one in like)})"
        case Not(of=one):
            return f"!({_text(one)})"
        case All(of=several):
            return " && ".join(f"({_text(one)})" for one in several)
        case Either(of=several):
            return " || ".join(f"({_text(one)})" for one in several)
