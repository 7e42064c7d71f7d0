"""strathon: policies of one CEL expression each over a span's attributes, evaluated by cel-python in its enforcer.

`applies_to` is its own index: a policy that names other actions is passed over without evaluating it. The first
that matches by priority decides. A throttle without a bucket is its `steer`, the only effect left over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from strathon.policy.enforcer import PolicyEnforcer
from strathon.policy.types import Policy as SpanPolicy
from strathon.policy.types import PolicyDecision

from policies.cel_text import condition
from policies.combining import Decide
from policies.documents import Document
from policies.rules import STRONGEST_FIRST, Policy, Rule

logging.getLogger("strathon").setLevel(logging.CRITICAL)
_ACTIONS = {"deny": "block", "require_approval": "require_approval", "throttle": "steer", "allow": "allow"}
_EFFECTS = {action: effect for effect, action in _ACTIONS.items()}


def build(policy: Policy) -> Decide:
    check = _enforcer(list(policy.rules))
    opens = _enforcer([rule for rule in policy.rules if rule.effect == "allow"])

    def decide(document: Document) -> str:
        span = {"name": document["action"], "attrs": document}
        action = check(span).action
        # A gate that matches hides whether anything opens what it gates, which is a second question.
        if action in ("require_approval", "steer") and not opens(span).is_allow:
            return "deny"
        return _EFFECTS[action]

    return decide


def _enforcer(rules: list[Rule]) -> Callable[[dict[str, Any]], PolicyDecision]:
    enforcer = PolicyEnforcer("http://localhost:9")
    enforcer.set_policies_for_testing(
        [
            SpanPolicy(
                rule.name,
                "benchmark",
                rule.name,
                condition(rule, "attrs."),
                _ACTIONS[rule.effect],
                applies_to=list(rule.actions or ()),
                priority=100 - STRONGEST_FIRST.index(rule.effect),
            )
            for rule in rules
            if rule.limit is None
        ]
    )
    enforcer.set_intervention_default_action_for_testing("block")
    return enforcer.check_policy
