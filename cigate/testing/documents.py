"""Documents of facts to decide on, and a way to say what must come of one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cigate.decision import Decision, Effect
from cigate.errors import FactsError
from cigate.facts import Facts, FactType, Schema
from cigate.policy import PolicyEngine
from cigate.wire.names import did_you_mean

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def facts(**overrides: Any) -> Facts:
    """A whole document about a healthy, managed agent that asks for a cheap test run; overrides go over it.

    A name with two underscores reaches into a group (`agent__managed=False`), a mapping replaces a whole group,
    and None removes the fact: `facts(device__posture=None)`.

    Raises:
        FactsError: an override has the wrong type (`facts.type`, `facts.range`), or overrides nothing that a
            rule could read (`facts.unknown`).
    """
    found = Facts.of(_HEALTHY)
    for name, value in overrides.items():
        path = name.replace("__", ".")
        _check_exists(path)
        found = found.without(path) if value is None else found.including(path, value)
    return Facts.of(found.document)


def _check_exists(path: str) -> None:
    """A test that overrides a fact which no rule reads would pass for nothing."""
    schema = Schema.default()
    known = schema.fields.keys() | schema.groups()
    is_member = schema.type_of(path.rpartition(".")[0]) is FactType.SCALARS
    if path not in known and not is_member:
        where = "/" + path.replace(".", "/")
        raise FactsError(
            "facts.unknown", f"there is no fact {path}", where=where, fix=did_you_mean(path, known)
        )


def assert_decides(
    engine: PolicyEngine, document: Facts | Mapping[str, Any], effect: Effect | str, *rules: str
) -> Decision:
    """The policy decides so, and (if any are named) exactly these rules are true; else the explanation is shown."""
    decision = engine.decide(document)
    assert decision.effect == Effect(effect), f"{decision.effect}, not {effect}\n{decision.explain()}"
    if rules:
        assert set(decision.rules) == set(rules), f"{decision.rules}, not {rules}\n{decision.explain()}"
    return decision


_HEALTHY: Mapping[str, Any] = {
    "now": NOW,
    "action": "run-test-suite",
    "commit": "a" * 40,
    "parameters": {"test_suite": "integration-qa"},
    "agent": {
        "id": "agent-1234",
        "version": "2.0.1",
        "version_source": "claimed",
        "managed": True,
        "trusted": True,
        "approved_version": True,
        "capabilities": ["tests"],
    },
    "user": {"id": "alice@example.com", "roles": ["developer"], "team": "qa"},
    "device": {
        "id": "laptop-1",
        "managed": True,
        "posture": {"compliant": True, "disk_encrypted": True, "edr_running": True, "os_patch_age_days": 3},
    },
    "attestation": {"format": "dsse", "level": 1, "age": timedelta(seconds=2), "chain": []},
    "risk": {"score": 10, "factors": [], "as_of": NOW},
    "cost": {"estimate": 100, "currency": "EUR"},
    "budget": {"remaining": 100_000, "currency": "EUR", "as_of": NOW},
    "approvals": [],
    "history": {"requests": 4, "denials": 0, "failures": 0, "as_of": NOW},
    "runner": {"isolation": "sandbox", "blast_radius": "low"},
}
