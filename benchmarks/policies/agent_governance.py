"""agent-governance-toolkit's core: rules of one test each, the first that matches by priority decides.

A rule can say one test, not a conjunction. So the action is folded into the name of the fact that a rule tests, by
hand, and of each rule only its first test is kept: it does less work than the others, and its effects differ.
"""

from __future__ import annotations

import logging
from typing import Any

from agent_os.policies.evaluator import PolicyEvaluator
from agent_os.policies.schema import (
    PolicyAction,
    PolicyCondition,
    PolicyDefaults,
    PolicyDocument,
    PolicyOperator,
    PolicyRule,
)

from policies.combining import Decide
from policies.documents import Document
from policies.rules import (
    STRONGEST_FIRST,
    Compare,
    Holds,
    Is,
    Matches,
    Not,
    OneOf,
    Policy,
    Rule,
    Test,
    conjunctions,
    tests,
)

logging.getLogger("agent_os.policies.evaluator").setLevel(logging.CRITICAL)
_OPERATORS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def build(policy: Policy) -> Decide:
    rules = [
        PolicyRule(
            name=f"{rule.effect}:{rule.name}:{at}",
            condition=_condition(rule, alternative[0]),
            action=PolicyAction.ALLOW if rule.effect == "allow" else PolicyAction.DENY,
            priority=100 - STRONGEST_FIRST.index(rule.effect),
        )
        for rule in policy.rules
        if rule.limit is None
        for at, alternative in enumerate(conjunctions(rule.when))
    ]
    evaluator = PolicyEvaluator(
        [PolicyDocument(rules=rules, defaults=PolicyDefaults(action=PolicyAction.DENY))]
    )
    paths = sorted({test.path for rule in policy.rules[:20] for test in tests(rule.when)})
    steps = [(path, path.split(".")) for path in paths]

    def decide(document: Document) -> str:
        action, context = document["action"], dict[str, Any]()
        for path, way in steps:
            value: Any = document
            try:
                for step in way:
                    value = value[step]
            except (KeyError, TypeError):
                continue
            context[path] = context[f"{action}/{path}"] = value
        found = evaluator.evaluate(context)
        return (found.matched_rule or "deny").partition(":")[0]

    return decide


def _condition(rule: Rule, test: Test | Not) -> PolicyCondition:
    inner = test.of if isinstance(test, Not) else test
    field = inner.path if rule.actions is None else f"{rule.actions[0]}/{inner.path}"
    operator, value = _says(test)
    return PolicyCondition(field=field, operator=PolicyOperator(operator), value=value)


def _says(test: Test | Not) -> tuple[str, Any]:
    match test:
        case Is():
            return "eq", True
        case Not(of=Is()):
            return "ne", True
        case Compare(operator=operator, value=value):
            return _OPERATORS[operator], value
        case OneOf(values=values):
            return "in", list(values)
        case Not(of=OneOf(values=values)):
            return "not_in", list(values)
        case Holds(item=item):
            return "contains", item
        case Matches(pattern=pattern):
            return "matches", pattern
        case Not(of=Matches(pattern=pattern)):
            return "matches", f"^(?!{pattern.removeprefix('^')})"
    raise AssertionError(test)
