"""Policies and facts for the tests of this room: written short, loaded as anybody would load them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cigate.facts import Schema
from cigate.policy import PolicyEngine

ACTION = "run-test-suite"

FACTS: dict[str, Any] = {
    "action": ACTION,
    "now": "2026-11-24T08:00:00Z",
    "agent": {"id": "agent-1", "managed": True, "trusted": True},
    "user": {"id": "alice@example.com", "roles": ["developer"], "team": "qa"},
    "device": {"id": "laptop-1", "managed": True, "posture": {"compliant": True, "age": 3}},
    "risk": {"score": 10},
    "cost": {"estimate": 120, "currency": "EUR"},
    "budget": {"remaining": 5000, "currency": "EUR"},
}


def document(*rules: Mapping[str, Any], variables: Mapping[str, str] | None = None) -> str:
    """A policy of these rules, as JSON text; a rule without a name gets one."""
    named = [{"name": f"rule-{at}", **rule} for at, rule in enumerate(rules)]
    spec: dict[str, Any] = {"rules": named}
    if variables:
        spec["variables"] = [{"name": name, "expression": text} for name, text in variables.items()]
    metadata = {"name": "tested", "sequence": 1}
    return json.dumps(
        {"apiVersion": "cigate/v1", "kind": "GatewayPolicy", "metadata": metadata, "spec": spec}
    )


def policy(
    *rules: Mapping[str, Any], variables: Mapping[str, str] | None = None, schema: Schema | None = None
) -> PolicyEngine:
    return PolicyEngine.from_yaml(document(*rules, variables=variables), schema)


def allow(expression: str = "true", **more: Any) -> dict[str, Any]:
    return {"effect": "allow", "actions": ["*"], "expression": expression, **more}


def deny(expression: str | None = None, **more: Any) -> dict[str, Any]:
    return {"effect": "deny", **_when(expression), **more}


def ask(expression: str | None = None, *, count: int = 1, **more: Any) -> dict[str, Any]:
    clause = {"count": count, **{key: more.pop(key) for key in ("roles", "ttl") if key in more}}
    return {"effect": "require_approval", **_when(expression), "approval": clause, **more}


def throttle(expression: str | None = None, *, key: list[str] | None = None, **more: Any) -> dict[str, Any]:
    clause = {} if key is None else {"throttle": {"limit": 10, "per": "1h", "key": key}}
    return {"effect": "throttle", **_when(expression), **clause, **more}


def facts(**changed: Any) -> dict[str, Any]:
    """The usual facts with some groups changed; None takes one away."""
    merged = {**FACTS, **changed}
    return {name: value for name, value in merged.items() if value is not None}


def _when(expression: str | None) -> dict[str, str]:
    return {} if expression is None else {"expression": expression}
