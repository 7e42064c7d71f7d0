"""Realistic policies of any size: five rules about everything, and five about each action.

So about ten rules are candidates for one decision, whether there are 20 or 20,000 in all. Each rule has numbers
and texts of its own, as a policy does that teams have written for years.
"""

from __future__ import annotations

import json

from policies.rules import (
    CHEAP,
    All,
    Compare,
    Condition,
    Either,
    Holds,
    Is,
    Matches,
    Not,
    OneOf,
    Policy,
    Rule,
)

TEAMS = ("qa", "platform", "payments", "data", "mobile", "sre")
PER_ACTION = 5
GLOBAL = (
    Rule("quarantine", "deny", None, Compare("risk.score", ">=", 80)),
    Rule("unmanaged-device", "deny", None, Not(Is("device.managed"))),
    Rule(
        "stale-laptop",
        "deny",
        None,
        Either(
            (Not(Is("device.posture.disk_encrypted")), Compare("device.posture.os_patch_age_days", ">", 45))
        ),
    ),
    Rule("unattested", "deny", None, Compare("attestation.level", "<", 1)),
    Rule("tor", "deny", None, Holds("risk.factors", "tor-exit")),
)


def policy(count: int) -> Policy:
    """A policy of `count` rules: five for everything, the others for `(count - 5) / 5` actions."""
    actions = tuple(_action(at) for at in range(max(1, (count - len(GLOBAL)) // PER_ACTION)))
    rules = [*GLOBAL]
    for at, action in enumerate(actions):
        rules += _rules(at, action)
    return Policy(tuple(rules[:count]), actions)


def one_action(count: int) -> Policy:
    """A policy that no index helps: `count` simple denies of the same action, and the allow that they restrict."""
    denies = (
        Rule(f"too-dear-{at}", "deny", ("deploy",), Compare("cost.estimate", ">", 100_000 + at))
        for at in range(count)
    )
    return Policy((Rule("managed", "allow", ("deploy",), Is("agent.managed")), *denies), ("deploy",))


def _action(at: int) -> str:
    return f"{('run', 'deploy', 'create', 'rotate', 'scan')[at % 5]}-{TEAMS[at % 6]}-{at}"


def _rules(at: int, action: str) -> list[Rule]:
    own, team, other = (action,), TEAMS[at % 6], TEAMS[(at + 2) % 6]
    name = action.replace("-", "_")
    ref = (
        Matches("parameters.ref", "^(main|release/.*)$", ("main", "release/*"))
        if at % 2 == 0
        else Matches("parameters.ref", f"^(main|hotfix/{team}-.*)$", ("main", f"hotfix/{team}-*"))
    )
    version = Matches("agent.version", f"^{2 + at % 2}[.]", (f"{2 + at % 2}.*",))
    return [
        Rule(
            f"{name}.managed",
            "allow",
            own,
            All((CHEAP, Is("agent.managed"), Is("agent.approved_version"), ref)),
            cheap=True,
        ),
        Rule(
            f"{name}.trusted",
            "allow",
            own,
            All(
                (
                    Is("agent.trusted"),
                    Compare("attestation.level", ">=", 2),
                    OneOf("user.team", (team, other)),
                )
            ),
        ),
        Rule(
            f"{name}.dear",
            "require_approval",
            own,
            All((Compare("cost.estimate", ">", 4000 + at % 1000), Not(OneOf("user.team", ("sre",))))),
            role="sre",
        ),
        Rule(
            f"{name}.often",
            "throttle",
            own,
            Compare("parameters.shards", ">", 1 + at % 3),
            limit=10 + at % 50,
        ),
        Rule(f"{name}.old", "deny", own, All((Not(version), Not(Is("agent.trusted")))))
        if at % 2 == 0
        else Rule(
            f"{name}.doubtful",
            "throttle",
            own,
            All((Compare("risk.score", ">=", 55 + at % 10), Not(Is("agent.trusted")))),
        ),
    ]


def cel(condition: Condition, root: str = "") -> str:
    """The condition in CEL, below a root that some hosts put before every fact."""
    match condition:
        case Is(path=path):
            return f"{root}{path}"
        case Compare(path=path, operator=operator, value=value):
            return f"{root}{path} {operator} {value}"
        case OneOf(path=path, values=values):
            return f"{root}{path} in {json.dumps(values)}"
        case Holds(path=path, item=item):
            return f"{json.dumps(item)} in {root}{path}"
        case Matches(path=path, pattern=pattern):
            return f"{root}{path}.matches({json.dumps(pattern)})"
        case Not(of=one):
            return f"!({cel(one, root)})"
        case All(of=several):
            return " && ".join(
                f"({cel(one, root)})" if isinstance(one, Either) else cel(one, root) for one in several
            )
        case Either(of=several):
            return " || ".join(
                f"({cel(one, root)})" if isinstance(one, All) else cel(one, root) for one in several
            )


def unapproved(role: str, root: str = "") -> str:
    """In CEL: nobody but the requester who holds the role has approved."""
    return f"!{root}approvals.exists(a, a.user != {root}user.id && {json.dumps(role)} in a.roles)"


def document(policy: Policy) -> str:
    """The policy as a cigate policy document."""
    lines = [
        "apiVersion: cigate/v1",
        "kind: GatewayPolicy",
        "metadata: {name: benchmark, sequence: 1}",
        "spec:",
        "  variables:",
        "    - name: cheap",
        f"      expression: {cel(CHEAP)}",
        "  rules:",
    ]
    for rule in policy.rules:
        when = rule.when
        if rule.cheap:
            assert isinstance(when, All)
            when = All(when.of[1:])
        text = f"variables.cheap && {cel(when)}" if rule.cheap else cel(when)
        lines += [f"    - name: {rule.name}", f"      effect: {rule.effect}"]
        if rule.actions is not None:
            lines.append(f"      actions: [{', '.join(rule.actions)}]")
        lines.append(f"      expression: {json.dumps(text)}")
        if rule.role:
            lines.append(f"      approval: {{count: 1, roles: [{rule.role}], ttl: 30m}}")
        if rule.limit is not None:
            lines.append(f"      throttle: {{limit: {rule.limit}, per: 1h, key: [agent.id]}}")
    return "\n".join(lines) + "\n"
