"""vakt: policies in its memory storage, found by its checker; their conditions over a flat context.

vakt knows allow and deny. So the policies that fit are asked for as its guard asks for them, and the effect is the
strongest that is named by the first word of a policy's uid.
"""

from __future__ import annotations

import logging
from typing import Any

from vakt import Guard, Inquiry, MemoryStorage, RulesChecker
from vakt import Policy as VaktPolicy
from vakt.effects import ALLOW_ACCESS, DENY_ACCESS
from vakt.rules import And, Eq, Falsy, Greater, GreaterOrEqual, In, Less, LessOrEqual, RegexMatch, Truthy
from vakt.rules import Any as Anything
from vakt.rules import Not as VaktNot
from vakt.rules.base import Rule as VaktRule

from policies import combining
from policies.combining import Decide, approved_roles
from policies.documents import Document
from policies.rules import Compare, Holds, Is, Matches, Not, OneOf, Policy, Rule, Test, conjunctions, tests

logging.getLogger("vakt").setLevel(logging.CRITICAL)
_COMPARE = {">": Greater, ">=": GreaterOrEqual, "<": Less, "<=": LessOrEqual}


class Containing(VaktRule):
    """A list that has this item: vakt has the rule only the other way round."""

    def __init__(self, item: str) -> None:
        self.item = item

    def satisfied(self, what: Any, inquiry: Any = None) -> bool:
        return self.item in what


def build(policy: Policy) -> Decide:
    return _guard(policy.rules)


def indexed(policy: Policy) -> Decide:
    return combining.by_action(policy, _guard)


def _guard(rules: tuple[Rule, ...]) -> Decide:
    storage, checker = MemoryStorage(), RulesChecker()
    for rule in rules:
        if rule.limit is None:
            for at, alternative in enumerate(conjunctions(rule.when)):
                storage.add(_policy(rule, at, alternative))
    paths = sorted({test.path for rule in rules for test in tests(rule.when)})
    steps = [(path, path.split(".")) for path in paths]
    guard = Guard(storage, checker)

    def decide(document: Document) -> str:
        context: dict[str, Any] = {"approved_roles": approved_roles(document)}
        try:
            for path, way in steps:
                value: Any = document
                for step in way:
                    value = value[step]
                context[path] = value
        except KeyError:
            return "deny"
        inquiry = Inquiry(action=document["action"], subject="agent", resource="gateway", context=context)
        try:
            fitting = {
                one.uid.partition(":")[0]
                for one in storage.find_for_inquiry(inquiry, checker)
                if checker.fits(one, "actions", inquiry.action, inquiry)
                and checker.fits(one, "subjects", inquiry.subject, inquiry)
                and checker.fits(one, "resources", inquiry.resource, inquiry)
                and guard.check_context_restriction(one, inquiry)
            }
        except TypeError:
            return "deny"
        if "deny" in fitting or "allow" not in fitting:
            return "deny"
        return next(one for one in ("require_approval", "throttle", "allow") if one in fitting)

    return decide


def _policy(rule: Rule, at: int, alternative: tuple[Test | Not, ...]) -> VaktPolicy:
    context: dict[str, VaktRule] = {}
    for test in alternative:
        path = test.of.path if isinstance(test, Not) else test.path
        made = _rule(test)
        context[path] = And(context[path], made) if path in context else made
    if rule.role:
        context["approved_roles"] = VaktNot(Containing(rule.role))
    return VaktPolicy(
        f"{rule.effect}:{rule.name}:{at}",
        actions=[Anything() if rule.actions is None else Eq(rule.actions[0])],
        subjects=[Anything()],
        resources=[Anything()],
        context=context,
        effect=ALLOW_ACCESS if rule.effect == "allow" else DENY_ACCESS,
    )


def _rule(test: Test | Not) -> VaktRule:
    match test:
        case Not(of=Is()):
            return Falsy()
        case Not(of=one):
            return VaktNot(_rule(one))
        case Is():
            return Truthy()
        case Compare(operator=operator, value=value):
            return _COMPARE[operator](value)
        case OneOf(values=values):
            return In(*values)
        case Holds(item=item):
            return Containing(item)
        case Matches(pattern=pattern):
            return RegexMatch(pattern)
