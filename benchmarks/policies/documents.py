"""Facts to decide on: as a gateway collects them, and with facts missing or of a wrong type.

A document is a fresh nested dict each time, as it is for a real request; the text of the action is fresh too, so
that no engine finds its key by identity or with a hash that is known already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from policies.generate import TEAMS
from policies.rules import KINDS, Policy, tests

Document = dict[str, Any]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_OF_ANOTHER_TYPE: dict[type, Sequence[Any]] = {
    bool: (1, "true"),
    int: (True, "12"),
    str: (7, ["qa"]),
    list: ("tor", {"tor-exit": True}),
}


def traffic(policy: Policy, count: int, *, actions: Sequence[str], seed: int) -> list[Document]:
    """Valid documents, most of which are allowed: what a gateway sees on a working day."""
    random = Random(seed)
    return [valid(random, random.choice(actions), usual=0.95) for _ in range(count)]


def valid(random: Random, action: str, *, usual: float) -> Document:
    """A valid document. Each doubtful fact is in order with the probability `usual`."""

    def fine() -> bool:
        return random.random() < usual

    at = int(action.rpartition("-")[2] or 0) if action[-1].isdigit() else 0
    team = TEAMS[at % 6] if fine() else random.choice(TEAMS)
    approvals = (
        [] if fine() else [{"user": "bob@example.com", "roles": ["sre"], "at": NOW - timedelta(minutes=3)}]
    )
    if not fine():
        approvals.append({"user": "alice@example.com", "roles": ["sre", "dev"], "at": NOW})
    return {
        "now": NOW,
        "action": action,
        "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
        "purpose": "nightly",
        "parameters": {
            "ref": random.choice(
                ("main", "release/4.2", f"hotfix/{team}-12") if fine() else ("dev", "x/main")
            ),
            "suite": "integration",
            "shards": random.randint(1, 4),
        },
        "agent": {
            "id": f"agent-{random.randint(1, 400)}",
            "version": f"{2 + at % 2}.{random.randint(0, 9)}.1" if fine() else "1.9.0",
            "version_source": "key",
            "managed": fine(),
            "trusted": fine(),
            "approved_version": fine(),
            "capabilities": ["tests", "deploy"],
        },
        "user": {"id": "alice@example.com", "roles": ["developer"], "team": team},
        "device": {
            "id": f"laptop-{random.randint(1, 400)}",
            "managed": fine() or fine(),
            "posture": {
                "compliant": True,
                "disk_encrypted": fine() or fine(),
                "edr_running": True,
                "os_patch_age_days": random.randint(0, 40) if fine() else random.randint(40, 60),
            },
        },
        "attestation": {"format": "dsse", "level": random.randint(1, 3) if fine() else random.randint(0, 1)},
        "risk": {
            "score": random.randint(0, 50) if fine() else random.randint(50, 90),
            "factors": ["new-device"] if fine() or fine() else ["tor-exit", "new-device"],
        },
        "cost": {
            "estimate": random.randint(10, 3500) if fine() else random.randint(3000, 12_000),
            "currency": "EUR",
        },
        "approvals": approvals,
    }


def checks(policy: Policy, count: int, seed: int) -> Iterator[tuple[str, Document]]:
    """Documents to compare engines on, with what kind each is: `valid`, `absent`, `wrong type`, `unknown action`.

    What is absent or of a wrong type is a fact that a rule about the action reads.
    """
    random = Random(seed)
    for at in range(count):
        action = random.choice(policy.actions)
        document = valid(random, action, usual=random.choice((0.75, 0.97)))
        kind = ("valid", "absent", "wrong type", "valid")[at % 4]
        if at % 4 == 3:
            document = _gated(random, action)
        if at % 37 == 36:
            document["action"] = "an-action-that-no-rule-names"
            yield "unknown action", document
            continue
        read = sorted({test.path for rule in policy.applicable(action) for test in tests(rule.when)})
        for path in random.sample(read, random.choice((1, 1, 2))) if kind != "valid" else ():
            *above, last = path.split(".")
            group = document
            for step in above:
                group = group[step]
            if kind == "absent":
                del group[last]
            else:
                wanted = KINDS.get(path) or type(group[last])
                group[last] = random.choice(_OF_ANOTHER_TYPE[wanted])
        yield kind, document


def _gated(random: Random, action: str) -> Document:
    """A valid document that an allow rule opens, and that an approval or a throttle may hold back."""
    document = valid(random, action, usual=1.0)
    document["approvals"] = valid(random, action, usual=0.5)["approvals"]
    document["cost"]["estimate"] = random.randint(3000, 8000)
    document["risk"]["score"] = random.randint(45, 79)
    document["agent"]["trusted"] = random.random() < 0.3
    return document


def fresh(document: Document) -> Document:
    """A copy that shares no dict and no list with it, and has an action that nobody has hashed."""
    copy = {name: _copied(value) for name, value in document.items()}
    action: str = copy["action"]
    copy["action"] = action[:1] + action[1:]
    return copy


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {name: _copied(one) for name, one in value.items()}
    if type(value) is list:
        return [_copied(one) for one in value]
    return value
